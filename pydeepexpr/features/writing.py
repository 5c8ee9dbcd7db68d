"""Making a feature store and appending to it, as a stream."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pydeepexpr.errors import UserError
from pydeepexpr.features.format import (
    ARRAYS,
    FC7_FILE,
    FLOAT,
    GEOMETRY,
    NEEDED_COLUMNS,
    VERSION,
    array_file,
    raw_sizes,
    read_meta,
    sync,
    table_file,
    write_meta,
)
from pydeepexpr.features.store import FeatureStore
from pydeepexpr.files import atomic_directory, provenance, sha256_of
from pydeepexpr.lineage import ModelIdentity, same_pixels

__all__ = ["StoreWriter", "append_store", "check_fit", "empty_meta", "new_folder", "new_part", "write_store"]

_ROW_GROUP = 4096  # rows held back for one row group of a table
_LOCK = "lock"


class StoreWriter:
    """Writes the images of one part of a store; made by `write_store` and `append_store`."""

    def __init__(self, folder: Path, meta: dict[str, Any], table: str) -> None:
        self.rows = 0
        self._dims = meta["dims"]
        self._table = folder / table
        sizes = raw_sizes(meta)
        self._files = {name: _grow(folder / array_file(name), sizes[array_file(name)]) for name in ARRAYS}
        self._digests = {name: hashlib.sha256() for name in ARRAYS}
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
            n rows of the manifest's columns, at least `path`, `source`, `expression` and `key`. A column `predicted` is
            replaced.
        """
        arrays = {
            name: np.asarray(array, dtype=FLOAT) for name, array in zip(ARRAYS, (fc6, prob, geometry), strict=True)
        }
        for name, array in arrays.items():
            if array.shape != (len(rows), self._dims[name]):
                raise UserError(f"{name}: cannot append shape {array.shape} for {len(rows)} images")
        if not (np.isfinite(arrays["fc6"]).all() and np.isfinite(arrays["prob"]).all()):
            raise UserError("the network returned NaN or infinite features: its training diverged; use another model")
        if "predicted" in rows.column_names:
            rows = rows.drop_columns("predicted")
        rows = rows.append_column("predicted", pa.array(np.argmax(arrays["prob"], axis=1).astype(np.int8)))
        if missing := set(NEEDED_COLUMNS) - set(rows.column_names):
            raise UserError(f"rows of a feature store need the columns {', '.join(sorted(missing))}")
        for name, array in arrays.items():
            content = array.tobytes()
            self._files[name].write(content)
            self._digests[name].update(content)
        self._waiting.append(rows)
        self.rows += len(rows)
        if sum(map(len, self._waiting)) >= _ROW_GROUP:
            self._write_rows()

    def finish(self) -> dict[str, Any]:
        """See that all is on the disk; return what `meta.json` says of the part's rows and bytes."""
        self._write_rows()
        if self._parquet:
            self._parquet.close()
            sync(self._table)
        for file in self._files.values():
            _close_synced(file)
        checksums = {name: digest.hexdigest() for name, digest in self._digests.items()}
        return {
            "rows": self.rows,
            "table": self._table.name,
            "bytes": self._table.stat().st_size,
            "sha256": {**checksums, "table": sha256_of(self._table)},
        }

    def close(self) -> None:
        """Close the files, whatever they hold."""
        if self._parquet:
            self._parquet.close()
        for file in self._files.values():
            file.close()

    def _write_rows(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting)
        self._waiting.clear()
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._table, table.schema)
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
        Further entries of the part in `meta.json`, such as `lmdb`, where its images are, seen from the store.

    Examples
    --------
    >>> with write_store("stores/mery", model, fc7) as store:  # doctest: +SKIP
    ...     for fc6, prob, geometry, rows in batches:
    ...         store.append(fc6, prob, geometry, rows)
    """
    with new_folder(path) as folder:
        meta = empty_meta(model, fc7, layer)
        with new_part(folder, meta, model, fc7, **notes) as writer:
            yield writer
            if not writer.rows:
                raise UserError(f"{path}: there was no image to extract features from")
        write_meta(folder, meta)


@contextlib.contextmanager
def append_store(
    path: str | os.PathLike, model: ModelIdentity, fc7: np.ndarray, *, layer: str = "fc6", **notes: Any
) -> Iterator[StoreWriter]:
    """Yield a writer that appends to a store; what it wrote counts when the block ends well, else nothing of it does.

    Who reads the store meanwhile finds it as before or with all the new images. What a writer that was killed has left
    is overwritten by the next.

    Parameters
    ----------
    path : path
    model : ModelIdentity
        The model that makes the features: one of the store's, or another that stands beside it from now on.
    fc7, layer, **notes
        As for `write_store`.

    Raises
    ------
    UserError
        If there is no whole store at `path`, another process is writing to it, or the model prepares pixels otherwise
        or gives features of another layer or size than the store holds.
    """
    path = Path(path)
    read_meta(path)  # nothing is locked, and so nothing left, where there is no store
    with _alone(path):
        meta = FeatureStore.open(path).meta
        check_fit(path, meta, model, fc7, layer)
        with new_part(path, meta, model, fc7, **notes) as writer:
            yield writer
            if not writer.rows:
                raise UserError(f"{path}: there was no image to append")
        write_meta(path, meta)


def empty_meta(model: ModelIdentity, fc7: np.ndarray, layer: str) -> dict[str, Any]:
    """Return the `meta.json` of a store without images for features like those of a model."""
    classes, width = np.shape(fc7)
    dims = {"fc6": width, "prob": classes, "geometry": GEOMETRY}
    meta = {"version": VERSION, "rows": 0, "layer": layer, "dims": dims, "transform": model.transform}
    return {**meta, "models": [], "parts": []}


def check_fit(path: Path, meta: dict[str, Any], model: ModelIdentity, fc7: np.ndarray, layer: str) -> None:
    """Refuse a model whose features cannot stand in a store beside those that it holds.

    Parameters
    ----------
    path : Path
        Of the store, for messages.
    meta : dict
        Its `meta.json`.
    """
    dims = meta["dims"]
    if not same_pixels(meta["transform"], model.transform):
        raise UserError(
            f"{path} was made from pixels prepared as {meta['transform']}, {model} prepares them as "
            f"{model.transform}; make a store of its own for it"
        )
    if (meta["layer"], dims["prob"], dims["fc6"]) != (layer, *np.shape(fc7)):
        classes, width = np.shape(fc7)
        raise UserError(
            f"{path} holds {meta['layer']} of {dims['fc6']} numbers and {dims['prob']} classes, {model} gives "
            f"{layer} of {width} and {classes}; make a store of its own for it"
        )


@contextlib.contextmanager
def new_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a folder that stands at `path` as a new store when the block ends well.

    Raises
    ------
    UserError
        If something else than a store stands there, or another process is writing to the store.
    """
    path = Path(path)
    old = (path / "meta.json").is_file()
    if path.exists() and not old and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} exists and is no feature store; choose another name")
    with _alone(path) if old else contextlib.nullcontext(), atomic_directory(path) as folder:
        yield folder


