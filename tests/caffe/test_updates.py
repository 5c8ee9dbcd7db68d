"""Updates against Caffe's rules (src/caffe/solvers/*.cpp), computed step by step in float64."""

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.updates import METHODS, Step, UpdateMemory
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import FIXED, HEAD, KINDS, PLAIN, SETTINGS, data, histories, parameters

DELTA = 1e-3


def by_hand(kind, p, rate, t, g, memory):
    """Return an update and the memory after it, from a gradient and the memory before."""
    if kind == "SGD":
        v = rate * g + p.momentum * memory[0]
        return v, [v]
    if kind == "Nesterov":
        v = rate * g + p.momentum * memory[0]
        return (1 + p.momentum) * v - p.momentum * memory[0], [v]
    if kind == "AdaGrad":
        h = memory[0] + g**2
        return rate * g / (np.sqrt(h) + p.delta), [h]
    if kind == "RMSProp":
        h = (1 - p.rms_decay) * g**2 + p.rms_decay * memory[0]
        return rate * g / (np.sqrt(h) + p.delta), [h]
    if kind == "AdaDelta":
        h = (1 - p.momentum) * g**2 + p.momentum * memory[0]
        x = g * np.sqrt((p.delta + memory[1]) / (p.delta + h))
        return rate * x, [h, (1 - p.momentum) * x**2 + p.momentum * memory[1]]
    m = p.momentum * memory[0] + (1 - p.momentum) * g
    v = p.momentum2 * memory[1] + (1 - p.momentum2) * g**2
    correction = np.sqrt(1 - p.momentum2**t) / (1 - p.momentum**t)
    return rate * correction * m / (np.sqrt(v) + p.delta), [m, v]


@pytest.mark.parametrize("regularization", ["L2", "L1"])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_by_hand(kind, momentum, regularization):
    p = pb.SolverParameter(
        momentum=momentum if kind not in ("AdaGrad", "RMSProp") else 0,
        momentum2=0.99,
        rms_decay=0.8,
        delta=DELTA,
        regularization_type=regularization,
    )
    rng = np.random.default_rng(3)
    shapes, method = [(5, 3), (4,), (1,)], METHODS[kind]
    w = [torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in shapes]
    memory = [[torch.zeros(shape) for shape in shapes] for _ in range(method.histories)]
    wanted = [tensor.double().numpy() for tensor in w]
    wanted_memory = [[np.zeros(shape) for _ in memory] for shape in shapes]
    for number in range(1, 8):
        rate, decay = 0.1 * 0.7**number, 0.05
        g = [torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in shapes]
        gradients = [
            diff.double().numpy() + decay * (np.sign(x) if regularization == "L1" else x)
            for diff, x in zip(g, wanted, strict=True)
        ]
        taken = method.update(Step(p, rate, decay, number), w, g, *memory)
        for i, gradient in enumerate(gradients):
            update, wanted_memory[i] = by_hand(kind, p, rate, number, gradient, wanted_memory[i])
            wanted[i] = wanted[i] - update
            np.testing.assert_allclose(w[i], wanted[i], atol=2e-6)
            np.testing.assert_allclose(taken(i), update, atol=2e-6)
            for tensors, values in zip(memory, wanted_memory[i], strict=True):
                np.testing.assert_allclose(tensors[i], values, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@given(rate=st.sampled_from([1e-7, 1e-5, 1e-3]), size=st.integers(0, 40))
def test_small_rates_lose_no_digits(kind, rate, size):
    p = pb.SolverParameter(momentum=0 if kind in ("AdaGrad", "RMSProp") else 0.9, delta=DELTA)
    g = torch.tensor(np.random.default_rng(size).normal(size=size), dtype=torch.float32)
    w = [torch.zeros(size)]
    memory = [[torch.zeros(size)] for _ in range(METHODS[kind].histories)]
    wanted, _ = by_hand(kind, p, rate, 1, g.double().numpy(), [np.zeros(size)] * 2)
    METHODS[kind].update(Step(p, rate, 0.0, 1), w, [g], *memory)
    np.testing.assert_allclose(w[0], -wanted, rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("AdaGrad", "momentum: 0.9", "a solver of type 'AdaGrad' takes no momentum; leave it out"),
        ("RMSProp", "momentum: 0.9", "a solver of type 'RMSProp' takes no momentum; leave it out"),
        ("RMSProp", "rms_decay: 1", "'RMSProp' needs rms_decay from 0 to below 1, not 1"),
        ("RMSProp", "rms_decay: -0.1", "'RMSProp' needs rms_decay from 0 to below 1, not -0.1"),
        ("RMSProp", "rms_decay: nan", "'RMSProp' needs rms_decay from 0 to below 1, not nan"),
        ("Adam", "momentum: 1", "'Adam' needs momentum from 0 to below 1, not 1"),
        ("Adam", "momentum2: 1", "'Adam' needs momentum2 from 0 to below 1, not 1"),
        ("Adam", "momentum2: 2", "'Adam' needs momentum2 from 0 to below 1, not 2"),
    ],
)
def test_settings_that_a_method_cannot_have(make_solver, kind, text, said):
    with pytest.raises(UserError, match=said):
        METHODS[kind].check(text_format.Parse(text, pb.SolverParameter()), kind)
    with pytest.raises(UserError, match=said):
        make_solver(FIXED + f'type: "{kind}" {text}')


