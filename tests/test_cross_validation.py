"""Cross-validation by the commands that a user types: which they are, and a small one from end to end."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr import stages
from pydeepexpr.caffe import mode
from pydeepexpr.cross_validation import Plan, cross_validate, fold_stages
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore

ROOT = Path(__file__).parents[1]
BUILD = ("--balance", "none", "--seed", "3", "--exclude", "list.txt")
TRAIN = ("--solver", "s.prototxt", "--epochs", "50")


def words(step):
    """Return a command with its tool's name alone."""
    return " ".join((Path(step.arguments[0]).stem, *step.arguments[1:]))


def test_the_commands_of_each_fold():
    plan = Plan((Path("r/ckplus"), Path("r/kdef")), 3, 0.2, BUILD, TRAIN, "cpu")
    folds = fold_stages(plan, Path("out"))
    assert [stage.name for stage in folds] == ["fold 1", "fold 2", "fold 3"]
    for number, stage in enumerate(folds, 1):
        data, train, features = stage.steps()
        at = f"out/fold{number}"
        assert words(data) == (
            f"build_lmdb r/ckplus r/kdef {at}/lmdb --split folds --folds 3 --fold {number - 1} --val 0.2 "
            "--balance none --seed 3 --exclude list.txt"
        )
        assert words(train) == (
            f"train --data {at}/lmdb --out {at}/human --resume --device cpu --solver s.prototxt --epochs 50"
        )
        assert (
            words(features)
            == f"extract_features {at}/human/human.caffemodel {at}/lmdb/test_lmdb {at}/store --device cpu"
        )
        products = [(step.product, step.place, step.scaffold) for step in (data, train, features)]
        assert products == [
            (Path(at, "lmdb/build.json"), Path(at, "lmdb"), True),
            (Path(at, "human/human.caffemodel"), Path(at, "human"), False),
            (Path(at, "store/meta.json"), Path(at, "store"), False),
        ]
        assert data.reads == (Path("r/ckplus/manifest.parquet"), Path("r/kdef/manifest.parquet"))
        assert train.passing == "*_iter_*"


@pytest.mark.parametrize(
    ("registered", "folds", "message"),
    [
        ("r", 1, "--folds 1 is no cross-validation; give 2 or more"),
        ("absent", 2, r"absent has no manifest\.parquet; make it with tools/register\.py"),
    ],
)
def test_what_cannot_be_validated(tmp_path, monkeypatch, registered, folds, message):
    monkeypatch.chdir(tmp_path)
    Path("r").mkdir()
    Path("r/manifest.parquet").touch()
    with pytest.raises(UserError, match=message):
        cross_validate(Plan((Path(registered),), folds), Path("out"))
    assert not Path("out").exists()


LAYERS = """
layer { name: "fc6" type: "InnerProduct" bottom: "data" top: "fc6"
  inner_product_param { num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
"""
DATA = """
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: {phase} }}
  transform_param {{ crop_size: 16 mean_value: 128 scale: 0.015625 }} data_param {{ batch_size: 8 backend: LMDB }} }}
"""
LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc7" bottom: "label" top: "loss" }'
DEPLOY = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
%s
layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }
"""
SOLVER = 'net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "step" gamma: 0.1 stepsize: 9 max_iter: 9'


def write_registered(folder, database, persons):
    """A registered folder of persons with a grey face of each of three expressions; sadness is dark, joy is bright."""
    rows = []
    for who in range(persons):
        for label, grey in ((3, 250), (4, 128), (5, 6)):
            path = f"faces/{who}_{label}.png"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / path), np.full((256, 256, 3), grey, np.uint8))
            rows.append({"path": path, "source": f"{who}_{label}.jpg", "expression": label, "subject": f"S{who}"})
    empty = {"database": database, "sequence": "", "split": "", "face": "detected", "landmarks": [0.0] * 98}
    manifest = pa.Table.from_pylist([{**row, **empty, "geometry": [0.5] * 9} for row in rows])
    pq.write_table(manifest, folder / "manifest.parquet")
    (folder / "rejects.csv").write_text("path,reason,expression,subject\na.jpg,no face was found,joy,S0\n")


@pytest.fixture
def tool(tmp_path, monkeypatch, capsys):
    """Run tools/cross_validate.py, and the tools that it calls, in this process; return status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mode._state, "crops", "random")
    Path("net.prototxt").write_text(DATA.format(phase="TRAIN") + DATA.format(phase="TEST") + LAYERS + LOSS)
    Path("solver.prototxt").write_text(SOLVER)
    Path("prototxt").mkdir()
    Path("prototxt/tiny.prototxt").write_text(DEPLOY % LAYERS)
    for name, persons in (("ckplus", 4), ("kdef", 6)):
        write_registered(tmp_path / name, name, persons)

    def start(path, *arguments):
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", [path, *map(str, arguments)])
            runpy.run_path(str(path), run_name="__main__")
        return ended.value.code

    def call(arguments, log):
        tool.called.append(" ".join((Path(arguments[0]).stem, *arguments[1:])))
        return tool.stopped if tool.called[-1].startswith(tool.stop_at) else start(*arguments)

    def tool(*arguments):
        tool.called = []
        common = (
            "--folds",
            "2",
            "--solver",
            "solver.prototxt",
            "--deploy",
            "prototxt/tiny.prototxt",
            "--device",
            "cpu",
        )
        status = start(ROOT / "tools/cross_validate.py", "ckplus", "kdef", "--out", "out", *common, *arguments)
        return status, *capsys.readouterr()

    monkeypatch.setattr(stages, "call", call)
    tool.stop_at, tool.stopped = ("none",), 130
    return tool


