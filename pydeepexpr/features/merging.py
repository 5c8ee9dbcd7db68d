"""Several feature stores made into one."""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.features.checking import verify
from pydeepexpr.features.format import write_meta
from pydeepexpr.features.store import FeatureStore
from pydeepexpr.features.writing import check_fit, empty_meta, new_folder, new_part
from pydeepexpr.files import provenance

__all__ = ["merge"]

#: What `meta.json` says of a part's bytes: written anew, where everything else of the entry is kept.
_OF_BYTES = ("model", "rows", "table", "bytes", "sha256")


def merge(stores: Sequence[FeatureStore], out: str | os.PathLike) -> FeatureStore:
    """Write the rows of several stores, one store behind the other, to a new one; their models stand side by side.

    Rows keep their order, and each its model and its picture. Arrays are streamed; one part's table is in memory at a
    time.

    Parameters
    ----------
    stores : sequence of FeatureStore
        Or choices of their rows (`FeatureStore.where`).
    out : path
        Where the new store will stand; an older store there is replaced.

    Raises
    ------
    UserError
        If no store is given, one is damaged, or pixels, layer or sizes of two differ. Nothing is left at `out` then.
    """
    if not stores:
        raise UserError("no store to merge was given")
    out, first = Path(out), stores[0]
    meta = empty_meta(first.models[0], first.weights(first.models[0]), first.meta["layer"])
    for store in stores:
        if damages := verify(store.path):  # new checksums would make what is damaged look sound
            raise UserError(f"{damages[0]}; extract the store again")
        for model in store.models:
            check_fit(first.path, meta, model, store.weights(model), store.meta["layer"])
    with new_folder(out) as folder:
        for _ in progress(_copied(stores, folder, out, meta), sum(map(len, stores)), "merge"):
            pass
        write_meta(folder, {**meta, "merged": provenance()})
    return FeatureStore.open(out)


def _copied(stores: Sequence[FeatureStore], folder: Path, out: Path, meta: dict[str, Any]) -> Iterator[int]:
    """Copy all parts, yielding once an image that is done."""
    for store in stores:
        for _, group in groupby(store.blocks(), key=lambda block: block.part["table"]):
            blocks = [*group]  # memory maps, and slices of one table
            part, model = blocks[0].part, blocks[0].model
            notes = {name: value for name, value in part.items() if name not in _OF_BYTES}
            if "lmdb" in notes:
                notes["lmdb"] = _seen_from(out, store.path, notes["lmdb"])
            with new_part(folder, meta, model, store.weights(model), **notes) as writer:
                for block in blocks:
                    writer.append(block.fc6, block.prob, block.geometry, _moved(block.rows, store.path, out))
                    yield from range(len(block.rows))


def _moved(rows: pa.Table, store: Path, out: Path) -> pa.Table:
    """Let rows whose image is a file, seen from their store, find it from the new one."""
    if "image" not in rows.column_names or "file" not in rows["image"].to_pylist():
        return rows
    pairs = zip(rows["image"].to_pylist(), rows["path"].to_pylist(), strict=True)
    paths = [_seen_from(out, store, path) if image == "file" else path for image, path in pairs]
    return rows.set_column(rows.column_names.index("path"), "path", pa.array(paths, rows["path"].type))


def _seen_from(out: Path, store: Path, path: str) -> str:
    return os.path.relpath(store.resolve() / path, out.resolve())
