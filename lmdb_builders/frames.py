"""What was rendered says of itself: the table ``frames.parquet`` beside the frames (docs/formats.md)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmdb_builders.splits import SPLITS
from pydeepexpr.errors import UserError
from pydeepexpr.faces import NUM_LANDMARKS

__all__ = ["TABLE", "Frame", "parameters", "read_frames"]

TABLE = "frames.parquet"

#: What a frame is rendered again from (`pydeepexpr.rig`).
_PARAMETERS = ["muscles", "gaze", "head", "size"]


class Frame(NamedTuple):
    """A row of the table, as far as it concerns who reads images."""

    subject: str = ""
    split: str = ""
    landmarks: np.ndarray | None = None  #: (49, 2) float32, x, y in pixels of the frame


def read_frames(root: Path) -> dict[str, Frame]:
    """Return what ``ROOT/frames.parquet`` says of each frame, by its path below `root`; nothing where there is none.

    Raises
    ------
    UserError
        If the table cannot be read, lacks `path`, `split` or `landmarks`, or holds something else in them.
    """
    path = root / TABLE
    if not path.exists():
        return {}
    names = ["path", "split", "landmarks", *(["subject"] if "subject" in _columns(path) else [])]
    table = _read(path, names)
    subjects = table.get("subject", [""] * len(table["path"]))
    rows = zip(table["path"], subjects, table["split"], table["landmarks"], strict=True)
    return {
        name: Frame(subject or "", _split(split, name, path), _landmarks(values, name, path))
        for name, subject, split, values in rows
    }


def parameters(root: Path) -> pa.Table | None:
    """Return `path` and the columns from which a frame is rendered again; None where the table has none.

    A column `image` says how (`pydeepexpr.gallery.SOURCES`).
    """
    path = root / TABLE
    if not path.exists() or not set(_PARAMETERS) <= set(_columns(path)):
        return None
    table = pq.read_table(path, columns=["path", *_PARAMETERS], partitioning=None)
    return table.append_column("image", pa.array(["rig"] * len(table)))


def _columns(path: Path) -> list[str]:
    try:
        return pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _read(path: Path, columns: list[str]) -> dict[str, list]:
    try:
        return pq.read_table(path, columns=columns, partitioning=None).to_pydict()
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(f"cannot read path, split and landmarks from {path}: {reason}; render it again")


def _split(split: str | None, name: str, table: Path) -> str:
    if split and split not in SPLITS:
        raise UserError(f"{table}: the split {split!r} of {name} is none of {', '.join(SPLITS)}")
    return split or ""


def _landmarks(values: list[float] | None, name: str, table: Path) -> np.ndarray | None:
    if values is None:
        return None
    if len(values) != 2 * NUM_LANDMARKS:
        raise UserError(f"{table}: {len(values)} numbers are the landmarks of {name}; they should be 98")
    landmarks = np.array(values, np.float32).reshape(NUM_LANDMARKS, 2)
    return landmarks if np.isfinite(landmarks).all() else None
