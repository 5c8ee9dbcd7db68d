"""What a reader yields, one record an image or the reason why there is none, and what the registry says of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.images import read_image

__all__ = ["Option", "Reader", "Record", "Reject"]


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
        """Return the pixels, (H, W, 3) uint8 BGR or (H, W) grey; raise `UserError` if they cannot be read."""
        if isinstance(self.image, Path):
            return read_image(self.image, keep_grey=True)
        return self.image() if callable(self.image) else self.image


@dataclass(frozen=True)
class Reject:
    """Something in a database that should have been an image and cannot be used."""

    name: str
    reason: str
    expression: int = UNLABELLED  #: label 0 to 6 where it is known all the same, or -1
    subject: str = ""


@dataclass(frozen=True)
class Option:
    """A choice that a reader leaves to its user."""

    default: int | float | str | bool
    about: str  #: one line for the help: what it decides, and why it is so by default
    choices: tuple[str, ...] = ()  #: the words that are allowed; any where there are none
    least: float | None = None  #: the smallest number that is allowed

    def __str__(self) -> str:
        """Return the default as it is written on a command line."""
        return {True: "yes", False: "no"}[self.default] if isinstance(self.default, bool) else str(self.default)

    def parse(self, text: str) -> int | float | str | bool:
        """Return the value that a text stands for, of the default's type; raise `UserError` for one that cannot be."""
        kind = type(self.default)
        if kind is bool:
            if text.lower() not in _TRUTH:
                raise UserError(f"{text!r} is neither yes nor no")
            return _TRUTH[text.lower()]
        try:
            value = kind(text)
        except ValueError:
            raise UserError(f"{text!r} is no {'whole number' if kind is int else 'number'}") from None
        if self.choices and value not in self.choices:
            raise UserError(f"{text!r} is none of {', '.join(self.choices)}")
        if self.least is not None and not value >= self.least:
            raise UserError(f"{text} is less than {self.least:g}")
        return value


_TRUTH = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True)
class Reader:
    """How a database is read: a row of `lmdb_builders.READERS`."""

    #: Called with the root and with the options as keyword arguments. Yields the records in a fixed order, lazily;
    #: raises `UserError` when the root is not such a database. Callable images must be picklable, for they are read in
    #: other processes.
    read: Callable[..., Iterator[Record | Reject]]
    about: str  #: one line for the help: the layout that is read
    licence: str  #: who lets whom use the images
    #: Names that its folder may have in a folder of databases, the usual one first; in any case of letters, * for any.
    places: tuple[str, ...] = ()
    #: It holds photographs of people: `make data` looks for it unless told which databases to take.
    people: bool = False
    #: Every image is known to show one face that fills it, so the whole image may stand in for a face not found.
    cropped: bool = False
    #: How its faces are brought onto the mean face (`faces.ALIGNMENTS`).
    alignment: str = "affine"
    #: What `read` lets its user choose, by the names of its keyword arguments.
    options: Mapping[str, Option] = field(default_factory=dict)
    #: Lists of images that are kept for evaluations (`files.read_names`), by their names in the repository.
    held_out: tuple[str, ...] = ()
    #: What a complete copy gives with the options as they are, in one line; empty where that is not known.
    expected: str = ""
    #: Says in lines of text how the database at a root differs from the one that was published. Called as `read` is.
    differences: Callable[..., list[str]] | None = None
    #: Returns further columns for the manifest, with the records' names as `path`, or None. Called as `read` is.
    columns: Callable[..., pa.Table | None] | None = None

    def settings(self, given: Mapping[str, str]) -> dict[str, int | float | str | bool]:
        """Return the value of every option: what is given as text, or the default.

        Raises
        ------
        UserError
            If there is no such option, or the text is none of its values.
        """
        for name in given:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise UserError(f"the reader has no option {name!r}; it has: {known}")
        values = {}
        for name, option in self.options.items():
            try:
                values[name] = option.parse(given[name]) if name in given else option.default
            except UserError as error:
                raise UserError(f"option {name}: {error}") from None
        return values
