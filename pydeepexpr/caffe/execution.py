"""Running one layer: its precision, its gradient graph, and errors that name it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.layers.base import Layer
from pydeepexpr.errors import UserError

__all__ = ["accumulate", "apply", "autocast", "fitting", "naming"]


def autocast() -> AbstractContextManager:
    """Return the context in which layers compute in the precision that was set."""
    if mode.precision() == "bf16":
        return torch.autocast(mode.device().type, torch.bfloat16)
    return nullcontext()


@contextmanager
def naming(layer: Layer) -> Iterator[None]:
    """Turn an error of PyTorch's inside a layer into one that names the layer."""
    try:
        yield
    except UserError:
        raise
    except (RuntimeError, IndexError) as error:
        raise UserError(f"layer {layer.name!r} ({layer.type}): {str(error).splitlines()[0]}") from error


def apply(
    layer: Layer, inputs: Sequence[torch.Tensor], needs: Sequence[bool] | None
) -> tuple[list[torch.Tensor], Sequence[torch.Tensor] | None]:
    """Run a layer on detached inputs; record gradients for those that need one (None: record nothing)."""
    leaves = [tensor.detach() for tensor in inputs]
    if needs is not None:
        for leaf, need in zip(leaves, needs, strict=True):
            leaf.requires_grad_(need)
    with torch.set_grad_enabled(needs is not None):
        return leaves, layer.forward(*leaves)


def accumulate(blob: Blob, gradient: torch.Tensor) -> None:
    """Add a parameter's gradient to its diff, as Caffe does until `clear_param_diffs`."""
    memory = blob.diff_memory
    if memory.is_zero():
        # In the parameter's own order: solvers go through both as plain memory, and convolution's comes channels last.
        memory.put(gradient.to(torch.float32).contiguous())
    else:
        memory.tensor().add_(gradient)


@contextmanager
def fitting(what: str, values: np.ndarray, shape: tuple[int, ...]) -> Iterator[None]:
    """Say in one line that values do not fit a blob. As in pycaffe they may be broadcast, but not over the batch."""
    message = f"{what} is {np.shape(values)} but its blob is {shape}; reshape the blob or the values"
    if np.shape(values)[:1] != shape[:1]:
        raise UserError(message)
    try:
        yield
    except ValueError:
        raise UserError(message) from None