def test_a_small_cross_validation_from_end_to_end(tool, tmp_path):
    short = ("--epochs", "10", "--drop-every", "9", "--val", "0.2")
    tool.stop_at = ("train --data out/fold2",)
    assert tool(*short)[0] == 130
    assert [command.split()[0] for command in tool.called] == [
        "build_lmdb",
        "train",
        "extract_features",
        "build_lmdb",
        "train",
    ]
    assert not Path("out/fold1/lmdb").exists() and Path("out/fold2/lmdb/build.json").exists()
    assert not Path("out/report.md").exists()

    tool.stop_at = ("none",)
    status, said, _ = tool(*short)
    assert status == 0 and [command.split()[0] for command in tool.called] == ["train", "extract_features"]
    assert not list(Path("out").glob("fold*/lmdb")) and not list(Path("out").glob("fold*/human/*_iter_*"))
    report = json.loads(Path("out/report.json").read_text())
    assert Path("out/report.md").read_text() in said and said.endswith("out: report.md, report.json, confusion.png\n")
    # Grey faces of three shades: whoever has learned anything knows them all; two rejected ones count as wrong.
    assert report["accuracy"] == {"mean": 1.0, "deviation": 0.0} and report["persons"] == "subject-independent"
    assert (report["whole"]["images"], report["whole"]["accuracy"]) == (32, 30 / 32)
    assert report["classes"]["joy"]["mean"] == 1.0 and report["classes"]["fear"]["mean"] is None
    assert report["registered"] == ["ckplus", "kdef"] and report["iterations"] == [20, 20]
    tested = [FeatureStore.open(f"out/fold{fold}/store").rows.to_pylist() for fold in (1, 2)]
    images = [(row["database"], row["source"]) for rows in tested for row in rows]
    assert len(images) == len(set(images)) == 30, "every image tests once"
    persons = [{(row["database"], row["subject"]) for row in rows} for rows in tested]
    assert persons[0].isdisjoint(persons[1]) and [len(one) for one in persons] == [5, 5]
    assert [{row["fold"] for row in rows} for rows in tested] == [{0}, {1}]

    status, again, _ = tool(*short)
    assert (status, tool.called) == (0, []) and Path("out/report.md").read_text() in again
    assert again.startswith("[1/2] fold 1: train on the others, test on it: there already\n")


def test_the_tools_arguments_reach_the_commands(tool, monkeypatch, parsed_to_the_end):
    tool.stop_at, tool.stopped = ("",), 2
    given = ("--balance", "oversample", "--exclude", "a.txt", "b.txt", "--epochs", "2.5", "--drop-every", "1")
    assert tool(*given, "--seed", "4", "--crops", "five", "--precision", "bf16", "--val", "0.1")[0] == 2
    assert tool.called == [
        "build_lmdb ckplus kdef out/fold1/lmdb --split folds --folds 2 --fold 0 --val 0.1 --balance oversample "
        "--unlabelled skip --seed 4 --exclude a.txt b.txt"
    ]
    record = json.loads(Path("out/stages.json").read_text())
    assert record["steps"]["out/fold1/lmdb/build.json"]["finished"] is False
    # The commands that come after it: each tool's own parser takes them up to the end.
    plans = []
    monkeypatch.setattr("pydeepexpr.cross_validation.run_stages", lambda folds, record: plans.extend(folds))
    monkeypatch.setattr("pydeepexpr.cross_validation.write_report", lambda *_: "")
    assert tool(*given, "--seed", "4", "--crops", "five", "--precision", "bf16")[0] == 0
    commands = [step.arguments for stage in plans for step in stage.steps()]
    train = commands[1][commands[1].index("cpu") + 1 :]
    assert " ".join(train) == (
        "--solver solver.prototxt --deploy prototxt/tiny.prototxt --crops five --precision bf16 --seed 4 "
        "--epochs 2.5 --drop-every 1"
    )

    parsed_to_the_end(commands)
    assert len(commands) == 6
