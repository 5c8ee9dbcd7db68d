"""A training that was stopped and goes on: bit for bit the uninterrupted one, data and random choices included."""

import json
import re
import signal

import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.caffe.resume import Place, Resume, read_resume, resume_path, write_resume
from pydeepexpr.errors import UserError
from tests.caffe.conftest import raw_datum
from tests.caffe.solver_texts import (
    DROPPED,
    FIXED,
    HEAD,
    KINDS,
    PLAIN,
    SETTINGS,
    assert_same,
    data,
    histories,
    parameters,
)

#: Random crops and mirrors while training; mirrors in the tests too, whose two nets read batches of different sizes.
CROPPED = "crop_size: 8 mirror: true"


def whole_net(source):
    phases = (
        data(source, 4, CROPPED, "include { phase: TRAIN }")
        + data(source, 3, CROPPED, 'include { phase: TEST not_stage: "two" }')
        + data(source, 5, CROPPED, 'include { phase: TEST stage: "two" }')
    )
    return phases + DROPPED + HEAD


TESTS = 'test_iter: 2 test_iter: 1 test_interval: 7 test_state { } test_state { stage: "two" } '


def told(lines):
    """Return the log's messages from the restored iteration on, without what time it was."""
    messages = [re.sub(r" \(\S+ iter/s, \S+/\d+ iters\)", "", line.split("] ", 1)[1]) for line in lines]
    return [message for message in messages if re.match(r" +T(rain|est) net|Iteration|MultiStep", message)]


@pytest.mark.parametrize(("snapshot_format", "seed"), [("BINARYPROTO", ""), ("HDF5", "random_seed: 7")])
@pytest.mark.parametrize("kind", KINDS)
def test_20_iterations_and_10_more_are_30(make_solver, image_lmdb, tmp_path, logged, kind, snapshot_format, seed):
    text = f"""{SETTINGS[kind]} lr_policy: "multistep" gamma: 0.5 stepvalue: 12 stepvalue: 25 weight_decay: 0.01
      type: "{kind}" {seed} {TESTS} display: 3 average_loss: 5 iter_size: 2 max_iter: 30
      snapshot_format: {snapshot_format} """
    net = whole_net(image_lmdb)
    whole = make_solver(text + "snapshot: 20", net, "whole")
    whole.solve()
    lines = logged()
    after = next(i for i, line in enumerate(lines) if "Snapshotting solver state" in line) + 1
    wanted = told(lines[after:])
    torch.seed()  # as a fresh process
    resumed = make_solver(text, net, "resumed")
    resumed.step(3)  # what it has done before does not matter
    before = len(logged())
    ending = ".h5" if snapshot_format == "HDF5" else ""
    resumed.solve(tmp_path / "out" / f"whole_iter_20.solverstate{ending}")
    assert resumed.iter == 30
    assert_same(parameters(whole), parameters(resumed))
    for one, other in zip(histories(whole), histories(resumed), strict=True):
        assert one.any()
        np.testing.assert_array_equal(one, other)
    assert told(logged()[before:]) == wanted and any("Test net output" in message for message in wanted)


@pytest.mark.parametrize("crops", ["random", "five"])
def test_a_snapshot_of_a_resumed_training_is_the_one_of_the_whole(make_solver, image_lmdb, tmp_path, crops):
    caffe.set_crops(crops)
    net = whole_net(image_lmdb)
    text = FIXED + f"momentum: 0.9 {TESTS}"
    whole = make_solver(text, net, "whole")
    whole.step(8)
    whole.snapshot()
    whole.step(8)
    whole.snapshot()
    resumed = make_solver(text, net, "resumed")
    resumed.restore(tmp_path / "out" / "whole_iter_8.solverstate")
    resumed.step(8)
    resumed.snapshot()
    for kind in ("caffemodel", "resume.json"):
        one, other = ((tmp_path / "out" / f"{prefix}_iter_16.{kind}").read_bytes() for prefix in ("whole", "resumed"))
        assert one == other


def test_batches_that_the_user_took_are_not_given_again(make_solver, image_lmdb, tmp_path):
    solver = make_solver(FIXED + "snapshot_after_train: false")
    solver.step(2)
    solver.net.forward()
    solver.net._forward(0, 3)
    solver.snapshot()
    labels = solver.net.forward(["label"])["label"].copy()
    resumed = make_solver(FIXED)
    resumed.restore(tmp_path / "out" / "s_iter_2.solverstate")
    np.testing.assert_array_equal(resumed.net.forward(["label"])["label"], labels)


