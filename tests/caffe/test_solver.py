"""The training loop: tests, the log, callbacks, stopping, and solvers that cannot be."""

import os
import re
import signal
import threading
from datetime import datetime

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.interrupt import signal_effects
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import (
    FIXED,
    KINDS,
    SETTINGS,
    assert_same,
    data,
    fc,
    files,
    parameters,
    snapshot_files,
)

# Tests while training


def test_test_all_averages_the_outputs_over_test_iter_batches(make_solver, image_lmdb):
    solver = make_solver(FIXED + "test_iter: 3 test_interval: 100 random_seed: 1")
    solver.step(2)
    (means,) = solver.test_all()
    net = solver.test_nets[0]
    net.layers[0].skip_to(3)  # the first three batches were those of the test at iteration 0
    batches = [{name: float(value) for name, value in net.forward().items()} for _ in range(3)]
    assert means.keys() == {"acc", "loss"}
    for name, mean in means.items():
        assert float(mean) == pytest.approx(np.mean([batch[name] for batch in batches]), rel=1e-6)
    assert len({batch["loss"] for batch in batches}) == 3


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("test_interval: 2", [0, 2, 4]),
        ("test_interval: 2 test_initialization: false", [2, 4]),
        ("test_interval: 5", [0, 5]),
        ("test_interval: 4", [0, 4]),
        ("test_interval: 100 test_initialization: false", []),
        ("", []),
    ],
)
def test_when_it_tests(make_solver, logged, more, wanted):
    # Solver::Step tests before an iteration, Solver::Solve once more after the last where the interval divides it
    make_solver(FIXED + f"max_iter: 5 test_iter: 1 {more}").solve()
    assert [int(n) for n in re.findall(r"Iteration (\d+), Testing net \(#0\)", "\n".join(logged()))] == wanted


def test_test_nets_follow_the_training_nets_parameters(make_solver):
    solver = make_solver(FIXED + "test_iter: 1 test_interval: 1")
    solver.step(1)
    solver.net.params["one"][0].data[...] = 3
    assert (solver.test_nets[0].params["one"][0].data == 3).all()


def test_the_tests_loss_on_request(make_solver, logged):
    solver = make_solver(FIXED + "test_iter: 2 test_interval: 1 test_compute_loss: true")
    (means,) = solver.test_all()
    (line,) = (line for line in logged() if "Test loss" in line)
    assert float(line.split("Test loss: ")[1]) == pytest.approx(float(means["loss"]), rel=1e-4)


# The log


#: The expressions of Caffe's tools/extra/parse_log.py.
ITERATION = re.compile(r"Iteration (\d+)")
TRAIN_OUTPUT = re.compile(r"Train net output #(\d+): (\S+) = ([\.\deE+-]+)")
TEST_OUTPUT = re.compile(r"Test net output #(\d+): (\S+) = ([\.\deE+-]+)")
RATE = re.compile(r"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)")


def test_caffes_own_log_parser_reads_the_log(make_solver, logged):
    solver = make_solver(
        'base_lr: 1e-05 lr_policy: "step" gamma: 0.1 stepsize: 4 display: 2 max_iter: 6 test_iter: 1 test_interval: 3 '
        "snapshot_after_train: false"
    )
    losses = []
    solver.add_callback(lambda: None, lambda: losses.append(float(solver.net.blobs["loss"].data)))
    solver.solve()
    lines, iteration = logged(), None
    rates, trained, tested = {}, {}, {}
    for line in lines:
        # extract_seconds.extract_datetime_from_line: I0102 03:04:05.678901 …
        words = line.split()
        assert re.match(r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ \w+\.py:\d+\] ", line)
        datetime.strptime(f"2024{words[0][1:]} {words[1]}", "%Y%m%d %H:%M:%S.%f")
        if found := ITERATION.search(line):
            iteration = int(found[1])
        if found := RATE.search(line):
            rates[iteration] = float(found[1])
        for kind, into in ((TRAIN_OUTPUT, trained), (TEST_OUTPUT, tested)):
            if found := kind.search(line):
                into.setdefault(iteration, {})[found[2]] = float(found[3])
    assert rates == {0: 1e-05, 2: 1e-05, 4: pytest.approx(1e-06)}
    assert {n: row["loss"] for n, row in trained.items()} == {n: pytest.approx(losses[n], rel=1e-5) for n in (0, 2, 4)}
    assert set(tested) == {0, 3, 6} and all(row.keys() == {"acc", "loss"} for row in tested.values())
    text = "\n".join(lines)
    for fixed in ("Solving ", "Learning Rate Policy: step", "Optimization Done.", "Iteration 6, loss = "):
        assert fixed in text
    assert re.search(r"Iteration 2 \(\S+ iter/s, \S+s/2 iters\), loss = ", text)
    assert re.search(r"Train net output #0: loss = (\S+) \(\* 1 = \1 loss\)", text)
    assert re.search(r"Test net output #0: acc = \S+$", text, re.MULTILINE)
    assert re.search(r"Test net output #1: loss = ", text)


