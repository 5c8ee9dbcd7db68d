"""What a reader yields: one record an image, or the reason why there is none."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.images import read_image

__all__ = ["Reader", "Record", "Reject"]


@dataclass(frozen=True)
class Record:
    """One image of a database, not yet read."""

    name: str  #: its own name in the database, relative to the root, with forward slashes
    image: Path | np.ndarray | Callable[[], np.ndarray]  #: a file, (H, W[, 3]) uint8 BGR or grey, or what returns one
    database: str  #: the reader's name
    expression: int = UNLABELLED  #: label 0 to 6, or -1
    subject: str = ""
    sequence: str = ""
    frame: int = -1
    split: str = ""  #: the database's own: train, val, test, or empty
    character: str = ""  #: whose frame it is, if it was rendered
    landmarks: np.ndarray | None = None  #: (49, 2) float32, x, y in pixels, where the database gives them
    at_rest: tuple[Path, ...] = ()  #: the same face, neutral: its landmarks stand in where the image shows none

    def read(self) -> np.ndarray:
        """Return the pixels; raise `UserError` with the reason when they cannot be read."""
        if isinstance(self.image, Path):
            return read_image(self.image)
        return self.image() if callable(self.image) else self.image


@dataclass(frozen=True)
class Reject:
    """Something in a database that should have been an image and cannot be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Reader:
    """How a database is read: a row of `lmdb_builders.READERS`."""

    #: Yields the records in a fixed order, lazily; raises `UserError` when the root is not such a database. Callable
    #: images must be picklable, for they are read in other processes.
    read: Callable[[Path], Iterator[Record | Reject]]
    #: Every image is known to show one face that fills it, so the whole image may stand in for a face not found.
    cropped: bool
    about: str  #: one line for the help: the layout that is read
    licence: str  #: who lets whom use the images
    #: How its faces are brought onto the mean face (`faces.ALIGNMENTS`).
    alignment: str = "affine"
    #: Says in lines of text how the database at a root differs from the one that was published.
    differences: Callable[[Path], list[str]] | None = None
    #: Returns further columns for the manifest, with the records' names as `path`, or None.
    columns: Callable[[Path], pa.Table | None] | None = None
