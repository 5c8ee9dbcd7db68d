"""Render databases: the cast's frames in FERG-DB's folders, performers' photographs in folders by expression.

A database grows beside its place, a unit of some dozen frames at a time; when all are there, it moves to where it
belongs. A unit's rows of the manifest are written after its pictures, so that an interrupted run goes on with the units
that have none.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import atomic_file, provenance, resumable_directory, sha256_of, write_json
from pydeepexpr.rig.sequences import PARTS
from pydeepexpr.rig.shots import FRAMES, CharacterShots, PerformerShots, character_shots, performer_shots
from pydeepexpr.workers import available_cores, run_all

__all__ = ["render_cast", "render_performers"]

_UNIT = 64  # frames: about half a second of work

_TABLE, _SUMMARY, _PARTS = "frames.parquet", "render.json", ".parts"


def render_cast(
    out: str | os.PathLike,
    *,
    frames: int = 6000,
    characters: Sequence[str] | None = None,
    seed: int = 0,
    size: int = 256,
    workers: int | None = None,
) -> dict[str, Any]:
    """Render characters as FERG-DB was: ``OUT/mery/mery_joy/mery_joy_1.png``, RGBA with a transparent background.

    An interrupted run goes on where it stopped when it is called again; a finished one is left as it is if it is the
    same, and replaced if not.

    Parameters
    ----------
    out : path
        The folder to make; docs/formats.md describes it.
    frames : int
        Per character, divided evenly among the expressions.
    characters : sequence of str, optional
        Names in `pydeepexpr.rig.cast.CAST`; by default all.
    seed : int
        From 0; decides key poses and their division into train, val and test.
    size : int
        Width and height of the frames in pixels.
    workers : int, optional
        Processes; by default as many as this process may use cores.

    Returns
    -------
    dict
        What ``OUT/render.json`` holds.

    Raises
    ------
    UserError
        If a character is unknown, a number is out of range, or `out` holds something else.
    """
    shots = character_shots(characters, frames, seed, size)
    who = list(dict.fromkeys(series.who for series in shots))
    return _render(Path(out), shots, {"characters": who, "frames": frames, "seed": seed, "size": size}, workers)


def render_performers(
    out: str | os.PathLike,
    performers: int,
    *,
    frames: int = 30,
    seed: int = 0,
    size: int = 256,
    workers: int | None = None,
) -> dict[str, Any]:
    """Render people as if photographed: ``OUT/joy/p12_1.png``, opaque, before a background.

    Every frame shows a key pose of its own. Performers, not frames, are divided into train, val and test.

    Parameters
    ----------
    out : path
        The folder to make; ``lmdb_builders.folder`` reads it.
    performers : int
    frames : int
        Per performer, divided evenly among the expressions.
    seed, size, workers
        As for `render_cast`; another seed gives other performers.

    Returns, raises
        As `render_cast`.
    """
    shots = performer_shots(performers, frames, seed, size)
    settings = {"performers": performers, "frames": frames, "seed": seed, "size": size}
    return _render(Path(out), shots, settings, workers)


@dataclass(frozen=True)
class _Unit:
    """Frames that are rendered in one go, and taken up whole or not at all."""

    series: CharacterShots | PerformerShots
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def part(self, folder: Path) -> Path:
        """Return where its rows of the manifest wait for the others."""
        return folder / _PARTS / f"{self.series.name}_{self.start}.parquet"

    def render(self, folder: Path) -> None:
        rows = []
        for shot in self.series.shots(self.start, self.stop):
            picture, row = shot.take()
            target = folder / shot.path
            target.parent.mkdir(parents=True, exist_ok=True)
            # OpenCV's own settings are the fastest: of a frame of 256 × 256 they make 49 KB in 1.5 ms; any that are
            # given have it try all filters, which makes 43 KB in 2.7 ms.
            target.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            rows.append(row)
        with atomic_file(self.part(folder)) as part:
            pq.write_table(pa.Table.from_pylist(rows, schema=FRAMES), part)


def _render(
    out: Path, shots: Sequence[CharacterShots | PerformerShots], settings: dict[str, Any], workers: int | None
) -> dict[str, Any]:
    """Render what is missing, then put the database in its place."""
    if workers is not None and workers < 1:
        raise UserError(f"the number of workers must be at least 1, got {workers}")
    settings = {**settings, "rig_sha256": _rig_sha256()}
    units = [
        _Unit(series, start, min(start + _UNIT, series.frames))
        for series in shots
        for start in range(0, series.frames, _UNIT)
    ]
    done = _summary(out)
    if out.exists() and done is None and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists and holds no rendered frames; remove it or name another folder")
    if done is not None and {name: done.get(name) for name in settings} == settings:
        return done
    with resumable_directory(out, settings) as work:
        missing = [unit for unit in units if not unit.part(work).is_file()]
        count = sum(map(len, missing))
        for _ in progress(_all_frames(missing, work, workers or available_cores()), count, f"render {out.name}"):
            pass
        return _finish(work, units, settings)


def _all_frames(units: list[_Unit], folder: Path, workers: int) -> Iterator[None]:
    """Render units in several processes; yield once for every frame."""
    if workers > 1 and units:
        units[0].series.shots(0, 1)[0].take()  # compiles for all, if need be
    for unit, _ in zip(units, run_all([partial(unit.render, folder) for unit in units], workers, chunk=1), strict=True):
        yield from [None] * len(unit)


def _finish(folder: Path, units: list[_Unit], settings: dict[str, Any]) -> dict[str, Any]:
    """Join the parts of the manifest; return the summary."""
    table = pa.concat_tables(pq.read_table(unit.part(folder), partitioning=None) for unit in units)
    pq.write_table(table, folder / _TABLE)
    columns = table.select(["expression", "split"]).to_pydict()
    counts = {
        "expressions": {name: columns["expression"].count(name) for name in EXPRESSIONS},
        "splits": {part: columns["split"].count(part) for part in PARTS},
    }
    summary = {**settings, "counts": counts, "provenance": provenance()}
    write_json(folder / _SUMMARY, summary)
    shutil.rmtree(folder / _PARTS)
    return summary


def _summary(out: Path) -> dict[str, Any] | None:
    try:
        return json.loads((out / _SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _rig_sha256() -> str:
    """Return one hash of all that decides how a frame looks: the sources of the rig."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256("".join(map(sha256_of, sources)).encode()).hexdigest()
