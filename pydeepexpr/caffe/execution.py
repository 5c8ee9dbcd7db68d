"""Running one layer of a net: its precision, its gradient graph, and errors that name it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.layers.base import Layer
from pydeepexpr.caffe.layers.python import PythonLayer
from pydeepexpr.errors import UserError

__all__ = ["PythonStep", "Step", "autocast", "make_step", "naming"]

#: Types whose backward, in Caffe, goes by what forward noted (a mask, a maximum's place) and not by what the blobs hold
#: now. So do the losses.
_NOTING = {"BatchNorm", "Dropout", "Eltwise", "LRN", "LSTM", "Pooling", "Python", "RNN"}


def autocast() -> AbstractContextManager:
    """Return the context in which layers compute in the precision that was set."""
    if mode.precision() == "bf16":
        return torch.autocast(mode.device().type, torch.bfloat16)
    return nullcontext()


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Let every error inside a layer name it, those of PyTorch and NumPy too. A user's layer sees to it itself."""
    try:
        yield
    except (RuntimeError, IndexError, ValueError, OverflowError, MemoryError) as error:
        is_named = isinstance(error, UserError) and f"layer {layer.name!r}" in str(error)
        if is_named or isinstance(layer, PythonLayer):
            raise
        said = str(error) or type(error).__name__
        raise UserError(f"layer {layer.name!r} ({layer.type}): {said.splitlines()[0]}") from error


class _Graph(NamedTuple):
    """What a layer computed: the tensors it was given, and the tops that know where they come from (None: let go)."""

    leaves: list[torch.Tensor]
    versions: list[int]
    tops: Sequence[torch.Tensor] | None
    is_recorded: bool

    def is_stale(self, k: int, now: torch.Tensor) -> bool:
        """Whether the tensor at place `k` holds something else now."""
        leaf = self.leaves[k]
        if now.data_ptr() == leaf.data_ptr():
            return leaf._version != self.versions[k]
        return not torch.equal(now.to(leaf.dtype), leaf)


