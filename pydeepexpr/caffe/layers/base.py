"""What a layer is, and the table of layer types."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Blob, BlobVec
from pydeepexpr.caffe.fillers import fill
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["LAYERS", "Layer", "canonical_axis", "layer", "layer_function", "make_layer"]

Shape = tuple[int, ...]


class Layer:
    """One layer of a net: a function from bottom tensors and parameters to top tensors.

    A layer type is a subclass registered with `@layer("Type")`, or a plain function registered with
    `@layer_function("Type")`. Its gradient is the one PyTorch derives from `forward`; a layer whose gradient Caffe
    defines otherwise, or that has a faster one, says so with a `torch.autograd.Function` inside `forward`.

    Attributes
    ----------
    param : LayerParameter
        The layer's description.
    blobs : list of Blob
        The learned parameters.
    bottoms, tops : (int, int or None)
        The least and the largest number of blobs the type takes and makes; None is unlimited.
    is_loss : bool
        Whether the first top's `loss_weight` is 1 unless told, and a missing top is added.
    no_gradient_to : tuple of int
        Bottoms (labels, for instance) that cannot have a gradient: `force_backward` passes them by, and a backward that
        needs one is refused.
    constants : tuple of int
        Bottoms whose gradient is left out without a word.
    shares_data : bool
        Whether the tops are the bottom's very memory, so that what is written to one is read from all.
    lends_top : bool
        Whether the tops are memory of their own that the gradient does not read, so that a layer in place may work
        in it.
    lends_gradients : bool
        Whether the gradients of the bottoms are memory of their own, so that a layer before in place may work in it.
    """

    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    is_loss = False
    no_gradient_to: tuple[int, ...] = ()
    constants: tuple[int, ...] = ()
    shares_data = False
    lends_top = False
    lends_gradients = False

    def __init__(self, param: pb.LayerParameter):
        self.param = param
        self.blobs = BlobVec()

    @property
    def type(self) -> str:
        return self.param.type

    @property
    def name(self) -> str:
        return self.param.name

    @property
    def is_training(self) -> bool:
        return self.param.phase == mode.TRAIN

    @property
    def exposed(self) -> object:
        """What `Net.layers` shows in this layer's place."""
        return self

    def build(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Get ready for these blobs. Called once, before the tops have their shapes."""
        self.setup(*(blob.shape for blob in bottoms))

    def reshape(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Give the tops the shapes that follow from the bottoms' (pycaffe's `Layer.reshape`)."""
        for top, shape in zip(tops, self.top_shapes(*(blob.shape for blob in bottoms)), strict=True):
            self.check_in_place(bottoms, top, shape)
            top.reshape(*shape)

    def check_in_place(self, bottoms: Sequence[Blob], top: Blob, shape: Shape) -> None:
        """Raise a UserError if a top that is also a bottom would get another shape."""
        if top.shape != shape and top in bottoms:
            raise UserError(
                f"layer {self.name!r} ({self.type}) makes {tuple(shape)} of {top.shape} and so cannot work in place; "
                "give its top another name"
            )

    def setup(self, *bottoms: Shape) -> None:
        """Make the parameter blobs for bottoms of these shapes. Called once."""

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        """Return the tops' shapes, found by running `forward` without data."""
        with torch.no_grad():
            empty = [torch.empty(shape, device="meta") for shape in (*bottoms, *(blob.shape for blob in self.blobs))]
            tops = self.forward(*empty)
        return [tuple(top.shape) for top in tops]

    def forward(self, *inputs: Tensor) -> Sequence[Tensor] | None:
        """Return the tops from the bottoms, followed by the parameters. None leaves a top, or all, as they are."""
        raise NotImplementedError

    @property
    def overwrites(self) -> bool:
        """Whether the layer can work in its bottom's memory, by `overwrite`, and knows its gradient from its top."""
        return False

    def overwrite(self, x: Tensor) -> None:
        """Turn the bottom into the top, in its memory."""
        raise NotImplementedError

    def from_top(self, y: Tensor, spoils: bool) -> Sequence[Tensor]:
        """Return the top, as `forward` would have made it of the bottom whose gradient this has.

        With `spoils` the bottom's gradient may take the memory of the top's.
        """
        raise NotImplementedError

    def fill_tops(self, *tops: Blob) -> None:
        """Put into the tops what they hold before the first forward. Called once."""

    def add_blob(self, shape: Sequence[int], filler: pb.FillerParameter) -> None:
        """Add a parameter blob, filled as told."""
        blob = Blob(*shape)
        blob.data_memory.put(fill(shape, filler).to(mode.device()))
        self.blobs.append(blob)

    def skip_to(self, batch: int) -> None:
        """Make batch number `batch`, counted from 0, the next one: for layers that read data in order."""

    def close(self, wait: bool = True) -> None:
        """Let go of threads and files; wait for the threads' end unless told."""


#: Layer classes by the name in `LayerParameter.type`.
LAYERS: dict[str, type[Layer]] = {}


def layer(name: str) -> Callable[[type[Layer]], type[Layer]]:
    """Register a class as the layer type `name`."""

    def register(cls: type[Layer]) -> type[Layer]:
        LAYERS[name] = cls
        return cls

    return register


def layer_function(name: str, **attributes: object) -> Callable:
    """Register ``function(layer, *bottoms) → top or tops`` as the layer type `name`.

    `attributes` set the class's own, `bottoms=(2, 3)` for instance.
    """

    def register(function: Callable) -> Callable:
        def forward(self: Layer, *inputs: Tensor) -> Sequence[Tensor]:
            tops = function(self, *inputs)
            return (tops,) if isinstance(tops, Tensor) else tops

        LAYERS[name] = type(name, (Layer,), {"forward": forward, "__doc__": function.__doc__, **attributes})
        return function

    return register


def _check_count(param: pb.LayerParameter, kind: str, count: int, allowed: tuple[int, int | None]) -> None:
    least, most = allowed
    if count < least or (most is not None and count > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise UserError(f"layer {param.name!r} ({param.type}) has {count} {kind}(s); the type takes {wanted}")


def make_layer(param: pb.LayerParameter) -> Layer:
    """Return the layer that `param` describes, not yet set up.

    Raises
    ------
    UserError
        If the type is unknown or takes another number of bottoms or tops, or not each of them has its setting.
    """
    if param.type not in LAYERS:
        known = ", ".join(sorted(LAYERS))
        raise UserError(f"layer {param.name!r} has the unknown type {param.type!r}; known types: {known}")
    cls = LAYERS[param.type]
    _check_count(param, "bottom", len(param.bottom), cls.bottoms)
    if param.top or not cls.is_loss:  # a loss without a top gets one
        _check_count(param, "top", len(param.top), cls.tops)
    tops = len(param.top) or int(cls.is_loss)
    if len(param.loss_weight) not in (0, tops):
        raise UserError(
            f"layer {param.name!r} has {len(param.loss_weight)} loss_weight(s) for {tops} top(s); "
            "give one for each, or none"
        )
    if len(param.propagate_down) not in (0, len(param.bottom)):
        raise UserError(
            f"layer {param.name!r} has {len(param.propagate_down)} propagate_down for {len(param.bottom)} bottom(s); "
            "give one for each, or none"
        )
    return cls(param)


def canonical_axis(axis: int, dims: int) -> int:
    """Return a possibly negative axis as one from 0 to `dims` − 1."""
    if not -dims <= axis < dims:
        raise UserError(f"axis {axis} is out of range for a blob of {dims} axes")
    return axis % dims