@pytest.mark.parametrize("iter_size", [1, 3])
def test_without_the_file_the_iteration_says_where_in_the_data_it_is(make_solver, tmp_path, iter_size):
    solver = make_solver(FIXED + f"iter_size: {iter_size} test_iter: 1 test_interval: 1")
    solver.step(3)
    solver.snapshot()
    labels = solver.net.forward(["label"])["label"].copy()
    (tmp_path / "out" / "s_iter_3.resume.json").unlink()
    resumed = make_solver(FIXED + f"iter_size: {iter_size}")
    resumed.restore(tmp_path / "out" / "s_iter_3.solverstate")
    np.testing.assert_array_equal(resumed.net.forward(["label"])["label"], labels)


def test_the_solvers_own_seed_goes_before_the_recorded_one(make_solver, image_lmdb, tmp_path):
    net = whole_net(image_lmdb)
    make_solver(FIXED + "max_iter: 2", net).solve()
    trained = []
    for seed in ("random_seed: 1", "random_seed: 2", "", ""):
        solver = make_solver(FIXED + seed, net)
        solver.restore(tmp_path / "out" / "s_iter_2.solverstate")
        solver.step(2)
        trained.append(parameters(solver))
    assert_same(trained[2], trained[3])
    assert len({values["one/0"].tobytes() for values in trained}) == 3


def test_unseeded_solvers_draw_differently(make_solver, image_lmdb):
    seeds = {make_solver(FIXED).seed for _ in range(3)}
    assert len(seeds) == 3


def test_a_recurrent_layers_state_goes_on(make_solver, tmp_path):
    net = """
      layer { name: "in" type: "DummyData" top: "x" top: "cont" top: "target" dummy_data_param {
        shape { dim: 3 dim: 2 dim: 4 } shape { dim: 3 dim: 2 } shape { dim: 3 dim: 2 dim: 5 }
        data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } data_filler { type: "uniform" } } }
      layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 5
        weight_filler { type: "gaussian" std: 0.5 } } }
      layer { name: "loss" type: "EuclideanLoss" bottom: "h" bottom: "target" top: "loss" }"""
    text = FIXED + "test_iter: 1 test_interval: 2"
    whole = make_solver(text, net)
    whole.step(3)
    whole.snapshot()
    whole.step(4)
    torch.seed()  # as a fresh process
    resumed = make_solver(text, net)
    resumed.restore(tmp_path / "out" / "s_iter_3.solverstate")
    resumed.step(4)
    assert_same(parameters(whole), parameters(resumed))
    for one, other in zip((whole.net, *whole.test_nets), (resumed.net, *resumed.test_nets), strict=True):
        np.testing.assert_array_equal(one.blobs["h"].data, other.blobs["h"].data)


@pytest.mark.parametrize("effect", ["stop", "snapshot"])
def test_signals_during_a_test_lose_nothing_of_it(make_solver, image_lmdb, tmp_path, logged, effect):
    text = FIXED + f"max_iter: 20 {TESTS}"
    net = whole_net(image_lmdb)
    whole = make_solver(text, net, "whole")
    whole.signal_effects = {signal.SIGHUP: effect}
    taken = whole.test_nets[0].forward_range

    def interrupted(first, last):
        if whole.iter == 14:
            signal.raise_signal(signal.SIGHUP)
        return taken(first, last)

    whole.test_nets[0].forward_range = interrupted
    whole.solve()
    assert whole.iter == (14 if effect == "stop" else 20)
    assert any("Test interrupted." in line for line in logged()) == (effect == "stop")
    state = tmp_path / "out" / "whole_iter_14.solverstate"
    resumed = [make_solver(text, net, f"resumed{n}") for n in range(2)]
    told_by = []
    for solver in resumed:
        before = len(logged())
        solver.solve(state)
        told_by.append(told(logged()[before:]))
    wanted = make_solver(text, net, "wanted")
    wanted.restore(state)
    for test_net, place in zip(wanted.test_nets, (4, 2), strict=True):
        assert test_net.place().passes == place  # two tests were done: at 0 and 7
    assert told_by[0] == told_by[1]
    if effect == "snapshot":
        assert_same(parameters(whole), parameters(resumed[0]))
        lines = told(logged())
        assert lines[lines.index("Iteration 14, Testing net (#0)") :][: len(told_by[0])] == told_by[0]


# The file


def test_what_the_file_says(make_solver, image_lmdb, tmp_path):
    solver = make_solver(FIXED + TESTS + "iter_size: 2 average_loss: 3", whole_net(image_lmdb))
    solver.step(8)
    solver.snapshot()
    held = json.loads((tmp_path / "out" / "s_iter_8.resume.json").read_text())
    assert held["iter"] == 8 and held["seed"] == solver.seed and len(held["losses"]) == 3
    assert [net["passes"] for net in held["nets"]] == [16, 4, 2]  # tests at 0 and 7


