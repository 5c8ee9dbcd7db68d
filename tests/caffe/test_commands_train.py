"""`train`: a small LeNet trained, resumed and fine-tuned, its log, and signals in a process of its own."""

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.caffe.__main__ import main
from pydeepexpr.caffe.commands import COMMANDS
from pydeepexpr.caffe.launching import launch
from pydeepexpr.caffe.readers import read_model
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import HEAD, data, fc, files, snapshot_files

train = import_module("pydeepexpr.caffe.commands.train")

LENET = (
    """layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }\n"""
    + fc("one", "pool", 8)
    + 'layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }\n'
    + fc("two", "one", 13)
)
SOLVER = 'momentum: 0.9 lr_policy: "step" gamma: 0.5 stepsize: 6 solver_mode: CPU '


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def lenet(tmp_path, image_lmdb):
    """Return a function that writes the net and a solver's text, and returns the solver's path."""

    def write(text="", name="solver", net=LENET + HEAD, rate=0.05, seed=3):
        (tmp_path / "net.prototxt").write_text(data(image_lmdb) + net)
        path = tmp_path / f"{name}.prototxt"
        path.write_text(
            f'net: "{tmp_path}/net.prototxt" snapshot_prefix: "{tmp_path}/out/{name}" '
            f"base_lr: {rate} random_seed: {seed} {SOLVER}{text}"
        )
        return str(path)

    return write


@pytest.fixture
def said(capsys):
    """A function that returns the messages in the log since it was last called, without glog's heads."""
    return lambda: [line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]


def parameters(path):
    return [np.array(blob.data, np.float32) for layer in read_model(path).layer for blob in layer.blobs]


