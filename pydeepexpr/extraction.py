"""From a model and an LMDB to a feature store, in memory that does not depend on the number of images."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.features import GEOMETRY, FeatureStore, StoreWriter, append_store, write_store
from pydeepexpr.lineage import ModelIdentity
from pydeepexpr.recogniser import Recogniser

__all__ = ["extract"]

T = TypeVar("T")


class _Image(NamedTuple):
    """One record: its key, its pixels (H, W, 3) uint8 BGR, its label."""

    key: str
    pixels: np.ndarray
    label: int


def extract(
    recogniser: Recogniser,
    lmdb: str | os.PathLike,
    store: str | os.PathLike,
    *,
    batch: int = 50,
    append: bool = False,
) -> FeatureStore:
    """Write the features of every image of an LMDB to a store.

    Rows carry the columns of the manifest that stands beside the LMDB's folder. An LMDB without one (made by Caffe's
    own tools) gives rows that know their key and label alone.

    Parameters
    ----------
    recogniser : Recogniser
    lmdb : path
        For instance `data/fer2013/val_lmdb`; the manifest is then `data/fer2013/manifest.parquet`.
    store : path
        The store's folder; an older store there is replaced, unless `append` is given.
    batch : int
        Images a forward pass.
    append : bool
        Add the images to the store, where there is one.

    Returns
    -------
    FeatureStore

    Raises
    ------
    UserError
        If the LMDB or its manifest cannot be used, or the store holds these images by this model already. The store is
        then as it was before.
    """
    if batch < 1:
        raise UserError(f"a batch must hold at least one image, not {batch}")
    lmdb, store = Path(lmdb), Path(store)
    source = LmdbSource(lmdb)
    manifest = lmdb.parent / "manifest.parquet"
    # A path relative to the store, so that the two may be moved together.
    where = os.path.relpath(lmdb.resolve(), store.resolve())
    appends = append and (store / "meta.json").is_file()
    if appends:
        _check_new(FeatureStore.open(store), recogniser.identity, where)
    with (append_store if appends else write_store)(store, recogniser.identity, recogniser.fc7, lmdb=where) as writer:
        rows = _manifest_rows(manifest, lmdb) if manifest.is_file() else None
        for chunk in _ahead(
            _chunks(progress(_images(source, recogniser.transform.crop), len(source), "features"), batch)
        ):
            _append(writer, recogniser, chunk, _bare_rows(chunk) if rows is None else _join(rows, chunk, manifest))
    return FeatureStore.open(store)


def _check_new(store: FeatureStore, model: ModelIdentity, lmdb: str) -> None:
    """Refuse to append the images of an LMDB a second time."""
    for number, part in enumerate(store.meta["parts"], 1):
        if part.get("lmdb") == lmdb and store.made_by(part).sha256 == model.sha256:
            raise UserError(
                f"{store.path} holds the features of {lmdb} by {model} already (part {number}); "
                "to make the store anew, leave --append out"
            )


def _images(source: LmdbSource, least: int) -> Iterator[_Image]:
    for key, datum in source.records():
        name = key.decode(errors="replace")
        try:
            pixels = datum_to_image(datum, cv2.IMREAD_COLOR)
        except UserError as error:
            raise UserError(f"{source.path}: record {name}: {error}") from None
        if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
            raise UserError(f"{source.path}: record {name} is no BGR image of 8 bits; build the LMDB again")
        if min(pixels.shape[:2]) < least:
            height, width = pixels.shape[:2]
            raise UserError(f"{source.path}: record {name} is {width}×{height}, smaller than the crop of {least}")
        yield _Image(name, pixels, datum.label)


def _append(writer: StoreWriter, recogniser: Recogniser, chunk: list[_Image], rows: pa.Table) -> None:
    fc6, prob = recogniser.features([image.pixels for image in chunk])
    geometry = np.full((len(chunk), GEOMETRY), np.nan, dtype=np.float32)
    if "geometry" in rows.column_names:
        for row, measures in enumerate(rows["geometry"].to_pylist()):
            if measures is not None and len(measures) == GEOMETRY:
                geometry[row] = measures
    if "face" in rows.column_names:  # landmarks of a stand-in are not to be trusted
        geometry[np.isin(rows["face"].to_numpy(), ("whole-image", "neutral-frame"))] = np.nan
    dropped = [name for name in ("landmarks", "geometry") if name in rows.column_names]
    writer.append(fc6, prob, geometry, rows.drop_columns(dropped))


def _manifest_rows(manifest: Path, lmdb: Path) -> Iterator[pa.Table]:
    """Yield the manifest's rows of the LMDB's split, in order, as tables of one row."""
    split = lmdb.name.removesuffix("_lmdb")
    try:
        file = pq.ParquetFile(manifest)
    except (OSError, pa.ArrowInvalid):
        raise UserError(f"{manifest} cannot be read; build the LMDB again") from None
    if missing := {"key", "split", "path", "source", "expression"} - set(file.schema_arrow.names):
        raise UserError(f"{manifest} lacks the columns {', '.join(sorted(missing))}; build the LMDB again")
    for batch in file.iter_batches(1024):
        table = pa.Table.from_batches([batch])
        table = table.filter(pc.equal(table["split"], split))
        for row in range(len(table)):
            yield table.slice(row, 1)


def _join(rows: Iterator[pa.Table], chunk: list[_Image], manifest: Path) -> pa.Table:
    """Take the rows of a chunk from the manifest, which is in the order of the LMDB's keys."""
    taken = list(islice(rows, len(chunk)))
    table = pa.concat_tables(taken).combine_chunks() if taken else None
    keys = table["key"].to_pylist() if table else []
    labels = table["expression"].to_pylist() if table else []
    for row, image in enumerate(chunk):
        if row >= len(keys) or keys[row] != image.key:
            raise UserError(f"{manifest} does not list {image.key} where the LMDB holds it; build both again")
        if labels[row] != image.label and image.label in range(len(EXPRESSIONS)):
            said = f"label {labels[row]}, the LMDB {image.label}"
            raise UserError(f"{manifest} gives {image.key} {said}; build both again")
    return table


def _bare_rows(chunk: list[_Image]) -> pa.Table:
    """Rows for an LMDB without a manifest: `%08d_<name>` names the source, the Datum's label the expression."""
    sources = [image.key.partition("_")[2] or image.key for image in chunk]
    labels = [image.label if image.label in range(len(EXPRESSIONS)) else UNLABELLED for image in chunk]
    return pa.table(
        {
            "path": [""] * len(chunk),
            "source": sources,
            "expression": pa.array(labels, pa.int8()),
            "key": [image.key for image in chunk],
        }
    )


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def _ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield from `items`, fetching the next one in a thread while the caller works on this one."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item
