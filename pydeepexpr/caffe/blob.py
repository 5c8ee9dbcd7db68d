"""Blob: an N-dimensional float32 array and its gradient, seen as NumPy by the user and as tensors by the layers."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.errors import UserError

__all__ = ["Blob", "BlobVec", "Memory"]


class Memory:
    """One array of a blob, kept where the layers compute and shown where the user looks (Caffe's SyncedMemory).

    On the CPU both see the same memory from the moment the user has asked for it. On CUDA the array is copied when
    the other side asks; as in Caffe, the user asks again (`blob.data`) to see or to change what the layers see.
    """

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)
        self._device = mode.device()
        self._tensor: torch.Tensor | None = None  # None: zeros, not yet allocated
        self._host: np.ndarray | None = None  # what the user was shown
        self._host_is_newer = False

    def tensor(self) -> torch.Tensor:
        """Return the array for a layer to read or to change in place."""
        if self._tensor is None:
            self._tensor = torch.zeros(self.shape, device=self._device)
        if self._host_is_newer:
            self._tensor = torch.from_numpy(self._host).to(self._device)
            self._host_is_newer = False
        return self._tensor

    def numpy(self) -> np.ndarray:
        """Return the array for the user to read or to write: float32, C order."""
        tensor = self.tensor()
        if self._device.type == "cpu":
            if self._host is None:  # a copy: a layer may have put what belongs to another blob as well
                self._tensor = torch.empty(self.shape).copy_(tensor)
                self._host = self._tensor.numpy()
            return self._host
        seen = tensor.detach().to(torch.float32).contiguous().cpu().numpy()
        if self._host is None:
            self._host = seen
        else:
            self._host[...] = seen
        self._host_is_newer = True
        return self._host

    def put(self, tensor: torch.Tensor) -> None:
        """Take what a layer computed. A CPU array that the user was shown changes in place."""
        tensor = tensor.detach()
        if tuple(tensor.shape) != self.shape:
            self.reshape(tensor.shape)
        if self._device.type == "cpu" and self._host is not None:
            self._tensor.copy_(tensor)
        else:
            self._tensor = tensor
        self._host_is_newer = False

    def is_shown(self) -> bool:
        """Whether the user holds a view of this very memory."""
        return self._host is not None and self._device.type == "cpu"

    def is_zero(self) -> bool:
        """Whether nothing was ever put here, so that reading would give zeros."""
        return self._tensor is None and not self._host_is_newer

    def clear(self) -> None:
        """Set all to zero."""
        if self.is_shown():
            self._tensor.zero_()
        else:
            self._tensor, self._host_is_newer = None, False

    def let_go(self) -> None:
        """Free the memory unless the user was shown it: for what is about to be put anew, and is zeros until then."""
        if self._host is None:
            self._tensor = None

    def reshape(self, shape: Sequence[int]) -> None:
        """Change the shape; contents stay where the count of elements does, and become zeros where it changes."""
        shape = tuple(shape)
        if shape == self.shape:
            return
        host = None
        if np.prod(shape) == np.prod(self.shape) and not self.is_zero():
            self._tensor = self.tensor().reshape(shape)
            if self.is_shown():
                host = self._host.reshape(shape)
        else:
            self._tensor = None
        self.shape, self._host, self._host_is_newer = shape, host, False


class _Reshaped:
    """The memory of another blob, `data_memory` or `diff_memory`, in another shape of as many values."""

    def __init__(self, owner: "Blob", which: str, shape: Sequence[int]):
        self._owner, self._which, self.shape = owner, which, tuple(shape)

    @property
    def _memory(self) -> Memory:
        return getattr(self._owner, self._which)

    def tensor(self) -> torch.Tensor:
        return self._memory.tensor().reshape(self.shape)

    def numpy(self) -> np.ndarray:
        return self._memory.numpy().reshape(self.shape)

    def put(self, tensor: torch.Tensor) -> None:
        self._memory.put(tensor.reshape(self._memory.shape))

    def is_zero(self) -> bool:
        return self._memory.is_zero()

    def clear(self) -> None:
        self._memory.clear()

    def reshape(self, shape: Sequence[int]) -> None:
        if np.prod(shape) != np.prod(self.shape):
            raise UserError(f"a blob {self.shape} that shares its memory cannot be reshaped to {tuple(shape)}")
        self.shape = tuple(shape)


#: Caffe's limits: it counts a blob's values in a C int.
_MOST_VALUES, _MOST_AXES = 2**31 - 1, 32


def _checked(shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in shape)
    if any(size < 0 for size in shape):
        raise UserError(f"a blob cannot be reshaped to {shape}; sizes are 0 or more")
    if math.prod(shape) > _MOST_VALUES:
        raise UserError(f"a blob of {shape} is too large; Caffe's blobs hold up to {_MOST_VALUES} values")
    if len(shape) > _MOST_AXES:
        raise UserError(f"a blob of {len(shape)} axes has too many; Caffe's blobs have up to {_MOST_AXES}")
    return shape


class Blob:
    """An N-dimensional array `data` and its gradient `diff`, both float32 of one shape (pycaffe's `Blob`).

    Attributes
    ----------
    data, diff : numpy.ndarray
        Writable, float32, of the blob's shape.

    Raises
    ------
    UserError
        If a size is below 0, or there are more than 2³¹ − 1 values or 32 axes.
    """

    def __init__(self, *shape: int):
        shape = _checked(shape)
        self.data_memory = Memory(shape)
        self.diff_memory = Memory(shape)

    @property
    def data(self) -> np.ndarray:
        return self.data_memory.numpy()

    @property
    def diff(self) -> np.ndarray:
        return self.diff_memory.numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data_memory.shape

    @property
    def count(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def _legacy_dim(self, axis: int) -> int:
        """Return the size along `axis` of the four-dimensional blobs of old Caffe, 1 where there are fewer axes."""
        return self.shape[axis] if axis < len(self.shape) else 1

    @property
    def num(self) -> int:
        return self._legacy_dim(0)

    @property
    def channels(self) -> int:
        return self._legacy_dim(1)

    @property
    def height(self) -> int:
        return self._legacy_dim(2)

    @property
    def width(self) -> int:
        return self._legacy_dim(3)

    def reshape(self, *shape: int) -> None:
        """Give data and diff another shape.

        Raises
        ------
        UserError
            If a size is below 0, or there are more than 2³¹ − 1 values or 32 axes.
        """
        shape = _checked(shape)
        self.data_memory.reshape(shape)
        self.diff_memory.reshape(shape)

    def share(self, owner: "Blob") -> None:
        """Use the owner's data and diff, from now on and whatever they become, in this blob's own shape."""
        self.data_memory = _Reshaped(owner, "data_memory", self.shape)
        self.diff_memory = _Reshaped(owner, "diff_memory", self.shape)

    def share_data(self, other: "Blob") -> None:
        """Use the other blob's data as this one's; what is written to one is read from the other."""
        self.data_memory = other.data_memory
        if self.diff_memory.shape != other.shape:
            self.diff_memory.reshape(other.shape)

    def __repr__(self) -> str:
        return f"Blob{self.shape}"


class BlobVec(list):
    """A layer's parameter blobs (pycaffe's `BlobVec`)."""

    def add_blob(self, *shape: int) -> None:
        """Append a blob of zeros."""
        self.append(Blob(*shape))