# What a solver makes of it


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
def test_clipping_scales_all_gradients_to_the_limit_together(make_solver, logged, share):
    _, before, gradients = steps_of_plain_sgd(make_solver, "")
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in gradients.values()))
    solver, _, _ = steps_of_plain_sgd(make_solver, f"clip_gradients: {norm * share}")
    for name, after in parameters(solver).items():
        rate = 0.1 * (2 if name.endswith("1") else 1) * min(share, 1)
        np.testing.assert_allclose(before[name] - after, rate * gradients[name], atol=2e-6, err_msg=name)
    assert sum("Gradient clipping: scaling down gradients (L2 norm " in line for line in logged()) == (share < 1)


@pytest.mark.parametrize("kind", ["L1", "L2"])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_decay_is_added_to_the_gradient_of_weights_alone(make_solver, kind, momentum):
    more = f'weight_decay: 0.5 regularization_type: "{kind}" momentum: {momentum}'
    solver, before, gradients = steps_of_plain_sgd(make_solver, more)
    for name, after in parameters(solver).items():
        bias = name.endswith("1")  # decay_mult 0
        decay = 0 if bias else 0.5 * (before[name] if kind == "L2" else np.sign(before[name]))
        wanted = 0.1 * (2 if bias else 1) * (gradients[name] + decay)
        np.testing.assert_allclose(before[name] - after, wanted, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_training_by_hand(make_solver, image_lmdb, kind):
    text = f'lr_policy: "exp" gamma: 0.9 type: "{kind}" {SETTINGS[kind]} random_seed: 3'
    solver = make_solver(text, data(image_lmdb, 13) + PLAIN + HEAD)
    blob = solver.net.params["two"][1]  # learns twice as fast
    seen = []
    solver.add_callback(lambda: None, lambda: seen.append(blob.diff.astype(np.float64)))
    bias, memory = blob.data.astype(np.float64), [np.zeros(13)] * METHODS[kind].histories
    for iteration in range(4):
        solver.step(1)
        rate = 2 * solver.param.base_lr * 0.9**iteration
        update, memory = by_hand(kind, solver.param, rate, iteration + 1, seen[-1], memory)
        bias = bias - update
        np.testing.assert_allclose(blob.data, bias, atol=1e-5)
        np.testing.assert_allclose(blob.diff, update, atol=1e-5)  # as in Caffe
    kept = histories(solver)
    assert len(kept) == 4 * METHODS[kind].histories  # the first of all four parameters, then the second of all
    for n, wanted in enumerate(memory):
        np.testing.assert_allclose(kept[4 * n + 3], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_rate_zero_do_not_move(make_solver, image_lmdb, kind):
    net = (data(image_lmdb) + PLAIN + HEAD).replace("lr_mult: 1 ", "lr_mult: 0 ", 1)
    solver = make_solver(f'lr_policy: "fixed" type: "{kind}" {SETTINGS[kind]} weight_decay: 0.5', net)
    before = parameters(solver)
    solver.step(3)
    assert [name for name, values in parameters(solver).items() if (values == before[name]).all()] == ["one/0"]


def test_an_update_applied_twice_is_taken_off_twice(make_solver):
    # The gradient is the update of the step before then, and the momentum's memory another array.
    solver = make_solver(FIXED + "momentum: 0.5")
    blob = solver.net.params["two"][1]
    solver.step(1)
    before, velocity = blob.data.copy(), solver.history[3].numpy().copy()
    solver.apply_update()
    np.testing.assert_allclose(blob.data, before - 0.7 * velocity, atol=1e-6)  # 0.5 v + 0.1 · 2 · v
    assert solver.iter == 2


def test_gradients_that_nobody_cleared_add_to_the_update(make_solver):
    solver = make_solver(FIXED + "momentum: 0.5 random_seed: 3")
    solver.step(1)
    velocity = [history.clone() for history in solver.history]
    solver.net.forward()
    solver.net.backward()
    for kept, history in zip(velocity, solver.history, strict=True):
        assert torch.equal(kept, history)  # a step later, what is added to the update is not added to the memory
    added = solver.net.params["two"][1].diff - velocity[3].numpy()
    solver.net.clear_param_diffs()
    solver.net.backward()
    np.testing.assert_allclose(solver.net.params["two"][1].diff, added, atol=1e-6)


# The gradient that becomes an update


def make_later(memory, value):
    calls = []
    memory.put_later(lambda: calls.append(value) or torch.full(memory.shape, value))
    return calls


def test_an_update_that_nobody_looks_at_is_not_computed():
    memory = UpdateMemory((2,))
    calls = make_later(memory, 3.0)
    assert not memory.is_zero() and not calls
    memory.clear()
    assert memory.is_zero() and not calls
    assert memory.tensor().tolist() == [0, 0]


def test_an_update_is_computed_once_and_then_like_any_array():
    memory = UpdateMemory((2,))
    calls = make_later(memory, 3.0)
    assert memory.tensor().tolist() == [3, 3] and memory.numpy().tolist() == [3, 3]
    memory.tensor().add_(1)
    assert memory.numpy().tolist() == [4, 4] and calls == [3.0]
    make_later(memory, 5.0)
    memory.put(torch.tensor([1.0, 2.0]))
    assert memory.numpy().tolist() == [1, 2]


def test_a_view_that_the_user_holds_shows_every_update():
    memory = UpdateMemory((2,))
    view = memory.numpy()
    make_later(memory, 3.0)
    assert view.tolist() == [3, 3]
    memory.clear()
    assert view.tolist() == [0, 0]
