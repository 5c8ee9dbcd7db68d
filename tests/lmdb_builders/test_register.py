import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from lmdb_builders import register as module
from lmdb_builders.register import MANIFEST, register
from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.recognition import read_rejects
from pydeepexpr.expressions import label_of
from pydeepexpr.images import read_image

TOOL = Path(__file__).parents[2] / "tools" / "register.py"


@pytest.fixture(scope="module")
def head():
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return np.ascontiguousarray(data.astronaut()[20:220, 120:320, ::-1])


@pytest.fixture
def photographs(tmp_path, head):
    """Seven files called images: four faces, of which one is 16-bit, noise, a truncated file and an empty one."""
    root = tmp_path / "photographs"
    for name in ("joy", "sadness/sub", "neutral"):
        (root / name).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(root / "joy/a.png"), head)
    cv2.imwrite(str(root / "joy/a.jpg"), head[:, ::-1])
    cv2.imwrite(str(root / "joy/noise.png"), noise)
    cv2.imwrite(str(root / "sadness/sub/grey 顔.png"), head[:, :, 1])
    cv2.imwrite(str(root / "neutral/deep.png"), head.astype(np.uint16) * 257)
    (root / "neutral/cut.jpg").write_bytes((root / "joy/a.jpg").read_bytes()[:3000])
    (root / "neutral/empty.jpg").write_bytes(b"")
    (root / "neutral/.DS_Store").write_bytes(b"x")
    return root


def rows(out):
    return pq.read_table(out / "manifest.parquet").to_pylist()