class Step:
    """A layer at its place in a net: the blobs that it reads and makes.

    Attributes
    ----------
    layer : Layer
    bottoms, tops : list of Blob
    loss_weights : list of float
        One for each top.
    needs : list of bool
        Whether each bottom, and then each parameter, needs a gradient.
    overwrites : bool
        Whether the layer works in its bottom's memory.
    spoils : bool
        Whether it may do so with the gradient, too.
    """

    def __init__(self, layer: Layer, bottoms: list[Blob], tops: list[Blob], loss_weights: list[float]):
        self.layer, self.bottoms, self.tops, self.loss_weights = layer, bottoms, tops, loss_weights
        self.needs: list[bool] = []
        self.overwrites = self.spoils = False
        self._recorded: _Graph | None = None

    def reshape(self) -> None:
        """Give the tops the shapes that follow from the bottoms'. What has no bottoms keeps the user's."""
        if self.bottoms:
            with naming(self.layer), self._seeding():
                self.layer.reshape(self.bottoms, self.tops)

    @contextmanager
    def _seeding(self) -> Iterator[None]:
        """Seed the gradients of losses again if the tops' shapes change in here."""
        shapes = [top.diff_memory.shape for top in self.tops]
        yield
        if [top.diff_memory.shape for top in self.tops] != shapes:
            self.seed_losses()

    def seed_losses(self) -> None:
        """Let the gradient of a loss be its weight, until the user says otherwise (Caffe's SetLossWeights)."""
        for top, weight in zip(self.tops, self.loss_weights, strict=True):
            if weight:
                top.diff_memory.put(torch.full(top.shape, weight, device=mode.device()))

    def losses(self) -> list[torch.Tensor]:
        """Return the tops' shares in the net's loss."""
        weighted = zip(self.tops, self.loss_weights, strict=True)
        return [weight * top.data_memory.tensor().sum() for top, weight in weighted if weight]

    def forward(self) -> None:
        """Compute the tops. When training, the graph is recorded for the gradient that will follow."""
        with naming(self.layer):
            inputs = [self._read(blob) for blob in self.bottoms]
            inputs += [blob.data_memory.tensor() for blob in self.layer.blobs]
            if self.overwrites:
                self.layer.overwrite(inputs[0])
            graph = self._apply(inputs, record=self.layer.is_training and any(self.needs))
        for blob, top in zip(self.tops, graph.tops or (), strict=False):
            if top is not None:
                self._put(blob, top)
        self._recorded = graph if graph.is_recorded else graph._replace(tops=None)

    def _read(self, blob: Blob) -> torch.Tensor:
        """Return a bottom's tensor: a copy where the layer works in place on memory that the user was shown."""
        memory = blob.data_memory
        copies = blob in self.tops and memory.is_shown() and not self.overwrites
        return memory.tensor().clone() if copies else memory.tensor()

    def _put(self, blob: Blob, top: torch.Tensor) -> None:
        if blob.diff_memory.shape != top.shape:
            self.layer.check_in_place(self.bottoms, blob, tuple(top.shape))
            with self._seeding():
                blob.reshape(*top.shape)
        if not (self.layer.shares_data or self.overwrites):
            blob.data_memory.put(top)

    def _apply(self, inputs: Sequence[torch.Tensor], record: bool) -> "_Graph":
        """Run the layer on detached inputs."""
        leaves = [tensor.detach() for tensor in inputs]
        if record:
            for leaf, need in zip(leaves, self.needs, strict=True):
                leaf.requires_grad_(need)
        versions = [leaf._version for leaf in leaves]
        with torch.set_grad_enabled(record):
            tops = self.layer.from_top(*leaves, self.spoils) if self.overwrites else self.layer.forward(*leaves)
            return _Graph(leaves, versions, tops, record)

    def backward(self, keep: bool = False) -> None:
        """Compute the gradients that are needed.

        With `keep`, the graph is there for another backward after this one, with the same random numbers, and what
        the blobs hold now counts. Without, its memory is free at once.
        """
        for k, name in enumerate(self.layer.param.bottom):
            if self.needs[k] and k in self.layer.no_gradient_to:
                raise UserError(
                    f"layer {self.layer.name!r} ({self.layer.type}) has no gradient for its bottom {name!r}, which "
                    "depends on something that learns; add a propagate_down for each bottom, false for this one"
                )
        with naming(self.layer):
            graph = self._graph(current=keep)
            self._recorded = graph if keep else graph._replace(tops=None)
            gradients = self._gradients(graph, keep)
        for k, gradient in gradients.items():
            if k < len(self.bottoms):
                self.bottoms[k].diff_memory.put(torch.zeros_like(graph.leaves[k]) if gradient is None else gradient)
            elif gradient is not None:
                _accumulate(self.layer.blobs[k - len(self.bottoms)], gradient)

    def _graph(self, current: bool) -> "_Graph":
        """Return the graph that forward recorded, or make one from what the blobs hold."""
        blobs = [*self.bottoms, *self.layer.blobs]
        graph = self._recorded
        if graph is None:
            leaves = [self._read(blob) for blob in blobs]
        else:
            leaves = list(graph.leaves)
            if current and not (self.layer.is_loss or self.layer.type in _NOTING):
                for k, blob in enumerate(blobs):
                    if blob not in self.tops and graph.is_stale(k, blob.data_memory.tensor()):
                        leaves[k], graph = blob.data_memory.tensor(), graph._replace(tops=None)
            if graph.tops is not None:
                return graph
        with autocast():
            return self._apply(leaves, record=True)

    def _gradients(self, graph: "_Graph", keep: bool) -> dict[int, torch.Tensor | None]:
        """Return the gradients of the inputs that need one, by their number."""
        wanted = [k for k, need in enumerate(self.needs) if need]
        pairs = [
            (top, blob.diff_memory.tensor().to(top.dtype).reshape(top.shape))
            for blob, top in zip(self.tops, graph.tops, strict=False)
            if top.requires_grad
        ]
        if not pairs:
            return dict.fromkeys(wanted)
        tops, diffs = zip(*pairs, strict=True)
        gradients = torch.autograd.grad(
            tops, [graph.leaves[k] for k in wanted], diffs, allow_unused=True, retain_graph=keep
        )
        return dict(zip(wanted, gradients, strict=True))


class PythonStep(Step):
    """The place of a user's layer, which reads and fills the blobs itself."""

    def reshape(self) -> None:
        with self._seeding():
            self.layer.reshape(self.bottoms, self.tops)

    def forward(self) -> None:
        with self._seeding():
            self.layer.run(self.bottoms, self.tops)

    def backward(self, keep: bool = False) -> None:
        self.layer.run_backward(self.tops, self.needs[: len(self.bottoms)], self.bottoms)


def make_step(layer: Layer, bottoms: list[Blob], tops: list[Blob], loss_weights: list[float]) -> Step:
    """Return the step of a layer, of the kind that runs it."""
    return (PythonStep if isinstance(layer, PythonLayer) else Step)(layer, bottoms, tops, loss_weights)


def _accumulate(blob: Blob, gradient: torch.Tensor) -> None:
    """Add a parameter's gradient to its diff, as Caffe does until `clear_param_diffs`."""
    memory = blob.diff_memory
    if memory.is_zero():
        # In the parameter's own order: solvers go through both as plain memory, and convolution's comes channels last.
        memory.put(gradient.to(torch.float32).contiguous())
    else:
        memory.tensor().add_(gradient)
