"""Videos written as a stream."""

import itertools

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.video import read_video
from pydeepexpr.video_writing import write_video


def grey(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_what_is_read_is_what_was_written(tmp_path, ending):
    times = [0.0, 0.04, 0.1, 0.15, 0.5, 2.0]  # as a camera gives them: at no fixed rate
    with write_video(tmp_path / f"v.{ending}") as append:
        for number, time in enumerate(times):
            append(grey(40 * number), time)
    frames = list(read_video(tmp_path / f"v.{ending}"))
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=0.0011)  # Matroska counts milliseconds
    np.testing.assert_allclose([frame.image.mean() for frame in frames], 40 * np.arange(6), atol=6)


def test_colours_are_in_their_places(tmp_path):
    image = grey(0)
    image[:24, :32], image[24:, 32:] = (200, 40, 40), (40, 40, 200)
    with write_video(tmp_path / "v.mp4") as append:
        append(image, 0.0)
    (frame,) = read_video(tmp_path / "v.mp4")
    assert np.abs(frame.image[4:20, 4:28].astype(int) - (200, 40, 40)).max() < 25
    assert np.abs(frame.image[28:44, 36:60].astype(int) - (40, 40, 200)).max() < 25


def test_times_that_stand_still_do_not_stop_the_film(tmp_path):
    with write_video(tmp_path / "v.mp4") as append:
        for number in range(5):
            append(grey(50 * number), 1.0)
    times = [frame.time for frame in read_video(tmp_path / "v.mp4")]
    assert len(times) == 5 and all(a < b for a, b in itertools.pairwise(times))


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), write_video(tmp_path / "v.mp4") as append:
        append(grey(1), 0.0)
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "frames", "message"),
    [
        ("v.xyz", [grey(0)], "the video cannot be written: "),
        ("v.mp4", [], "there is no frame to write"),
        ("v.mp4", [grey(0), grey(0, 64, 48)], "a frame of 48×64 pixels does not go with those before"),
        ("v.mp4", [grey(0, 47, 63)], "the video cannot be written: "),
    ],
)
def test_what_cannot_be_written(tmp_path, name, frames, message):
    with pytest.raises(UserError, match=message), write_video(tmp_path / name) as append:
        for number, frame in enumerate(frames):
            append(frame, number / 25)
    assert list(tmp_path.iterdir()) == []