def same(one, other):
    return len(one) == len(other) and all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_training_and_its_log(lenet, tmp_path, capsys):
    # read by the expressions of Caffe's tools/extra/parse_log.py
    main(["train", "--solver", lenet("max_iter: 6 display: 2 snapshot: 4 test_iter: 2 test_interval: 3")])
    text = capsys.readouterr().err
    assert files(tmp_path / "out") == snapshot_files("solver", 4, 6)
    described, log = text.split("Creating training net from ", 1)
    assert "momentum: 0.9\n" in described and "Use CPU." in described
    for line in log.splitlines()[1:]:
        head = re.match(r"I(\d{4} \d\d:\d\d:\d\d\.\d{6}) +\d+ \w+\.py:\d+\] ", line)
        datetime.strptime(f"2024{head[1]}", "%Y%m%d %H:%M:%S.%f")
    iterations = [int(found) for found in re.findall(r"Iteration (\d+) \(", log)]
    rates = [float(found) for found, _ in re.findall(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)", log)]
    assert iterations == [0, 2, 4] and rates == [0.05, 0.05, 0.05]
    trained = re.findall(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)", log)
    tested = re.findall(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)", log)
    assert [row[:2] for row in trained] == [("0", "loss")] * 3
    assert [row[:2] for row in tested] == [("0", "acc"), ("1", "loss")] * 3
    assert float(tested[-1][2]) < float(tested[1][2])
    assert re.search(r"Starting Optimization\n.*Solving \n.*Learning Rate Policy: step\n", log)
    assert log.count("Optimization Done.") == 2 and log.rstrip().endswith("Optimization Done.")  # solver's, command's


def test_resumed_it_ends_as_uninterrupted(lenet, tmp_path, said):
    main(["train", "-solver", lenet("max_iter: 8 snapshot: 5", "whole")])
    said()
    main(["train", f"-solver={lenet('max_iter: 8', 'resumed')}", f"-snapshot={tmp_path}/out/whole_iter_5.solverstate"])
    lines = said()
    assert f"Resuming from {tmp_path}/out/whole_iter_5.solverstate" in lines
    whole, resumed = (parameters(tmp_path / "out" / f"{name}_iter_8.caffemodel") for name in ("whole", "resumed"))
    assert same(whole, resumed) and len(whole) == 6


def test_weights_are_where_it_begins(lenet, tmp_path, said):
    main(["train", "-solver", lenet("max_iter: 3", "first")])
    first = tmp_path / "out" / "first_iter_3.caffemodel"
    main(["train", "-solver", lenet("max_iter: 1", "tuned", rate=0), "-weights", str(first)])
    assert f"Finetuning from {first}" in said()
    assert same(parameters(first), parameters(tmp_path / "out" / "tuned_iter_1.caffemodel"))


def test_several_weights_one_after_another_in_the_place_of_the_solvers_own(lenet, tmp_path, said):
    for seed, name in ((1, "a"), (2, "b")):
        main(["train", "-solver", lenet("max_iter: 1", name, seed=seed)])
    a, b = (str(tmp_path / "out" / f"{name}_iter_1.caffemodel") for name in "ab")
    said()
    main(["train", "-solver", lenet('weights: "none" max_iter: 1', "c", rate=0), "-weights", f"{a},{b}"])
    assert [line for line in said() if "Finetuning" in line] == [f"Finetuning from {a}", f"Finetuning from {b}"]
    assert same(parameters(b), parameters(tmp_path / "out" / "c_iter_1.caffemodel"))
    state = a.replace(".caffemodel", ".solverstate")
    main(["train", "-solver", lenet('weights: "none" max_iter: 2', "d"), "-snapshot", state])
    assert not any("Finetuning" in line for line in said())  # the snapshot counts


def test_level_and_stages_are_the_training_nets(lenet, tmp_path, said):
    # get_stages_from_flags: added to the solver's own; a test net's are those of test_state
    rules = {"deep": "min_level: 2", "a": 'stage: "a"', "b": 'stage: "b" stage: "own"'}
    extra = "".join(
        f'layer {{ name: "{name}" type: "Power" bottom: "two" top: "{name}" include {{ {rule} }} }}\n'
        for name, rule in rules.items()
    )
    solver = lenet('max_iter: 1 test_iter: 1 test_interval: 1 train_state { stage: "own" }', net=LENET + extra + HEAD)
    main(["train", "-solver", solver])
    assert [layer.name for layer in read_model(tmp_path / "out" / "solver_iter_1.caffemodel").layer][-1] == "loss"
    main(["train", "-solver", solver, "-level", "2", "-stage", "a,b"])
    names = [layer.name for layer in read_model(tmp_path / "out" / "solver_iter_1.caffemodel").layer]
    assert {"deep", "a", "b"} <= set(names)
    assert not any("deep" in line for line in said() if "Test net output" in line)


def test_a_solver_for_a_gpu_trains_on_the_cpu_and_says_so(lenet, tmp_path, said):
    path = lenet("max_iter: 1")
    text = (tmp_path / "solver.prototxt").read_text()
    (tmp_path / "solver.prototxt").write_text(text.replace("solver_mode: CPU", "solver_mode: GPU device_id: 1"))
    main(["train", "-solver", path])
    lines = said()
    assert "The solver's mode is GPU, but PyTorch sees no CUDA device." in lines and "Use CPU." in lines
    with pytest.raises(UserError, match="GPU 0 is asked for, but PyTorch sees no CUDA device"):
        main(["train", "-solver", path, "-gpu", "0"])


def test_old_solvers_train(lenet, tmp_path, said):
    main(["train", "-solver", lenet("max_iter: 1 solver_type: NESTEROV")])
    assert any("from deprecated solver_type" in line for line in said())
    assert files(tmp_path / "out") == snapshot_files("solver", 1)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("-weights none.caffemodel", r"cannot read the model none\.caffemodel"),
        ("-snapshot none.solverstate", r"cannot read the solver state none\.solverstate"),
        ("-snapshot net.prototxt", "truncated or no SolverState|is no solver state"),
        ("-weights solver.prototxt", "truncated or no NetParameter|holds no layers"),
    ],
)
def test_what_it_cannot_begin_with(lenet, tmp_path, monkeypatch, flags, said):
    solver = lenet("max_iter: 1")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        main(["train", "-solver", solver, *flags.split()])
    assert files(tmp_path / "out") == []


def test_the_log_on_request_in_a_file_and_only_from_a_level_on(lenet, tmp_path, capsys):
    (tmp_path / "log").mkdir()
    main(["train", "-solver", lenet("max_iter: 1"), "-log_dir", str(tmp_path / "log"), "-alsologtostderr"])
    (path,) = (tmp_path / "log").iterdir()
    assert path.name.startswith("train.") and ".log.INFO." in path.name
    assert path.read_text() == capsys.readouterr().err
    main(["train", "-solver", lenet("max_iter: 1"), "-minloglevel=1", "--logtostderr=1"])
    assert capsys.readouterr().err == ""
    assert caffe.log("") is None and capsys.readouterr().err == ""


# Several processes


