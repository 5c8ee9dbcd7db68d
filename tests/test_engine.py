"""The choice of Caffe is made in one place, and the tools run on either."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest

from pydeepexpr import engine, training
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.training_log import parse_log
from tests.test_training import NET, SOLVER, write_lmdb

TOOLS = Path(__file__).parents[1] / "tools"
PYCAFFE = Path(__file__).with_name("pycaffe")

DEPLOY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "fc6" type: "InnerProduct" bottom: "data" top: "fc6" inner_product_param { num_output: 8 } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7" inner_product_param { num_output: 7 } }
layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }
"""
FIXED = 'top: "fc6"\n  param { lr_mult: 0 } param { lr_mult: 0 }\n  inner'
TRAIN = ("train", "--solver", "solver.prototxt", "--deploy", "deploy.prototxt", "--data", "data", "--device", "cpu")
TUNE = (*TRAIN[:2], "fixed_solver.prototxt", *TRAIN[3:], "--out", "runs/tuned", "--iterations", "4",
        "--crops", "mirrored", "--once")  # fmt: skip
EXTRACT = ("extract_features", "runs/tiny/tiny.caffemodel", "data/val_lmdb", "store", "--deploy", "deploy.prototxt")
RETRIEVE = ("retrieve", "photo.png", "--as-is", "--model", "runs/tiny/tiny.caffemodel", "--deploy", "deploy.prototxt",
            "--store", "store", "--top", "3", "--json", "found.json")  # fmt: skip


def make_project(folder: Path) -> Path:
    """Write networks, solvers, LMDBs and a photograph to a folder."""
    write_lmdb(folder / "data" / "train_lmdb", 18)
    write_lmdb(folder / "data" / "val_lmdb", 7)
    net = NET.format(classes=7)
    for name, text in (("net", net), ("fixed_net", net.replace('top: "fc6"\n  inner', FIXED))):
        (folder / f"{name}.prototxt").write_text(text)
        (folder / f"{name.replace('net', 'solver')}.prototxt").write_text(SOLVER.format(net=f"{name}.prototxt"))
    (folder / "deploy.prototxt").write_text(DEPLOY)
    cv2.imwrite(str(folder / "photo.png"), np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return folder


#: Runs tools in one process, which is started once for all of them.
SCRIPT = """
import json, pathlib, runpy, sys
tools, *commands = json.loads(sys.argv[1])
for name, *arguments in commands:
    sys.argv = [name, *arguments]
    try:
        runpy.run_path(str(pathlib.Path(tools, f"{name}.py")), run_name="__main__")
    except SystemExit as stopped:
        if stopped.code:
            raise
"""


def start(caffe: str, *commands: tuple[str, ...]) -> subprocess.Popen:
    """Start tools, one after another, in the current folder, on the own engine or on the stand-in for real pycaffe."""
    environment = {**os.environ, "DEEPEXPR_CAFFE": caffe, "PYTHONPATH": str(PYCAFFE)}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps([str(TOOLS), *commands])],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a job that a shell put in the background ignores Ctrl-C, and so would what it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> SimpleNamespace:
    """Two folders in which the tools did the same on the own engine and on the stand-in, there with an interruption."""
    folders = {}
    last = ((*TUNE, "--weights", "runs/tiny/tiny.caffemodel"), EXTRACT, RETRIEVE)
    whole = (*TRAIN, "--out", "runs/tiny", "--iterations", "12")
    parts = (*TRAIN, "--out", "runs/tiny", "--iterations", "7"), (*whole, "--resume")
    for caffe, commands in (("own", (whole, *last)), ("bvlc", (*parts, *last))):
        folders[caffe] = make_project(tmp_path_factory.mktemp(caffe))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folders[caffe])
            process = start(caffe, *commands)
            _, said = process.communicate()
        assert process.returncode == 0, said
        assert ("Logging before InitGoogleLogging()" in said) == (caffe == "bvlc"), "the stand-in has run there alone"
    return SimpleNamespace(**folders)


def blobs_of(model: Path) -> list[tuple[str, bytes]]:
    layers = pb.NetParameter.FromString(model.read_bytes()).layer
    return [(layer.name, blob.SerializeToString()) for layer in layers for blob in layer.blobs]


def test_own_engine_is_the_default(monkeypatch):
    monkeypatch.delenv("DEEPEXPR_CAFFE", raising=False)
    assert engine.caffe.__name__ == "pydeepexpr.caffe"


def test_bvlc_takes_the_installed_pycaffe(monkeypatch):
    module = ModuleType("caffe")
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    assert engine.caffe is module


