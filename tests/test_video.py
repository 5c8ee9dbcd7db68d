"""Frames of videos that are made here: each shows its own number, so that no other frame can pass for it."""

import pickle
import random

import av
import numpy as np
import pytest

from pydeepexpr import video
from pydeepexpr.errors import UserError
from pydeepexpr.video import VideoFrame, frame_count, read_video

FRAMES = 130  # more than two jumps' worth

#: Containers and codecs as databases have them, with and without frames that are stored out of order.
KINDS = {
    "mpeg4.avi": ("mpeg4", {}),
    "mpeg4-b.avi": ("mpeg4", {"bf": "2"}),
    "h264.mp4": ("libx264", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "mpeg2.mpg": ("mpeg2video", {"bf": "2"}),
    "h264-b.avi": ("libx264", {"bf": "2"}),  # AVI tells no times of display
}


def make_video(path, codec="mpeg4", options=None, frames=FRAMES, rate=20):
    """Write a video of 64x48 whose frame n shows the bits of n as eight black or white bars, the lowest first."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for number in range(frames):
            bars = np.repeat([255 * (number >> bit & 1) for bit in range(8)], 8).astype(np.uint8)
            image = np.broadcast_to(bars[None, :, None], (48, 64, 3))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "bgr24")))
        container.mux(stream.encode())
    return path


def shown_number(image):
    return sum(int(image[:, 8 * bit + 2 : 8 * bit + 6].mean() > 127) << bit for bit in range(8))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return {name: make_video(folder / name, *kind) for name, kind in KINDS.items()}


@pytest.fixture(params=KINDS)
def path(videos, request):
    return videos[request.param]


def test_frames_come_in_the_order_of_showing(path):
    frames = list(read_video(path))
    assert [frame.number for frame in frames] == list(range(FRAMES))
    assert [shown_number(frame.image) for frame in frames] == list(range(FRAMES))
    image = frames[0].image
    assert (image.shape, image.dtype, image.flags.c_contiguous) == ((48, 64, 3), np.uint8, True)


def test_times_are_those_of_twenty_frames_a_second(videos):
    times = [frame.time for frame in read_video(videos["h264.mp4"])]
    np.testing.assert_allclose(times, np.arange(FRAMES) / 20, atol=1e-6)


@pytest.mark.parametrize("first", [0, 1, 47, 48, 100, FRAMES - 1])
def test_reading_starts_anywhere(path, first):
    frames = list(read_video(path, first))
    assert [frame.number for frame in frames] == list(range(first, FRAMES))
    assert [shown_number(frame.image) for frame in frames] == list(range(first, FRAMES))


@pytest.mark.parametrize("first", [FRAMES, FRAMES + 1000])
def test_reading_beyond_the_end_yields_nothing(path, first):
    assert list(read_video(path, first)) == []


def test_frames_are_counted(path):
    assert frame_count(path) == FRAMES


def test_counting_decodes_nothing(videos, monkeypatch):
    def decode(*_):
        raise AssertionError("a frame was decoded")

    monkeypatch.setattr(video._Stream, "_decoded", decode)
    assert frame_count(videos["h264.mp4"]) == FRAMES


def test_single_frames_in_any_order(path):
    positions = [*random.Random(1).sample(range(FRAMES), 12), 0, FRAMES - 1, 3, 60, 61, 120, 0]
    assert [shown_number(VideoFrame(path, number)()) for number in positions] == positions


def test_frames_of_two_videos_alternate(videos):
    first, second = videos["mpeg4.avi"], videos["h264.mp4"]
    for number in (5, 6, 90, 7):
        assert shown_number(VideoFrame(first, number)()) == number
        assert shown_number(VideoFrame(second, number + 1)()) == number + 1


@pytest.fixture
def opened(monkeypatch):
    """The paths of the streams that are opened from now on."""
    paths, init = [], video._Stream.__init__

    def opening(self, path):
        paths.append(path)
        init(self, path)

    monkeypatch.setattr(video._Stream, "__init__", opening)
    monkeypatch.setattr(video, "_kept", {})
    return paths


def test_frames_in_order_are_decoded_as_one_stream(path, opened):
    for number in range(0, FRAMES, 3):
        assert shown_number(VideoFrame(path, number)()) == number
    assert opened == [path]


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("mpeg4.avi", 1),  # a key frame every 12
        ("h264.mp4", 1),  # one key frame: decoded on from where the stream is
        ("mpeg2.mpg", 2),  # times differ after a jump: once more after the first one failed
    ],
)
def test_jumps_forward(videos, opened, name, times):
    for number in (3, 60, 125):
        assert shown_number(VideoFrame(videos[name], number)()) == number
    assert len(opened) == times


def test_a_jump_decodes_from_the_last_key_frame_on(videos, opened, monkeypatch):
    decoded, decode = [], video._Stream._decoded
    monkeypatch.setattr(video._Stream, "_decoded", lambda self: decoded.append(None) or decode(self))
    assert shown_number(VideoFrame(videos["mpeg4.avi"], 125)()) == 125
    assert len(decoded) == 6, "FFmpeg's default is a key frame every 12: 120 to 125"


def test_a_frame_is_pickled_as_a_reference(videos):
    frame = VideoFrame(videos["mjpeg.avi"], 77)
    data = pickle.dumps(frame)
    assert len(data) < 1000
    assert shown_number(pickle.loads(data)()) == 77


def test_a_frame_beyond_the_end(path):
    with pytest.raises(UserError, match=rf"ends after {FRAMES} frames; there is no frame {FRAMES}$"):
        VideoFrame(path, FRAMES)()
    assert shown_number(VideoFrame(path, 2)()) == 2, "the others are read as before"


READS = {
    "reading": lambda path: list(read_video(path)),
    "one frame": lambda path: VideoFrame(path, 0)(),
    "counting": frame_count,
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_is_no_video(tmp_path, read):
    (tmp_path / "text.avi").write_text("no video at all\n" * 100)
    (tmp_path / "empty.avi").write_bytes(b"")
    for name in ("text.avi", "empty.avi"):
        with pytest.raises(UserError, match="the video cannot be decoded: ") as error:
            read(tmp_path / name)
        assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value)
    with pytest.raises(UserError, match="there is no such file"):
        read(tmp_path / "absent.avi")
    with pytest.raises(UserError, match="cannot be decoded"):
        read(tmp_path)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_file_with_sound_alone(tmp_path, read):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(UserError, match="the file holds no video"):
        read(path)


def test_a_video_that_is_cut_short(videos, tmp_path):
    whole = videos["mjpeg.avi"].read_bytes()
    path = tmp_path / "short.avi"
    path.write_bytes(whole[: len(whole) // 2])
    count = frame_count(path)
    assert 0.3 * FRAMES < count < 0.7 * FRAMES, "its frames are of about one size"
    numbers = [shown_number(VideoFrame(path, number)()) for number in range(count - 1)]
    assert numbers == list(range(count - 1)), "all but the one that is cut"
    with pytest.raises(UserError, match=r"the video ends after|cannot be decoded"):
        VideoFrame(path, count)()


def test_a_video_whose_index_is_cut_off(videos, tmp_path):
    whole = videos["h264.mp4"].read_bytes()
    path = tmp_path / "short.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cannot be decoded"):
        VideoFrame(path, 0)()
