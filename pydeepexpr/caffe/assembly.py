"""Putting a net together from its description, as Caffe's Net::Init does."""

from collections import OrderedDict
from collections.abc import Sequence

from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.execution import Step, make_step, naming
from pydeepexpr.caffe.graph import filter_net, insert_splits
from pydeepexpr.caffe.layers.base import Layer, make_layer
from pydeepexpr.caffe.need import gradient_needs
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.upgrade import upgrade_net
from pydeepexpr.caffe.weights import matched
from pydeepexpr.errors import UserError

__all__ = ["Assembly"]

#: Caffe's name for the top that a loss without one gets. No output of the net.
_AUTOMATIC = "(automatic)"


class Assembly:
    """The parts of a net.

    Parameters
    ----------
    param : NetParameter
    state : NetState
        Phase, level and stages, which choose the layers.

    Attributes
    ----------
    param : NetParameter
        The description as built: upgraded, filtered, with splits.
    names : list of str
        The layers'. Two layers may have one name.
    steps : list of Step
    bottoms, tops : list of list of str
        Names of each layer's blobs.
    blobs : OrderedDict of str to Blob
    learnable : list of (Blob, ParamSpec)
        The parameters that are nobody else's, with their rates.
    outputs : list of str
        Blobs that nothing uses, sorted: Caffe's order, which its logs number.

    Raises
    ------
    UserError
        If a layer is unknown, or shapes, names or parameters do not fit.
    """

    def __init__(self, param: pb.NetParameter, state: pb.NetState):
        self.param = insert_splits(filter_net(upgrade_net(param), state))
        self.names = [layer.name for layer in self.param.layer]
        self.steps: list[Step] = []
        self.bottoms: list[list[str]] = []
        self.tops: list[list[str]] = []
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self.learnable: list[tuple[Blob, pb.ParamSpec]] = []
        self._owners: dict[str, int] = {}  # a shared parameter's name → its place among the learnable ones
        self._unused: dict[str, None] = {}
        self._makers: dict[str, Step] = {}  # what a blob's values come from: the last layer that has it as a top
        for layer_param in self.param.layer:
            self._add(layer_param, state.phase)
        self.outputs = sorted(self._unused)
        for step, needs in zip(self.steps, gradient_needs(self, self.param.force_backward), strict=True):
            step.needs = needs

    def _add(self, param: pb.LayerParameter, phase: int) -> None:
        param = _copy(param)
        if not param.HasField("phase"):
            param.phase = phase
        layer = make_layer(param)
        bottom_names, top_names = list(param.bottom), list(param.top)
        for name in bottom_names:
            self._unused.pop(name, None)
        for k, name in enumerate(top_names):
            if bottom_names[k : k + 1] == [name]:
                continue  # in place
            if name in self.blobs:
                raise UserError(f"two layers make the top {name!r}; one of them is {param.name!r}")
            self.blobs[name] = Blob()
        self._unused.update(dict.fromkeys(top_names))
        if layer.is_loss and not top_names:
            top_names = [_AUTOMATIC]
            self.blobs[_AUTOMATIC] = Blob()
        bottoms, tops = ([self.blobs[name] for name in names] for names in (bottom_names, top_names))
        if layer.shares_data:
            for top in tops:
                top.share_data(bottoms[0])
        with naming(layer):
            layer.build(bottoms, tops)
            if param.blobs:
                for array, values in matched(layer.blobs, param, "the description"):
                    array[...] = values
            self._share_parameters(layer)
            layer.reshape(bottoms, tops)
        step = make_step(layer, bottoms, tops, _loss_weights(layer, top_names))
        self._share_memory(step, bottom_names, top_names)
        step.seed_losses()
        with naming(layer):
            layer.fill_tops(*tops)
        self.steps.append(step)
        self.bottoms.append(bottom_names)
        self.tops.append(top_names)

    def _share_memory(self, step: Step, bottoms: Sequence[str], tops: Sequence[str]) -> None:
        """Let a layer in place work in its neighbours' memory: in the top below it, in the gradient from above."""
        layer = step.layer
        step.overwrites = layer.overwrites and bottoms == tops and self._makers[tops[0]].layer.lends_top
        for name in bottoms:
            self._makers[name].spoils = layer.lends_gradients
        self._makers.update(dict.fromkeys(tops, step))

    def _share_parameters(self, layer: Layer) -> None:
        """Let parameters of one name share their memory, and note the rates of those that are nobody else's."""
        if len(layer.param.param) > len(layer.blobs):
            raise UserError(
                f"layer {layer.name!r} ({layer.type}) has {len(layer.param.param)} param {{ }} for "
                f"{len(layer.blobs)} parameter(s); take those away that are too many"
            )
        for i, blob in enumerate(layer.blobs):
            spec = layer.param.param[i] if i < len(layer.param.param) else pb.ParamSpec()
            if spec.name not in self._owners:
                if spec.name:
                    self._owners[spec.name] = len(self.learnable)
                self.learnable.append((blob, _copy(spec)))
                continue
            owner, rates = self.learnable[self._owners[spec.name]]
            if spec.share_mode == pb.ParamSpec.PERMISSIVE and owner.count == blob.count:
                blob.share(owner)
            elif owner.shape == blob.shape:
                layer.blobs[i] = owner
            else:
                raise UserError(
                    f"layer {layer.name!r} cannot share the parameter {spec.name!r}: its shape is {blob.shape}, "
                    f"the owner's {owner.shape}"
                )
            for field in ("lr_mult", "decay_mult"):  # whoever of the sharers says it first says it for all
                if spec.HasField(field):
                    if rates.HasField(field) and getattr(rates, field) != getattr(spec, field):
                        raise UserError(
                            f"layer {layer.name!r} gives the shared parameter {spec.name!r} another {field} than "
                            "a layer before it; give one to all"
                        )
                    setattr(rates, field, getattr(spec, field))


def _loss_weights(layer: Layer, tops: Sequence[str]) -> list[float]:
    weights = list(layer.param.loss_weight) or ([1.0] if layer.is_loss else [])
    return weights + [0.0] * (len(tops) - len(weights))


def _copy(message):
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
