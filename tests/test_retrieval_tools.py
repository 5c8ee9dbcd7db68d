"""The command lines of extraction, retrieval and evaluation: what they write, and how they refuse."""

import json
import os
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr.features import FeatureStore

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def tool(tiny, tmp_path, monkeypatch, capsys):
    """Run a tool in a folder of its own; return its exit status, output and errors."""

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    cv2.imwrite("query.png", tiny.faces[6])
    return call


@pytest.fixture
def retrieve(tool, tiny):
    """Run tools/retrieve.py on the tiny store; a drawn query counts as cropped."""
    fixed = ("--model", tiny.weights, "--device", "cpu", "--cropped")
    return lambda *arguments, store=tiny.store.path: tool("retrieve", *arguments, "--store", store, *fixed)


def test_extract_features(tool, tiny):
    status, out, _ = tool("extract_features", tiny.weights, tiny.lmdb, "store", "--batch", 4, "--device", "cpu")
    assert (status, out) == (0, "store: 23 images, FC6 of 16\n")
    np.testing.assert_allclose(FeatureStore.open("store").fc6, tiny.store.fc6, rtol=1e-5, atol=1e-6)


def test_retrieve(retrieve):
    status, out, _ = retrieve("query.png", "query.png", "--top", 3, "--sheet", "sheet.png", "--json", "out.json")
    assert status == 0 and out.count("query.png: ") == 2
    assert cv2.imread("sheet.png") is not None
    record = json.loads(Path("out.json").read_text())
    assert [len(query["matches"]) for query in record["queries"]] == [3, 3]


@pytest.mark.parametrize("how", ["l1", "softmax", "class-weight"])
def test_retrieve_without_images_and_geometry(retrieve, how):
    options = ("--normalise", how, "--no-geometry", "--no-images", "--sheet", "s.pdf", "--json", "o.json")
    status, _, _ = retrieve("query.png", "--top", 2, *options)
    record = json.loads(Path("o.json").read_text())
    assert status == 0 and record["normalisation"] == how and record["beta"] == 0
    assert record["queries"][0]["matches"][0]["js"] == record["queries"][0]["matches"][0]["phi"]


@pytest.fixture
def cast(tiny, tmp_path):
    """A folder of two characters' stores; their models were fine-tuned from the tiny one."""
    for name in ("ray", "mery"):
        shutil.copytree(tiny.store.path, tmp_path / "cast" / name)
        meta = tmp_path / "cast" / name / "meta.json"
        record = json.loads(meta.read_text())
        record["models"][0] |= {"name": name, "sha256": name * 8, "ancestry": [tiny.recogniser.identity.sha256]}
        meta.write_text(json.dumps(record))
    return tmp_path / "cast"


@pytest.fixture
def retrieve_cast(tool, tiny, cast):
    """Run tools/retrieve.py on two characters."""
    fixed = ("--model", tiny.weights, "--device", "cpu", "--stores", cast, "--json", "out.json", "--sheet", "sheet.png")
    return lambda *arguments: tool("retrieve", "query.png", "--cropped", *arguments, *fixed)


def test_retrieve_from_every_character(retrieve_cast):
    status, out, _ = retrieve_cast("--characters", "all")
    record = json.loads(Path("out.json").read_text())
    assert status == 0 and cv2.imread("sheet.png") is not None
    assert list(record["stores"]) == ["mery", "ray"]
    (query,) = record["queries"]
    assert {name: [match["row"] for match in matches] for name, matches in query["matches"].items()} == {
        "mery": [6],
        "ray": [6],
    }
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["mery", "ray"]


def test_retrieve_from_named_characters(retrieve_cast):
    status, _, _ = retrieve_cast("--characters", "ray", "--top", 2)
    record = json.loads(Path("out.json").read_text())
    assert status == 0 and [len(matches) for matches in record["queries"][0]["matches"].values()] == [2]


def test_retrieve_from_several_stores(retrieve_cast, cast, tiny):
    status, out, _ = retrieve_cast("--store", cast / "ray", "--store", tiny.store.path, "--no-images")
    assert status == 0 and [line.split()[0] for line in out.splitlines()[2:]] == ["ray", "store"]


