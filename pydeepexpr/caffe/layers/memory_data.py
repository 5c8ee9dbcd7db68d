"""The MemoryData layer: batches from arrays that the user gives (pycaffe's `Net.set_input_arrays`)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.layers.base import Layer, Shape, layer
from pydeepexpr.caffe.log import log
from pydeepexpr.errors import UserError


@layer("MemoryData")
class MemoryData(Layer):
    """Batches of the arrays that `reset` was given, in order, from the first again after the last."""

    bottoms, tops = (0, 0), (2, 2)

    def setup(self) -> None:
        p = self.param.memory_data_param
        self._shape = (p.batch_size, p.channels, p.height, p.width)
        if not all(self._shape):
            raise UserError(
                f"layer {self.name!r} (MemoryData) needs batch_size, channels, height and width above 0 in "
                "memory_data_param"
            )
        self._arrays: tuple[np.ndarray, np.ndarray] | None = None
        self._next = 0

    def top_shapes(self) -> list[Shape]:
        return [self._shape, self._shape[:1]]

    def skip_to(self, batch: int) -> None:
        self._next = batch

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Use these arrays from the first row on; they are not copied, so what changes in them is seen.

        Parameters
        ----------
        data : numpy.ndarray of float32, shape (N, channels, height, width)
            In C order; N a multiple of the batch size. `transform_param` does not apply to it.
        labels : numpy.ndarray of float32, shape (N,) or (N, 1, 1, 1)

        Raises
        ------
        UserError
            If an array has another type, order or shape.
        """
        batch, *image = self._shape
        for what, array, wanted in (("data", data, image), ("labels", labels, [1, 1, 1])):
            shape = list(np.shape(array))
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or not array.flags.c_contiguous:
                self._refuse(f"{what} as a float32 array in C order")
            if shape[1:] != wanted and not (what == "labels" and len(shape) == 1):
                self._refuse(f"{what} of shape (N, {', '.join(map(str, wanted))}), not {tuple(shape)}")
        if len(data) != len(labels) or len(data) % batch or not len(data):
            self._refuse(
                f"as many data as labels, a multiple of the batch size {batch}, not {len(data)} and {len(labels)}"
            )
        if self.param.HasField("transform_param"):
            log.warning("%s does not transform array data", self.name)
        self._arrays = data, labels.reshape(-1)
        self._next = 0

    def _refuse(self, wanted: str) -> None:
        raise UserError(f"layer {self.name!r} (MemoryData) takes {wanted}")

    def forward(self) -> Sequence[Tensor]:
        if self._arrays is None:
            raise UserError(f"layer {self.name!r} (MemoryData) has no data yet; give it arrays (set_input_arrays)")
        start = self._next * self._shape[0] % len(self._arrays[0])
        self._next += 1
        return [torch.tensor(array[start : start + self._shape[0]], device=mode.device()) for array in self._arrays]
