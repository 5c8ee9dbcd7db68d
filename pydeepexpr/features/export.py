"""A feature store for other programs: one Parquet table, or NumPy arrays."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.features.format import ARRAYS, FLOAT
from pydeepexpr.features.store import Block, FeatureStore
from pydeepexpr.files import atomic_directory, atomic_file

__all__ = ["WAYS", "export"]

_ROWS = "rows.parquet"


def export(store: FeatureStore, out: str | os.PathLike) -> None:
    """Write a store, or a choice of its rows, for other programs, as a stream.

    Parameters
    ----------
    store : FeatureStore
    out : path
        What it ends with decides what is written: one of `WAYS`.

    Raises
    ------
    UserError
        If `out` ends otherwise, or is a folder that holds something else than an earlier export.
    """
    out = Path(out)
    if out.suffix not in WAYS:
        raise UserError(f"cannot export to {out}: end it with .parquet or .npy, or name a folder, without a dot")
    WAYS[out.suffix](store, out)


def _to_parquet(store: FeatureStore, out: Path) -> None:
    """Write the columns of the rows, `model`, `model_sha256`, and `fc6`, `prob`, `geometry` as lists of float32."""
    with atomic_file(out) as partial:
        _write_table(store, partial, ARRAYS)


def _to_array(store: FeatureStore, out: Path) -> None:
    """Write FC6, (N, D) float32."""
    with atomic_file(out) as partial:
        _write_array(store.fc6, partial)


def _to_folder(store: FeatureStore, out: Path) -> None:
    """Write `fc6.npy`, `prob.npy`, `geometry.npy`, `fc7.npy` (float32), and the rows without them, `rows.parquet`."""
    arrays = {f"{name}.npy": getattr(store, name) for name in (*ARRAYS, "fc7")}
    if out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= {*arrays, _ROWS}):
        raise UserError(f"{out} exists and is no earlier export; choose another name")
    with atomic_directory(out) as folder:
        for name, array in arrays.items():
            _write_array(array, folder / name)
        _write_table(store, folder / _ROWS, ())


#: By the suffix of what is written, none for a folder: how.
WAYS: dict[str, Callable[[FeatureStore, Path], None]] = {".parquet": _to_parquet, ".npy": _to_array, "": _to_folder}


def _write_array(array: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:
        header = {"descr": FLOAT.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for row in range(0, len(array), 4096):
            file.write(array[row : row + 4096].tobytes())


def _write_table(store: FeatureStore, path: Path, arrays: tuple[str, ...]) -> None:
    schema = _schema(store, arrays)
    with pq.ParquetWriter(path, schema) as writer:

        def written() -> Iterator[int]:
            for block in store.blocks():
                # The empty table brings the columns that this part lacks.
                whole = pa.concat_tables([schema.empty_table(), _table(block, arrays)], promote_options="permissive")
                writer.write_table(whole.select(schema.names).cast(schema))
                yield from range(len(block.rows))

        for _ in progress(written(), len(store), "export"):
            pass


def _table(block: Block, arrays: tuple[str, ...]) -> pa.Table:
    table = block.rows.replace_schema_metadata()
    for name, value in (("model", block.model.name), ("model_sha256", block.model.sha256)):
        table = table.append_column(name, pa.repeat(value, len(table)))
    for name in arrays:
        array = getattr(block, name)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(array)), array.shape[1])
        table = table.append_column(name, lists)
    return table


def _schema(store: FeatureStore, arrays: tuple[str, ...]) -> pa.Schema:
    """Return the columns of all parts, and as the schema's metadata what `meta.json` says of the whole."""
    columns = pa.unify_schemas(
        [pq.read_schema(store.path / part["table"]) for part in store.parts], promote_options="permissive"
    )
    for name in ("model", "model_sha256"):
        columns = columns.append(pa.field(name, pa.string()))
    for name in arrays:
        columns = columns.append(pa.field(name, pa.list_(pa.float32(), store.meta["dims"][name])))
    lineage = {
        "layer": store.meta["layer"],
        "dims": store.meta["dims"],
        "transform": store.meta["transform"],
        "models": [model.record() for model in store.models],
        "provenance": [part["provenance"] for part in store.parts],
    }
    return columns.with_metadata({"pydeepexpr": json.dumps(lineage)})
