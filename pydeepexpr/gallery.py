"""The faces behind a store's rows, for figures: out of its LMDB, or out of a folder of registered faces."""

import os
from pathlib import Path

import cv2
import numpy as np

from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.images import read_image

__all__ = ["Gallery"]


class Gallery:
    """Finds the registered face of a store's row.

    Parameters
    ----------
    store : FeatureStore
    root : path, optional
        A folder of `tools/register.py`, from which the `path` column starts. When not given, faces come out of the
        LMDB that the store was extracted from; where that has gone, there are none.

    Raises
    ------
    UserError
        If `root` is no folder or the LMDB is damaged.
    """

    def __init__(self, store: FeatureStore, root: str | os.PathLike | None = None) -> None:
        self._store = store
        self._root = Path(root) if root is not None else None
        self._lmdb = None
        if self._root is not None:
            if not self._root.is_dir():
                raise UserError(f"there is no folder {self._root} of registered faces")
        elif "lmdb" in store.meta:
            self._lmdb = _open(store.path.resolve() / store.meta["lmdb"])

    def face(self, row: int) -> np.ndarray | None:
        """Return the face of a row, (256, 256, 3) uint8 BGR, or None where it is missing."""
        record = self._store.rows.slice(row, 1).to_pylist()[0]
        if self._root is not None:
            return _read(self._root / record["path"]) if record["path"] else None
        return _take(self._lmdb, row, record["key"]) if self._lmdb else None


def _open(path: Path) -> LmdbSource | None:
    return LmdbSource(path) if (path / "data.mdb").is_file() else None


def _take(lmdb: LmdbSource, row: int, key: str) -> np.ndarray | None:
    """Return the image of one record: rows of a store stand in the order of the LMDB's keys."""
    found, datum = next(lmdb.records(skip=row), (b"", None))
    return datum_to_image(datum, cv2.IMREAD_COLOR) if found == key.encode() else None


def _read(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return read_image(path)
    except UserError as error:
        raise UserError(f"{path}: {error}; register its folder again") from None
