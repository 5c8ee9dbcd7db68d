"""Videos written as a stream: one frame in memory, however long the video."""

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["write_video"]

#: Encoders for `write_video`, the best first; which there are depends on how FFmpeg was built.
_ENCODERS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}
_TICKS = 90_000  # a second: exact for all usual frame rates
_USUAL_RATE = 25  # frames a second: what the encoder reckons with; when a frame is shown is up to its time


@contextlib.contextmanager
def write_video(path: str | os.PathLike) -> Iterator[Callable[[np.ndarray, float], None]]:
    """Yield a function that appends a frame: its pixels, (H, W, 3) uint8 BGR, and when it is shown, in seconds.

    The file is whole or absent. Frames have one size, whose sides are even, and each is shown later than the one
    before. There is no sound.

    Raises
    ------
    UserError
        If the file cannot be written as a video. The message does not repeat the path.
    """
    with atomic_file(path) as partial:
        with _writable():
            encoder = _Encoder(partial)
        with contextlib.closing(encoder):
            yield encoder.append
            encoder.finish()


class _Encoder:
    """The encoder of one file; the first frame says how large all are."""

    def __init__(self, path: Path) -> None:
        self._container = av.open(str(path), "w")
        name = next(name for name in _ENCODERS if name in av.codecs_available)
        self._stream = self._container.add_stream(name, rate=_USUAL_RATE, options=_ENCODERS[name])
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last: int | None = None

    def append(self, image: np.ndarray, seconds: float) -> None:
        """Encode the next frame."""
        if self._last is None:
            self._stream.height, self._stream.width = image.shape[:2]
            self._last = -1
        elif image.shape[:2] != (self._stream.height, self._stream.width):
            raise UserError(f"a frame of {image.shape[1]}×{image.shape[0]} pixels does not go with those before")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        self._last = max(round(seconds * _TICKS), self._last + 1)
        frame.pts, frame.time_base = self._last, Fraction(1, _TICKS)
        with _writable():
            self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what is held back."""
        if self._last is None:
            raise UserError("there is no frame to write")
        with _writable():
            self._container.mux(self._stream.encode())

    def close(self) -> None:
        self._container.close()


@contextlib.contextmanager
def _writable() -> Iterator[None]:
    try:
        yield
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"the video cannot be written: {reason}") from None