def test_steps_of_the_rate_are_logged(make_solver, logged):
    # SGDSolver::GetLearningRate: one step an iteration, however many values have been passed
    text = 'base_lr: 1 lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 2 stepvalue: 5 display: 1'
    make_solver(text).step(6)
    text = "\n".join(logged())
    steps = re.findall(r"MultiStep Status: Iteration (\d+), step = (\d)", text)
    assert steps == [("2", "1"), ("3", "2"), ("5", "3")]
    assert [float(rate) for rate in re.findall(r"lr = (\S+)", text)] == [1, 1, 0.1, 0.01, 0.01, 0.001]


def test_debug_info_tells_what_each_update_did(make_solver, image_lmdb, logged):
    # Net::UpdateDebugInfo: mean absolute values before the update and of it; a shared parameter has an owner
    shared = [fc(name, "one", 13).replace("lr_mult: 1", f'name: "w{name}" lr_mult: 1') for name in ("two", "too")]
    losses = [
        f'layer {{ name: "loss_{name}" type: "SoftmaxWithLoss" bottom: "{name}" bottom: "label" top: "loss_{name}" }}'
        for name in ("two", "too")
    ]
    net = data(image_lmdb) + fc("one", "data", 8) + "".join(shared).replace("wtoo", "wtwo") + "".join(losses)
    solver = make_solver(FIXED + "display: 2 debug_info: true random_seed: 1", net)
    before = parameters(solver)
    solver.step(1)
    after = parameters(solver)
    line = re.compile(r"\] {5}\[Update\] Layer (\S+), param (\S+) data: (\S+); diff: (\S+)$")
    updates = {f"{found[1]}/{found[2]}": (found[3], found[4]) for found in map(line.search, logged()) if found}
    assert updates.keys() == {"one/0", "one/1", "two/wtwo", "two/1", "too/1"}
    for name, (mean, taken) in updates.items():
        name = name.replace("wtwo", "0")
        assert float(mean) == pytest.approx(np.abs(before[name]).mean(), rel=1e-4, abs=1e-12)
        assert float(taken) == pytest.approx(np.abs(before[name] - after[name]).mean(), rel=1e-3)
    (owned,) = (line for line in logged() if "owned" in line)
    assert re.search(
        rf"Layer too, param blob wtwo \(owned by layer two, param wtwo\) diff: {updates['two/wtwo'][1]}$", owned
    )
    assert any("[Forward]" in line for line in logged()) and any("[Backward]" in line for line in logged())
    told = len(logged())
    solver.step(1)
    assert not any("[Update]" in line or "[Backward]" in line for line in logged()[told:])


@pytest.mark.parametrize("window", [1, 3, 10])
def test_the_displayed_loss_is_the_mean_of_the_last_few(make_solver, logged, window):
    solver = make_solver(FIXED + f"display: 1 average_loss: {window}")
    losses = []
    solver.add_callback(lambda: None, lambda: losses.append(float(solver.net.blobs["loss"].data)))
    solver.step(6)
    shown = [float(number) for number in re.findall(r"iters\), loss = (\S+)", "\n".join(logged()))]
    assert shown == [pytest.approx(np.mean(losses[max(n - window, 0) : n]), rel=1e-5) for n in range(1, 7)]


# Stopping


def interrupt_at(solver, iteration, number=signal.SIGINT):
    def gradients_ready():
        if solver.iter == iteration:
            os.kill(os.getpid(), number)

    solver.add_callback(lambda: None, gradients_ready)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_iteration_takes_a_snapshot_and_stops(make_solver, tmp_path, logged, number):
    text = FIXED + "momentum: 0.9 max_iter: 8 random_seed: 2"
    before = signal.getsignal(number)
    whole = make_solver(text, prefix="whole")
    whole.solve()
    stopped = make_solver(text, prefix="stopped")
    interrupt_at(stopped, 3, number)
    stopped.solve()
    assert stopped.iter == 4 and "Optimization stopped early." in logged()[-1]
    assert "stopped_iter_4.solverstate" in files(tmp_path / "out")
    assert signal.getsignal(number) is before
    resumed = make_solver(text, prefix="resumed")
    resumed.solve(tmp_path / "out" / "stopped_iter_4.solverstate")
    assert_same(parameters(resumed), parameters(whole))


