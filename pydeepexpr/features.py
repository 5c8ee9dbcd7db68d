"""The feature store: what a network says about many images, written as a stream and opened in milliseconds.

`docs/formats.md` describes the folder. Nothing in it is pickled.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_directory, provenance, write_json
from pydeepexpr.lineage import ModelIdentity

__all__ = ["FeatureStore", "StoreWriter", "write_store"]

VERSION = 1
GEOMETRY = 9
_ARRAYS = ("fc6", "prob", "geometry")
_FLOAT = np.dtype("<f4")
_ROW_GROUP = 4096  # rows held back for one row group of rows.parquet
_NEEDED_COLUMNS = ("path", "source", "expression", "key", "predicted")


@dataclasses.dataclass(frozen=True)
class FeatureStore:
    """An opened store; its arrays are memory maps, so that opening costs nothing whatever its size.

    Attributes
    ----------
    path : Path
    meta : dict
        The contents of `meta.json`.
    fc6 : (N, D) float32 array
        Features, ≥ 0. D is 512 in the papers' network.
    prob : (N, C) float32 array
        Class probabilities.
    geometry : (N, 9) float32 array
        Geometric measures, NaN where unknown.
    fc7 : (C, D) float32 array
        FC7 weights of the model.
    """

    path: Path
    meta: dict[str, Any]
    fc6: np.ndarray
    prob: np.ndarray
    geometry: np.ndarray
    fc7: np.ndarray

    @classmethod
    def open(cls, path: str | os.PathLike) -> "FeatureStore":
        """Open a store and check that it is whole.

        Raises
        ------
        UserError
            If there is no store at `path`, or a file of it is missing, too short or of another shape.
        """
        path = Path(path)
        meta = _read_meta(path)
        rows, dims = meta["rows"], meta["dims"]
        fc7 = _read_fc7(path / "fc7.npy", (dims["prob"], dims["fc6"]))
        _check_table(path / "rows.parquet", rows)
        fc6, prob, geometry = (_map(path / f"{name}.f32", rows, dims[name]) for name in _ARRAYS)
        return cls(path, meta, fc6, prob, geometry, fc7)

    def __len__(self) -> int:
        return self.meta["rows"]

    @property
    def model(self) -> ModelIdentity:
        """The model that made the features."""
        model = self.meta["model"]
        return ModelIdentity(model["name"], model["sha256"], tuple(model["ancestry"]), self.meta["transform"])

    @cached_property
    def rows(self) -> pa.Table:
        """One row an image: the manifest's columns and `predicted`."""
        return pq.read_table(self.path / "rows.parquet").slice(0, len(self))

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted labels, (N,) int8 in 0…C−1."""
        return self.rows["predicted"].to_numpy().astype(np.int8)

    @cached_property
    def labels(self) -> np.ndarray:
        """True labels, (N,) int8, −1 where unknown. For scores and captions; never for a ranking."""
        return self.rows["expression"].to_numpy().astype(np.int8)


class StoreWriter:
    """Appends to a store under construction; made by `write_store`."""

    def __init__(self, folder: Path, dims: dict[str, int]) -> None:
        self.rows = 0
        self._folder = folder
        self._dims = dims
        self._files: dict[str, BinaryIO] = {name: (folder / f"{name}.f32").open("wb") for name in _ARRAYS}
        self._parquet: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def append(self, fc6: np.ndarray, prob: np.ndarray, geometry: np.ndarray, rows: pa.Table) -> None:
        """Append n images.

        Parameters
        ----------
        fc6 : (n, D) array
        prob : (n, C) array
        geometry : (n, 9) array
            NaN where unknown.
        rows : pyarrow.Table
            n rows of the manifest's columns, at least `path`, `source`, `expression` and `key`.
        """
        arrays = dict(zip(_ARRAYS, (fc6, prob, geometry), strict=True))
        for name, array in arrays.items():
            if np.shape(array) != (len(rows), self._dims[name]):
                raise UserError(f"{name}: cannot append shape {np.shape(array)} for {len(rows)} images")
        if not (np.isfinite(fc6).all() and np.isfinite(prob).all()):
            raise UserError("the network returned NaN or infinite features: its training diverged; use another model")
        for name, array in arrays.items():
            self._files[name].write(np.ascontiguousarray(array, dtype=_FLOAT).tobytes())
        predicted = pa.array(np.argmax(prob, axis=1).astype(np.int8))
        self._waiting.append(rows.append_column("predicted", predicted))
        self.rows += len(rows)
        if sum(map(len, self._waiting)) >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is held back and close the files."""
        self._flush()
        if self._parquet:
            self._parquet.close()
        for file in self._files.values():
            file.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting.clear()
        if missing := set(_NEEDED_COLUMNS) - set(table.column_names):
            raise UserError(f"rows of a feature store need the columns {', '.join(sorted(missing))}")
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._folder / "rows.parquet", table.schema)
        self._parquet.write_table(table)


