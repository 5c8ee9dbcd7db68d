"""tools/retrieve.py on footage: folders, several faces, videos and a camera."""

import csv
import json
import os
import runpy
import signal
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pydeepexpr.faces import Face
from pydeepexpr.video import read_video
from pydeepexpr.video_writing import write_video

TOOL = Path(__file__).parents[1] / "tools" / "retrieve.py"
FILM = [4, 4, 4, 11, 4, 4, 8, 8, 8, 8]  # the faces that its frames show


@pytest.fixture
def retrieve(tiny, tmp_path, monkeypatch, capsys):
    """Run tools/retrieve.py on the tiny store, by Jensen–Shannon alone, in a folder with a film and some images."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "album" / "more").mkdir(parents=True)
    for number in (2, 5):
        cv2.imwrite(f"album/{number}.png", tiny.faces[number])
    cv2.imwrite("album/more/7.png", tiny.faces[7])
    with write_video("film.mkv") as append:
        for number, row in enumerate(FILM):
            append(tiny.faces[row], number / 25)
    whole = np.array([0.0, 0, 256, 256], np.float32)

    def analyse(image, **options):  # dark images show no face, and drawn ones one that is large or two
        face = Face(image, whole, 1.0, np.zeros((49, 2)), np.full(9, 0.5), np.eye(2, 3), 2.0, stand_in=False)
        return [face] * (1 + (image.shape[1] > 256)) if image.any() else []

    monkeypatch.setattr("pydeepexpr.faces.analyse", analyse)

    def call(*arguments):
        fixed = ("--model", tiny.weights, "--device", "cpu", "--store", tiny.store.path, "--no-geometry")
        monkeypatch.setattr(sys, "argv", ["retrieve.py", *map(str, arguments), *map(str, fixed)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def table(path="t.csv"):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_all_its_images(retrieve):
    status, out, _ = retrieve("album", "--table", "t.csv", "--top", 2, "--json", "o.json", "--sheet", "s.png")
    assert status == 0 and out.count("album/") == 3
    said = [(row["filename"], row["rank"], row["match_row"]) for row in table()]
    assert said[::2] == [("album/2.png", "1", "2"), ("album/5.png", "1", "5"), ("album/more/7.png", "1", "7")]
    assert len(said) == 6 and len(json.loads(Path("o.json").read_text())["queries"]) == 3
    assert cv2.imread("s.png") is not None


def test_an_image_without_a_face_stops_nothing(retrieve):
    cv2.imwrite("album/3.png", np.zeros((64, 64, 3), np.uint8))
    Path("album/4.png").write_bytes(b"no image")
    status, out, err = retrieve("album", "--table", "t.csv", "--top", 1)
    assert status == 0 and out.count("album/") == 3
    lines = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert "no face found in album/3.png" in lines[0] and "cannot read the photograph album/4.png" in lines[1]
    assert [(row["success"], row["match_row"]) for row in table()] == [
        ("1", "2"),
        ("0", ""),
        ("0", ""),
        ("1", "5"),
        ("1", "7"),
    ]


def test_a_folder_without_any_face(retrieve):
    for name in ("2", "5", "more/7"):
        cv2.imwrite(f"album/{name}.png", np.zeros((64, 64, 3), np.uint8))
    status, out, err = retrieve("album", "--table", "t.csv")
    assert (status, out) == (2, "") and err.splitlines()[-1].startswith("error: no face found in album/more/7.png")
    assert not Path("t.csv").exists()


def test_several_faces_of_one_image(retrieve, tiny):
    cv2.imwrite("two.png", np.hstack([tiny.faces[0], tiny.faces[1]]))
    status, out, _ = retrieve("two.png", "--faces", "all", "--table", "t.csv", "--json", "o.json", "--sheet", "s.png")
    assert status == 0 and "the best of 2 faces" in out and "face 2 of 2" in out
    assert {row["face_id"] for row in table()} == {"0", "1"}
    assert [(query["face"], query["faces"]) for query in json.loads(Path("o.json").read_text())["queries"]] == [
        (0, 2),
        (1, 2),
    ]
    status, out, _ = retrieve("two.png", "--table", "t.csv")
    assert status == 0 and out.count("two.png: ") == 1 and {row["face_id"] for row in table()} == {"0"}


def test_a_video_by_frames(retrieve):
    outputs = ("--table", "t.parquet", "--clip", "c.mp4", "--sequence", "seq")
    status, out, _ = retrieve("film.mkv", "--as-is", "--smooth", 0, *outputs)
    assert (status, out) == (0, "film.mkv: 10 frames, 10 of them with a face\n")
    rows = pq.read_table("t.parquet").to_pylist()
    assert [row["match_row"] for row in rows] == FILM and [row["frame"] for row in rows] == list(range(10))
    np.testing.assert_allclose([row["timestamp"] for row in rows], np.arange(10) / 25, atol=0.001)
    assert len(list(read_video("c.mp4"))) == 10
    assert len(list(Path("seq/store").glob("*.png"))) == 10 and len(table("seq/store.csv")) == 4


def test_a_video_is_smoothed_unless_told_otherwise(retrieve):
    retrieve("film.mkv", "--as-is", "--table", "t.csv", "--smooth", 30, "--candidates", 23)
    held = [int(row["match_row"]) for row in table()]
    assert held[:6] == [4] * 6
    retrieve("film.mkv", "--as-is", "--table", "t.csv", "--top", 3)
    assert [int(row["match_row"]) for row in table()[::3]] == FILM


def test_some_frames_of_a_video(retrieve):
    retrieve("film.mkv", "--as-is", "--table", "t.csv", "--smooth", 0, "--every", 3)
    assert [row["frame"] for row in table()] == ["0", "3", "6", "9"]
    retrieve("film.mkv", "--as-is", "--table", "t.csv", "--smooth", 0, "--seconds", 0.1)
    assert [row["frame"] for row in table()] == ["0", "1", "2"]


def test_frames_without_a_face_are_rows_too(retrieve, tiny):
    with write_video("dark.mkv") as append:
        for number in range(4):
            append(tiny.faces[3] * (number % 2), number / 25)
    status, out, _ = retrieve("dark.mkv", "--as-is", "--table", "t.csv", "--clip", "c.mp4")
    assert status == 0 and "4 frames, 2 of them with a face" in out
    assert [row["success"] for row in table()] == ["0", "1", "0", "1"]


def test_ctrl_c_keeps_what_is_done(retrieve, monkeypatch):
    """Pressed at the third frame: the table and the clip are whole, and hold three frames."""

    def interrupted(path):
        for frame in read_video(path):
            if frame.number == 2:
                signal.raise_signal(signal.SIGINT)
            yield frame

    monkeypatch.setattr("pydeepexpr.footage.read_video", interrupted)
    status, out, _ = retrieve("film.mkv", "--as-is", "--table", "t.csv", "--clip", "c.mp4")
    assert status == 0 and "3 frames" in out
    assert len(table()) == 3 and len(list(read_video("c.mp4"))) == 3


def test_a_camera(retrieve, tiny, monkeypatch):
    class Camera:
        def __init__(self, number):
            self.number, self.left = number, [tiny.faces[row] for row in (1, 2)]

        def isOpened(self):
            return self.number == 1

        def read(self):
            return (True, self.left.pop(0)) if self.left else (False, None)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    status, out, _ = retrieve("--webcam", 1, "--as-is", "--table", "t.csv", "--smooth", 0)
    assert (status, out) == (0, "camera 1: 2 frames, 2 of them with a face\n")
    assert [(row["filename"], row["match_row"]) for row in table()] == [("camera 1", "1"), ("camera 1", "2")]
    status, out, err = retrieve("--webcam", "--table", "t.csv")
    assert (status, out) == (2, "") and "there is no camera 0" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing was asked; name a photograph, a folder or a video, or give --webcam"),
        (["gone.mp4"], "there is no file or folder gone.mp4"),
        (["film.mkv", "--sheet", "s.png"], "--sheet is for photographs, and film.mkv is none"),
        (["film.mkv", "--json", "o.json"], "--json is for photographs, and film.mkv is none; write a --table"),
        (["album", "--clip", "c.mp4"], "--clip is for one video or camera, given alone"),
        (["album", "film.mkv", "--sequence", "out"], "--sequence is for one video or camera, given alone"),
        (["film.mkv", "film.mkv", "--clip", "c.mp4"], "--clip is for one video or camera"),
        (["film.mkv", "--clip", "c.gif"], "cannot write the clip c.gif"),
        (["film.mkv", "--table", "t.xls"], "cannot write the table t.xls"),
        (["film.mkv", "--sequence", "out", "--no-images"], "--sequence consists of the images"),
        (["film.mkv", "--sequence", "album"], "album holds other things than image sequences"),
        (["film.mkv", "--top", "3", "--smooth", "1"], "smoothing chooses one match a frame, not 3"),
        (["film.mkv", "--top", "24"], "cannot return the top 24"),
        (["film.mkv", "--top", "0"], "cannot return the top 0"),
        (["film.mkv", "--every", "0"], "--every 0"),
        (["film.mkv", "--detect-every", "0"], "detections every 0 frames"),
        (["film.mkv", "--smooth", "-1"], "the strength of smoothing"),
        (["film.mkv", "--candidates", "0"], "needs at least 1 candidate"),
    ],
)
def test_bad_input_is_one_line_and_status_2(retrieve, arguments, message):
    before = sorted(os.listdir())
    status, out, err = retrieve("--as-is", *arguments)
    errors = [line for line in err.splitlines() if "film.mkv: " not in line]
    assert (status, out, len(errors)) == (2, "", 1) and errors[0].startswith("error: ") and message in errors[0]
    assert sorted(os.listdir()) == before


def test_a_video_that_is_none(retrieve):
    Path("broken.mp4").write_bytes(b"no video")
    status, _, err = retrieve("broken.mp4", "--table", "t.csv")
    assert status == 2 and err.startswith("error: broken.mp4: the video cannot be decoded: ")
    assert not Path("t.csv").exists()
