"""A database of photographs to a folder of registered faces and their manifest, in parallel."""

import csv
import functools
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmdb_builders import READERS
from lmdb_builders.find_face import find_face
from lmdb_builders.journal import Journal
from lmdb_builders.quality import FLAGS
from lmdb_builders.records import Record, Reject
from pydeepexpr import faces
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.files import provenance, resumable_directory, sha256_of, write_json
from pydeepexpr.workers import available_cores, run_all

__all__ = ["FOUND", "MANIFEST", "REJECTS", "register"]

#: How a face was found (the manifest's column `face`; the last two are stand-ins), and how a summary puts it.
FOUND = {
    "detected": "detected",
    "rendered": "rendered with landmarks",
    "neutral-frame": "by neutral frames",
    "whole-image": "whole images",
}

#: The columns of the manifest (docs/formats.md).
MANIFEST = pa.schema(
    [
        ("path", pa.string()),
        ("source", pa.string()),
        ("database", pa.string()),
        ("expression", pa.int8()),
        ("subject", pa.string()),
        ("sequence", pa.string()),
        ("frame", pa.int32()),
        ("split", pa.string()),
        ("character", pa.string()),
        ("face", pa.string()),
        ("score", pa.float32()),
        ("box", pa.list_(pa.float32())),
        ("landmarks", pa.list_(pa.float32())),
        ("geometry", pa.list_(pa.float32())),
        ("transform", pa.list_(pa.float32())),
        ("fit_error", pa.float32()),
        ("quality", pa.list_(pa.string())),
    ]
)

#: The filter and level that take the least time; the files are two thirds of those of OpenCV's own choice.
_PNG = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP, cv2.IMWRITE_PNG_COMPRESSION, 1)

#: The columns of rejects.csv.
REJECTS = ("path", "reason", "expression", "subject")


def register(
    database: str,
    root: str | os.PathLike,
    out: str | os.PathLike,
    *,
    cropped: bool | None = None,
    alignment: str | None = None,
    options: Mapping[str, str] | None = None,
    workers: int | None = None,
    limit: int | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Register every face of a database; write `out` as docs/formats.md describes.

    The work grows in ``.OUT.partial`` beside `out` and takes the place of `out` when it is complete. If it was
    interrupted, the same call goes on where it stopped; if it was finished, with the same images, it is left as it is.

    Parameters
    ----------
    database : str
        A name in `lmdb_builders.READERS`.
    root : path
        Where the database lies.
    out : path
        The folder to make. The result of another call is replaced; a folder that holds something else is refused.
    cropped : bool, optional
        Every image shows one face that fills it, so the whole image stands in for a face not found. By default what
        the reader says.
    alignment : {"affine", "similarity", "none"}, optional
        How faces are brought onto the mean face (`faces.ALIGNMENTS`). By default what the reader says.
    options : dict of str to str, optional
        What the reader leaves to its user (`Reader.options`), as text.
    workers : int, optional
        Processes; by default as many as this process may use cores.
    limit : int, optional
        Only the first so many images.
    force : bool
        Do again what was finished.

    Returns
    -------
    dict
        What ``register.json`` holds.

    Raises
    ------
    UserError
        If the database is not known or not at `root`, `out` cannot be used, or no image shows a face.
    """
    root, out = Path(root), Path(out)
    if database not in READERS:
        raise UserError(f"there is no reader {database!r}; known are {', '.join(READERS)}")
    for what, number in (("limit", limit), ("number of workers", workers)):
        if number is not None and number < 1:
            raise UserError(f"the {what} must be at least 1, got {number}")
    if alignment not in (None, *faces.ALIGNMENTS):
        raise UserError(f"the alignment {alignment!r} is none of {', '.join(faces.ALIGNMENTS)}")
    reader = READERS[database]
    if not root.exists():
        raise UserError(f"there is no {database} at {root} ({reader.about}); licence: {reader.licence}")
    _check_out(root, out)
    settings = reader.settings(options or {})

    def items() -> Iterator[Record | Reject]:
        return itertools.islice(reader.read(root, **settings), limit)

    run = {
        "database": database,
        "root": str(root.resolve()),
        "options": settings,
        "cropped": reader.cropped if cropped is None else cropped,
        "alignment": alignment or reader.alignment,
        "limit": limit,
        **_inventory(items()),
        "mean_face_sha256": sha256_of(faces.MEAN_FACE_FILE),
        "landmark_model_sha256": sha256_of(faces.landmark_model_path()),
    }
    if not force and (done := _finished(out, run)):
        return done
    with resumable_directory(out, run) as partial, Journal(partial) as journal:
        order: list[str] = []

        def tasks() -> Iterator[_Task]:
            for item, output in _with_outputs(items()):
                order.append(item.name)
                if item.name not in journal.results:
                    yield _Task(item, output, partial, run["cropped"], run["alignment"])

        left = run["images"] - len(journal.results)
        for result in progress(run_all(tasks(), workers or available_cores()), left, f"register {database}"):
            journal.add(result)
        about = {
            "expected": reader.expected,
            "differences": reader.differences(root, **settings) if reader.differences else [],
        }
        columns = reader.columns(root, **settings) if reader.columns else None
        summary = _finish(partial, [journal.results[name] for name in order], {**run, **about}, columns)
        journal.path.unlink()
    return summary


def _inventory(items: Iterable[Record | Reject]) -> dict[str, Any]:
    """Count the images and hash all that is said of them, and the sizes of their files."""
    digest, count = hashlib.sha256(), 0
    size_of = functools.lru_cache(maxsize=16)(_size)  # many records may lie in one video
    for item in items:
        count += 1
        said = [item.name, item.expression, item.subject]
        if isinstance(item, Record):
            place = getattr(item.image, "path", item.image)
            said += [item.sequence, item.frame, item.split, size_of(place) if isinstance(place, Path) else None]
        digest.update(json.dumps(said).encode())
    return {"images": count, "images_sha256": digest.hexdigest()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _finished(out: Path, run: dict[str, Any]) -> dict[str, Any] | None:
    """Return the summary in `out` if it is of this very run."""
    try:
        summary = json.loads((out / "register.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return (
        summary if {name: summary.get(name) for name in run} == run and (out / "manifest.parquet").is_file() else None
    )


def _check_out(root: Path, out: Path) -> None:
    if out.resolve() == root.resolve():
        raise UserError(f"the faces would be written into the database itself: {out}")
    if out.exists() and not (out / "register.json").is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists and holds no registered faces; remove it or name another folder")


@dataclass(frozen=True)
class _Task:
    """One image to register, as a worker gets it."""

    item: Record | Reject
    output: str
    folder: Path
    cropped: bool
    alignment: str

    def __call__(self) -> dict[str, Any]:
        """Return the image's row of the manifest, or its name and the reason why it has none."""
        record = self.item
        if isinstance(record, Reject):
            return self._rejected(record.reason)
        try:
            found = find_face(record, cropped=self.cropped, alignment=self.alignment)
        except (RuntimeError, MemoryError, cv2.error) as error:  # whatever one image does, the others go on
            return self._rejected(" ".join(str(error).split()) or "too large for the memory")
        if not found:
            return self._rejected("no face was found")
        face = found.face
        target = self.folder / self.output
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_png(face.registered))
        return {
            "path": self.output,
            "source": record.name,
            "database": record.database,
            "expression": record.expression,
            "subject": record.subject,
            "sequence": record.sequence,
            "frame": record.frame,
            "split": record.split,
            "character": record.character,
            "face": found.how,
            "score": face.score,
            "box": face.box.tolist(),
            "landmarks": face.landmarks.ravel().tolist(),
            "geometry": face.geometry.tolist(),
            "transform": face.matrix.ravel().tolist(),
            "fit_error": face.error,
            "quality": found.quality,
        }

    def _rejected(self, reason: str) -> dict[str, Any]:
        item = self.item
        return {"source": item.name, "reason": reason, "expression": item.expression, "subject": item.subject}


