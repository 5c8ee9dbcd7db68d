"""tools/train.py on a small network: what it resolves, writes, resumes and refuses."""

import csv
import json
import re
import runpy
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from pydeepexpr import caffe, training
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from pydeepexpr.files import sha256_of

ROOT = Path(__file__).parents[1]

NET = """
name: "tiny"
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ mirror: true crop_size: 6 mean_value: 128 scale: 0.015625 }}
  data_param {{ source: "elsewhere/train_lmdb" batch_size: 4 backend: LMDB }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ crop_size: 6 mean_value: 128 scale: 0.015625 }}
  data_param {{ source: "elsewhere/val_lmdb" batch_size: 4 backend: LMDB }} }}
layer {{ name: "fc6" type: "InnerProduct" bottom: "data" top: "fc6"
  inner_product_param {{ num_output: 8 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }}
layer {{ name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }}
layer {{ name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"
  inner_product_param {{ num_output: {classes} weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "fc7" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc7" bottom: "label" top: "loss" }}
"""
SOLVER = """
net: "{net}" base_lr: 0.005 momentum: 0.9 weight_decay: 0.0005 lr_policy: "step" gamma: 0.1 stepsize: 11200
max_iter: 56000 test_iter: 200 test_interval: 1120 display: 1 snapshot: 1120 random_seed: 3
"""