@pytest.mark.parametrize(
    ("effects", "wanted"),
    [
        ({signal.SIGHUP: "snapshot"}, [4, 8]),
        ({signal.SIGHUP: "stop"}, [4]),
        ({signal.SIGHUP: "none"}, [8]),
        (signal_effects(), [4, 8]),
        (signal_effects(sighup="none"), [8]),
    ],
)
def test_what_a_signal_asks_for(make_solver, tmp_path, effects, wanted):
    solver = make_solver(FIXED + "max_iter: 8")
    solver.signal_effects = effects
    interrupt_at(solver, 3, signal.SIGHUP)
    solver.solve()
    assert files(tmp_path / "out") == snapshot_files("s", *wanted)


def test_a_stop_takes_no_snapshot_that_is_there_or_not_wanted(make_solver, tmp_path, logged):
    # Solver::Solve: snapshot_after_train, and not where the interval has just written it
    for more, wanted in (("snapshot_after_train: false", []), ("snapshot: 2", [2, 4])):
        solver = make_solver(FIXED + f"max_iter: 8 {more}")
        interrupt_at(solver, 3)
        solver.solve()
        assert solver.iter == 4 and files(tmp_path / "out") == snapshot_files("s", *wanted)
        assert "Optimization stopped early." in logged()[-1]


def test_a_stopped_solver_can_go_on(make_solver):
    solver = make_solver(FIXED + "max_iter: 8")
    interrupt_at(solver, 3)
    solver.solve()
    assert solver.iter == 4
    solver.step(1)
    assert solver.iter == 5
    solver.solve()
    assert solver.iter == 8


def test_a_second_interrupt_ends_it_at_once(make_solver, tmp_path):
    solver = make_solver(FIXED + "max_iter: 8")
    interrupt_at(solver, 2)
    interrupt_at(solver, 2)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        solver.solve()
    assert solver.iter == 2 and files(tmp_path / "out") == [] and signal.getsignal(signal.SIGINT) is before


def test_solve_runs_in_a_thread_where_no_signal_can_be_caught(make_solver):
    solver = make_solver(FIXED + "max_iter: 3")
    thread = threading.Thread(target=solver.solve)
    thread.start()
    thread.join(30)
    assert solver.iter == 3


# Callbacks


def test_callbacks_come_before_the_iteration_and_between_gradients_and_update(make_solver):
    solver = make_solver(FIXED)
    calls = []
    weight = solver.net.params["two"][0]

    def note(name):
        return lambda: calls.append((name, solver.iter, bool(weight.diff.any()), weight.data.copy()))

    solver.add_callback(note("start"), note("ready"))
    solver.add_callback(note("start too"), note("ready too"))
    solver.step(2)
    assert [call[:2] for call in calls] == [
        (name, iteration) for iteration in (0, 1) for name in ("start", "start too", "ready", "ready too")
    ]
    assert not calls[0][2] and calls[2][2]  # no gradients before the first, gradients when they are ready
    np.testing.assert_array_equal(calls[0][3], calls[3][3])  # nothing changes before the update
    assert (calls[3][3] != calls[4][3]).any()


# Kinds of solvers, and solvers that cannot be


def test_get_solver_by_name_message_and_class(make_solver, tmp_path):
    assert type(make_solver(FIXED)) is caffe.SGDSolver
    for kind in KINDS:
        wanted = getattr(caffe, f"{kind}Solver")
        assert issubclass(wanted, caffe.Solver)
        assert type(make_solver(f'type: "{kind}" lr_policy: "fixed" {SETTINGS[kind]}')) is wanted
        assert type(make_solver(f'solver_type: {kind.upper()} lr_policy: "fixed" {SETTINGS[kind]}')) is wanted
    make_solver(FIXED + "momentum: 0.9")
    assert type(caffe.AdamSolver(str(tmp_path / "solver.prototxt"))) is caffe.AdamSolver
    net = text_format.Parse((tmp_path / "net.prototxt").read_text(), pb.NetParameter())
    message = pb.SolverParameter(net_param=net, lr_policy="fixed", base_lr=0.1)
    for solver in (caffe.get_solver(message), caffe.SGDSolver(str(tmp_path / "solver.prototxt"))):
        solver.step(1)
        assert solver.iter == 1
        solver.close()
    message.solver_type = pb.SolverParameter.RMSPROP
    assert type(caffe.get_solver(message)) is caffe.RMSPropSolver and message.HasField("solver_type")


def test_what_pycaffe_shows_of_a_solver(make_solver):
    solver = make_solver(FIXED + "max_iter: 7 display: 3 layer_wise_reduce: false test_iter: 1 test_interval: 10")
    assert (solver.param.max_iter, solver.param.display, solver.param.layer_wise_reduce) == (7, 3, False)
    assert solver.iter == 0 and len(solver.test_nets) == 1
    solver.solve(None)
    other = make_solver(FIXED).net
    solver.share_weights(other)
    solver.net.params["one"][0].data[...] = 5
    assert (other.params["one"][0].data == 5).all()


