"""Databases in one folder: which are found, what is said of them, and tools/make_data.py from end to end."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from lmdb_builders import READERS
from lmdb_builders import register as register_module
from lmdb_builders.collect import PEOPLE, Database, collect, describe, find_databases, held_out
from pydeepexpr.errors import UserError
from pydeepexpr.files import read_names

ROOT = Path(__file__).parents[2]


def names(found):
    return {one.name: one.place and one.place.name for one in found}


def test_databases_are_found_by_their_usual_names_in_any_case(tmp_path):
    for name in ("cK+", "disfa", "kdef_AND_akdef", "KDEF", "MMI-facial-expression-database_2020", "FERG_DB_256"):
        (tmp_path / name).mkdir()
    (tmp_path / "FER2013.csv").touch()
    assert names(find_databases(tmp_path)) == {
        "ckplus": "cK+",
        "disfa": "disfa",
        "kdef": "kdef_AND_akdef",  # the first of its names, not of the folder's
        "mmi": "MMI-facial-expression-database_2020",
        "fer2013": "FER2013.csv",
        "web_faces": None,
    }
    assert names(find_databases(str(tmp_path), ["ferg", "kdef"])) == {"ferg": "FERG_DB_256", "kdef": "kdef_AND_akdef"}


@pytest.mark.parametrize("name", ["xmmi", "mmi2", "kdef.zip", ".disfa"])
def test_other_names_are_none(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "CK").mkdir()
    assert [one.name for one in find_databases(tmp_path) if one.place] == ["ckplus"]


def test_the_folder_may_be_the_database_itself(tmp_path, monkeypatch):
    root = tmp_path / "Kdef"
    (root / "AF01").mkdir(parents=True)
    assert names(find_databases(root, ["kdef"])) == {"kdef": "Kdef"}
    monkeypatch.chdir(root)
    (found,) = (one for one in find_databases(".") if one.place)
    assert (found.name, found.place) == ("kdef", root)


def test_what_is_not_there_is_named_with_its_licence(tmp_path):
    (tmp_path / "DISFA").mkdir()
    with pytest.raises(UserError) as raised:
        find_databases(tmp_path, ["disfa", "mmi", "kdef"])
    assert str(raised.value) == (
        f"mmi is not in {tmp_path} (looked for MMI, mmi-facial-expression-database*); "
        f"licence: {READERS['mmi'].licence}; "
        f"kdef is not in {tmp_path} (looked for KDEF_and_AKDEF, KDEF); licence: {READERS['kdef'].licence}"
    )


@pytest.mark.parametrize(
    ("root", "databases", "message"),
    [
        ("absent", (), "there is no folder .*absent"),
        ("file", (), "there is no folder .*file"),
        ("empty", (), f"none of {', '.join(PEOPLE)} is in .*empty"),
        ("empty", ("afew",), "there is no database 'afew'; known are ckplus, disfa"),
        ("empty", ("folder",), "there is no database 'folder'"),
        ("empty", ("kdef", "mmi", "kdef"), "kdef is named twice"),
    ],
)
def test_what_cannot_be_looked_for(tmp_path, root, databases, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=message):
        find_databases(tmp_path / root, databases)


def test_options_of_a_database_that_is_not_taken(tmp_path):
    databases = [Database("kdef", tmp_path), Database("mmi", None)]
    with pytest.raises(UserError, match="options are given for disfa, mmi, but taken are kdef"):
        collect(databases, tmp_path / "out", options={"mmi": {"apex": "3"}, "disfa": {}, "kdef": {}})
    assert not (tmp_path / "out").exists()


def test_lists_of_what_must_not_be_trained_on(tmp_path):
    kept = held_out([Database("kdef", tmp_path), Database("web_faces", tmp_path)])
    assert [path.name for path in kept] == ["web_faces_queries.txt", "web_faces_validation.txt"]
    assert all(read_names(path) for path in kept)
    assert held_out([Database("kdef", tmp_path), Database("web_faces", None)]) == []


def summary(**changes):
    counts = {"accepted": 1204, "detected": 1200, "rendered": 0, "neutral_frame": 0, "whole_image": 4, "rejected": 33}
    counts |= {"expressions": {"anger": 4, "joy": 1200}, "subjects": 1070, "splits": {"": 1204}}
    counts |= {"quality": {"stand-in": 4, "faint": 1100}, "reasons": {"no face was found": 30, "the file is empty": 3}}
    whole = {"images": 1237, "expected": "980 images", "differences": ["joy: 9 images, published 10"]}
    return {"counts": counts | changes.pop("counts", {}), **whole, **changes}


def test_what_is_said_of_a_database(tmp_path):
    assert describe(Database("kdef", Path("/data/KDEF"), summary()), "/data").splitlines() == [
        "kdef: /data/KDEF",
        "  expected: 980 images",
        "  found:    1,237 images, 1,204 faces (1,200 detected, 4 whole images); 1,070 persons",
        "            anger 4, joy 1,200",
        "  rejected: 33 (rejects.csv)",
        "            30: no face was found",
        "            3: the file is empty",
        "  doubtful: stand-in 4, faint 1,100",
        "  differs from the published: joy: 9 images, published 10",
        f"  licence:  {READERS['kdef'].licence}",
    ]


def test_little_and_much_may_be_said(tmp_path):
    nothing = {"rejected": 0, "reasons": {}, "quality": {}, "subjects": 0, "whole_image": 0}
    database = Database("fer2013", Path("/data/fer2013"), summary(counts=nothing, expected="", differences=[]))
    said = describe(database, "/data").splitlines()
    assert said[1:3] == [
        "  expected: whatever there is",
        "  found:    1,237 images, 1,204 faces (1,200 detected); it does not say who is who",
    ]
    assert said[4] == "  rejected: 0" and said[5].startswith("  licence:  ") and len(said) == 6
    much = {"reasons": {f"reason {n}": 1 for n in range(6)}}
    said = describe(Database("kdef", Path("/data/KDEF"), summary(counts=much, differences=[*"abcdefgh"])), "/data")
    assert [line.split(": ")[-1] for line in said.splitlines()[5:11]] == list(much["reasons"])
    assert said.splitlines()[-3:-1] == ["  differs from the published: f", "            and 2 more"]
    assert said.count("more") == 1


def test_what_is_said_of_one_that_is_not_there():
    assert describe(Database("mmi", None), "/data") == (
        "mmi: skipped, mmi is not in /data (looked for MMI, mmi-facial-expression-database*); "
        f"licence: {READERS['mmi'].licence}"
    )


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Run tools/make_data.py in this process; return its exit status, what it prints, and its errors alone."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        fixed = ["--registered", "registered", "--lmdb", "lmdb", "--workers", "1"]
        monkeypatch.setattr(sys, "argv", ["make_data.py", *arguments, *fixed])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "tools/make_data.py"), run_name="__main__")
        out, err = capsys.readouterr()
        return ended.value.code, out, [line for line in err.splitlines() if line.startswith("error: ")]

    return call


def test_the_tool_from_end_to_end(tool, tmp_path, monkeypatch):
    """Three persons of KDEF with two faces each and a black picture; three of web_faces, of which two are held out."""
    head = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()[20:220, 120:320]
    head = np.ascontiguousarray(head[:, :, ::-1])
    (tmp_path / "data/kdef").mkdir(parents=True)
    for who in ("F01", "F02", "M01"):
        for session in "AB":
            cv2.imwrite(f"data/kdef/{session}{who}HAS.JPG", head)
    cv2.imwrite("data/kdef/AM02ANS.JPG", np.zeros((99, 99), np.uint8))
    kept = [read_names(ROOT / "docs" / f"web_faces_{name}.txt")[0] for name in ("queries", "validation")]
    for name in (*kept, "happy/own.jpg"):
        (tmp_path / "data/web_faces" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(f"data/web_faces/{name}", head)

    calls, analyse = [], register_module.faces.analyse
    monkeypatch.setattr(register_module.faces, "analyse", lambda *a, **b: calls.append(a) or analyse(*a, **b))
    split = ("data", "--val", "0.3", "--test", "0.3")
    status, said, errors = tool(*split)
    assert (status, errors, len(calls)) == (0, [], 10)
    lines = said.splitlines()
    assert "  found:    7 images, 6 faces (6 detected); 3 persons" in lines
    assert lines[lines.index("  rejected: 1 (rejects.csv)") + 1] == "            1: no face was found"
    assert "  differs from the published: joy: 6 images, published 140" in lines
    assert f"mmi: skipped, mmi is not in data (looked for {', '.join(READERS['mmi'].places)}); licence: " in said
    assert "lmdb: not subject-independent: web_faces does not say who is who (1 images)" in lines
    assert lines[-1].split()[0] == "all" and sum(map(int, lines[-1].split()[1:])) == 7
    rows = pq.read_table("lmdb/manifest.parquet").to_pylist()
    assert sorted({row["source"] for row in rows if row["database"] == "web_faces"}) == ["happy/own.jpg"]
    assert {row["split"] for row in rows if row["database"] == "kdef"} == {"train", "val", "test"}
    assert set(json.loads(Path("lmdb/build.json").read_text())["excluded"].values()) == {1}
    with lmdb.open("lmdb/train_lmdb", readonly=True, lock=False) as environment:
        assert environment.stat()["entries"] == sum(row["split"] == "train" for row in rows)

    before = {path: path.stat().st_mtime_ns for place in ("registered", "lmdb") for path in Path(place).rglob("*")}
    assert tool(*split) == (0, said, []) and len(calls) == 10, "nothing is done again, and the same is said"
    assert {
        path: path.stat().st_mtime_ns for place in ("registered", "lmdb") for path in Path(place).rglob("*")
    } == before
    assert tool("data", "--databases", "kdef", "--val", "0.3", "--test", "0.3")[0] == 0
    assert {row["database"] for row in pq.read_table("lmdb/manifest.parquet").to_pylist()} == {"kdef"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--option", "intensity=2"), "--option intensity=2 names no database: write DATABASE.intensity=2"),
        (("--option", "kdef.size"), "--option kdef.size is no NAME=VALUE"),
        (("--option", "disfa.intensity=2"), "options are given for disfa, but taken are kdef"),
        (("--option", "kdef.size=2"), "the reader has no option 'size'; it has: none"),
        (("--databases", "kdef", "disfa"), "disfa is not in data "),
    ],
)
def test_the_tool_says_what_is_wrong_in_one_line(tool, tmp_path, arguments, message):
    (tmp_path / "data/KDEF").mkdir(parents=True)
    status, said, errors = tool("data", *arguments)
    assert (status, said, len(errors)) == (2, "", 1) and errors[0].startswith(f"error: {message}")
    assert not Path("registered").exists()


def test_the_tool_may_register_alone(tool, tmp_path, monkeypatch):
    (tmp_path / "data/KDEF").mkdir(parents=True)
    given = []
    monkeypatch.setattr("lmdb_builders.collect.register", lambda *a, **b: given.append((*a, b)) or summary())
    assert tool("data", "--no-lmdb", "--limit", "5")[0] == 0
    assert given == [("kdef", Path("data/KDEF"), Path("registered/kdef"), {"options": None, "workers": 1, "limit": 5})]
    assert not Path("lmdb").exists()