def _png(image: np.ndarray) -> bytes:
    """Return a BGR image as PNG, in one channel if it is grey."""
    blue, green, red = cv2.split(image)
    grey = np.array_equal(blue, green) and np.array_equal(green, red)
    return cv2.imencode(".png", blue if grey else image, _PNG)[1].tobytes()


def _with_outputs(items: Iterable[Record | Reject]) -> Iterator[tuple[Record | Reject, str]]:
    """Yield each item with the path of its registered image; ``a.jpg`` and ``a.bmp`` become a.png and a.bmp.png."""
    taken = set()
    for item in items:
        name = PurePosixPath("faces", item.name)
        output = str(name.with_suffix(".png"))
        while output.lower() in taken:  # lower: some file systems do not tell A.png from a.png
            name = PurePosixPath(f"{name}.png")
            output = str(name)
        taken.add(output.lower())
        yield item, output


def _name(label: int) -> str:
    """Return an expression's name; empty for none."""
    return EXPRESSIONS[label] if label != UNLABELLED else ""


def _finish(
    folder: Path, results: list[dict[str, Any]], run: dict[str, Any], columns: pa.Table | None
) -> dict[str, Any]:
    """Write the manifest, the rejects and the summary; return the summary."""
    rows = [r for r in results if "reason" not in r]
    rejects = [(r["source"], r["reason"], _name(r["expression"]), r["subject"]) for r in results if "reason" in r]
    reasons = Counter(reason for _, reason, *_ in rejects).most_common()
    if not rows:
        reason, count = reasons[0]
        raise UserError(f"none of the {len(rejects)} images in {run['root']} could be registered; {count}: {reason}")
    with open(folder / "rejects.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([REJECTS, *rejects])
    manifest = pa.Table.from_pylist(rows, schema=MANIFEST)
    if columns is not None:
        place = {name: row for row, name in enumerate(columns["path"].to_pylist())}
        known = columns.drop_columns("path").take(pa.array([place.get(row["source"]) for row in rows], pa.int64()))
        for name in known.column_names:
            manifest = manifest.append_column(name, known[name])
    pq.write_table(manifest, folder / "manifest.parquet")
    found = Counter(r["face"] for r in rows)
    labels = Counter(r["expression"] for r in rows)
    counts = {
        "accepted": len(rows),
        **{name.replace("-", "_"): found[name] for name in FOUND},
        "rejected": len(rejects),
        "expressions": {_name(label) or "unlabelled": labels[label] for label in sorted(labels)},
        "subjects": len({r["subject"] for r in rows} - {""}),
        "quality": {flag: count for flag in FLAGS if (count := sum(flag in r["quality"] for r in rows))},
        "splits": dict(sorted(Counter(r["split"] for r in rows).items())),
        "reasons": dict(reasons),
    }
    summary = {"counts": counts, **run, "provenance": provenance()}
    write_json(folder / "register.json", summary)
    return summary
