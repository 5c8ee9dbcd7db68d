"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces, as folders of images or as the challenge's ``fer2013.csv``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdb_builders import folder
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of

__all__ = ["READER", "read"]

_NAMES = ("fer2013.csv", "icml_face_data.csv")
_SIDE = 48

# The challenge's own numbers, in order.
_LABELS = [label_of(word) for word in ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")]


def read(root: Path) -> Iterator[Record | Reject]:
    """Yield the images of FER2013.

    `root` is the CSV file, a folder that holds it, or folders ``train|val|test/angry|disgust|…``. Training is the split
    train, PublicTest val and PrivateTest test.

    Raises
    ------
    UserError
        If `root` is none of these, or the CSV's header lacks one of emotion, pixels, Usage.
    """
    root = Path(root)
    table = root if root.is_file() else next((root / name for name in _NAMES if (root / name).is_file()), None)
    return _rows(table) if table else folder.read(root, "fer2013")


def _rows(table: Path) -> Iterator[Record | Reject]:
    # Cut at the commas, not parsed as CSV: no cell holds one, and a quote left open spoils only its own row.
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        lines = ([cell.strip(' "\n') for cell in line.split(",")] for line in file if line.strip())
        columns = [name.lower() for name in next(lines, [])]
        missing = [name for name in ("emotion", "pixels", "usage") if name not in columns]
        if missing:
            raise UserError(f"{table} is not FER2013's table: its first line has no column {', '.join(missing)}")
        emotion, pixels, usage = (columns.index(name) for name in ("emotion", "pixels", "usage"))
        number = -1
        for number, row in enumerate(lines):
            try:
                yield _record(number, row[emotion], row[pixels], row[usage])
            except IndexError:
                yield Reject(f"{table.name}/{number:05d}", f"the row has {len(row)} columns of {len(columns)}")
            except UserError as error:
                yield Reject(f"{table.name}/{number:05d}", str(error))
    if number < 0:
        raise UserError(f"{table} holds no image")


def _record(number: int, emotion: str, pixels: str, usage: str) -> Record:
    split = folder.SPLITS.get(usage.lower())
    if split is None:
        raise UserError(f"Usage {usage!r} is none of Training, PublicTest, PrivateTest")
    if emotion not in {str(i) for i in range(len(_LABELS))}:
        raise UserError(f"emotion {emotion!r} is no number from 0 to 6")
    label = _LABELS[int(emotion)]
    return Record(f"{split}/{EXPRESSIONS[label]}/{number:05d}", _Pixels(pixels), "fer2013", label, split=split)


@dataclass(frozen=True)
class _Pixels:
    """The numbers of one row, turned into an image only where it is wanted."""

    text: str

    def __call__(self) -> np.ndarray:
        try:
            values = np.array(self.text.split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise UserError("pixels holds something that is no whole number") from None
        if values.size != _SIDE * _SIDE:
            raise UserError(f"pixels holds {values.size} numbers; {_SIDE * _SIDE} are needed")
        if values.min() < 0 or values.max() > 255:
            raise UserError("pixels holds a number outside 0 to 255")
        return values.astype(np.uint8).reshape(_SIDE, _SIDE)


READER = Reader(
    read,
    about="fer2013.csv, or folders train|val|test/angry|…",
    licence="for research, from the ICML 2013 challenge (Goodfellow et al. 2013); images not to be passed on",
    places=("fer2013",),
    people=True,
    cropped=True,
    expected="35,887 images: 28,709 train, 3,589 public test (val), 3,589 private test (test)",
)
