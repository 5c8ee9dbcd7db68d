"""What people have to show: images, folders of images, videos, a camera."""

import contextlib
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from pydeepexpr.caffe.interrupt import STOP, taking_requests
from pydeepexpr.errors import UserError
from pydeepexpr.images import is_image_name
from pydeepexpr.video import VIDEO_SUFFIXES, Frame, frame_count, read_video

__all__ = ["count_frames", "find_footage", "is_video", "read_frames", "until", "until_interrupted"]

_USUAL_RATE = 25

T = TypeVar("T")


def is_video(path: str | os.PathLike) -> bool:
    """Return whether a file is called like a video."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def find_footage(given: Sequence[str | os.PathLike]) -> list[str]:
    """Return the files that are meant: of a folder all images and videos below it, in alphabetical order.

    Hidden files and folders do not count. A file that is named itself is taken whatever it is called.

    Raises
    ------
    UserError
        If nothing of a name is there, or a folder holds neither image nor video.
    """
    files: list[str] = []
    for name in map(os.fspath, given):
        if not os.path.exists(name):
            raise UserError(f"there is no file or folder {name}")
        if not os.path.isdir(name):
            files.append(name)
            continue
        found = sorted(
            str(path) for path in Path(name).rglob("*") if _counts(path.relative_to(name)) and path.is_file()
        )
        if not found:
            raise UserError(f"the folder {name} holds no image and no video")
        files += found
    return files


def _counts(path: Path) -> bool:
    return not any(part.startswith(".") for part in path.parts) and (is_image_name(path) or is_video(path))


def count_frames(path: str | os.PathLike) -> int:
    """Return how many frames a video has (`video.frame_count`).

    Raises
    ------
    UserError
        If the file is no video.
    """
    with _named(path):
        return frame_count(path)


def read_frames(path: str | os.PathLike) -> Iterator[Frame]:
    """Yield the frames of a video (`video.read_video`).

    Where the file does not say when a frame is shown, its time is as if there were 25 a second.

    Raises
    ------
    UserError
        If the file is no video, or damaged from some frame on.
    """
    with _named(path):
        for frame in read_video(path):
            yield frame if not math.isnan(frame.time) else frame._replace(time=frame.number / _USUAL_RATE)


@contextlib.contextmanager
def _named(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{os.fspath(path)}: {error}") from None


def until(seconds: float, frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames that are shown before a time."""
    for frame in frames:
        if frame.time >= seconds:
            return
        yield frame


def until_interrupted(items: Iterable[T]) -> Iterator[T]:
    """Yield until Ctrl-C is pressed, so that what comes after ends as if there were no more; a second one kills."""
    with taking_requests() as requested:
        for item in items:
            yield item
            if requested() == STOP:
                return