def test_bvlc_without_pycaffe(monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", None)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    with pytest.raises(UserError, match="pycaffe cannot be imported"):
        _ = engine.caffe


def test_bvlc_with_a_pycaffe_that_was_not_built(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "caffe", raising=False)
    (tmp_path / "caffe.py").write_text("from _caffe_that_was_not_built import Net")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    with pytest.raises(UserError, match=r"cannot be imported \(No module named '_caffe_that_was_not_built'\)"):
        _ = engine.caffe


def test_bvlc_with_a_pycaffe_that_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "caffe", raising=False)
    (tmp_path / "caffe.py").write_text("raise TypeError('Descriptors cannot be created directly.\\nIf this call …')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    with pytest.raises(UserError, match=r"imported \(Descriptors cannot be created directly\.\); put"):
        _ = engine.caffe


@pytest.mark.parametrize("model", ["runs/tiny/tiny.caffemodel", "runs/tuned/tuned.caffemodel"])
def test_pycaffe_trains_the_same_model(both, model):
    assert blobs_of(both.bvlc / model) == blobs_of(both.own / model)
    cards = [json.loads((folder / model).with_suffix(".json").read_text()) for folder in (both.own, both.bvlc)]
    for card in cards:
        del card["provenance"], card["sha256"], card["ancestry"], card["data"]
    assert cards[0] == cards[1]


def test_pycaffes_log_is_kept(both):
    text = (both.bvlc / "runs/tiny/train.log").read_text()
    rows, expected = parse_log(text), parse_log((both.own / "runs/tiny/train.log").read_text())
    assert [row["iteration"] for row in rows] == list(range(13))
    assert [row["lr"] for row in rows[:12]] == [row["lr"] for row in expected[:12]]
    assert rows[12] == expected[12] and rows[3]["train_loss"] == expected[3]["train_loss"]
    assert "Restored the solver" in text
    assert (both.bvlc / "runs/tiny/log.csv").exists() and (both.bvlc / "runs/tiny/curve.png").exists()


def test_pycaffe_extracts_and_retrieves_the_same(both):
    ours, theirs = FeatureStore.open(both.own / "store"), FeatureStore.open(both.bvlc / "store")
    np.testing.assert_array_equal(ours.fc6, theirs.fc6)
    np.testing.assert_array_equal(ours.prob, theirs.prob)
    found = [json.loads((folder / "found.json").read_text()) for folder in (both.own, both.bvlc)]
    assert len(found[0]["queries"][0]["matches"]) == 3
    assert found[0]["queries"] == found[1]["queries"]


def test_pycaffe_has_no_bfloat16(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    options = training.Options(data=Path("data"), precision="bf16")
    with pytest.raises(UserError, match="real Caffe computes in fp32 alone"):
        training.train(Path("solver.prototxt"), Path("runs/tiny"), options, Path("deploy.prototxt"))
    assert not Path("runs").exists()


def test_pycaffe_has_no_fixed_crops(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    options = training.Options(data=Path("data"), crops="five")
    with pytest.raises(UserError, match=r"tools/build_lmdb\.py --crops five\) and leave --crops five out"):
        training.train(Path("solver.prototxt"), Path("runs/tiny"), options, Path("deploy.prototxt"))
    assert not Path("runs").exists()


def test_the_last_words_of_a_caffe_that_aborts_are_seen_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    Path("net.prototxt").write_text(NET.format(classes=4))
    process = start("bvlc", (*TRAIN, "--out", "runs/tiny", "--iterations", "2"))
    _, shown = process.communicate()
    assert process.returncode == -signal.SIGABRT
    for said in (shown, Path("runs/tiny/train.log").read_text()):
        assert "Check failed:" in said.splitlines()[-1] and "4 classes but meets the labels 0 to" in said


def test_ctrl_c_stops_pycaffe_between_two_iterations(tmp_path, monkeypatch):
    monkeypatch.chdir(make_project(tmp_path))
    Path("solver.prototxt").write_text(Path("solver.prototxt").read_text().replace("snapshot: 1120", "snapshot: 5"))
    with start("bvlc", (*TRAIN, "--out", "runs/tiny", "--iterations", "1000000")) as training:
        while "Iteration 20 " not in training.stderr.readline():
            assert training.poll() is None
        os.killpg(training.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
        _, said = training.communicate(timeout=60)
    assert training.returncode == 130 and said.endswith("interrupted\n")
    assert Path("runs/tiny/tiny_iter_20.solverstate").exists()


def test_unknown_choice(monkeypatch):
    monkeypatch.setenv("DEEPEXPR_CAFFE", "caffe2")
    with pytest.raises(UserError, match="DEEPEXPR_CAFFE=caffe2 is not known; use one of: own, bvlc"):
        _ = engine.caffe


def test_unknown_device():
    with pytest.raises(UserError, match="use one of: auto, cpu, cuda"):
        engine.use_device("tpu")


@pytest.mark.parametrize(("device", "calls"), [("cpu", ["cpu"]), ("auto", ["cpu"]), ("cuda", [0, "gpu"])])
def test_devices_of_pycaffe(monkeypatch, device, calls):
    module, made = ModuleType("caffe"), []
    module.set_device = made.append
    module.set_mode_cpu = lambda: made.append("cpu")
    module.set_mode_gpu = lambda: made.append("gpu")
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    engine.use_device(device)
    assert made == calls
