"""Matched frames as numbered images, and their exposure sheets."""

import csv
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.sequence import SHEET_COLUMNS, write_sequences
from pydeepexpr.performance import Answer, Moment
from pydeepexpr.video import Frame

GALLERY = SimpleNamespace(face=lambda row: np.full((16, 16, 3), 40 * row, np.uint8) if row < 6 else None)


def moment(number: int, rows, rate: float = 25.0) -> Moment:
    """A frame whose faces, by identity, find these rows of the store."""
    found = {
        face: SimpleNamespace(row=row, predicted=row % 7, source=f"m/{row}.png", key="k") for face, row in rows.items()
    }
    answers = [Answer(SimpleNamespace(number=face), {"mery": [match]}) for face, match in found.items()]
    return Moment(Frame(number, number / rate, None), answers)


def written(path, moments, **options):
    with write_sequences(path, {"mery": GALLERY}, **options) as sequences:
        for one in moments:
            sequences.append(one)
    return path


def levels(folder):
    """The numbers of a sequence's images, and which rows they show."""
    images = sorted(folder.glob("*.png"))
    return {int(path.stem[-6:]): cv2.imread(str(path))[0, 0, 0] // 40 for path in images}


def test_every_frame_has_its_image_and_every_hold_its_line(tmp_path):
    """Found from frame 2 on; lost in frames 5 and 6, in which the last image is held."""
    rows = [{}, {}, {0: 3}, {0: 3}, {0: 5}, {}, {}, {0: 3}, {0: 1}]
    out = written(tmp_path / "out", [moment(number, one) for number, one in enumerate(rows)])
    assert levels(out / "mery") == {2: 3, 3: 3, 4: 5, 5: 5, 6: 5, 7: 3, 8: 1}
    with (out / "mery.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == SHEET_COLUMNS
    assert [(int(line["frame"]), int(line["hold"]), int(line["row"])) for line in lines] == [
        (2, 2, 3),
        (4, 3, 5),
        (7, 1, 3),
        (8, 1, 1),
    ]
    assert [float(line["duration"]) for line in lines] == pytest.approx([0.08, 0.12, 0.04, 0.04])
    assert lines[1]["image"] == "mery/mery_000004.png" and lines[1]["source"] == "m/5.png"
    assert lines[1]["expression"] == "sadness"


def test_equal_images_are_one_file(tmp_path):
    out = written(tmp_path / "out", [moment(number, {0: 2}) for number in range(50)])
    assert len({path.stat().st_ino for path in (out / "mery").iterdir()}) == 1


def test_frames_that_were_left_out_are_held(tmp_path):
    out = written(tmp_path / "out", [moment(number, {0: number // 3}) for number in (0, 3, 6)])
    assert levels(out / "mery") == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 2}


@pytest.mark.parametrize("by_face", [False, True])
def test_faces_in_one_sequence_or_in_one_each(tmp_path, by_face):
    out = written(tmp_path / "out", [moment(0, {0: 1}), moment(1, {0: 1}), moment(2, {4: 2})], by_face=by_face)
    if by_face:
        assert levels(out / "mery_face0") == {0: 1, 1: 1, 2: 1} and levels(out / "mery_face4") == {2: 2}
    else:
        assert levels(out / "mery") == {0: 1, 1: 1, 2: 2}


def test_ffmpeg_plays_the_list_at_the_pace_of_the_video(tmp_path):
    out = written(
        tmp_path / "out", [moment(number, {0: row}, rate=10) for number, row in enumerate([1, 1, 1, 4, 4, 2])]
    )
    with av.open(str(out / "mery.ffconcat"), options={"safe": "0"}) as container:
        shown = [(frame.time, frame.to_ndarray(format="bgr24")[0, 0, 0] // 40) for frame in container.decode(video=0)]
    assert [row for _, row in shown] == [1, 4, 2, 2]  # the last one comes twice, or its duration would not count
    np.testing.assert_allclose([time for time, _ in shown], [0, 0.3, 0.5, 0.6], atol=0.041)


def test_what_is_there_is_replaced_if_it_is_such(tmp_path):
    written(tmp_path / "out", [moment(0, {0: 1}), moment(1, {0: 1})])
    written(tmp_path / "out", [moment(0, {0: 2})])
    assert levels(tmp_path / "out" / "mery") == {0: 2}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    with pytest.raises(UserError, match="holds other things than image sequences"):
        written(tmp_path / "photos", [moment(0, {0: 1})])
    assert (tmp_path / "photos" / "mine.jpg").exists()


def test_a_picture_that_is_missing_leaves_nothing_behind(tmp_path):
    with pytest.raises(UserError, match=r"the picture of m/6\.png is missing; name its folder \(--images\)"):
        written(tmp_path / "out", [moment(0, {0: 1}), moment(1, {0: 6})])
    assert list(tmp_path.iterdir()) == []


def test_where_files_cannot_have_two_names_they_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    out = written(tmp_path / "out", [moment(number, {0: 2}) for number in range(3)])
    assert levels(out / "mery") == {0: 2, 1: 2, 2: 2}
