"""The faces behind a store's rows, for figures: from a folder, from the store's LMDB, or rendered again."""

import os
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.images import read_image

__all__ = ["SOURCES", "Gallery", "Source"]

#: A function of a store's folder and of one of its rows (a dict of the columns) to that row's picture, uint8 BGR, or
#: to None where it is missing.
Source = Callable[[Path, dict[str, Any]], "np.ndarray | None"]

_GROUND = 236.0  # what stands behind a rendered character: light, so that dark hair shows


def _from_file(store: Path, row: dict[str, Any]) -> np.ndarray | None:
    """Read the image that `path` names, seen from the store's folder."""
    return _read(store / row["path"])


def _from_rig(store: Path, row: dict[str, Any]) -> np.ndarray:
    """Render a character's frame again from the parameters in its row."""
    from pydeepexpr.rig.shots import render_again

    rgba = np.asarray(render_again(row), dtype=np.float64)
    alpha = rgba[..., 3:] / 255.0
    return np.rint(rgba[..., 2::-1] * alpha + _GROUND * (1.0 - alpha)).astype(np.uint8)


#: What the column `image` of a store's rows may say: how the picture of a row is had.
SOURCES: dict[str, Source] = {"file": _from_file, "rig": _from_rig}


class Gallery:
    """Finds the picture of a store's row.

    Parameters
    ----------
    store : FeatureStore
    root : path, optional
        A folder of `tools/register.py`, from which the `path` column starts. When not given, a row whose column `image`
        names one of `SOURCES` is shown by it; the others come out of the LMDB that their part of the store was
        extracted from, and where that has gone, there are none.

    Raises
    ------
    UserError
        If `root` is no folder or the LMDB is damaged.
    """

    def __init__(self, store: FeatureStore, root: str | os.PathLike | None = None) -> None:
        self._store = store
        self._root = Path(root) if root is not None else None
        self._lmdbs: dict[str, LmdbSource] = {}
        if self._root is None:
            for lmdb in {part["lmdb"] for part in store.parts if "lmdb" in part}:
                path = store.path.resolve() / lmdb
                if (path / "data.mdb").is_file():
                    self._lmdbs[lmdb] = LmdbSource(path)
        elif not self._root.is_dir():
            raise UserError(f"there is no folder {self._root} of registered faces")

    def face(self, row: int) -> np.ndarray | None:
        """Return the picture of a row, (H, W, 3) uint8 BGR, 256×256 where registered; None where it is missing.

        Raises
        ------
        UserError
            If the row names an unknown source, or its image is damaged.
        """
        record = self._store.rows.slice(row, 1).to_pylist()[0]
        if self._root is not None:
            return _read(self._root / record["path"]) if record["path"] else None
        if name := record.get("image"):
            if name not in SOURCES:
                known = ", ".join(SOURCES)
                raise UserError(f"{self._store.path}: no source of images is called {name!r}; there are: {known}")
            return SOURCES[name](self._store.path, record)
        part, place = self._store.place(row)
        lmdb = self._lmdbs.get(part.get("lmdb", ""))
        return _take(lmdb, place, record["key"].encode()) if lmdb else None


def _take(lmdb: LmdbSource, place: int, key: bytes) -> np.ndarray | None:
    """Return the image of a record, which stands at `place`, or further back where a part holds some records alone."""

    def record(place: int) -> tuple[bytes, Any]:
        return next(lmdb.records(skip=place), (b"", None))

    found, datum = record(place)
    if found != key:
        found, datum = record(bisect_left(range(len(lmdb)), key, key=lambda place: record(place)[0]))
    return datum_to_image(datum, cv2.IMREAD_COLOR) if found == key else None


def _read(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        return read_image(path)
    except UserError as error:
        raise UserError(f"{path}: {error}; register its folder again") from None