def test_several_gpus_are_a_process_each(lenet, monkeypatch, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    asked = []
    monkeypatch.setattr(train, "launch", lambda work, count: asked.append((work, count)) or 4)
    flags = ["-solver", lenet(), "-weights", "a,b", "-iterations", "7"]
    assert main(["train", *flags, "-gpu", "0,2"]) == 4
    assert said() == ["Using GPUs 0, 2"]
    work, count = asked[0]
    (given,) = pickle.loads(pickle.dumps(work)).args
    assert count == 2 and (given.gpu, given.weights, given.iterations) == ("0,2", "a,b", 7)
    main(["train", *flags, "-gpu", "all"])
    assert asked[1][1] == 3


@pytest.mark.slow
def test_layers_in_python_find_the_engine_as_caffe(lenet, tmp_path, said, monkeypatch):
    # Caffe's own binary runs such layers; two processes that train together do too
    (tmp_path / "halving.py").write_text(
        "import caffe\n"
        "class Half(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)\n"
        "    def forward(self, bottom, top): top[0].data[...] = bottom[0].data / 2\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    half = 'layer { name: "half" type: "Python" bottom: "data" top: "half" PARAM }'
    half = half.replace("PARAM", "python_param { module: 'halving' layer: 'Half' }")
    solver = lenet("max_iter: 2", net=half + LENET.replace('bottom: "data"', 'bottom: "half"') + HEAD)
    assert main(["train", "-solver", solver]) is None
    alone = parameters(tmp_path / "out" / "solver_iter_2.caffemodel")
    assert launch(partial(train._beside_others, COMMANDS["train"].parse(["-solver", solver])[0]), 2) == 0
    assert not same(alone, parameters(tmp_path / "out" / "solver_iter_2.caffemodel"))  # a double batch
    said()
    model = ["-model", str(tmp_path / "net.prototxt"), "-iterations", "1"]
    main(["time", *model])
    assert any(line.startswith("      half\tbackward: ") for line in said())
    main(["test", *model, "-weights", str(tmp_path / "out" / "solver_iter_2.caffemodel")])
    assert said()[-1].startswith("loss = ")


@pytest.mark.slow
def test_two_processes_train_as_one_with_a_double_batch(lenet, tmp_path, image_lmdb, capfd):
    # on the CPU, as torchrun or -gpu starts them
    flags = COMMANDS["train"].parse(["-solver", lenet("max_iter: 3 display: 1", "two")])[0]
    assert launch(partial(train._beside_others, flags), 2) == 0
    log = capfd.readouterr().err
    assert len(re.findall(r"Iteration \d \(", log)) == 3 and log.count("Optimization Done.") == 2  # of one
    net, solver = tmp_path / "net.prototxt", lenet("max_iter: 3", "one")
    net.write_text(net.read_text().replace("batch_size: 4", "batch_size: 8"))
    main(["train", "-solver", solver])
    for one, two in zip(
        *(parameters(tmp_path / "out" / f"{name}_iter_3.caffemodel") for name in ("one", "two")), strict=True
    ):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


# Signals


@pytest.fixture
def started(lenet, tmp_path):
    """Return a function that starts a long training and, after some iterations, returns its process."""
    processes = []

    def start(*flags):
        solver = lenet("max_iter: 10000000 display: 1")
        command = [sys.executable, "-m", "pydeepexpr.caffe", "train", "-solver", solver, *flags]
        with open(tmp_path / "log", "w") as log:
            processes.append(subprocess.Popen(command, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}))
        wait_for(lambda: "Iteration 3 (" in (tmp_path / "log").read_text())
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_for(condition):
    end = time.monotonic() + 300  # for machines under load
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.02)


def goes_on(folder):
    """Whether a training goes on, from now."""
    count = len((folder / "log").read_text().splitlines())
    wait_for(lambda: len((folder / "log").read_text().splitlines()) > count + 20)
    return True


def test_a_hangup_takes_a_snapshot_and_ctrl_c_stops(started, tmp_path):
    process = started()
    os.kill(process.pid, signal.SIGHUP)
    wait_for(lambda: len(files(tmp_path / "out")) == 3)
    assert goes_on(tmp_path)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(300) == 0
    # caffe.cpp says that it is done after a stop too
    assert re.search(r"Optimization stopped early\.\n.*Optimization Done\.\n$", (tmp_path / "log").read_text())
    found = {int(re.search(r"_iter_(\d+)\.", name)[1]) for name in files(tmp_path / "out")}
    assert len(found) == 2 and files(tmp_path / "out") == sorted(snapshot_files("solver", *found))


def test_signals_as_told(started, tmp_path):
    process = started("-sigint_effect=none", "-sighup_effect", "stop")
    os.kill(process.pid, signal.SIGINT)
    assert goes_on(tmp_path) and files(tmp_path / "out") == []
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait(300) == 0 and len(files(tmp_path / "out")) == 3


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("", ("stop", "snapshot")),
        ("-sigint_effect snapshot", ("snapshot", "snapshot")),
        ("-sigint_effect=none --sighup_effect none", ("none", "none")),
        ("-sigint_effect stop -sighup_effect stop", ("stop", "stop")),
    ],
)
def test_what_signals_will_ask_for(lenet, monkeypatch, flags, wanted):
    seen = []
    monkeypatch.setattr(caffe.Solver, "solve", lambda solver, resume: seen.append(solver.signal_effects))
    main(["train", "-solver", lenet(), *flags.split()])
    assert [(effects[signal.SIGINT], effects[signal.SIGHUP]) for effects in seen] == [wanted]