def rejects(out):
    with open(out / "rejects.csv", newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def test_manifest(photographs, tmp_path, head):
    out = tmp_path / "new" / "out"
    summary = register("folder", photographs, out, workers=1)
    assert pq.read_schema(out / "manifest.parquet").equals(MANIFEST)
    found = {row["source"]: row for row in rows(out)}
    assert list(found) == ["joy/a.jpg", "joy/a.png", "neutral/deep.png", "sadness/sub/grey 顔.png"], (
        "the reader's order"
    )

    row, face = found["joy/a.png"], faces.analyse(head)[0]
    assert (row["database"], row["expression"], row["face"]) == ("folder", 3, "detected")
    assert (row["subject"], row["sequence"], row["frame"], row["split"]) == ("", "", -1, "")
    np.testing.assert_array_equal(np.reshape(row["landmarks"], (49, 2)), face.landmarks)
    np.testing.assert_array_equal(row["box"], face.box)
    np.testing.assert_array_equal(np.float32(row["geometry"]), face.geometry)
    assert row["score"] == np.float32(face.score)
    np.testing.assert_array_equal(cv2.imread(str(out / row["path"]), cv2.IMREAD_UNCHANGED), face.registered)
    np.testing.assert_array_equal(found["neutral/deep.png"]["landmarks"], row["landmarks"])

    assert summary["counts"] == json.loads((out / "register.json").read_text())["counts"]
    assert summary["counts"]["accepted"] == summary["counts"]["detected"] == 4
    assert summary["counts"]["expressions"] == {"joy": 2, "neutral": 1, "sadness": 1}


def test_how_faces_were_registered_and_how_well(photographs, tmp_path, head):
    summary = register("folder", photographs, tmp_path / "out", cropped=True, workers=1, limit=3)
    found = {row["source"]: row for row in rows(tmp_path / "out")}
    row, face = found["joy/a.png"], faces.analyse(head, cropped=True)[0]
    np.testing.assert_array_equal(np.float32(row["transform"]), face.matrix.ravel())
    assert row["fit_error"] == np.float32(face.error) and row["quality"] == []
    row = found["joy/noise.png"]  # whole: 64 pixels become 256, and edges come to edges (-0.5 to -0.5)
    assert row["transform"] == [4, 0, 1.5, 0, 4, 1.5]
    assert np.isnan(row["fit_error"]) and row["quality"] == ["stand-in", "enlarged"]
    assert summary["counts"]["quality"] == {"stand-in": 1, "enlarged": 1}


def test_grey_photographs_become_grey_files(photographs, tmp_path, head):
    grey = photographs / "joy/b.jpg"
    cv2.imwrite(str(grey), head[:, :, 1])
    register("folder", photographs, tmp_path / "out", workers=1)
    registered = {
        r["source"]: cv2.imread(str(tmp_path / "out" / r["path"]), cv2.IMREAD_UNCHANGED) for r in rows(tmp_path / "out")
    }
    assert registered["joy/a.jpg"].shape == (256, 256, 3)
    assert registered["joy/b.jpg"].shape == registered["sadness/sub/grey 顔.png"].shape == (256, 256)
    colour = read_image(grey)
    assert colour.shape == (200, 200, 3)
    np.testing.assert_array_equal(np.dstack([registered["joy/b.jpg"]] * 3), faces.analyse(colour)[0].registered)


def test_rejects_keep_the_expression_and_the_person(tmp_path, head):
    """Of an image without a face and of a name that KDEF does not know: F01 happy, M05 disgusted."""
    root = tmp_path / "KDEF"
    root.mkdir()
    cv2.imwrite(str(root / "AF01NES.JPG"), head)
    cv2.imwrite(str(root / "AF01HAS.JPG"), np.zeros((99, 99), np.uint8))
    (root / "BM05DI.JPG").touch()
    (root / "odd.jpg").touch()
    summary = register("kdef", root, tmp_path / "out", workers=1)
    with open(tmp_path / "out/rejects.csv", newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    assert header == ["path", "reason", "expression", "subject"]
    assert [(path, *known) for path, _, *known in lines] == [
        ("AF01HAS.JPG", "joy", "F01"),
        ("BM05DI.JPG", "disgust", "M05"),
        ("odd.jpg", "", ""),
    ]
    assert read_rejects(tmp_path / "out/rejects.csv") == [label_of("joy"), label_of("disgust"), -1]
    counts = summary["counts"]
    assert (counts["accepted"], counts["rejected"], counts["subjects"]) == (1, 3, 1)
    assert counts["reasons"] == {lines[1][1]: 2, "no face was found": 1}, "the commonest first"
    assert summary["expected"].startswith("980 images") and "joy: 1 images, published 140" in summary["differences"]


def test_names_of_the_registered_images(photographs, tmp_path):
    register("folder", photographs, tmp_path / "out", workers=1)
    paths = [row["path"] for row in rows(tmp_path / "out")]
    assert paths == [
        "faces/joy/a.png",
        "faces/joy/a.png.png",
        "faces/neutral/deep.png",
        "faces/sadness/sub/grey 顔.png",
    ]
    on_disk = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out/faces").rglob("*.png"))
    assert on_disk == sorted(paths), "a rejected image leaves no file"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "faces",
        "manifest.parquet",
        "register.json",
        "rejects.csv",
    ]


def test_rejects_have_their_reason(photographs, tmp_path):
    register("folder", photographs, tmp_path / "out", workers=1)
    reasons = rejects(tmp_path / "out")
    assert set(reasons) == {"joy/noise.png", "neutral/cut.jpg", "neutral/empty.jpg"}
    assert "no face" in reasons["joy/noise.png"]
    assert "truncated" in reasons["neutral/cut.jpg"]
    assert "empty" in reasons["neutral/empty.jpg"]


def test_cropped_images_stand_in_for_faces(photographs, tmp_path):
    summary = register("folder", photographs, tmp_path / "out", cropped=True, workers=1)
    assert summary["counts"]["whole_image"] == 1
    assert set(rejects(tmp_path / "out")) == {"neutral/cut.jpg", "neutral/empty.jpg"}, "unreadable is still unreadable"
    row = next(row for row in rows(tmp_path / "out") if row["source"] == "joy/noise.png")
    assert row["face"] == "whole-image"
    assert row["box"] == [0, 0, 64, 64]
    assert np.isnan(row["score"]) and np.isnan(row["geometry"]).all()
    expected = (faces.mean_face() + 0.5) * 64 / 256 - 0.5
    np.testing.assert_allclose(np.reshape(row["landmarks"], (49, 2)), expected, atol=1e-4)


def test_several_processes_give_the_same(photographs, tmp_path):
    for workers in (1, 2):
        register("folder", photographs, tmp_path / str(workers), workers=workers)
    one, two = tmp_path / "1", tmp_path / "2"
    assert pq.read_table(one / "manifest.parquet").equals(pq.read_table(two / "manifest.parquet"))
    for row in rows(one):
        assert (one / row["path"]).read_bytes() == (two / row["path"]).read_bytes()


def test_limit(photographs, tmp_path):
    register("folder", photographs, tmp_path / "out", workers=1, limit=2)
    assert [row["source"] for row in rows(tmp_path / "out")] == ["joy/a.jpg", "joy/a.png"]


def test_fer2013_table(tmp_path, head):
    small = cv2.resize(cv2.cvtColor(head, cv2.COLOR_BGR2GRAY)[30:170, 35:175], (48, 48), interpolation=cv2.INTER_AREA)
    text = " ".join(map(str, small.ravel()))
    lines = ["emotion,pixels,Usage", f"3,{text},Training", "3,1 2 3,Training", "oops", f"6,{text},PrivateTest"]
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    register("fer2013", tmp_path / "fer2013.csv", tmp_path / "out", workers=1)
    assert [(r["source"], r["split"], r["expression"]) for r in rows(tmp_path / "out")] == [
        ("train/joy/00000", "train", 3),
        ("test/neutral/00003", "test", 4),
    ]
    assert rows(tmp_path / "out")[0]["face"] == "detected", "the reader declares the database cropped"
    assert set(rejects(tmp_path / "out")) == {"train/joy/00001", "fer2013.csv/00002"}


def count_calls(monkeypatch, stop_at=None):
    """Count the calls of `faces.analyse`, and break off at one of them."""
    calls = []
    analyse = faces.analyse

    def counted(image, **options):
        if len(calls) + 1 == stop_at:
            raise KeyboardInterrupt
        calls.append(image)
        return analyse(image, **options)

    monkeypatch.setattr(module.faces, "analyse", counted)
    return calls


def test_an_interrupted_run_goes_on(photographs, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        count_calls(patch, stop_at=3)
        with pytest.raises(KeyboardInterrupt):
            register("folder", photographs, out, workers=1)
    assert not out.exists(), "nothing half-made can be taken for complete"
    with open(tmp_path / ".out.partial" / "journal.jsonl", "a") as file:
        file.write('{"source": "joy/noise.png", "rea')  # a line that was cut short
    with monkeypatch.context() as patch:
        calls = count_calls(patch)
        register("folder", photographs, out, workers=1)
        assert len(calls) == 3, "five readable images, two of them done before"
    register("folder", photographs, tmp_path / "whole", workers=1)
    assert pq.read_table(out / "manifest.parquet").equals(pq.read_table(tmp_path / "whole" / "manifest.parquet"))
    assert not list(tmp_path.glob(".out*"))


KILLED = """
import sys
from lmdb_builders.register import faces, register

analyse, count = faces.analyse, 0

def slowly(*given, **options):
    global count
    count += 1
    if count == 4:
        print("now", flush=True)
        sys.stdin.readline()  # for ever
    return analyse(*given, **options)

faces.analyse = slowly
register("folder", sys.argv[1], sys.argv[2], workers=1)
"""


def test_a_killed_run_is_not_taken_for_complete_and_goes_on(photographs, tmp_path, monkeypatch):
    out, partial = tmp_path / "out", tmp_path / ".out.partial"
    command = [sys.executable, "-c", KILLED, str(photographs), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout.readline() == "now\n"
        with pytest.raises(UserError, match=r"another process is at work on .*out"):
            register("folder", photographs, out, workers=1)
        process.kill()  # SIGKILL: nothing can be tidied up
    assert not out.exists() and len(list(partial.rglob("*.png"))) == 2
    # a.jpg, a.png and the rejected noise.png and cut.jpg were done; the third line is cut short.
    journal = (partial / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert len(journal) == 4
    (partial / "journal.jsonl").write_bytes(b"".join(journal[:3])[:-5])
    before = {path: path.stat().st_mtime_ns for path in partial.rglob("*.png")}
    with monkeypatch.context() as patch:
        calls = count_calls(patch)
        summary = register("folder", photographs, out, workers=1)
        assert len(calls) == 3, "noise.png again, and the two that were not reached"
    for path, time in before.items():
        assert (out / path.relative_to(partial)).stat().st_mtime_ns == time, "written once"
    whole = register("folder", photographs, tmp_path / "whole", workers=1)
    assert {**summary, "provenance": ""} == {**whole, "provenance": ""}
    for name in ("manifest.parquet", "rejects.csv"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in out.iterdir()) == ["faces", "manifest.parquet", "register.json", "rejects.csv"]
    assert not partial.exists()


def test_a_finished_run_is_left_as_it_is_until_something_changes(tmp_path, monkeypatch, head):
    root, out = tmp_path / "root", tmp_path / "out"
    (root / "joy").mkdir(parents=True)
    cv2.imwrite(str(root / "joy/1.png"), head)
    calls = count_calls(monkeypatch)

    def analysed(**options):
        calls.clear()
        summary = register("folder", root, out, workers=1, **options)
        assert summary == json.loads((out / "register.json").read_text())
        return len(calls)

    assert analysed() == 1
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert analysed() == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert not list(tmp_path.glob(".out*"))
    assert analysed(force=True) == 1
    assert analysed(alignment="none") == 1 and analysed(alignment="none") == 0
    cv2.imwrite(str(root / "joy/1.png"), head[:, ::-1])
    assert analysed(alignment="none") == 1, "the file has another size"
    cv2.imwrite(str(root / "joy/2.png"), head)
    assert analysed(alignment="none") == 2
    assert analysed(alignment="none", limit=1) == 1
    (root / "joy").rename(root / "fear")
    assert analysed(alignment="none", limit=1) == 1 and rows(out)[0]["expression"] == label_of("fear")
    for name, content in (("register.json", b'{"images": 1'), ("manifest.parquet", None)):
        (out / name).write_bytes(content) if content else (out / name).unlink()
        assert analysed(alignment="none", limit=1) == 1, f"{name} is damaged or missing"


def test_another_run_starts_afresh(photographs, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        count_calls(patch, stop_at=3)
        with pytest.raises(KeyboardInterrupt):
            register("folder", photographs, tmp_path / "out", workers=1)
    calls = count_calls(monkeypatch)
    register("folder", photographs, tmp_path / "out", workers=1, cropped=True)
    assert len(calls) == 5


def test_an_earlier_result_is_replaced(photographs, tmp_path):
    out = tmp_path / "out"
    register("folder", photographs, out, workers=1)
    (photographs / "joy/a.png").unlink()
    register("folder", photographs, out, workers=1)
    assert len(rows(out)) == 3 and not (out / "faces/joy/a.png.png").exists()


def test_strange_images_do_not_stop_the_run(photographs, tmp_path, monkeypatch):
    errors = [cv2.error("bad\nnews"), MemoryError(), RuntimeError("of dlib")]
    analyse = faces.analyse

    def failing(image, **options):
        if errors:
            raise errors.pop(0)
        return analyse(image, **options)

    monkeypatch.setattr(module.faces, "analyse", failing)
    register("folder", photographs, tmp_path / "out", workers=1)
    assert [row["source"] for row in rows(tmp_path / "out")] == ["neutral/deep.png", "sadness/sub/grey 顔.png"]
    reasons = rejects(tmp_path / "out")
    assert reasons["joy/a.jpg"] == "bad news"
    assert reasons["joy/a.png"] and reasons["joy/noise.png"] == "of dlib"


def test_no_face_anywhere(tmp_path):
    (tmp_path / "root").mkdir()
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(tmp_path / "root" / name), np.zeros((99, 99), np.uint8))
    with pytest.raises(UserError, match=r"none of the 2 images .*; 2: no face was found"):
        register("folder", tmp_path / "root", tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"database": "nonesuch"}, "known are ckplus, disfa, kdef"),
        ({"root": "absent"}, r"there is no folder at absent .*; licence: "),
        ({"root": "."}, "names no expression"),
        ({"root": "photographs/joy/a.png"}, "not a folder"),
        ({"out": "photographs"}, "into the database itself"),
        ({"out": "photographs/joy"}, "holds no registered faces"),
        ({"out": "photographs/joy/a.png"}, "holds no registered faces"),
        ({"out": "photographs/joy/a.png/out"}, "cannot write"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"workers": -3}, "workers must be at least 1"),
        ({"limit": 0}, "limit must be at least 1"),
    ],
)
def test_what_cannot_be_done(photographs, tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    before = sorted(photographs.rglob("*"))
    given = {"database": "folder", "root": "photographs", "out": "out", "workers": 1, **change}
    with pytest.raises(UserError, match=message) as error:
        register(**given)
    assert "\n" not in str(error.value)
    assert sorted(photographs.rglob("*")) == before
    assert not (tmp_path / "out").exists()


def run_tool(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    return subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, env=environment)


def test_tool(photographs, tmp_path):
    done = run_tool(photographs, tmp_path / "out", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "4 faces (4 detected, 0 whole images), 3 rejected" in done.stdout
    assert len(rows(tmp_path / "out")) == 4


@pytest.mark.parametrize("root", ["absent", "empty"])
def test_tool_says_what_is_wrong_in_one_line(tmp_path, root):
    (tmp_path / "empty").mkdir()
    done = run_tool("--database", "fer2013", tmp_path / root, tmp_path / "out")
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
