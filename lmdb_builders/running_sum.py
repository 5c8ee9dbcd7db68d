"""The sum of the images that were written so far, kept on disk so that an interrupted run can go on."""

import io
from pathlib import Path

import cv2
import numpy as np

from pydeepexpr.files import atomic_file

__all__ = ["RunningSum"]


class RunningSum:
    """A sum of images of one size that is saved with their number.

    Parameters
    ----------
    folder : Path
        Where it is saved.
    name : str

    Attributes
    ----------
    value : ndarray of float64, shape (H, W, 3)
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.value = np.zeros((0, 0, 3))

    def add(self, pixels: np.ndarray) -> None:
        """Add an (H, W, 3) uint8 image."""
        if not self.value.size:
            self.value = np.zeros(pixels.shape)
        cv2.accumulate(pixels, self.value)

    def save(self, count: int) -> None:
        """Save the sum as that of `count` images, and keep the one that was saved before."""
        content = io.BytesIO()
        np.save(content, self.value)
        with atomic_file(self._file(count)) as partial:
            partial.write_bytes(content.getvalue())
        for old in sorted(self._folder.glob(f"{self._name}_sum_*.npy"))[:-2]:
            old.unlink()

    def take_up(self, count: int) -> int:
        """Take up the saved sum of `count` images; return their number, 0 where there is no such sum."""
        try:
            self.value = np.load(self._file(count), allow_pickle=False)
        except (OSError, ValueError):
            return 0
        return count

    def remove(self) -> None:
        """Remove what was saved."""
        for old in self._folder.glob(f"{self._name}_sum_*.npy"):
            old.unlink()

    def _file(self, count: int) -> Path:
        return self._folder / f"{self._name}_sum_{count:09d}.npy"
