"""Training: resuming, batches, tests, snapshots, the log, and solvers that cannot be."""

import os
import re
import signal
import threading
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

FIXED = 'lr_policy: "fixed" base_lr: 0.1 '


def fc(name, bottom, outputs):
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"
      param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
      inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}\n"""


def data(source, batch=4, transform="", more=""):
    return f"""layer {{ name: "data" type: "Data" top: "data" top: "label" {more}
      transform_param {{ mean_value: 128 scale: 0.015625 {transform} }}
      data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} }}\n"""


HEAD = (
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "two" bottom: "label" top: "loss" }\n'
    'layer { name: "acc" type: "Accuracy" bottom: "two" bottom: "label" top: "acc" include { phase: TEST } }\n'
)
PLAIN = fc("one", "data", 8) + 'layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }\n' + fc("two", "one", 13)
DROPPED = PLAIN.replace(fc("two", "one", 13), "") + 'layer { name: "drop" type: "Dropout" bottom: "one" top: "one" }\n'
DROPPED += fc("two", "one", 13)


@pytest.fixture
def make_solver(tmp_path, image_lmdb):
    """Return a function from a solver's text and a net's to the solver; nets read the 13 pictures of `images`."""
    solvers = []

    def make(text, net=None, prefix="s"):
        (tmp_path / "net.prototxt").write_text(net or data(image_lmdb) + PLAIN + HEAD)
        path = tmp_path / "solver.prototxt"
        named = "" if "net" in text else f'net: "{tmp_path / "net.prototxt"}" '
        placed = "" if "snapshot_prefix" in text else f' snapshot_prefix: "{tmp_path / "out" / prefix}"'
        path.write_text(named + text + placed)
        solvers.append(caffe.get_solver(str(path)))
        return solvers[-1]

    yield make
    for solver in solvers:
        solver.close()


def parameters(solver):
    return {
        f"{name}/{i}": blob.data.copy() for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)
    }


def histories(solver):
    return [history.numpy().copy() for history in solver.history]


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).exists() else []


# Resuming


@pytest.mark.parametrize("kind", ["SGD", "Nesterov"])
@pytest.mark.parametrize("iter_size", [1, 2])
def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit(
    make_solver, image_lmdb, tmp_path, kind, iter_size
):
    net = data(image_lmdb, transform="crop_size: 8 mirror: true") + DROPPED + HEAD
    text = f"""base_lr: 0.05 lr_policy: "step" gamma: 0.5 stepsize: 3 momentum: 0.9 weight_decay: 0.01 type: "{kind}"
      iter_size: {iter_size} snapshot: 4 random_seed: 7 max_iter: 9 """
    whole = make_solver(text, net, "whole")
    whole.step(9)
    resumed = make_solver(text, net, "resumed")
    resumed.step(1)  # what it has done before does not matter
    resumed.restore(tmp_path / "out" / "whole_iter_4.solverstate")
    assert resumed.iter == 4
    resumed.step(5)
    assert_same(parameters(whole), parameters(resumed))
    for one, other in zip(histories(whole), histories(resumed), strict=True):
        assert one.any()
        np.testing.assert_array_equal(one, other)


def test_solve_goes_on_from_a_state_to_max_iter(make_solver, tmp_path):
    text = FIXED + "momentum: 0.9 snapshot: 3 random_seed: 1 max_iter: 7"
    whole = make_solver(text, prefix="whole")
    whole.solve()
    resumed = make_solver(text, prefix="resumed")
    resumed.solve(str(tmp_path / "out" / "whole_iter_3.solverstate"))
    assert_same(parameters(whole), parameters(resumed))
    assert files(tmp_path / "out") == sorted(
        f"{prefix}_iter_{n}.{kind}"
        for prefix, numbers in (("whole", (3, 6, 7)), ("resumed", (6, 7)))
        for n in numbers
        for kind in ("caffemodel", "solverstate")
    )


def test_a_state_finds_its_model_beside_it_after_both_were_moved(make_solver, tmp_path):
    solver = make_solver(FIXED + "max_iter: 2 random_seed: 1")
    solver.solve()
    wanted = parameters(solver)
    (tmp_path / "out").rename(tmp_path / "moved")
    other = make_solver(FIXED + "max_iter: 2 random_seed: 2")
    other.restore(tmp_path / "moved" / "s_iter_2.solverstate")
    assert_same(parameters(other), wanted)


def test_a_state_holds_what_caffe_puts_there(make_solver, tmp_path):
    solver = make_solver('base_lr: 0.1 lr_policy: "step" gamma: 0.5 stepsize: 2 momentum: 0.9 max_iter: 5')
    solver.solve()
    state = pb.SolverState.FromString((tmp_path / "out" / "s_iter_5.solverstate").read_bytes())
    assert state.iter == 5 and state.current_step == 2
    assert state.learned_net == str(tmp_path / "out" / "s_iter_5.caffemodel")
    assert [tuple(blob.shape.dim) for blob in state.history] == [(8, 360), (8,), (13, 8), (13,)]
    for blob, history in zip(state.history, histories(solver), strict=True):
        np.testing.assert_array_equal(blob.data, history.ravel())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot read the solver state .*: No such file"),
        (lambda path: path.write_bytes(b""), "is no solver state"),
        (lambda path: path.write_bytes(b"\xff\xff"), "is truncated or no SolverState file"),
        (lambda path: path.write_text("iter: 4"), "is truncated or no SolverState file|is no solver state"),
        (lambda path: path.write_bytes(pb.NetParameter(name="n").SerializeToString()), "is no solver state"),
        (
            lambda path: path.write_bytes(pb.SolverState(iter=1, history=[pb.BlobProto()]).SerializeToString()),
            r"a history says \(\) but holds 0 values",
        ),
        (
            lambda path: path.write_bytes(
                pb.SolverState(history=[pb.BlobProto(shape=pb.BlobShape(dim=[2]), data=[1, 2])]).SerializeToString()
            ),
            "holds 1 histories that do not fit this net's 4 parameters; resume with the solver and the net that made",
        ),
    ],
)
def test_restore_refuses_what_is_no_state_of_this_net(make_solver, tmp_path, make, said):
    solver = make_solver(FIXED)
    before, path = parameters(solver), tmp_path / "bad.solverstate"
    make(path)
    with pytest.raises(UserError, match=said) as error:
        solver.restore(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert solver.iter == 0
    assert_same(parameters(solver), before)


def test_restore_refuses_the_state_of_another_net_and_one_without_its_model(make_solver, image_lmdb, tmp_path):
    make_solver(FIXED + "max_iter: 1").solve()
    state = tmp_path / "out" / "s_iter_1.solverstate"
    other = make_solver(FIXED, data(image_lmdb) + PLAIN.replace("num_output: 8", "num_output: 9") + HEAD)
    with pytest.raises(UserError, match="holds 4 histories that do not fit this net's 4 parameters"):
        other.restore(state)
    state.with_suffix(".caffemodel").unlink()
    with pytest.raises(UserError, match=r"cannot read the model .*s_iter_1\.caffemodel: No such file"):
        make_solver(FIXED).restore(state)


# Gradients and updates


def test_several_small_batches_equal_one_large(make_solver, image_lmdb):
    trained = []
    for batch, iter_size in ((8, 1), (4, 2), (2, 4)):
        text = FIXED + f"momentum: 0.9 weight_decay: 0.1 random_seed: 3 iter_size: {iter_size}"
        solver = make_solver(text, data(image_lmdb, batch) + PLAIN + HEAD)
        solver.step(5)
        trained.append(parameters(solver))
    for other in trained[1:]:
        for name, values in trained[0].items():
            np.testing.assert_allclose(other[name], values, atol=1e-5, err_msg=name)


def steps_of_plain_sgd(make_solver, more):
    """Return a solver after one step, its parameters before, and the gradients of that step without `more`."""
    free = make_solver(FIXED + "random_seed: 3")
    before = parameters(free)
    free.step(1)
    gradients = {name: (before[name] - after) / 0.1 for name, after in parameters(free).items()}
    for name in gradients:
        gradients[name] /= 2 if name.endswith("1") else 1  # lr_mult of the biases
    solver = make_solver(FIXED + "random_seed: 3 " + more)
    solver.step(1)
    return solver, before, gradients


@pytest.mark.parametrize("share", [0.1, 0.5, 2])
def test_clipping_scales_all_gradients_to_the_limit_together(make_solver, share):
    _, before, gradients = steps_of_plain_sgd(make_solver, "")
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients.values()))
    solver, _, _ = steps_of_plain_sgd(make_solver, f"clip_gradients: {norm * share}")
    for name, after in parameters(solver).items():
        rate = 0.1 * (2 if name.endswith("1") else 1) * min(share, 1)
        np.testing.assert_allclose(before[name] - after, rate * gradients[name], atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["L1", "L2"])
def test_decay_is_added_to_the_gradient_of_weights_alone(make_solver, kind):
    solver, before, gradients = steps_of_plain_sgd(make_solver, f'weight_decay: 0.5 regularization_type: "{kind}"')
    for name, after in parameters(solver).items():
        bias = name.endswith("1")  # decay_mult 0
        decay = 0 if bias else 0.5 * (before[name] if kind == "L2" else np.sign(before[name]))
        wanted = 0.1 * (2 if bias else 1) * (gradients[name] + decay)
        np.testing.assert_allclose(before[name] - after, wanted, atol=2e-6, err_msg=name)


def test_momentum_by_hand(make_solver, image_lmdb):
    # sgd_solver.cpp: history = rate · gradient + momentum · history; the update is the history
    net = data(image_lmdb, 13) + PLAIN + HEAD
    solver = make_solver('base_lr: 0.1 lr_policy: "exp" gamma: 0.5 momentum: 0.8 random_seed: 3', net)
    seen = []
    solver.add_callback(lambda: None, lambda: seen.append(solver.net.params["two"][0].diff.copy()))
    weight, history = solver.net.params["two"][0].data.copy(), 0
    for iteration in range(4):
        solver.step(1)
        history = 0.1 * 0.5**iteration * seen[-1] + 0.8 * history
        weight = weight - history
        np.testing.assert_allclose(solver.net.params["two"][0].data, weight, atol=1e-6)
        np.testing.assert_allclose(solver.net.params["two"][0].diff, history, atol=1e-6)  # the update, as in Caffe


def test_parameters_of_rate_zero_do_not_move(make_solver, image_lmdb):
    net = (data(image_lmdb) + PLAIN + HEAD).replace("lr_mult: 1 ", "lr_mult: 0 ", 1)
    solver = make_solver(FIXED + "momentum: 0.9 weight_decay: 0.5", net)
    before = parameters(solver)
    solver.step(3)
    assert [name for name, values in parameters(solver).items() if (values == before[name]).all()] == ["one/0"]


def test_bf16_stays_close_to_fp32(make_solver):
    losses = {}
    for precision in ("fp32", "bf16"):
        caffe.set_precision(precision)
        solver = make_solver('base_lr: 0.02 lr_policy: "fixed" random_seed: 3')
        losses[precision] = []
        for _ in range(20):
            solver.step(1)
            losses[precision].append(float(solver.net.blobs["loss"].data))
        assert all(blob.data.dtype == np.float32 for blobs in solver.net.params.values() for blob in blobs)
    assert losses["fp32"] != losses["bf16"]  # the choice does something
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.03)
    assert np.mean(losses["bf16"][-5:]) < np.mean(losses["bf16"][:5])


def test_an_unknown_precision():
    with pytest.raises(UserError, match="precision 'fp16' is unknown; use one of: fp32, bf16"):
        caffe.set_precision("fp16")


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


def test_several_test_nets_with_their_stages(make_solver, image_lmdb, logged):
    rules = data(image_lmdb, more='include { not_stage: "two" }') + data(image_lmdb, 2, more='include { stage: "two" }')
    solver = make_solver(
        FIXED + 'test_iter: 1 test_iter: 2 test_interval: 1 test_state { } test_state { stage: "two" }',
        rules + PLAIN + HEAD,
    )
    assert [net.blobs["data"].shape[0] for net in solver.test_nets] == [4, 2]
    assert len(solver.test_all()) == 2
    assert sum("Testing net (#1)" in line for line in logged()) == 1


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


@pytest.mark.parametrize("window", [1, 3, 10])
def test_the_displayed_loss_is_the_mean_of_the_last_few(make_solver, logged, window):
    solver = make_solver(FIXED + f"display: 1 average_loss: {window}")
    losses = []
    solver.add_callback(lambda: None, lambda: losses.append(float(solver.net.blobs["loss"].data)))
    solver.step(6)
    shown = [float(number) for number in re.findall(r"iters\), loss = (\S+)", "\n".join(logged()))]
    assert shown == [pytest.approx(np.mean(losses[max(n - window, 0) : n]), rel=1e-5) for n in range(1, 7)]


# Snapshots


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("snapshot: 2", [2, 4, 5]),
        ("snapshot: 5", [5]),
        ("snapshot: 2 snapshot_after_train: false", [2, 4]),
        ("", [5]),
        ("snapshot_after_train: false", []),
    ],
)
def test_names_and_times_of_snapshots(make_solver, tmp_path, more, wanted):
    make_solver(FIXED + f"max_iter: 5 {more}").solve()
    kinds = ("caffemodel", "solverstate")
    assert files(tmp_path / "out") == sorted(f"s_iter_{n}.{kind}" for n in wanted for kind in kinds)


def test_a_snapshot_with_gradients(make_solver, tmp_path):
    make_solver(FIXED + "max_iter: 1 snapshot_diff: true").solve()
    model = pb.NetParameter.FromString((tmp_path / "out" / "s_iter_1.caffemodel").read_bytes())
    assert all(any(blob.diff) for layer in model.layer for blob in layer.blobs)


def test_a_solver_without_a_prefix_takes_its_own_name(make_solver, tmp_path):
    make_solver(f'{FIXED} max_iter: 1 snapshot_prefix: "{tmp_path / "lmdb"}"').solve()
    assert {"solver_iter_1.caffemodel", "solver_iter_1.solverstate"} <= set(files(tmp_path / "lmdb"))


@pytest.mark.parametrize("which", ["caffemodel", "solverstate"])
def test_a_snapshot_that_breaks_off_leaves_no_file(make_solver, tmp_path, monkeypatch, which):
    solver = make_solver(FIXED + "max_iter: 3")
    solver.step(1)
    write = Path.write_bytes

    def break_off(self, content):
        if which in self.name:
            write(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", break_off)
    with pytest.raises(OSError, match="No space left"):
        solver.snapshot()
    assert files(tmp_path / "out") == ([] if which == "caffemodel" else ["s_iter_1.caffemodel"])


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
    assert type(make_solver(FIXED + 'type: "Nesterov"')) is caffe.NesterovSolver
    assert type(make_solver(FIXED + "solver_type: NESTEROV")) is caffe.NesterovSolver
    net = text_format.Parse((tmp_path / "net.prototxt").read_text(), pb.NetParameter())
    message = pb.SolverParameter(net_param=net, lr_policy="fixed", base_lr=0.1)
    for solver in (caffe.get_solver(message), caffe.SGDSolver(str(tmp_path / "solver.prototxt"))):
        solver.step(1)
        assert solver.iter == 1
        solver.close()


def test_equal_seeds_train_alike(make_solver):
    trained = []
    for seed in (5, 5, 6):
        solver = make_solver(FIXED + f"random_seed: {seed}")
        solver.step(2)
        trained.append(parameters(solver))
    assert_same(trained[0], trained[1])
    assert (trained[0]["one/0"] != trained[2]["one/0"]).any()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lr_policy '' is unknown; use one of: fixed, step"),
        ('lr_policy: "fixd"', "lr_policy 'fixd' is unknown"),
        ('lr_policy: "step"', "lr_policy 'step' needs a stepsize above 0"),
        (FIXED + 'type: "Sgd"', "solver type 'Sgd' is unknown; use one of: SGD, Nesterov"),
        (FIXED + 'regularization_type: "L3"', "regularization_type 'L3' is unknown; use L1 or L2"),
        (FIXED + 'train_net: "none.prototxt"', r"cannot read the network none\.prototxt: No such file"),
        (FIXED + "train_net_param { } net_param { }", "the solver must name its net once"),
        (FIXED + 'net: "a" train_net: "b"', "the solver must name its net once"),
        (FIXED + 'test_net: "none.prototxt"', "the solver must name its net once"),
        (FIXED + "test_iter: 1 test_interval: 0", "test_interval must be above 0; leave it out to never test"),
        (
            FIXED + 'train_net: "NET" test_iter: 1',
            r"the solver has 0 test net\(s\) and 1 test_iter; give one test_iter",
        ),
        (FIXED + 'train_net: "NET" test_net: "NET"', r"the solver has 1 test net\(s\) and 0 test_iter"),
        (FIXED + "test_iter: 1 test_state { } test_state { }", "has 1 test nets and 2 test_state; give none or one"),
    ],
)
def test_solvers_that_cannot_be(make_solver, tmp_path, text, said):
    with pytest.raises(UserError, match=said) as error:
        make_solver(text.replace("NET", str(tmp_path / "net.prototxt")))
    assert "\n" not in str(error.value)


def test_snapshots_need_a_prefix_from_the_start():
    # a message has no file whose name could serve; Caffe checks this in Solver::Init
    param = pb.SolverParameter(lr_policy="fixed", base_lr=0.1, snapshot=1000, net_param=pb.NetParameter())
    with pytest.raises(UserError, match="the solver takes snapshots but has no snapshot_prefix; add one"):
        caffe.get_solver(param)


def test_hdf5_snapshots_are_refused_before_training(make_solver):
    for when in ("snapshot: 5", "snapshot_after_train: true"):
        with pytest.raises(UserError, match="snapshot_format HDF5 is not written so far; use BINARYPROTO"):
            make_solver(FIXED + f"snapshot_format: HDF5 {when}")
    solver = make_solver(FIXED + "snapshot_format: HDF5 snapshot_after_train: false")
    with pytest.raises(UserError, match="snapshot_format HDF5 is not written"):
        solver.snapshot()
