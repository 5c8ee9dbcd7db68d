"""Matched frames as numbered images with an exposure sheet, for animation tools (docs/video.md)."""

import contextlib
import csv
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import atomic_directory
from pydeepexpr.gallery import Gallery
from pydeepexpr.performance import Moment
from pydeepexpr.pipeline import Match
from pydeepexpr.video import Frame

__all__ = ["SHEET_COLUMNS", "SequenceWriter", "write_sequences"]

#: The columns of an exposure sheet: a row for as long as one image is held.
SHEET_COLUMNS = ("frame", "hold", "timestamp", "duration", "image", "expression", "row", "source")


@contextlib.contextmanager
def write_sequences(
    path: str | os.PathLike, galleries: Mapping[str, Gallery], *, by_face: bool = False
) -> "Iterator[SequenceWriter]":
    """Yield a folder of image sequences to append to; it is whole or absent.

    Parameters
    ----------
    path : path
        The folder. What is there is replaced, if it holds such sequences.
    galleries : mapping of str to Gallery
        Where the matched faces are, by the store's name.
    by_face : bool
        Write a sequence a store and face instead of one a store.

    Raises
    ------
    UserError
        If at `path` there is anything else.
    """
    path = Path(path)
    if path.exists() and not list(path.glob("*.ffconcat")) and not (path.is_dir() and not any(path.iterdir())):
        raise UserError(f"{path} holds other things than image sequences; name a new folder")
    with atomic_directory(path) as partial:
        writer = SequenceWriter(partial, galleries, by_face=by_face)
        yield writer
        writer.finish()


class SequenceWriter:
    """Appends to image sequences; made by `write_sequences`.

    A sequence has one image for each frame of the video, by its number, from the first match on. Where there is no
    match the last one is held.
    """

    def __init__(self, folder: Path, galleries: Mapping[str, Gallery], *, by_face: bool) -> None:
        self._folder, self._galleries, self._by_face = folder, galleries, by_face
        self._sequences: dict[str, _Sequence] = {}

    def append(self, moment: Moment) -> None:
        """Append a frame.

        Raises
        ------
        UserError
            If the picture of a match is missing.
        """
        for answer in moment.answers:
            for store, matches in answer.matches.items():
                name = f"{store}_face{answer.query.number}" if self._by_face else store
                if name not in self._sequences:
                    self._sequences[name] = _Sequence(self._folder, name, self._galleries[store])
                self._sequences[name].show(matches[0], moment.frame)
        for sequence in self._sequences.values():
            sequence.hold_until(moment.frame)

    def finish(self) -> None:
        """Complete the exposure sheets."""
        for sequence in self._sequences.values():
            sequence.finish()


@dataclass
class _Shown:
    """What is shown since some frame."""

    match: Match
    frame: Frame
    image: Path


class _Sequence:
    def __init__(self, folder: Path, name: str, gallery: Gallery) -> None:
        self._folder, self._name, self._gallery = folder, name, gallery
        (folder / name).mkdir()
        self._files = contextlib.ExitStack()
        sheet = (folder / f"{name}.csv").open("w", newline="", encoding="utf-8")
        self._sheet = csv.writer(self._files.enter_context(sheet), lineterminator="\n")
        self._sheet.writerow(SHEET_COLUMNS)
        self._list = self._files.enter_context((folder / f"{name}.ffconcat").open("w", encoding="utf-8"))
        self._list.write("ffconcat version 1.0\n")
        self._first_images: dict[int, Path] = {}  # by the store's row
        self._shown: _Shown | None = None
        self._next = 0  # the number of the image that comes next
        self._end = 0.0  # seconds: when the last frame is over, if it lasts as long as the one before
        self._last_time = 0.0

    def show(self, match: Match, frame: Frame) -> None:
        """Show a match from a frame on."""
        if self._shown is None:
            self._next, self._last_time = frame.number, frame.time
        elif self._shown.match.row == match.row:
            return
        else:
            self._fill(frame.number)
            self._record(frame.number, frame.time)
        image = self._path(frame.number)
        if match.row in self._first_images:
            _link(self._first_images[match.row], image)
        else:
            picture = self._gallery.face(match.row)
            if picture is None:
                raise UserError(f"the picture of {match.source or match.key} is missing; name its folder (--images)")
            cv2.imwrite(str(image), picture)
            self._first_images[match.row] = image
        self._shown, self._next = _Shown(match, frame, image), frame.number + 1

    def hold_until(self, frame: Frame) -> None:
        """Go on showing the same, up to a frame and with it."""
        self._fill(frame.number + 1)
        self._end, self._last_time = frame.time + (frame.time - self._last_time), frame.time

    def finish(self) -> None:
        """Complete the exposure sheet."""
        with self._files:
            self._record(self._next, self._end)
            self._list.write(
                f"file '{self._relative(self._path(self._next - 1))}'\n"
            )  # else FFmpeg drops the last hold

    def _fill(self, stop: int) -> None:
        for number in range(self._next, stop):
            _link(self._shown.image, self._path(number))
        self._next = max(self._next, stop)

    def _record(self, number: int, time: float) -> None:
        """Record what was shown up to a frame, without it."""
        match, frame, image = self._shown.match, self._shown.frame, self._relative(self._shown.image)
        duration = round(time - frame.time, 6)
        expression = EXPRESSIONS[match.predicted]
        hold = number - frame.number
        self._sheet.writerow(
            [
                frame.number,
                hold,
                round(frame.time, 6),
                duration,
                image,
                expression,
                match.row,
                match.source or match.key,
            ]
        )
        self._list.write(f"file '{image}'\nduration {duration:.6f}\n")

    def _path(self, number: int) -> Path:
        return self._folder / self._name / f"{self._name}_{number:06d}.png"

    def _relative(self, image: Path) -> str:
        return image.relative_to(self._folder).as_posix()


def _link(image: Path, name: Path) -> None:
    """Give a file a second name; a copy where the file system has no such."""
    try:
        os.link(image, name)
    except OSError:
        shutil.copyfile(image, name)