@contextlib.contextmanager
def new_part(
    folder: Path, meta: dict[str, Any], model: ModelIdentity, fc7: np.ndarray, **notes: Any
) -> Iterator[StoreWriter]:
    """Yield a writer of a further part of a store; `meta` counts it when the block ends well.

    The caller writes `meta` then, and until it does, nothing has changed for readers.
    """
    number = _model_number(folder, meta, model, fc7)
    writer = StoreWriter(folder, meta, table_file(len(meta["parts"])))
    try:
        yield writer
        part = {"model": number, **writer.finish(), **notes}
    finally:
        writer.close()
    meta["parts"].append({**part, "provenance": notes.get("provenance") or provenance()})
    meta["rows"] += part["rows"]


def _model_number(folder: Path, meta: dict[str, Any], model: ModelIdentity, fc7: np.ndarray) -> int:
    """Return the number of a model in a store; a new one's weights are written behind those that are there."""
    for number, known in enumerate(meta["models"]):
        if known["sha256"] == model.sha256:
            if known["fc7"] != _digest(fc7):
                raise UserError(f"the FC7 weights of {model} differ from those stored before; one of them is damaged")
            return number
    file = _grow(folder / FC7_FILE, raw_sizes(meta)[FC7_FILE])
    file.write(np.asarray(fc7, dtype=FLOAT).tobytes())
    _close_synced(file)
    meta["models"].append({**model.record(), "fc7": _digest(fc7)})
    return len(meta["models"]) - 1


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.asarray(array, dtype=FLOAT).tobytes()).hexdigest()


def _grow(file: Path, size: int) -> BinaryIO:
    """Open a file to write behind its first `size` bytes; what a writer that was interrupted left there goes."""
    opened = file.open("ab")
    opened.truncate(size)
    return opened


def _close_synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other writers of a store away, in this process and in others."""
    try:
        held = FileLock(path / _LOCK).acquire(timeout=0)
    except Timeout:
        raise UserError(f"another process is writing to {path}; wait for it, or stop it") from None
    with held:
        yield
