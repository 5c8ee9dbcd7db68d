"""A stopwatch (pycaffe's `Timer`)."""

import time

import torch

from pydeepexpr.caffe import mode

__all__ = ["Timer"]


class Timer:
    """Measures from `start` to `stop`; on a GPU, until the work that was begun is done."""

    def __init__(self):
        self._started: float | None = None
        self._seconds = 0.0

    def start(self) -> None:
        """Begin to measure, anew where a measurement is under way."""
        self._started = _now()

    def stop(self) -> None:
        """End the measurement, if one is under way."""
        if self._started is not None:
            self._seconds = _now() - self._started
            self._started = None

    @property
    def ms(self) -> float:
        """Milliseconds that were measured, 0 before the first measurement. Ends the one under way."""
        self.stop()
        return self._seconds * 1e3


def _now() -> float:
    if mode.device().type == "cuda":
        torch.cuda.synchronize(mode.device())
    return time.perf_counter()
