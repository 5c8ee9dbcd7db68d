"""Net: a graph of layers built from a prototxt, with pycaffe's interface."""

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.execution import accumulate, apply, autocast, fitting, naming
from pydeepexpr.caffe.graph import filter_net, input_layers, insert_splits
from pydeepexpr.caffe.layers.base import Layer, make_layer
from pydeepexpr.caffe.need import gradient_needs
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.caffe.weights import load_weights, save_weights
from pydeepexpr.errors import UserError

__all__ = ["Net"]


class Net:
    """A network of layers (pycaffe's `Net`).

    Parameters
    ----------
    network_file : path-like or NetParameter
        The prototxt, or its parsed form.
    phase : int
        `TRAIN` or `TEST`. The older order ``Net(network, weights, phase)`` works too.
    level : int, optional
    stages : sequence of str, optional
        What the layers' include and exclude rules are held against, beside the phase.
    weights : path-like, optional
        A `.caffemodel` to copy parameters from.

    Attributes
    ----------
    blobs : OrderedDict of str to Blob
    params : OrderedDict of str to list of Blob
    layers : list of Layer
    inputs, outputs : list of str
        Names of the blobs that the user sets and that nothing in the net uses.

    Raises
    ------
    UserError
        If a file cannot be read, a layer is unknown, or shapes do not fit.
    """

    def __init__(
        self,
        network_file: str | os.PathLike | pb.NetParameter,
        *args: int | str | os.PathLike | Sequence[str],
        phase: int | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: str | os.PathLike | None = None,
    ):
        for value in args:
            if isinstance(value, int) and phase is None:
                phase = value
            elif isinstance(value, str | os.PathLike) and weights is None:
                weights = value
            elif isinstance(value, int):
                level = value
            elif isinstance(value, Sequence) and not isinstance(value, str) and stages is None:
                stages = value
            else:
                raise TypeError(f"Net(network_file, phase, level, stages, weights) does not take {value!r} there")
        if phase not in (mode.TRAIN, mode.TEST):
            raise TypeError("Net needs a phase: caffe.TRAIN or caffe.TEST")
        param = network_file if isinstance(network_file, pb.NetParameter) else read_net(network_file)
        state = pb.NetState()
        state.CopyFrom(param.state)
        state.phase = phase
        state.level = level or state.level
        state.stage.extend(stages or ())
        self._build(param, state)
        if weights is not None:
            self.copy_from(weights)

    def _build(self, param: pb.NetParameter, state: pb.NetState) -> None:
        described = pb.NetParameter()
        described.CopyFrom(param)
        del described.layer[:]
        described.layer.extend([*input_layers(param), *param.layer])
        for field in ("input", "input_shape", "input_dim"):
            described.ClearField(field)
        self._param = insert_splits(filter_net(described, state))
        self.name = param.name
        self.blobs: OrderedDict[str, Blob] = OrderedDict()
        self.layers: list[Layer] = []
        self.layer_dict: OrderedDict[str, Layer] = OrderedDict()
        self._bottoms: list[list[str]] = []
        self._tops: list[list[str]] = []
        self._owners: dict[str, int] = {}  # a shared parameter's name → its place among the learnable ones
        self.learnable: list[tuple[Blob, pb.ParamSpec]] = []
        unused: OrderedDict[str, None] = OrderedDict()
        for layer_param in self._param.layer:
            self._add_layer(layer_param, state.phase, unused)
        self.inputs = [
            top for layer, tops in zip(self.layers, self._tops, strict=True) if layer.type == "Input" for top in tops
        ]
        self.outputs = sorted(unused)  # Caffe's order, which its logs number
        self.blob_loss_weights = OrderedDict((name, 0.0) for name in self.blobs)
        self.loss_weights = [self._loss_weights(*of) for of in zip(self.layers, self._tops, strict=True)]
        for tops, weights in zip(self._tops, self.loss_weights, strict=True):
            self.blob_loss_weights.update(zip(tops, weights, strict=True))
        for name in self.blobs:
            self._put_loss_weight(name)
        self._needs = gradient_needs(self, self._param.force_backward)
        self._recorded: list[tuple | None] = [None] * len(self.layers)

    def _add_layer(self, param: pb.LayerParameter, phase: int, unused: OrderedDict) -> None:
        param = _copy(param)
        if not param.HasField("phase"):
            param.phase = phase
        if param.name in self.layer_dict:
            raise UserError(f"two layers are named {param.name!r}; give each its own name")
        layer = make_layer(param)
        bottoms, tops = list(param.bottom), list(param.top)
        automatic = layer.is_loss and not tops
        if automatic:  # as in Caffe, no output of the net
            tops = [f"({param.name})"]
        for name in bottoms:
            unused.pop(name, None)
        with naming(layer):
            shapes = [self.blobs[name].shape for name in bottoms]
            layer.setup(*shapes)
            self._share_parameters(layer)
            top_shapes = layer.top_shapes(*shapes)
        for k, (name, shape) in enumerate(zip(tops, top_shapes, strict=True)):
            in_place = bottoms[k : k + 1] == [name]
            if in_place:
                self.blobs[name].reshape(*shape)
            elif name in self.blobs:
                raise UserError(f"two layers make the top {name!r}; one of them is {param.name!r}")
            else:
                self.blobs[name] = Blob(*shape)
            if not automatic:
                unused[name] = None
        layer.fill_tops(*(self.blobs[name] for name in tops))
        self.layers.append(layer)
        self.layer_dict[param.name] = layer
        self._bottoms.append(bottoms)
        self._tops.append(tops)

    def _share_parameters(self, layer: Layer) -> None:
        """Let parameters of one name be one blob, and note the rates of those that are nobody else's."""
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
            if owner.shape != blob.shape:
                raise UserError(
                    f"layer {layer.name!r} cannot share the parameter {spec.name!r}: its shape is {blob.shape}, "
                    f"the owner's {owner.shape}"
                )
            layer.blobs[i] = owner
            for field in ("lr_mult", "decay_mult"):  # whoever of the sharers says it first says it for all
                if spec.HasField(field):
                    if rates.HasField(field) and getattr(rates, field) != getattr(spec, field):
                        raise UserError(
                            f"layer {layer.name!r} gives the shared parameter {spec.name!r} another {field} than "
                            "a layer before it; give one to all"
                        )
                    setattr(rates, field, getattr(spec, field))

    def _loss_weights(self, layer: Layer, tops: Sequence[str]) -> list[float]:
        weights = list(layer.param.loss_weight) or ([1.0] if layer.is_loss else [])
        return weights + [0.0] * (len(tops) - len(weights))

    def _put_loss_weight(self, name: str) -> None:
        """Let the gradient of a loss be its weight, until the user says otherwise (Caffe's SetLossWeights)."""
        if weight := self.blob_loss_weights[name]:
            memory = self.blobs[name].diff_memory
            memory.put(torch.full(memory.shape, weight, device=mode.device()))

    def _reshape_blob(self, name: str, shape: tuple[int, ...]) -> None:
        if self.blobs[name].shape != shape:
            self.blobs[name].reshape(*shape)
            self._put_loss_weight(name)

    @property
    def params(self) -> "OrderedDict[str, list[Blob]]":
        """Parameter blobs by layer name, weights before biases."""
        return OrderedDict((layer.name, layer.blobs) for layer in self.layers if layer.blobs)

    @property
    def _layer_names(self) -> list[str]:
        return list(self.layer_dict)

    @property
    def bottom_names(self) -> "OrderedDict[str, list[str]]":
        """Names of each layer's bottoms."""
        return OrderedDict(zip(self.layer_dict, self._bottoms, strict=True))

    @property
    def top_names(self) -> "OrderedDict[str, list[str]]":
        """Names of each layer's tops."""
        return OrderedDict(zip(self.layer_dict, self._tops, strict=True))

    def _index(self, layer: str) -> int:
        if layer not in self.layer_dict:
            raise UserError(f"the net has no layer {layer!r}; it has: {', '.join(self.layer_dict)}")
        return self._layer_names.index(layer)

    # Forward

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **inputs: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Compute the layers from `start` to `end` (all unless told) and return the outputs.

        Parameters
        ----------
        blobs : iterable of str, optional
            Further blobs to return.
        start, end : str, optional
            First and last layer.
        **inputs : numpy.ndarray
            Values for all of the net's inputs, by name.

        Returns
        -------
        dict of str to numpy.ndarray
            The net's outputs, or the tops of `end`, and the blobs asked for.
        """
        if inputs:
            self._set_inputs(inputs)
        first = self._index(start) if start else 0
        last = self._index(end) if end else len(self.layers) - 1
        self.forward_range(first, last)
        names = [*(self._tops[last] if end else self.outputs), *(blobs or ())]
        return {name: self.blobs[name].data for name in names}

    def _set_inputs(self, inputs: dict[str, np.ndarray]) -> None:
        if set(inputs) != set(self.inputs):
            raise UserError(f"the net's inputs are {self.inputs}, but forward was given {sorted(inputs)}")
        for name, values in inputs.items():
            blob = self.blobs[name]
            with fitting(f"input {name!r}", values, blob.shape):
                blob.data[...] = values

    def forward_range(self, first: int, last: int) -> float:
        """Compute layers number `first` to `last` and return their weighted loss."""
        losses = []
        with autocast():
            for i in range(first, last + 1):
                with naming(self.layers[i]):
                    self._forward_layer(i)
                for top, weight in zip(self._tops[i], self.loss_weights[i], strict=True):
                    if weight:
                        losses.append(weight * self.blobs[top].data_memory.tensor().sum())
        return float(torch.stack(losses).sum()) if losses else 0.0

    def _forward_layer(self, i: int) -> None:
        layer = self.layers[i]
        inputs = [self._read(name, i) for name in self._bottoms[i]]
        inputs += [blob.data_memory.tensor() for blob in layer.blobs]
        # When training, the graph is recorded for the gradient that will follow; when testing, `backward` makes it.
        record = layer.is_training and any(self._needs[i])
        leaves, tops = apply(layer, inputs, self._needs[i] if record else None)
        self._recorded[i] = (leaves, tops if record else None)
        for name, top in zip(self._tops[i], tops or (), strict=False):
            if top is not None:
                self._reshape_blob(name, tuple(top.shape))
                self.blobs[name].data_memory.put(top)

    def _read(self, name: str, i: int) -> torch.Tensor:
        """Return a bottom's tensor: a copy where the layer works in place on memory that the user was shown."""
        memory = self.blobs[name].data_memory
        return memory.tensor().clone() if name in self._tops[i] and memory.is_shown() else memory.tensor()

    # Backward

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **tops: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Compute gradients from layer `start` down to `end` (all unless told) and return those of the inputs.

        Parameters
        ----------
        diffs : iterable of str, optional
            Further blobs whose gradients to return.
        start, end : str, optional
            The layer nearest to the outputs, and the one nearest to the inputs.
        **tops : numpy.ndarray
            Gradients to put on outputs, by blob name.

        Returns
        -------
        dict of str to numpy.ndarray
        """
        for name, values in tops.items():
            if name not in self.blobs:
                raise UserError(f"backward was given a gradient for {name!r}, which the net has not")
            blob = self.blobs[name]
            with fitting(f"the gradient of {name!r}", values, blob.shape):
                blob.diff[...] = values
        first = self._index(start) if start else len(self.layers) - 1
        last = self._index(end) if end else 0
        self.backward_range(first, last)
        names = [*(self._bottoms[last] if end else self.inputs), *(diffs or ())]
        return {name: self.blobs[name].diff for name in names}

    def backward_range(self, first: int, last: int) -> None:
        """Compute the gradients of layers number `first` down to `last`."""
        for i in range(first, last - 1, -1):
            if any(self._needs[i]):
                with naming(self.layers[i]):
                    self._backward_layer(i)

    def _backward_layer(self, i: int) -> None:
        layer, needs = self.layers[i], self._needs[i]
        if self._recorded[i] is None:
            raise UserError("backward was called before forward")
        leaves, tops = self._recorded[i]
        if tops is None:
            with autocast():
                leaves, tops = apply(layer, [leaf.detach() for leaf in leaves], needs)
        self._recorded[i] = (leaves, None)  # the graph is used up; another backward makes it anew
        wanted = [leaf for leaf, need in zip(leaves, needs, strict=True) if need]
        pairs = [
            (top, self._top_diff(name, top))
            for name, top in zip(self._tops[i], tops, strict=False)
            if top.requires_grad
        ]
        if pairs:
            tops, diffs = zip(*pairs, strict=True)
            gradients = torch.autograd.grad(tops, wanted, diffs, allow_unused=True)
        else:
            gradients = [None] * len(wanted)
        bottoms = [self.blobs[name] for name in self._bottoms[i]]
        needed = [k for k, need in enumerate(needs) if need]
        for k, gradient in zip(needed, gradients, strict=True):
            if k < len(bottoms):
                bottoms[k].diff_memory.put(torch.zeros_like(leaves[k]) if gradient is None else gradient)
            elif gradient is not None:
                accumulate(layer.blobs[k - len(bottoms)], gradient)

    def _top_diff(self, name: str, top: torch.Tensor) -> torch.Tensor:
        return self.blobs[name].diff_memory.tensor().to(top.dtype).reshape(top.shape)

    # Everything else

    def clear_param_diffs(self) -> None:
        """Set the parameters' gradients to zero."""
        for blob, _ in self.learnable:
            blob.diff_memory.clear()

    def reshape(self) -> None:
        """Give every blob the shape that follows from the inputs' shapes."""
        for layer, bottoms, tops in zip(self.layers, self._bottoms, self._tops, strict=True):
            if layer.type == "Input":
                continue  # the user's shape stands
            with naming(layer):
                shapes = layer.top_shapes(*(self.blobs[name].shape for name in bottoms))
            for name, shape in zip(tops, shapes, strict=True):
                self._reshape_blob(name, shape)

    def copy_from(self, weights: str | os.PathLike) -> None:
        """Copy parameters from a `.caffemodel`, by layer name; layers it lacks keep theirs.

        Several files, as in `caffe train -weights a,b`, are copied one after another.
        """
        several = isinstance(weights, str) and not os.path.exists(weights)
        for file in weights.split(",") if several else [weights]:
            load_weights(self, file)

    def save(self, path: str | os.PathLike) -> None:
        """Write the net with its parameters as a `.caffemodel`, whole or not at all."""
        save_weights(self, path)

    def share_with(self, other: "Net") -> None:
        """Use another net's parameters, layer by layer of the same name."""
        for name, blobs in self.params.items():
            for blob, theirs in zip(blobs, other.params.get(name, ()), strict=False):
                if blob.shape != theirs.shape:
                    raise UserError(f"layer {name!r} cannot share parameters: {blob.shape} here, {theirs.shape} there")
                blob.share_data(theirs)

    def to_proto(self) -> pb.NetParameter:
        """Return the net's description as built: filtered, with splits."""
        param = _copy(self._param)
        del param.layer[:]
        param.layer.extend(layer.param for layer in self.layers)
        return param

    def close(self) -> None:
        """Stop the threads of data layers."""
        for layer in self.layers:
            layer.close()

    def __del__(self):
        for layer in getattr(self, "layers", ()):
            layer.close(wait=False)


def _copy(message):
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
