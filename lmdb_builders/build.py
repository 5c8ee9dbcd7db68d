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

from lmdb_builders.choice import UNLABELLED_RULES, labelled, of_characters, without
from lmdb_builders.datum_lmdb import ENCODINGS, count_records, encode_face, in_order, key_of, write_lmdb, write_mean
from lmdb_builders.division import FOLDS, GAP, SPLIT_RULES, divide, why_people_mix
from lmdb_builders.registered import RegisteredFaces, read_registered
from lmdb_builders.running_sum import RunningSum
from lmdb_builders.splits import BALANCES, SPLITS
from pydeepexpr.caffe.crops import CROPS, RULES, crops_of, turns
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import FACE_SIZE
from pydeepexpr.files import provenance, resumable_directory, sha256_of, write_json
from pydeepexpr.workers import available_cores

__all__ = ["CROP_SIZE", "build_lmdb", "counts_table"]

#: Side of the crops that are written into an LMDB: that of the networks' `crop_size`.
CROP_SIZE = 227


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
    hold_out: str = "",
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
    hold_out : str
        A character whose test frames alone test, while the other characters train and validate.
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
    if hold_out:  # so that the options of builds without are as they were
        options["hold_out"] = hold_out
    _check_options(options, workers)
    folders = list(folders)
    _check_target(out, folders)
    registered = read_registered(folders)
    made_of = {"options": options, "sources": registered.sources, "exclude": [sha256_of(path) for path in exclude]}
    if (done := _read_report(out)) and {name: done.get(name) for name in made_of} == made_of:
        return done
    if done and not force:
        raise UserError(f"{out} exists already; choose another place or replace it with --force")
    faces, excluded = without(of_characters(registered, characters), exclude)
    faces, skipped = labelled(faces, unlabelled)
    rows, fold_of, left_out = divide(faces, options)
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
                **left_out,
                "skipped_unlabelled": skipped,
                "why_persons_mix": why_people_mix(chosen),
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
