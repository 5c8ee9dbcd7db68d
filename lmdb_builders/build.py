"""Registered faces to LMDBs that Caffe trains from: splits, balance, Datum, mean."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmdb_builders.datum_lmdb import ENCODINGS, encode_face, in_order, key_of, write_lmdb, write_mean
from lmdb_builders.registered import RegisteredFaces, read_registered
from lmdb_builders.splits import BALANCES, SPLITS, assign_splits, group_ids, training_order
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.faces import FACE_SIZE
from pydeepexpr.files import atomic_directory, provenance, write_json

__all__ = ["SPLIT_RULES", "UNLABELLED_RULES", "build_lmdb", "counts_table"]

SPLIT_RULES = ("own", "stratified")
UNLABELLED_RULES = ("error", "skip")


def build_lmdb(
    folders: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    split: str = "own",
    val: float = 0.15,
    test: float = 0.15,
    balance: str = "none",
    seed: int = 0,
    encode: str = "jpg",
    quality: int = 95,
    unlabelled: str = "error",
    force: bool = False,
    workers: int | None = None,
) -> dict:
    """Build `out`/{train,val,test}_lmdb, manifest.parquet, mean.binaryproto and build.json, all or nothing.

    Parameters
    ----------
    folders : iterable of path
        Registered folders (docs/formats.md).
    out : path
        Folder to make; it appears under this name only when it is complete.
    split : {"own", "stratified"}
        "own" keeps the split that a database names and divides the other images; "stratified" divides all.
    val, test : float
        Shares of the divided images; the rest trains. Classes are kept in proportion and no subject is divided.
    balance : {"none", "undersample", "oversample"}
        How the training split's classes are evened out (`splits.training_order`); val and test stay as they are.
    seed : int
        The same seed and images give the same LMDBs, byte for byte.
    encode : {"jpg", "png", "raw"}
        How Datum holds the pixels.
    quality : int
        JPEG quality, 1 to 100.
    unlabelled : {"error", "skip"}
        What to do about images without a label: Caffe cannot train on them.
    force : bool
        Replace an earlier build in `out`.
    workers : int, optional
        Threads; as many as there are cores if not given.

    Returns
    -------
    dict
        What build.json holds.
    """
    out = Path(out)
    options = {"split": split, "val": val, "test": test, "balance": balance, "seed": seed, "encode": encode}
    options |= {"quality": quality, "unlabelled": unlabelled}
    _check_options(options, workers)
    folders = list(folders)
    _check_target(out, folders, force)
    faces, skipped = _labelled(read_registered(folders), unlabelled)
    rows = _rows_by_split(faces, options)
    if not len(rows["train"]):
        raise UserError("no image falls to the training split; lower --val and --test or use --split stratified")

    write = partial(_write_split, encode=encode, quality=quality, workers=workers or os.cpu_count() or 1)
    try:
        with atomic_directory(out) as folder:
            chosen = {name: faces.take(rows[name]) for name in SPLITS}
            tables = {name: write(folder, name, chosen[name]) for name in SPLITS if len(rows[name])}
            pq.write_table(pa.concat_tables([table for table, _ in tables.values()]), folder / "manifest.parquet")
            mean = tables["train"][1]
            write_mean(folder / "mean.binaryproto", mean)
            report = {
                "counts": {name: _counts(chosen[name]) for name in SPLITS},
                "skipped_unlabelled": skipped,
                "mean_value": [round(float(value), 4) for value in mean.mean(axis=(0, 1))],
                "options": options,
                "sources": faces.sources,
                "provenance": provenance(),
            }
            write_json(folder / "build.json", report)
    except (OSError, lmdb.Error) as error:
        raise UserError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}") from error
    return report


def counts_table(report: dict) -> str:
    """Return the images per class and split as a small text table."""
    counts = report["counts"]
    rows = [("", *SPLITS)]
    rows += [(name, *(str(counts[split][name]) for split in SPLITS)) for name in EXPRESSIONS]
    rows += [("all", *(str(sum(counts[split].values())) for split in SPLITS))]
    return "\n".join(f"{name:10}" + "".join(f"{cell:>8}" for cell in cells) for name, *cells in rows)


def _check_options(options: dict, workers: int | None) -> None:
    choices = {"split": SPLIT_RULES, "balance": BALANCES, "encode": ENCODINGS, "unlabelled": UNLABELLED_RULES}
    for name, allowed in choices.items():
        if options[name] not in allowed:
            raise UserError(f"{name} {options[name]!r} is none of {', '.join(allowed)}")
    if not 1 <= options["quality"] <= 100:
        raise UserError(f"JPEG quality {options['quality']} is not between 1 and 100")
    if options["seed"] < 0:
        raise UserError(f"the seed {options['seed']} is negative; give 0 or more")
    if workers is not None and workers < 1:
        raise UserError(f"{workers} threads cannot work; give 1 or more")


def _check_target(out: Path, folders: Iterable[str | os.PathLike], force: bool) -> None:
    """Refuse a target that holds something; `force` gives up an earlier build, but never anything else."""
    if not os.path.lexists(out):
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{above} is no folder, so {out} cannot be made in it; choose another place")
        return
    place = out.resolve()
    for source in (Path(folder).resolve() for folder in folders):
        if source == place or place in source.parents:
            raise UserError(f"{out} holds the registered faces in {source}; choose another place")
    if not force:
        raise UserError(f"{out} exists already; choose another place or replace it with --force")
    if not (out / "build.json").is_file():
        raise UserError(f"{out} was not made by build_lmdb (it has no build.json) and is not replaced; remove it first")


def _labelled(faces: RegisteredFaces, unlabelled: str) -> tuple[RegisteredFaces, int]:
    """Return the faces that have a label, and how many have none."""
    labels = np.array(faces.column("expression"), dtype=np.int64)
    keep = np.flatnonzero(labels != UNLABELLED)
    without = len(labels) - len(keep)
    if without and unlabelled == "error":
        raise UserError(f"{without} of {len(labels)} images have no label; leave them out with --unlabelled skip")
    return (faces.take(keep.tolist()) if without else faces), without


def _rows_by_split(faces: RegisteredFaces, options: dict) -> dict[str, list[int]]:
    """Return the rows of each split in the order of their keys: train shuffled, val and test as they came."""
    labels = np.array(faces.column("expression"), dtype=np.int64)
    groups = group_ids(faces.column("database"), faces.column("subject"), faces.column("sequence"))
    own = faces.column("split") if options["split"] == "own" else [""] * len(labels)
    shares = {name: options[name] for name in ("val", "test")}
    splits = assign_splits(labels, groups, own, seed=options["seed"], **shares)
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    rows["train"] = rows["train"][training_order(labels[rows["train"]], options["balance"], options["seed"])]
    return {name: indices.tolist() for name, indices in rows.items()}


def _write_split(
    folder: Path, name: str, faces: RegisteredFaces, *, encode: str, quality: int, workers: int
) -> tuple[pa.Table, np.ndarray]:
    """Write one split's LMDB; return its rows of the new manifest and its mean image (H × W × BGR, float64)."""
    labels = faces.column("expression")
    keys = [key_of(index, path.removeprefix("faces/")) for index, path in enumerate(faces.column("path"))]
    total = np.zeros((FACE_SIZE, FACE_SIZE, 3))
    data = in_order(lambda row: encode_face(faces.files[row], labels[row], encode, quality), range(len(keys)), workers)

    def records():
        for key, (datum, pixels) in zip(keys, progress(data, len(keys), f"{name}_lmdb"), strict=True):
            cv2.accumulate(pixels, total)
            yield key.encode(), datum

    write_lmdb(folder / f"{name}_lmdb", records())
    table = faces.table
    table = table.set_column(table.column_names.index("split"), "split", pa.array([name] * len(keys)))
    return table.append_column("key", pa.array(keys)), total / len(keys)


def _counts(faces: RegisteredFaces) -> dict[str, int]:
    """Return the number of images by the name of their expression."""
    numbers = np.bincount(np.array(faces.column("expression"), dtype=np.int64), minlength=len(EXPRESSIONS))
    return dict(zip(EXPRESSIONS, numbers.tolist(), strict=True))