@contextlib.contextmanager
def write_store(
    path: str | os.PathLike, model: ModelIdentity, fc7: np.ndarray, *, layer: str = "fc6", **notes: Any
) -> Iterator[StoreWriter]:
    """Yield a writer of a new store; the store appears at `path` when the block ends well, else nothing does.

    Memory does not grow with the number of images.

    Parameters
    ----------
    path : path
        Where the store will stand. An older store there is replaced; any other folder is refused.
    model : ModelIdentity
        The model that makes the features.
    fc7 : (C, D) array
        Its FC7 weights.
    layer : str
        The blob that the features are taken from.
    **notes
        Further entries of `meta.json`, for instance `images`, the folder that the `path` column starts from.

    Examples
    --------
    >>> with write_store("stores/mery", model, fc7) as store:  # doctest: +SKIP
    ...     for fc6, prob, geometry, rows in batches:
    ...         store.append(fc6, prob, geometry, rows)
    """
    path = Path(path)
    if path.exists() and not (path / "meta.json").is_file() and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists and is no feature store; choose another name")
    fc7 = np.asarray(fc7, dtype=_FLOAT)
    dims = {"fc6": fc7.shape[1], "prob": fc7.shape[0], "geometry": GEOMETRY}
    with atomic_directory(path) as folder:
        writer = StoreWriter(folder, dims)
        try:
            yield writer
        finally:
            writer.close()
        if writer.rows == 0:
            raise UserError(f"{path}: there was no image to extract features from")
        np.save(folder / "fc7.npy", fc7, allow_pickle=False)
        meta = {
            "version": VERSION,
            "rows": writer.rows,
            "layer": layer,
            "dims": dims,
            "model": {"name": model.name, "sha256": model.sha256, "ancestry": list(model.ancestry)},
            "transform": model.transform,
            **notes,
            "provenance": provenance(),
        }
        write_json(folder / "meta.json", meta)


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads((path / "meta.json").read_text(encoding="utf-8"))
        if meta["version"] != VERSION:
            raise UserError(f"{path} is a feature store of version {meta['version']}, not {VERSION}; extract it again")
        numbers = [meta["rows"], *(meta["dims"][name] for name in _ARRAYS)]
        names = [meta["model"]["name"], meta["model"]["sha256"], *meta["model"]["ancestry"]]
        whole = all(type(n) is int and n > 0 for n in numbers) and all(isinstance(n, str) for n in names)
        if not (whole and isinstance(meta["transform"], dict)):
            raise ValueError
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is no feature store (no meta.json); make one with tools/extract_features.py") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path / 'meta.json'} cannot be read or is incomplete; extract the store again") from None
    return meta


def _map(path: Path, rows: int, width: int) -> np.ndarray:
    needed = rows * width * _FLOAT.itemsize
    size = path.stat().st_size if path.is_file() else 0
    if size < needed:
        raise UserError(f"{path} is truncated: {size} bytes where {rows} rows need {needed}; extract the store again")
    return np.memmap(path, dtype=_FLOAT, mode="r", shape=(rows, width))


def _read_fc7(path: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        fc7 = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise UserError(f"{path} is missing or cannot be read; extract the store again") from None
    if fc7.shape != shape:
        raise UserError(f"{path} is of shape {fc7.shape}, but meta.json says {shape}; extract the store again")
    return fc7


def _check_table(path: Path, rows: int) -> None:
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{path} is missing or truncated; extract the store again") from None
    if metadata.num_rows < rows:
        raise UserError(f"{path} holds {metadata.num_rows} rows, but meta.json says {rows}; extract the store again")
    if missing := set(_NEEDED_COLUMNS) - set(metadata.schema.to_arrow_schema().names):
        raise UserError(f"{path} lacks the columns {', '.join(sorted(missing))}; extract the store again")