def test_a_file_comes_back_as_it_was(tmp_path):
    states = [[np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 3], []]
    resume = Resume(5, 2**40, [Place(3, states), Place(0)], [1 / 3, float("inf")])
    write_resume(tmp_path / "r.json", resume)
    back = read_resume(tmp_path / "r.json", 5)
    assert (back.seed, back.losses, back.places[1]) == (2**40, [1 / 3, float("inf")], Place(0))
    assert back.places[0].passes == 3 and len(back.places[0].states) == 2
    np.testing.assert_array_equal(back.places[0].states[0][0], states[0][0])


@pytest.mark.parametrize(
    ("state", "path"),
    [
        ("a/p_iter_3.solverstate", "a/p_iter_3.resume.json"),
        ("p_iter_3.solverstate.h5", "p_iter_3.resume.json"),
        ("renamed", "renamed.resume.json"),
    ],
)
def test_where_the_file_is(state, path):
    assert resume_path(state) == path


STATE = '{"shape": [1], "float32": "AAAAAA=="}'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is damaged .*take it away to resume without it"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("null", "is damaged"),
        ("\x00\xff", "is damaged"),
        ("[" * 100000, "is damaged"),
        ('{"iter": 2}', "is damaged"),
        ('{"iter": 2, "seed": -1, "nets": [], "losses": []}', "-1 is no count"),
        ('{"iter": 2, "seed": 1.5, "nets": [], "losses": []}', "1.5 is no count"),
        ('{"iter": 2, "seed": 1, "nets": [{"passes": -3, "states": []}], "losses": []}', "-3 is no count"),
        ('{"iter": 2, "seed": 1, "nets": [{"passes": 3}], "losses": []}', "is damaged"),
        ('{"iter": 2, "seed": 1, "nets": 5, "losses": []}', "is damaged"),
        ('{"iter": 2, "seed": 1, "nets": [], "losses": ["x"]}', "is damaged"),
        ('{"iter": "x", "seed": 1, "nets": [], "losses": []}', "is damaged"),
        (
            '{"iter": 2, "seed": 1, "nets": [{"passes": 1, "states": [[STATE]]}], "losses": []}'.replace(
                "STATE", STATE.replace("[1]", "[2]")
            ),
            "is damaged",
        ),
        (
            '{"iter": 2, "seed": 1, "nets": [{"passes": 1, "states": [[STATE]]}], "losses": []}'.replace(
                "STATE", STATE.replace("AAAAAA==", "%")
            ),
            "is damaged",
        ),
        ('{"iter": 3, "seed": 1, "nets": [], "losses": []}', "is of iteration 3, its state of 2; take it away"),
    ],
)
def test_files_that_are_damaged(make_solver, tmp_path, content, said):
    solver = make_solver(FIXED + "max_iter: 2")
    solver.solve()
    path = tmp_path / "out" / "s_iter_2.resume.json"
    path.write_text(content, encoding="latin-1")
    other = make_solver(FIXED)
    before = parameters(other)
    with pytest.raises(UserError, match=said) as error:
        other.restore(tmp_path / "out" / "s_iter_2.solverstate")
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    assert other.iter == 0
    assert_same(parameters(other), before)


@pytest.mark.parametrize("nets", [0, 1, 5])
def test_a_solver_with_other_test_nets_goes_on_with_those_it_has(make_solver, tmp_path, nets):
    solver = make_solver(FIXED + "test_iter: 1 test_interval: 1 test_iter: 1 max_iter: 2")
    solver.solve()
    more = "test_interval: 1 " + "test_iter: 1 " * nets if nets else ""
    other = make_solver(FIXED + more)
    other.restore(tmp_path / "out" / "s_iter_2.solverstate")
    assert [net.place().passes for net in other.test_nets] == ([2] * 2 + [0] * 3)[:nets]


def test_plain_nets_resume_where_records_are_few(make_solver, make_lmdb, images, tmp_path):
    # 13 records in batches of 5: the batches' borders move from pass to pass
    source = make_lmdb([raw_datum(image, label) for label, image in enumerate(images)], "few")
    net = data(source, 5) + PLAIN + HEAD
    whole = make_solver(FIXED + "snapshot: 4 max_iter: 9", net)
    whole.solve()
    resumed = make_solver(FIXED + "max_iter: 9", net)
    resumed.solve(tmp_path / "out" / "s_iter_4.solverstate")
    assert_same(parameters(whole), parameters(resumed))
