"""What is shown: files, folders and cameras."""

import itertools
import signal
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.footage import count_frames, find_footage, is_video, read_frames, until, until_interrupted
from pydeepexpr.video import Frame, read_camera

NAMES = ["b.jpg", "a/2.png", "a/10.PNG", "a/film.MP4", "notes.txt", ".hidden.jpg", ".git/x.png", "a/._2.png"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in NAMES:
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_of_a_folder_all_images_and_videos_below_it_are_meant(folder):
    assert find_footage(["album"]) == ["album/a/10.PNG", "album/a/2.png", "album/a/film.MP4", "album/b.jpg"]


def test_files_that_are_named_are_taken_in_their_order(folder):
    named = ["album/notes.txt", "album/b.jpg", "album/.hidden.jpg"]
    assert find_footage(named) == named


@pytest.mark.parametrize(("name", "message"), [("gone", "no file or folder gone"), ("empty", "folder empty holds no")])
def test_nothing_to_show(folder, name, message):
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=message):
        find_footage([name])


def test_what_is_called_a_video():
    assert [is_video(name) for name in ("a.mp4", "a.MOV", "mp4", "a.jpg", "a.mp4.jpg")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_times_that_are_not_known_are_those_of_the_usual_rate(monkeypatch):
    frames = [Frame(50, float("nan"), None), Frame(3, 7.5, None)]
    monkeypatch.setattr("pydeepexpr.footage.read_video", lambda path: iter(frames))
    assert [frame.time for frame in read_frames("film.mp4")] == [2.0, 7.5]


@pytest.mark.parametrize("read", [count_frames, lambda path: next(read_frames(path))])
def test_an_error_names_the_video(folder, read):
    with pytest.raises(UserError, match=r"^album/a/film\.MP4: the video cannot be decoded: "):
        read("album/a/film.MP4")


def test_until_a_time():
    frames = (Frame(number, number / 10, None) for number in range(1000))
    assert [frame.number for frame in until(0.25, frames)] == [0, 1, 2]
    assert next(frames).number == 4  # it has looked one frame ahead and no further


def test_ctrl_c_ends_the_footage_and_nothing_else():
    before, seen = signal.getsignal(signal.SIGINT), []
    for number in until_interrupted(range(100)):
        seen.append(number)
        if number == 3:
            signal.raise_signal(signal.SIGINT)
    assert seen == [0, 1, 2, 3] and signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def interruptible():
    """A process that Ctrl-C interrupts; one that was started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_kills(interruptible):
    with pytest.raises(KeyboardInterrupt):
        for _ in until_interrupted(range(100)):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)


class FakeCamera:
    """Gives as many pictures as it has, then none, as a camera that is unplugged."""

    def __init__(self, pictures: int, opened: bool = True) -> None:
        self.pictures, self.opened, self.released = pictures, opened, False

    def isOpened(self):
        return self.opened

    def read(self):
        self.pictures -= 1
        return self.pictures >= 0, np.full((4, 4, 3), max(self.pictures, 0), np.uint8)

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    made = SimpleNamespace(camera=FakeCamera(3), asked=None)

    def open_camera(number):
        made.asked = number
        return made.camera

    monkeypatch.setattr(cv2, "VideoCapture", open_camera)
    return made


def test_a_camera_is_read_until_it_stops(camera):
    frames = list(read_camera(2))
    assert camera.asked == 2 and camera.camera.released
    assert [frame.number for frame in frames] == [0, 1, 2] and [frame.image[0, 0, 0] for frame in frames] == [2, 1, 0]
    assert frames[0].time == 0.0 and all(a.time <= b.time for a, b in itertools.pairwise(frames))


def test_a_camera_that_shows_nothing(camera):
    camera.camera = FakeCamera(0)
    with pytest.raises(UserError, match="the camera 0 gives no pictures"):
        next(read_camera())


def test_a_camera_is_given_back_when_nobody_wants_more(camera):
    frames = read_camera()
    next(frames)
    frames.close()
    assert camera.asked == 0 and camera.camera.released


def test_a_camera_that_is_not_there(camera):
    camera.camera = FakeCamera(0, opened=False)
    with pytest.raises(UserError, match="there is no camera 5, or another program uses it"):
        next(read_camera(5))
    assert camera.camera.released