def test_retrieve_from_a_character_frame(tool, tiny, cast):
    """With the human network, which both descend from; a frame without a face is taken whole."""
    fixed = ("--model", tiny.weights, "--device", "cpu", "--stores", cast)
    for kind in ("--character", "--as-is"):
        status, out, _ = tool("retrieve", "query.png", kind, "--characters", "all", *fixed)
        assert status == 0 and "no face found: the whole image taken" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--characters", "bob"], "there is no store of bob"),
        (["--characters", "all", "--stores", "absent"], "there is no folder absent of characters' stores"),
        (["--characters", "all", "--top", "24"], "cannot return the top 24"),
    ],
)
def test_characters_that_cannot_be_searched(tool, tiny, cast, arguments, message):
    fixed = ("--model", tiny.weights, "--device", "cpu", "--cropped", "--stores", cast)
    status, out, err = tool("retrieve", "query.png", *fixed, *arguments)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["--store", "s", "--characters", "all"], ["--store", "s", "--as-is", "--cropped"]]
)
def test_options_that_contradict_each_other(tool, arguments):
    assert tool("retrieve", "query.png", *arguments)[0] == 2


def truncated(store: Path) -> None:
    os.truncate(store / "fc6.f32", 100)


def stranger(store: Path) -> None:
    meta = json.loads((store / "meta.json").read_text())
    meta["models"][0]["sha256"] = "0" * 64
    (store / "meta.json").write_text(json.dumps(meta))


def other_pixels(store: Path) -> None:
    (store / "meta.json").write_text((store / "meta.json").read_text().replace("0.015625", "1.0"))


@pytest.mark.parametrize(
    ("arguments", "damage", "message"),
    [
        (["absent.png"], None, "there is no file or folder absent.png"),
        (["query.png", "--top", "24"], None, "cannot return the top 24"),
        (["query.png", "--top", "0"], None, "cannot return the top 0"),
        (["query.png", "--alpha", "-1"], None, "alpha must be"),
        (["query.png", "--beta", "nan"], None, "beta must be"),
        (["query.png", "--sheet", "s.gif"], None, "cannot draw s.gif"),
        (["query.png", "--images", "absent", "--sheet", "s.png"], None, "there is no folder absent"),
        (["query.png"], truncated, "fc6.f32 is truncated"),
        (["query.png"], stranger, "neither descends from tiny.caffemodel"),
        (["query.png"], other_pixels, "pixels prepared as"),
        (["query.png"], shutil.rmtree, "is no feature store"),
    ],
)
def test_bad_input_is_one_line_and_status_2(retrieve, tiny, tmp_path, arguments, damage, message):
    store = Path(shutil.copytree(tiny.store.path, tmp_path / "store"))
    if damage:
        damage(store)
    before = sorted(os.listdir())
    status, out, err = retrieve("--json", "out.json", *arguments, store=store)
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert sorted(os.listdir()) == before


def test_a_photograph_without_a_face(tool, tiny):
    status, _, err = tool("retrieve", "query.png", "--store", tiny.store.path, "--model", tiny.weights)
    assert status == 2 and err.startswith("error: no face found in query.png; ")


def test_evaluate_recognition(tool, tiny):
    status, out, _ = tool("evaluate", "recognition", tiny.store.path, "--json", "r.json", "--figure", "r.png")
    assert status == 0 and "23 images recognised" in out
    assert json.loads(Path("r.json").read_text())["images"] == 23
    status, _, err = tool("evaluate", "recognition", tiny.store.path, "--expect", 24)
    assert status == 2 and "not 24" in err


def test_evaluate_a_cast(tool, tiny, cast):
    stores = sorted(cast.iterdir())
    status, out, _ = tool("evaluate", "retrieval", *stores, tiny.store.path, "--top", 3, "--normalise", "l1")
    assert status == 0 and out.startswith("23 queries against 46 images of 2 stores")
    status, out, _ = tool("evaluate", "table1", tiny.store.path, *stores, "--json", "t.json", "--markdown", "t.md")
    assert status == 0 and Path("t.md").read_text() + "\n" == out
    assert list(json.loads(Path("t.json").read_text())["characters"]) == ["mery", "ray"]
    status, _, err = tool("evaluate", "table1", stores[0], stores[1])
    assert status == 2 and "a sibling of mery" in err
