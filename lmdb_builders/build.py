"""Registered faces to LMDBs that Caffe trains from: splits, balance, Datum, mean."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmdb_builders.datum_lmdb import ENCODINGS, count_records, encode_face, in_order, key_of, write_lmdb, write_mean
from lmdb_builders.registered import RegisteredFaces, read_registered
from lmdb_builders.running_sum import RunningSum
from lmdb_builders.splits import (
    BALANCES,
    SPLITS,
    assign_splits,
    block_splits,
    fold_splits,
    folds_of,
    group_ids,
    training_order,
)
from pydeepexpr.caffe.crops import CROPS, RULES, crops_of, turns
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.faces import FACE_SIZE
from pydeepexpr.files import provenance, read_names, resumable_directory, sha256_of, write_json
from pydeepexpr.persons import why_persons_mix
from pydeepexpr.workers import available_cores

__all__ = ["CROP_SIZE", "FOLDS", "GAP", "SPLIT_RULES", "UNLABELLED_RULES", "build_lmdb", "counts_table"]

SPLIT_RULES = ("own", "stratified", "blocks", "random", "folds")

#: The papers' cross-validation (ACCV 2016, section 4).
FOLDS = 5

#: Side of the crops that are written into an LMDB: that of the networks' `crop_size`.
CROP_SIZE = 227

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
    folds: int = FOLDS,
    fold: int = 0,
    balance: str = "none",
    seed: int = 0,
    crops: str = "random",
    encode: str = "jpg",
    quality: int = 95,
    unlabelled: str = "error",
    characters: Iterable[str] = (),
    exclude: Iterable[str | os.PathLike] = (),
    force: bool = False,
    workers: int | None = None,
) -> dict:
    """Build `out`/{train,val,test}_lmdb, manifest.parquet, mean.binaryproto and build.json, all or nothing.

    The work grows in ``.OUT.partial`` beside `out`. If it was interrupted, the same call goes on where it stopped; if
    it was finished, it is left as it is.

    Parameters
    ----------
    folders : iterable of path
        Registered folders (docs/formats.md).
    out : path
        Folder to make; it appears under this name only when it is complete.
    split : {"own", "stratified", "blocks", "random", "folds"}
        "own" keeps the split that a database names and divides the other images; "stratified" divides all. "blocks"
        divides each sequence of frames into blocks of neighbours with gaps between them (`splits.block_splits`).
        "random" divides images without regard to persons and sequences: neighbours fall on both sides, and what is
        measured then is too good. "folds" divides all into `folds` parts as "stratified" does: the part `fold` tests,
        a share `val` of the others validates (`splits.fold_splits`).
    val, test : float
        Shares of the divided images; the rest trains. Classes are kept in proportion and no subject is divided.
    gap : int
        Frames left out between two blocks, with "blocks".
    folds, fold : int
        How many folds there are, and which of them tests, counted from 0; with "folds".
    balance : {"none", "undersample", "oversample"}
        How the training split's classes are evened out (`splits.training_order`); val and test stay as they are.
    seed : int
        The same seed and images give the same LMDBs, byte for byte.
    crops : {"random", "centre", "mirrored", "five"}
        "random" writes whole faces, of which Caffe crops at random; the others write these crops of 227×227 of each
        training face (`caffe.crops.CROPS`; "five" and their mirror images are the papers' augmentation), and the centre
        of the faces that validate and test.
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
        Replace an earlier build of other images or options in `out`.
    workers : int, optional
        Threads; as many as there are cores if not given.

    Returns
    -------
    dict
        What build.json holds.
    """
    out = Path(out)
    characters, exclude = list(characters), list(exclude)
    options = {"split": split, "val": val, "test": test, "gap": gap, "folds": folds, "fold": fold, "balance": balance}
    options |= {"seed": seed, "crops": crops, "encode": encode, "quality": quality, "unlabelled": unlabelled}
    options |= {"characters": characters}
    _check_options(options, workers)
    folders = list(folders)
    _check_target(out, folders)
    registered = read_registered(folders)
    made_of = {"options": options, "sources": registered.sources, "exclude": [sha256_of(path) for path in exclude]}
    if (done := _read_report(out)) and {name: done.get(name) for name in made_of} == made_of:
        return done
    if done and not force:
        raise UserError(f"{out} exists already; choose another place or replace it with --force")
    faces, excluded = _without(_of_characters(registered, characters), exclude)
    faces, skipped = _labelled(faces, unlabelled)
    rows, fold_of = _divided(faces, options)
    if not len(rows["train"]):
        raise UserError("no image falls to the training split; lower --val and --test or use --split stratified")
    chosen = {name: faces.take(rows[name]) for name in SPLITS}
    with resumable_directory(out, made_of) as folder:
        try:
            tables = {
                name: _write_split(
                    folder, name, chosen[name], fold_of[rows[name]], options, workers or available_cores()
                )
                for name in SPLITS
                if len(rows[name])
            }
            pq.write_table(pa.concat_tables([table for table, _ in tables.values()]), folder / "manifest.parquet")
            mean = tables["train"][1]
            write_mean(folder / "mean.binaryproto", mean)
            report = {
                "counts": {name: _counts(chosen[name]) for name in SPLITS},
                "excluded": excluded,
                "in_gaps": len(faces.files) - len(set().union(*rows.values())),
                "skipped_unlabelled": skipped,
                "why_persons_mix": _why_persons_mix(chosen),
                "mean_value": [round(float(value), 4) for value in mean.mean(axis=(0, 1))],
                "crops": crops,
                **made_of,
                "provenance": provenance(),
            }
            for name in tables:
                RunningSum(folder, name).remove()
            write_json(folder / "build.json", report)
        except Exception as error:  # it would come again: nothing is kept to go on from
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError | lmdb.Error):
                raise UserError(f"cannot write {out}: {getattr(error, 'strerror', None) or error}") from error
            raise
    return report


def counts_table(report: dict) -> str:
    """Return the images per class and split as a small text table."""
    counts = report["counts"]
    rows = [("", *SPLITS)]
    rows += [(name, *(str(counts[split][name]) for split in SPLITS)) for name in EXPRESSIONS]
    rows += [("all", *(str(sum(counts[split].values())) for split in SPLITS))]
    return "\n".join(f"{name:10}" + "".join(f"{cell:>8}" for cell in cells) for name, *cells in rows)


def _check_options(options: dict, workers: int | None) -> None:
    choices = {
        "split": SPLIT_RULES,
        "crops": RULES,
        "balance": BALANCES,
        "encode": ENCODINGS,
        "unlabelled": UNLABELLED_RULES,
    }
    for name, allowed in choices.items():
        if options[name] not in allowed:
            raise UserError(f"{name} {options[name]!r} is none of {', '.join(allowed)}")
    if not 1 <= options["quality"] <= 100:
        raise UserError(f"JPEG quality {options['quality']} is not between 1 and 100")
    if options["seed"] < 0:
        raise UserError(f"the seed {options['seed']} is negative; give 0 or more")
    if workers is not None and workers < 1:
        raise UserError(f"{workers} threads cannot work; give 1 or more")


def _check_target(out: Path, folders: Iterable[str | os.PathLike]) -> None:
    """Refuse a target that holds anything but an earlier build."""
    if not os.path.lexists(out):
        above = next(folder for folder in out.absolute().parents if folder.exists())
        if not above.is_dir():
            raise UserError(f"{above} is no folder, so {out} cannot be made in it; choose another place")
        return
    place = out.resolve()
    for source in (Path(folder).resolve() for folder in folders):
        if source == place or place in source.parents:
            raise UserError(f"{out} holds the registered faces in {source}; choose another place")
    if not (out / "build.json").is_file():
        raise UserError(f"{out} was not made by build_lmdb (it has no build.json) and is not replaced; remove it first")


def _read_report(out: Path) -> dict | None:
    """Return the report of an earlier build; None where there is none."""
    try:
        return json.loads((out / "build.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / 'build.json'} cannot be read ({error}); remove {out} first") from None


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


def _divided(faces: RegisteredFaces, options: dict) -> tuple[dict[str, list[int]], np.ndarray]:
    """Return the rows of each split in the order of their keys, and the fold of each face (-1 where there are none).

    Train is shuffled, val and test stand as they came.
    """
    labels = np.array(faces.column("expression"), dtype=np.int64)
    fold_of = np.full(len(labels), -1)
    if options["split"] == "folds":
        groups = group_ids(*(faces.column(name) for name in ("database", "subject", "sequence")))
        alike = {"seed": options["seed"], "origins": _origins(faces)}
        fold_of = folds_of(labels, groups, options["folds"], **alike)
        splits = fold_splits(labels, groups, fold_of, options["fold"], val=options["val"], **alike)
    else:
        splits = _splits(faces, labels, options)
    rows = {name: np.flatnonzero(splits == name) for name in SPLITS}
    rows["train"] = rows["train"][training_order(labels[rows["train"]], options["balance"], options["seed"])]
    return {name: indices.tolist() for name, indices in rows.items()}, fold_of


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
    return assign_splits(labels, groups, own, seed=seed, origins=_origins(faces), **shares)


def _origins(faces: RegisteredFaces) -> np.ndarray | None:
    """Number the database of each face; None where there is one alone."""
    names, origins = np.unique(faces.column("database"), return_inverse=True)
    return origins if len(names) > 1 else None


def _why_persons_mix(chosen: dict[str, RegisteredFaces]) -> str | None:
    """Return `splits.why_persons_mix` of the faces that are people's; None where none is."""
    columns = ("database", "subject", "character")
    people = [
        (base, who, name)
        for name, faces in chosen.items()
        for base, who, character in zip(*map(faces.column, columns), strict=True)
        if not character
    ]
    return why_persons_mix(*zip(*people, strict=True)) if people else None


def _write_split(
    folder: Path, name: str, faces: RegisteredFaces, fold_of: np.ndarray, options: dict, workers: int
) -> tuple[pa.Table, np.ndarray]:
    """Write one split's LMDB, or what is missing of it.

    Returns
    -------
    table : pyarrow.Table
        Its rows of the new manifest.
    mean : ndarray of float64, shape (H, W, 3)
        Its mean image, BGR.
    """
    place = folder / f"{name}_lmdb"
    rows, views = _views(len(faces.files), name, options)
    cuts = [(cut, CROP_SIZE) for cut in crops_of((FACE_SIZE, FACE_SIZE), CROP_SIZE, "five")]
    table = faces.table.take(pa.array(rows))
    paths, labels = table["path"].to_pylist(), table["expression"].to_pylist()
    keys = [key_of(index, path.removeprefix("faces/")) for index, path in enumerate(paths)]

    def encoded(index: int) -> tuple[bytes, np.ndarray]:
        crop = cuts[views[index]] if views[index] >= 0 else None
        return encode_face(faces.files[rows[index]], labels[index], options["encode"], options["quality"], crop)

    total = RunningSum(folder, name)
    done = total.take_up(count_records(place))
    if not done:
        shutil.rmtree(place, ignore_errors=True)

    def records():
        left = range(done, len(keys))
        data = progress(in_order(encoded, left, workers), len(left), f"{name}_lmdb")
        for index, (datum, pixels) in zip(left, data, strict=True):
            total.add(pixels)
            yield keys[index].encode(), datum

    if done < len(keys):
        write_lmdb(place, records(), lambda count: total.save(done + count))
    table = table.set_column(table.column_names.index("split"), "split", pa.array([name] * len(keys)))
    for column, values in (("fold", fold_of[rows]), ("crop", views)):
        table = table.append_column(column, pa.array(values, pa.int8()))
    return table.append_column("key", pa.array(keys)), total.value / len(keys)


def _views(images: int, name: str, options: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the image of each record and which crop of it the record holds, -1 for the whole of it.

    With crops, the training images come in as many passes as there are views, another view of each in every pass
    (`crops.turns`), and the others once, in their centre.
    """
    if options["crops"] == "random":
        return np.arange(images), np.full(images, -1)
    count = CROPS[options["crops"]] if name == "train" else 1
    order = turns(images, count, options["seed"])
    return np.tile(np.arange(images), count), order.T.ravel()


def _counts(faces: RegisteredFaces) -> dict[str, int]:
    """Return the number of images by the name of their expression."""
    numbers = np.bincount(np.array(faces.column("expression"), dtype=np.int64), minlength=len(EXPRESSIONS))
    return dict(zip(EXPRESSIONS, numbers.tolist(), strict=True))
