import json
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from lmdb_builders import READERS
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig import rendering
from pydeepexpr.rig.cast import CAST
from pydeepexpr.rig.key_poses import UNITS, key_poses
from pydeepexpr.rig.pose import blend
from pydeepexpr.rig.rendering import render_cast, render_performers
from pydeepexpr.rig.shots import FRAMES, Shot, character_shots, performer_shots, render_again
from pydeepexpr.rig.sitters import performer_name, performer_number, sitter

TOOL = Path(__file__).parents[2] / "tools" / "render_rig.py"
FIRST, SECOND = list(CAST)[:2]
SIZE = 48
#: Small pictures in one process.
SMALL = {"size": SIZE, "workers": 1}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Two characters with 100 frames each: 14 or 15 of each expression."""
    out = tmp_path_factory.mktemp("rig") / "RIG_DB_256"
    summary = render_cast(out, frames=100, characters=[FIRST, SECOND], **SMALL)
    return out, summary, pq.read_table(out / "frames.parquet").to_pylist()


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    out = tmp_path_factory.mktemp("people") / "performers"
    summary = render_performers(out, 5, frames=9, **SMALL)
    return out, summary, pq.read_table(out / "frames.parquet").to_pylist()


def contents(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*.png")}


# The cast


def test_layout_is_fergs(database):
    out, summary, rows = database
    counts = [14, 14, 14, 15, 14, 14, 15]  # 100 frames, evenly
    expected = {
        f"{who}/{who}_{name}/{who}_{name}_{n}.png"
        for who in (FIRST, SECOND)
        for name, count in zip(EXPRESSIONS, counts, strict=True)
        for n in range(1, count + 1)
    }
    assert set(contents(out)) == expected == {row["path"] for row in rows}
    assert {path.name for path in out.iterdir()} == {FIRST, SECOND, "frames.parquet", "render.json"}
    assert [path.name for path in out.parent.iterdir()] == ["RIG_DB_256"]
    assert summary == json.loads((out / "render.json").read_text())
    assert summary["counts"]["expressions"] == dict(zip(EXPRESSIONS, (2 * np.array(counts)).tolist(), strict=True))
    assert sum(summary["counts"]["splits"].values()) == 200


def test_frames_are_transparent_rgba(database):
    out, _, rows = database
    for row in rows[::23]:
        picture = cv2.imread(str(out / row["path"]), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (SIZE, SIZE, 4)
        assert picture.dtype == np.uint8
        alpha = picture[..., 3]
        assert alpha[0, 0] == alpha[0, -1] == 0
        assert 0.3 < (alpha == 255).mean() < 0.9
        assert ((alpha > 0) & (alpha < 255)).any()


def test_the_manifest_says_what_is_shown(database):
    out, _, rows = database
    table = pq.read_table(out / "frames.parquet")
    assert table.schema.equals(FRAMES)
    assert table.schema.metadata[b"action_units"].split()[len(UNITS)] == b"right_1"
    for row in rows[::17]:
        first, second = (key_poses(row["character"], row["expression"])[row[k]] for k in ("first", "second"))
        pose = blend(first.pose, second.pose, row["blend"])
        np.testing.assert_allclose(row["muscles"], pose.activations.ravel(), atol=1e-6)
        np.testing.assert_allclose(row["head"], pose.head, atol=1e-6)
        np.testing.assert_allclose(row["gaze"], pose.gaze, atol=1e-6)
        units = (1 - row["blend"]) * first.units + row["blend"] * second.units
        np.testing.assert_allclose(row["action_units"], units.ravel(), atol=1e-6)
        assert (row["subject"], row["size"]) == ("", SIZE)
        assert row["path"].endswith(f"{row['character']}_{row['expression']}_{row['n']}.png")


def test_landmarks_lie_on_the_face(database):
    _, _, rows = database
    for row in rows:
        points = np.array(row["landmarks"]).reshape(49, 2)
        assert ((points > 0) & (points < SIZE - 1)).all()
        brows, eyes, mouth = points[:10].mean(axis=0), points[19:31].mean(axis=0), points[31:].mean(axis=0)
        assert brows[1] < eyes[1] < mouth[1]
        assert points[19:25, 0].mean() < mouth[0] < points[25:31, 0].mean()
        assert np.mean(row["visible"]) > 0.7
    assert np.mean([row["visible"] for row in rows]) > 0.9


def test_no_key_pose_stands_in_two_parts(database):
    _, _, rows = database
    home = {}
    for row in rows:
        for key in (row["first"], row["second"]):
            at = home.setdefault((row["character"], row["expression"], key), row["split"])
            assert at == row["split"]
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_frames_are_rendered_again_from_their_rows(database):
    out, _, rows = database
    for row in rows[::37]:
        picture = cv2.imread(str(out / row["path"]), cv2.IMREAD_UNCHANGED)
        again = render_again({name: row[name] for name in ("character", "muscles", "gaze", "head", "size")})
        np.testing.assert_array_equal(again[..., [2, 1, 0, 3]], picture)


def test_the_reader_of_ferg_takes_them(database):
    out, _, rows = database
    records = list(READERS["rig"].read(out))
    assert {record.name: record.split for record in records} == {row["path"]: row["split"] for row in rows}
    marks = {row["path"]: row["landmarks"] for row in rows}
    np.testing.assert_array_equal(records[3].landmarks.ravel(), np.float32(marks[records[3].name]))


def test_a_character_is_the_same_in_any_company(database, tmp_path):
    out, _, _ = database
    render_cast(tmp_path / "one", frames=100, characters=[SECOND], **SMALL)
    assert contents(tmp_path / "one") == {n: b for n, b in contents(out).items() if n.startswith(f"{SECOND}/")}


@pytest.mark.parametrize("series", [character_shots([FIRST], 140, 0, SIZE)[3], performer_shots(1, 20, 0, SIZE)[0]])
def test_frames_do_not_depend_on_which_are_laid_out_together(series):
    whole = series.shots(0, series.frames)
    assert [shot.n for shot in series.shots(0, 3)] == [shot.n for shot in whole[:3]]
    for shot, alone in zip(whole[7:12], series.shots(7, 12), strict=True):
        assert (shot.path, shot.between) == (alone.path, alone.between)
        np.testing.assert_array_equal(shot.key.pose.activations, alone.key.pose.activations)


def test_several_processes_make_the_same(database, tmp_path):
    out, _, _ = database
    render_cast(tmp_path / "two", frames=100, characters=[FIRST, SECOND], size=SIZE, workers=2)
    assert contents(tmp_path / "two") == contents(out)
    assert (tmp_path / "two" / "frames.parquet").read_bytes() == (out / "frames.parquet").read_bytes()


def test_another_seed_makes_other_frames(database, tmp_path):
    out, _, _ = database
    render_cast(tmp_path / "other", frames=7, characters=[FIRST], seed=1, **SMALL)
    name = f"{FIRST}/{FIRST}_joy/{FIRST}_joy_1.png"
    assert contents(tmp_path / "other")[name] != contents(out)[name]


# Interruptions


@pytest.fixture
def taken(monkeypatch):
    """Which frames are rendered; after as many as `stop` says, Ctrl-C."""
    paths = []
    take = Shot.take

    def counted(shot):
        if len(paths) == counted.stop:
            raise KeyboardInterrupt
        paths.append(shot.path)
        return take(shot)

    counted.stop = None
    monkeypatch.setattr(Shot, "take", counted)
    monkeypatch.setattr(rendering, "_UNIT", 5)
    return paths, counted


def test_an_interrupted_run_leaves_nothing_and_goes_on(taken, tmp_path):
    paths, counted = taken
    order = {"frames": 42, "characters": [FIRST], **SMALL}  # 6 frames an expression: units of 5 and 1
    counted.stop = 13
    with pytest.raises(KeyboardInterrupt):
        render_cast(tmp_path / "out", **order)
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    counted.stop = None
    summary = render_cast(tmp_path / "out", **order)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(paths) == 42 + 1  # the 13th frame was the first of its unit of 5
    assert summary["counts"]["splits"] == {"train": 28, "val": 7, "test": 7}
    render_cast(tmp_path / "whole", **order)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    tables = [pq.read_table(tmp_path / name / "frames.parquet") for name in ("out", "whole")]
    assert tables[0].equals(tables[1])


def test_other_settings_do_not_go_on(taken, tmp_path):
    paths, counted = taken
    counted.stop = 10
    with pytest.raises(KeyboardInterrupt):
        render_cast(tmp_path / "out", frames=42, characters=[FIRST], **SMALL)
    counted.stop = None
    render_cast(tmp_path / "out", frames=14, characters=[FIRST], **SMALL)
    assert len(paths) == 10 + 14
    assert len(contents(tmp_path / "out")) == 14


def test_a_finished_run_is_left_or_replaced(taken, tmp_path):
    paths, _ = taken
    order = {"frames": 7, "characters": [FIRST], **SMALL}
    first = render_cast(tmp_path / "out", **order)
    assert render_cast(tmp_path / "out", **order) == first
    assert len(paths) == 7
    render_cast(tmp_path / "out", **{**order, "frames": 14})
    assert len(contents(tmp_path / "out")) == 14
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
def test_ctrl_c_in_the_terminal(tmp_path):
    command = [sys.executable, TOOL, tmp_path / "out", "--frames", "1500", "--size", "64", "--workers", "2"]

    def heed_interrupts():  # a shell has its background jobs ignore them, and these tests may be one
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    parts = tmp_path / ".out.partial" / ".parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 3:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.endswith("interrupted\n")
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]


# Performers


def test_photographs(photographs):
    out, summary, rows = photographs
    assert summary["performers"] == 5
    assert set(contents(out)) == {row["path"] for row in rows}
    assert len(rows) == 45
    for row in rows:
        assert row["path"] == f"{row['expression']}/{row['subject']}_{row['n']}.png"
        assert row["character"] == ""
    picture = cv2.imread(str(out / rows[0]["path"]), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (SIZE, SIZE, 3)
    np.testing.assert_array_equal(render_again(rows[0])[..., 2::-1], picture)
    np.testing.assert_array_equal(render_again(rows[0])[..., 3], 255)


def test_performers_are_divided_not_frames(photographs):
    _, _, rows = photographs
    homes = {row["subject"]: {r["split"] for r in rows if r["subject"] == row["subject"]} for row in rows}
    assert all(len(splits) == 1 for splits in homes.values())
    assert sorted(split for splits in homes.values() for split in splits) == ["test", "train", "train", "train", "val"]


def test_expressions_are_even_among_photographs(photographs):
    _, summary, rows = photographs
    assert set(summary["counts"]["expressions"].values()) <= {6, 7}
    for who in {row["subject"] for row in rows}:
        counts = [sum(r["subject"] == who and r["expression"] == name for r in rows) for name in EXPRESSIONS]
        assert sorted(counts) == [1, 1, 1, 1, 1, 2, 2]


def test_the_reader_of_folders_takes_photographs(photographs):
    out, _, rows = photographs
    records = list(READERS["folder"].read(out))
    labels = {row["path"]: EXPRESSIONS.index(row["expression"]) for row in rows}
    assert {record.name: record.expression for record in records} == labels


def test_every_photograph_is_posed_anew(photographs):
    _, _, rows = photographs
    assert len({tuple(row["muscles"] + row["gaze"] + row["head"]) for row in rows}) == len(rows)


def test_names_of_performers():
    assert performer_number(performer_name(1_000_002)) == 1_000_002
    with pytest.raises(UserError, match=r"nobody here is called 'p01'; performers are p0, p1, …, the cast is: "):
        sitter("p01")


# Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"characters": ["nobody"]}, "there is no character 'nobody'; the cast is: "),
        ({"characters": []}, "no character was named"),
        ({"frames": 0}, "number of frames must be at least 1, got 0"),
        ({"size": 8}, "size of a frame must lie between 16 and 2048 pixels, got 8"),
        ({"seed": -1}, "seed is a whole number from 0, got -1"),
        ({"workers": 0}, "number of workers must be at least 1, got 0"),
    ],
)
def test_bad_orders(changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        render_cast(tmp_path / "out", **{"frames": 7, **SMALL, **changes})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("performers", [0, 10**6 + 1])
def test_bad_numbers_of_performers(performers, tmp_path):
    with pytest.raises(UserError, match=f"number of performers must lie between 1 and 1000000, got {performers}"):
        render_performers(tmp_path / "out", performers)


def test_what_is_not_a_rendering_is_not_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("…")
    with pytest.raises(UserError, match="exists and holds no rendered frames; remove it or name another folder"):
        render_cast(tmp_path, frames=7, **SMALL)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("missing", ["muscles", "gaze", "size", "character"])
def test_rows_that_lack_something(database, missing):
    row = dict(database[2][0])
    del row[missing]
    with pytest.raises(UserError, match=f"cannot be rendered again: .*{missing}"):
        render_again(row)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"muscles": [0.5] * 53}, "muscles are not 54 numbers"),
        ({"muscles": [0.5] * 56}, "muscles are not 54 numbers"),
        ({"muscles": [[0.5] * 27] * 2}, "muscles are not 54 numbers"),
        ({"muscles": []}, "muscles are not 54 numbers"),
        ({"muscles": "strong"}, "muscles are not 54 numbers: 'strong'"),
        ({"muscles": [[0.5], [0.5, 0.5]]}, "muscles are not 54 numbers"),
        ({"gaze": [0.1]}, "gaze are not 2 numbers"),
        ({"gaze": 0.1}, "gaze are not 2 numbers: 0.1"),
        ({"head": [0.0] * 4}, "head are not 3 numbers"),
        ({"muscles": [1.5] * 54}, "activations lie between 0 and 1"),
        ({"head": [0.0, 0.0, float("nan")]}, "a pose's head are finite numbers"),
        ({"size": 0}, "size must lie between 1 and"),
    ],
)
def test_rows_that_hold_something_else(database, changes, message):
    with pytest.raises(UserError, match=message):
        render_again({**database[2][0], **changes})


def test_the_command(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = [out, "--frames", "14", "--characters", FIRST, "--size", "32", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{out}: 14 frames (7 train, 7 val, 0 test)\n"