def test_nets_survive_their_solver(make_solver, image_lmdb, tmp_path):
    make_solver(FIXED + "test_iter: 1 test_interval: 1")
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    solver.step(1)
    nets = [solver.net, *solver.test_nets]
    del solver
    for net in nets:
        for blob in (*net.blobs.values(), *(blob for blobs in net.params.values() for blob in blobs)):
            assert np.isfinite(blob.data.sum() + blob.diff.sum())
        net.close()


def test_an_update_by_hand(make_solver):
    # pycaffe's own test of apply_update, and the iteration goes on
    solver = make_solver(FIXED + "momentum: 0.9")
    blob = solver.net.params["one"][0]
    blob.data[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    np.testing.assert_allclose(blob.data, -0.1, rtol=1e-6)
    assert solver.iter == 1


@pytest.mark.parametrize("text", ["weight_decay: 0.1", "momentum: 0.9 random_seed: 1"])
def test_a_loop_of_the_users_own_does_what_step_does(make_solver, text):
    one, other = (make_solver(FIXED + text) for _ in range(2))
    other.net.share_with(one.net)
    other.net.share_with(make_solver(FIXED + text).net)
    for name, blobs in one.net.params.items():
        for blob, theirs in zip(blobs, other.net.params[name], strict=True):
            theirs.data[...] = blob.data
    one.step(3)
    for _ in range(3):
        other.net.clear_param_diffs()
        other.net.forward()
        other.net.backward()
        other.apply_update()
    assert_same(parameters(one), parameters(other))


@pytest.mark.parametrize("kind", KINDS)
def test_a_net_without_parameters_trains_nothing(make_solver, tmp_path, kind):
    net = (
        'layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 } data_filler { value: 3 } } }'
    )
    solver = make_solver(f'type: "{kind}" lr_policy: "fixed" {SETTINGS[kind]} clip_gradients: 1 max_iter: 2', net)
    solver.solve()
    resumed = make_solver(f'type: "{kind}" lr_policy: "fixed" {SETTINGS[kind]}', net)
    resumed.restore(tmp_path / "out" / "s_iter_2.solverstate")
    assert solver.iter == resumed.iter == 2 and solver.history == []


def test_one_solver_of_several_tests_and_takes_snapshots(make_solver, tmp_path, logged):
    text = FIXED + "test_iter: 1 test_interval: 1 display: 1 snapshot: 1 random_seed: 1"
    for rank, said in ((1, False), (0, True)):
        caffe.set_solver_rank(rank)
        solver = make_solver(text)
        solver.step(2)
        for words in ("Testing net", "loss = ", "lr = ", "Snapshotting"):
            assert any(words in line for line in logged()) == said, words
    assert files(tmp_path / "out") == snapshot_files("s", 1, 2)


def test_equal_seeds_train_alike(make_solver):
    trained = []
    for seed in (5, 5, 6):
        solver = make_solver(FIXED + f"random_seed: {seed}")
        solver.step(2)
        trained.append(parameters(solver))
    assert_same(trained[0], trained[1])
    assert (trained[0]["one/0"] != trained[2]["one/0"]).any()


def test_a_solver_without_a_policy_can_be_made_but_not_update(make_solver):
    # Caffe's GetLearningRate looks at the policy at each update, and nothing does before
    solver = make_solver("base_lr: 0.1")
    before = parameters(solver)
    with pytest.raises(UserError, match="lr_policy '' is unknown; use one of: fixed, step, exp"):
        solver.step(1)
    assert_same(parameters(solver), before)
    assert solver.iter == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('lr_policy: "fixd"', "lr_policy 'fixd' is unknown"),
        ('lr_policy: "step"', "lr_policy 'step' needs a stepsize above 0"),
        (FIXED + 'type: "Sgd"', "'Sgd' is unknown; use one of: SGD, Nesterov, AdaGrad, RMSProp, AdaDelta, Adam"),
        (FIXED + "iter_size: 0", "iter_size must be 1 or more, not 0"),
        (FIXED + "average_loss: 0", "average_loss must be 1 or more, not 0"),
        (FIXED + 'type: "AdaGrad" momentum: 0.5', "'AdaGrad' takes no momentum"),
        (FIXED + 'weights: "none.caffemodel"', r"cannot read the model none\.caffemodel: No such file"),
        (FIXED + 'regularization_type: "L3"', "regularization_type 'L3' is unknown; use L1 or L2"),
        (FIXED + "test_iter: 1 test_interval: 0", "test_interval must be above 0; leave it out to never test"),
    ],
)
def test_solvers_that_cannot_be(make_solver, text, said):
    with pytest.raises(UserError, match=said) as error:
        make_solver(text)
    assert "\n" not in str(error.value)
