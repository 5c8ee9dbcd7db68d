"""tools/store.py: what each command prints and writes, and how it refuses."""

import os
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pydeepexpr.features import FeatureStore, describe, verify
from tests.features.samples import HUMAN, MERY, RAY, TRANSFORM, assert_same, make_store

TOOL = Path(__file__).parents[1] / "tools" / "store.py"


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A folder of three stores that are whole, three that are not or do not fit, and something else."""
    folder = tmp_path_factory.mktemp("stores")
    make_store(folder / "human", (HUMAN, range(24)))
    make_store(folder / "both", (MERY, range(12)), (RAY, range(12, 24)))
    make_store(folder / "damaged", (RAY, range(24)))
    shutil.copytree(folder / "damaged", folder / "short")
    flip(folder / "damaged/prob.f32", 3)
    os.truncate(folder / "short/fc6.f32", 100)
    make_store(folder / "pixels", (type(RAY)("ray", "9" * 64, (), {**TRANSFORM, "scale": 1.0}), range(3)))
    (folder / "notes").mkdir()
    (folder / "notes/notes.txt").write_text("notes")
    return folder


@pytest.fixture
def tool(stores, tmp_path, monkeypatch, capsys):
    """Run the tool in a folder with these stores; return its exit status, output and errors."""
    monkeypatch.chdir(shutil.copytree(stores, tmp_path / "work"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["store.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def flip(path, place):
    content = bytearray(Path(path).read_bytes())
    content[place] ^= 1
    Path(path).write_bytes(content)


def test_info(tool):
    status, out, err = tool("info", "human", "both")
    stores = [FeatureStore.open(name) for name in ("human", "both")]
    assert (status, err) == (0, "")
    assert out == "\n\n".join(map(describe, stores)) + "\n"
    status, out, _ = tool("info", "both", "--model", "ray", "--split", "train", "--split", "val")
    assert status == 0 and out.startswith("both: 12 of its 24 images") and "mery" not in out.split("\n\n")[0]


def test_verify(tool):
    assert tool("verify", "human", "both") == (0, "human: whole\nboth: whole\n", "")
    flip("both/fc6.f32", 0)
    flip("both/rows-00001.parquet", 50)
    status, out, err = tool("verify", "human", "both", "absent")
    assert (status, out) == (2, "human: whole\n")
    first, second, third = err.splitlines()
    assert first == f"error: {Path('both/fc6.f32')} has changed since it was written: part 1, rows 0 to 11"
    assert second.startswith("error: both/rows-00001.parquet has changed") and "absent is no feature store" in third


def test_merge(tool):
    status, out, err = tool("merge", "human", "both", "cast")
    assert (status, out) == (0, "cast: 48 images, parts: 3, models: 3\n") and err.startswith("merge: 48 in ")
    assert verify("cast") == [] and FeatureStore.open("cast").models == (HUMAN, MERY, RAY)
    assert tool("merge", "cast", "part", "--model", "human", "--expression", "joy", "--expression", "sad")[0] == 0
    wanted = {"model": "human", "expression": ["joy", "sadness"]}
    assert_same(FeatureStore.open("part"), FeatureStore.open("cast").where(**wanted))


def test_export(tool):
    store = FeatureStore.open("both")
    assert tool("export", "both", "both.parquet")[:2] == (0, "both.parquet: 24 images\n")
    np.testing.assert_array_equal(np.array(pq.read_table("both.parquet")["fc6"].to_pylist()), store.fc6)
    assert tool("export", "both", "fc6.npy", "--predicted", "joy")[:2] == (0, "fc6.npy: 3 images\n")
    assert np.load("fc6.npy")[:, 0].tolist() == [3, 10, 17]  # the prediction is the number modulo 7
    assert tool("export", "both", "arrays")[0] == 0
    np.testing.assert_array_equal(np.load("arrays/fc7.npy"), store.fc7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "absent"], "absent is no feature store"),
        (["info", "human", "human"], "given twice"),
        (
            ["info", "human", "--character", "bob"],
            "no image of human has the character 'bob'; there are: mery, ray, ''",
        ),
        (["info", "human", "--expression", "hunger"], "'hunger' is no expression known here"),
        (["info", "both", "--model", "mery", "--split", "val", "--predicted", "joy"], "leave one out"),
        (["merge", "human", "pixels", "out"], "pixels prepared as"),
        (["merge", "human", "damaged", "out"], "damaged/prob.f32 has changed since it was written: part 1"),
        (["merge", "human", "both", "notes"], "notes exists and is no feature store"),
        (["export", "human", "out.csv"], "cannot export to out.csv: end it with .parquet or .npy"),
        (["export", "human", "notes"], "notes exists and is no earlier export"),
        (["export", "short", "out"], "short/fc6.f32 is truncated: 92 of 192 bytes are missing"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tool, arguments, message):
    before = sorted(os.listdir())
    status, out, err = tool(*arguments)
    assert (status, out) == (2, "") and err.startswith("error: ") and message in err and err.count("\n") == 1
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    "arguments", [[], ["merge", "human"], ["export", "human"], ["verify"], ["export", "a", "b", "c"]]
)
def test_commands_that_say_too_little_or_too_much(tool, arguments):
    status, _, err = tool(*arguments)
    assert status == 2 and "usage: store.py" in err
