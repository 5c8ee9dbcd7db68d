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
from lmdb_builders.splits import BALANCES, SPLITS, assign_splits, block_splits, group_ids, training_order
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.faces import FACE_SIZE
from pydeepexpr.files import atomic_directory, provenance, read_names, write_json

__all__ = ["GAP", "SPLIT_RULES", "UNLABELLED_RULES", "build_lmdb", "counts_table"]

SPLIT_RULES = ("own", "stratified", "blocks", "random")

#: Frames left out between two blocks. FERG-DB's sequences hold about 1,330 frames between 15 to 20 key poses.
GAP = 75
UNLABELLED_RULES = ("error", "skip")


def build_lmdb(
    folders: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    split: str = "own",
    val: float = 0.15,
    test: float = 0.15,
    gap: int = GAP,
    balance: str = "none",
    seed: int = 0,
    encode: str = "jpg",
    quality: int = 95,
    unlabelled: str = "error",
    characters: Iterable[str] = (),
    exclude: Iterable[str | os.PathLike] = (),
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
    split : {"own", "stratified", "blocks", "random"}
        "own" keeps the split that a database names and divides the other images; "stratified" divides all. "blocks"
        divides each sequence of frames into blocks of neighbours with gaps between them (`splits.block_splits`).
        "random" divides images without regard to persons and sequences: neighbours fall on both sides, and what is
        measured then is too good.
    val, test : float
        Shares of the divided images; the rest trains. Classes are kept in proportion and no subject is divided.
    gap : int
        Frames left out between two blocks, with "blocks".
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
    characters : iterable of str
        Only the frames of these characters; all images if none is named.
    exclude : iterable of path
        Lists of images to leave out of every split, by the `source` names of the manifests (`files.read_names`): the
        queries of an evaluation, which must never be trained on.
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
    characters = list(characters)
    options = {"split": split, "val": val, "test": test, "gap": gap, "balance": balance, "seed": seed, "encode": encode}
    options |= {"quality": quality, "unlabelled": unlabelled, "characters": characters}
    _check_options(options, workers)
    folders = list(folders)
    _check_target(out, folders, force)
    faces, excluded = _without(_of_characters(read_registered(folders), characters), exclude)
    faces, skipped = _labelled(faces, unlabelled)
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
                "excluded": excluded,
                "in_gaps": len(faces.files) - len(set().union(*rows.values())),
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


def _of_characters(faces: RegisteredFaces, characters: list[str]) -> RegisteredFaces:
    """Return the faces of the characters that are named; all where none is."""
    if not characters:
        return faces
    column = faces.column("character")
    for name in characters:
        if name not in column:
            known = ", ".join(sorted(set(column) - {""})) or "none"
            raise UserError(f"there is no character {name!r} among the registered faces; there are: {known}")
    return faces.take([row for row, name in enumerate(column) if name in characters])


def _without(faces: RegisteredFaces, lists: Iterable[str | os.PathLike]) -> tuple[RegisteredFaces, dict[str, int]]:
    """Return the faces that no list names, and how many each list took away, by the list's file name."""
    sources = faces.column("source")
    keep, taken = set(range(len(sources))), {}
    for path in lists:
        names = set(read_names(path))
        found = {row for row, source in enumerate(sources) if source in names}
        if not found:
            raise UserError(f"{os.fspath(path)} excludes nothing: no image has a name such as {min(names)}")
        taken[Path(path).name] = len(found)
        keep -= found
    return (faces.take(sorted(keep)) if taken else faces), taken


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
    splits = _splits(faces, labels, options)
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    rows["train"] = rows["train"][training_order(labels[rows["train"]], options["balance"], options["seed"])]
    return {name: indices.tolist() for name, indices in rows.items()}


def _splits(faces: RegisteredFaces, labels: np.ndarray, options: dict) -> np.ndarray:
    """Return the split of each face; none for those in the gaps between blocks."""
    rule, seed = options["split"], options["seed"]
    shares = {name: options[name] for name in ("val", "test")}
    names = [faces.column(name) for name in ("database", "subject", "sequence")]
    if rule == "blocks":
        frames = np.array(faces.column("frame"), dtype=np.int64)
        if loose := sum(not name or frame < 0 for name, frame in zip(names[2], frames, strict=True)):
            raise UserError(
                f"{loose} of {len(frames)} images have no sequence or frame number; --split blocks needs both"
            )
        sequences = ["/".join(filter(None, name)) for name in zip(*names, strict=True)]
        return block_splits(sequences, frames, gap=options["gap"], seed=seed, **shares)
    own = faces.column("split") if rule == "own" else [""] * len(labels)
    if rule == "own" and any(who and not split for who, split in zip(faces.column("character"), own, strict=True)):
        raise UserError(
            "characters' frames without a split of their own must not be divided one by one, for neighbours are nearly "
            "alike; use --split blocks (or random, to compare with)"
        )
    groups = np.arange(len(labels)) if rule == "random" else group_ids(*names)
    return assign_splits(labels, groups, own, seed=seed, **shares)


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
