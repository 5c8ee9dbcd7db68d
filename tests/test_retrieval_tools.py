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


def truncated(store: Path) -> None:
    os.truncate(store / "fc6.f32", 100)


def stranger(store: Path) -> None:
    meta = json.loads((store / "meta.json").read_text())
    meta["model"]["sha256"] = "0" * 64
    (store / "meta.json").write_text(json.dumps(meta))


def other_pixels(store: Path) -> None:
    (store / "meta.json").write_text((store / "meta.json").read_text().replace("0.015625", "1.0"))


@pytest.mark.parametrize(
    ("arguments", "damage", "message"),
    [
        (["absent.png"], None, "cannot read the photograph absent.png: there is no such file"),
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
