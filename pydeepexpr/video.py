"""Frames of video files and cameras, read as a stream: one frame in memory, however long the video."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["VIDEO_SUFFIXES", "Frame", "VideoFrame", "frame_count", "read_camera", "read_video"]

#: Endings of the names of video files, in lower case.
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"})

_JUMP = 48  # frames to skip from which on looking for a key frame costs less than decoding them


class Frame(NamedTuple):
    """One frame of a video."""

    number: int  #: from 0, in the order of showing
    time: float  #: when it is shown, seconds from the file's own zero; NaN where the file does not say
    image: np.ndarray  #: (H, W, 3) uint8, BGR, upright


def read_video(path: str | os.PathLike, first: int = 0) -> Iterator[Frame]:
    """Yield the frames of a video from number `first` on.

    Parameters
    ----------
    path : path
        Any file that FFmpeg reads; its first video stream is taken.
    first : int
        Number of the first frame to yield, from 0.

    Raises
    ------
    UserError
        If the file is missing, no video, or damaged from some frame on. The message does not repeat the path.
    """
    with contextlib.closing(_Stream(path)) as stream:
        stream.skip_to(first)
        while (frame := stream.next()) is not None:
            yield frame


def frame_count(path: str | os.PathLike) -> int:
    """Return how many frames a video has, counted without decoding them.

    Of a file that is cut short these are the frames that are there, not those that its header promises.

    Raises
    ------
    UserError
        If the file is missing or no video. The message does not repeat the path.
    """
    with _readable(), av.open(os.fspath(path)) as container:
        return sum(1 for packet in container.demux(_video_stream(container)) if packet.size)


def read_camera(number: int = 0) -> Iterator[Frame]:
    """Yield what a camera sees, until it is unplugged; a frame's time is counted from the first one.

    Parameters
    ----------
    number : int
        As the system counts its cameras, from 0.

    Raises
    ------
    UserError
        If there is no such camera, or it gives no pictures.
    """
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the error below says it
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise UserError(f"there is no camera {number}, or another program uses it")
        started, count = None, 0
        while True:
            there, image = camera.read()
            if not there:
                if not count:
                    raise UserError(f"the camera {number} gives no pictures")
                return
            now = time.monotonic()
            started = now if started is None else started
            yield Frame(count, now - started, image)
            count += 1
    finally:
        camera.release()


@dataclass(frozen=True)
class VideoFrame:
    """A frame that is decoded when it is called for.

    Asked for in the order of showing, the frames of a video are decoded as a stream: each process keeps the file open
    that it read last.
    """

    path: Path
    number: int  #: from 0

    def __call__(self) -> np.ndarray:
        """Return the pixels, (H, W, 3) uint8 BGR.

        Raises
        ------
        UserError
            If the video cannot be read, or ends before this frame.
        """
        stream = _kept_stream(self.path, self.number)
        stream.skip_to(self.number)
        frame = stream.next()
        if frame is None:
            raise UserError(f"the video ends after {stream.position} frames; there is no frame {self.number}")
        return frame.image


_kept: dict[Path, "_Stream"] = {}


def _kept_stream(path: Path, number: int) -> "_Stream":
    stream = _kept.pop(path, None)
    while _kept:
        _kept.popitem()[1].close()
    if stream and stream.position > number:
        stream.close()
        stream = None
    _kept[path] = stream or _Stream(path)
    return _kept[path]


class _Stream:
    """The decoder of one file; `position` is the number of the frame that comes next."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.position = 0
        self._path = path
        with _readable():
            self._container = av.open(os.fspath(path))
        self._stream = _video_stream(self._container)
        self._stream.thread_type = "NONE"  # processes share the cores already
        self._frames = self._container.decode(self._stream)
        self._ahead: av.VideoFrame | None = None
        self._shown: dict[int, bool] | None = None  # whether it is a key frame, by the time, once a jump needs it

    def close(self) -> None:
        self._container.close()

    def next(self) -> Frame | None:
        """Return the frame at `position`; None at the end."""
        frame, self._ahead = self._ahead or self._decoded(), None
        if frame is None:
            return None
        self.position += 1
        image = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), round(frame.rotation / 90)))
        return Frame(self.position - 1, float("nan") if frame.time is None else frame.time, image)

    def skip_to(self, number: int) -> None:
        """Go forward to a frame, or to the end if it lies beyond, without converting what lies between."""
        if number - self.position >= _JUMP:
            self._jump(number)
        while self.position < number:
            frame, self._ahead = self._ahead or self._decoded(), None
            if frame is None:
                return
            self.position += 1

    def _jump(self, number: int) -> None:
        """Decode from the last key frame before `number` on, where the file says when each of its frames is shown."""
        if self._shown is None:
            self._shown = _shown_frames(self._path)
        times = list(self._shown)
        if number >= len(times) or not any(list(self._shown.values())[self.position + 1 : number + 1]):
            return
        with _readable():
            self._container.seek(times[number], stream=self._stream)
        self._frames = self._container.decode(self._stream)
        frame = self._decoded()
        place = times.index(frame.pts) if frame is not None and self._shown.get(frame.pts) else -1
        if self.position <= place <= number:
            self._ahead, self.position = frame, place
        else:  # after a jump, MPEG program streams tell other times: count from the beginning, and jump no more
            self.close()
            self.__init__(self._path)
            self._shown = {}

    def _decoded(self) -> av.VideoFrame | None:
        with _readable():
            return next(self._frames, None)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    """Return the first video stream; close the container if it has none."""
    if not container.streams.video:
        container.close()
        raise UserError("the file holds no video")
    return container.streams.video[0]


def _shown_frames(path: str | os.PathLike) -> dict[int, bool]:
    """Return whether a frame is a key frame by the time it is shown, in order; nothing if some time is not told."""
    with _readable(), av.open(os.fspath(path)) as container:
        packets = container.demux(_video_stream(container))
        shown = [(packet.pts, packet.is_keyframe) for packet in packets if packet.size]
    told = {time for time, _ in shown} - {None}
    return dict(sorted(shown)) if len(told) == len(shown) else {}


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError("there is no such file") from None
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the video cannot be decoded: {reason}") from None