def write_lmdb(folder: Path, count: int) -> None:
    """Images that a linear layer can tell apart: class k is bright in the channels of the bits of k + 1."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for i in range(count):
            image = rng.integers(0, 60, (3, 8, 8), dtype=np.uint8)
            image[[bool(1 + i % 6 & 1 << channel) for channel in range(3)]] += 180
            datum = pb.Datum(channels=3, height=8, width=8, data=image.tobytes(), label=i % 6)
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a net, a solver and LMDBs of 18 and 7 images, as the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mode._state, "crops", "random")
    Path("net.prototxt").write_text(NET.format(classes=7))
    Path("solver.prototxt").write_text(SOLVER.format(net="net.prototxt"))
    write_lmdb(tmp_path / "data" / "train_lmdb", 18)
    write_lmdb(tmp_path / "data" / "val_lmdb", 7)
    return tmp_path


def train(monkeypatch, *arguments: str) -> int:
    """Run the tool as a command in this process; return its exit status."""
    common = ["--solver", "solver.prototxt", "--deploy", "net.prototxt", "--data", "data", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["train.py", *common, *arguments])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "tools" / "train.py"), run_name="__main__")
    return stopped.value.code


def test_epochs_become_iterations_of_the_lmdb_at_hand(project):
    options = training.Options(data=Path("data"), epochs=50, drop_every=10)
    solver, net = training.resolve(Path("solver.prototxt"), Path("runs/tiny"), options)
    # 18 images in batches of 4 are 5 iterations an epoch; 7 test images are 2 batches.
    assert (solver.max_iter, solver.stepsize, solver.test_interval, solver.snapshot) == (250, 50, 5, 5)
    assert list(solver.test_iter) == [2]
    assert solver.snapshot_prefix == "runs/tiny/tiny"
    assert [layer.data_param.source for layer in net.layer[:2]] == ["data/train_lmdb", "data/val_lmdb"]


@pytest.mark.parametrize(("crops", "epoch"), [("five", 3), ("mirrored", 12), ("random", 23), (None, 23)])
def test_an_epoch_is_counted_in_source_images(project, crops, epoch):
    """90 records are 9 images where each has ten, 3 iterations of 4."""
    write_lmdb(project / "built/train_lmdb", 90)
    write_lmdb(project / "built/val_lmdb", 7)
    Path("built/build.json").write_text(json.dumps({"crops": crops}))
    options = training.Options(data=Path("built"), epochs=50, drop_every=10)
    solver, _ = training.resolve(Path("solver.prototxt"), Path("runs/tiny"), options)
    assert (solver.max_iter, solver.stepsize, solver.test_interval) == (50 * epoch, 10 * epoch, epoch)
    assert list(solver.test_iter) == [2]


@pytest.mark.parametrize(("held", "crops"), [("five", "five"), ("five", "centre"), ("centre", "mirrored")])
def test_what_an_lmdb_holds_is_not_cropped_again(project, held, crops):
    Path("data/build.json").write_text(json.dumps({"crops": held}))
    with pytest.raises(UserError, match=f"data/train_lmdb holds crops already; leave --crops {crops} out"):
        training.resolve(Path("solver.prototxt"), Path("runs/x"), training.Options(data=Path("data"), crops=crops))


def test_crops_need_a_size(project):
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace("crop_size: 6", ""))
    with pytest.raises(UserError, match="has no crop_size for the phase TRAIN, so --crops has nothing to cut"):
        training.resolve(Path("solver.prototxt"), Path("runs/x"), training.Options(data=Path("data"), crops="five"))


@pytest.mark.parametrize("content", ["", "[]", '{"crops": []}'])
def test_a_damaged_build_json_is_named(project, content):
    Path("data/build.json").write_text(content)
    with pytest.raises(UserError, match=r"cannot read data/build\.json, which says how the LMDB was built"):
        training.resolve(Path("solver.prototxt"), Path("runs/x"), training.Options(data=Path("data")))


def test_fixed_crops_are_no_matter_of_the_prototxts(project, monkeypatch):
    """What is written to run is the same for all rules; what is trained is not."""
    runs = {}
    for crops in ("random", "five"):
        assert train(monkeypatch, "--out", f"{crops}/tiny", "--iterations", "6", "--crops", crops) == 0
        runs[crops] = project / crops / "tiny"
        card = json.loads((runs[crops] / "tiny.json").read_text())
        assert (card["crops"], card["once"]) == (crops, False)
    written = [(run / "train_val.prototxt").read_text() for run in runs.values()]
    assert written[0] == written[1] and "mirror: true" in written[0]
    assert len({(run / "tiny.caffemodel").read_bytes() for run in runs.values()}) == 2


def test_a_run_keeps_everything_and_learns(project, monkeypatch):
    assert train(monkeypatch, "--out", "runs/tiny", "--epochs", "16", "--drop-every", "12") == 0
    run = project / "runs" / "tiny"
    card = json.loads((run / "tiny.json").read_text())
    assert card["sha256"] == sha256_of(run / "tiny.caffemodel") == sha256_of(run / "tiny_iter_80.caffemodel")
    assert card["transform"] == {"crop_size": 6, "scale": 0.015625, "mean_value": [128.0]}
    assert (card["ancestry"], card["iterations"], card["seed"]) == ([], 80, 3)
    assert card["deploy"] == "net.prototxt"
    assert (run / "curve.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((run / "log.csv").open()))
    assert [row["iteration"] for row in rows] == [str(i) for i in range(81)]
    assert float(rows[0]["lr"]) == 0.005 and float(rows[60]["lr"]) == pytest.approx(0.0005)
    assert float(rows[0]["test_accuracy"]) < 0.6 < float(rows[80]["test_accuracy"])
    assert float(rows[79]["train_loss"]) < 0.7 * float(rows[0]["train_loss"])
    # What real Caffe needs to repeat the run: its own two files, parseable as they stand.
    assert caffe.get_solver(str(run / "solver.prototxt")).param.max_iter == 80


@pytest.mark.parametrize("crops", ["random", "five"])
def test_a_resumed_run_ends_where_the_uninterrupted_one_does(project, monkeypatch, crops):
    assert train(monkeypatch, "--out", "whole/tiny", "--iterations", "12", "--crops", crops) == 0
    assert train(monkeypatch, "--out", "parts/tiny", "--iterations", "7", "--crops", crops) == 0
    assert train(monkeypatch, "--out", "parts/tiny", "--iterations", "12", "--crops", crops, "--resume") == 0
    ours = (project / "whole/tiny/tiny.caffemodel").read_bytes()
    assert (project / "parts/tiny/tiny_iter_7.solverstate").exists()
    assert weights(ours) == weights((project / "parts/tiny/tiny.caffemodel").read_bytes())
    rows = list(csv.DictReader((project / "parts/tiny/log.csv").open()))
    assert [int(row["iteration"]) for row in rows] == list(range(13))  # the curve goes on


def weights(content: bytes) -> list[bytes]:
    """Return the parameters in a .caffemodel, layer by layer."""
    return [blob.SerializeToString() for layer in pb.NetParameter.FromString(content).layer for blob in layer.blobs]


def test_fine_tuning_records_its_ancestry(project, monkeypatch):
    assert train(monkeypatch, "--out", "runs/parent", "--iterations", "2") == 0
    parent = project / "runs/parent/parent.caffemodel"
    assert train(monkeypatch, "--out", "runs/child", "--iterations", "2", "--weights", str(parent)) == 0
    child = project / "runs/child/child.caffemodel"
    assert train(monkeypatch, "--out", "runs/grandchild", "--iterations", "2", "--weights", str(child)) == 0
    card = json.loads((project / "runs/grandchild/grandchild.json").read_text())
    assert card["ancestry"] == [sha256_of(child), sha256_of(parent)]


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (None, ["--solver", "absent.prototxt"], r"no absent\.prototxt"),
        (("solver.prototxt", "net:", "nett:"), [], r"solver\.prototxt does not parse at line:column 2:1 .*nett"),
        (("net.prototxt", "InnerProduct", "InerProduct"), [], r"layer 'fc6' has the unknown type 'InerProduct'"),
        (("net.prototxt", "num_output: 8", "num_outputs: 8"), [], r"num_outputs"),
        (("net.prototxt", 'bottom: "fc6"', 'bottom: "fc5"'), [], r"reads the bottom 'fc5'"),
        (("net.prototxt", "crop_size: 6", "crop_size: 60"), [], r"crop_size 60 is larger than the image, 8×8"),
        (("net.prototxt", "num_output: 7", "num_output: 4"), [], r"4 classes but meets the labels 0 to"),
        (("solver.prototxt", '"step"', '"stop"'), [], r"lr_policy 'stop' is unknown"),
        (None, ["--data", "absent"], r"no LMDB at absent/train_lmdb; build it"),
        (None, ["--epochs", "0"], r"--epochs must be above 0, not 0"),
        (None, ["--drop-every", "-1"], r"--drop-every must be above 0, not -1"),
        (None, ["--weights", "absent.caffemodel"], r"cannot read the model absent\.caffemodel"),
        (None, ["--weights", "net.prototxt"], r"net\.prototxt is truncated or no NetParameter file"),
        (None, ["--snapshot", "absent.solverstate"], r"cannot read the solver state absent\.solverstate"),
    ],
)
def test_mistakes_end_with_one_line_and_status_2(project, monkeypatch, capsys, change, arguments, said):
    if change:
        path, old, new = change
        Path(path).write_text(Path(path).read_text().replace(old, new))
    assert train(monkeypatch, "--out", "runs/tiny", "--iterations", "4", *arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and re.search(said, lines[0])
    assert not list(project.glob("runs/**/*.caffemodel"))


def test_an_earlier_run_is_not_overwritten_unasked(project, monkeypatch, capsys):
    assert train(monkeypatch, "--out", "runs/tiny", "--iterations", "2") == 0
    assert train(monkeypatch, "--out", "runs/tiny", "--iterations", "4") == 2
    assert "--resume" in capsys.readouterr().err


def test_weights_of_other_shapes_are_refused(project, monkeypatch, capsys):
    assert train(monkeypatch, "--out", "runs/tiny", "--iterations", "2") == 0
    Path("net.prototxt").write_text(NET.format(classes=6))
    assert train(monkeypatch, "--out", "runs/b", "--iterations", "2", "--weights", "runs/tiny/tiny.caffemodel") == 2
    assert "parameter 0 of layer 'fc7' is (7, 8)" in capsys.readouterr().err


def test_a_net_without_training_data_is_named(project):
    Path("net.prototxt").write_text('name: "empty"')
    with pytest.raises(UserError, match="no Data layer for the phase TRAIN"):
        training.resolve(Path("solver.prototxt"), Path("runs/x"), training.Options())
