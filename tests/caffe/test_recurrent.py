"""RNN, LSTM and LSTMUnit against PyTorch's cells, and Caffe's rules for their states and parameters."""

import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run

T, N, X, D = 5, 3, 4, 2
GATES = {"RNN": 1, "LSTM": 4}
RECURRENT = """recurrent_param { num_output: 2 expose_hidden: %s
  weight_filler { type: "uniform" min: -1 max: 1 } bias_filler { type: "uniform" min: -1 max: 1 } }"""
#: The first sequence begins, the second goes on from the batch before; a new one begins within the batch.
CONT = np.array([[0, 1, 1], [1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 0]])
KINDS = pytest.mark.parametrize("kind", ["RNN", "LSTM"])


def recurrent(kind, *others, exposed=False, phase=caffe.TRAIN, x=(T, N, X), cont=(T, N)):
    tops = (2 if kind == "RNN" else 3) if exposed else 1
    parameters = RECURRENT % str(exposed).lower()
    return one_layer(kind, x, cont, *others, parameters=parameters, tops=tops, phase=phase)


def states_of(kind, seed=40):
    return [spaced((1, N, D), seed + k) for k in range(1 if kind == "RNN" else 2)]


def torch_steps(kind, net, x, cont, states, static=None):
    """Return outputs and last states by PyTorch's own cells.

    nn.LSTMCell has its gates in the order i, f, g, o: Caffe's rows i, f, o, g go to their places.
    """
    blobs = [torch.from_numpy(blob.data.copy()) for blob in net.params["l"]]
    weight, bias = blobs[:2]
    if static is not None:  # a constant input beside x
        weight = torch.cat([weight, blobs.pop(2)], 1)
        x = np.concatenate([x.reshape(T, N, -1), np.broadcast_to(static, (T, *static.shape))], 2)
    rows = torch.arange(D) if kind == "RNN" else torch.cat([torch.arange(D) + D * gate for gate in (0, 1, 3, 2)])
    cell = (torch.nn.RNNCell if kind == "RNN" else torch.nn.LSTMCell)(weight.shape[1], D)
    with torch.no_grad():
        for parameter, values in zip(cell.parameters(), (weight, blobs[2], bias, torch.zeros(len(bias))), strict=True):
            parameter.copy_(values[rows])
        x, cont = torch.from_numpy(x).float().reshape(T, N, -1), torch.from_numpy(cont).float()
        states = [torch.from_numpy(state[0]).float() for state in states]
        outputs = []
        for step, goes_on in zip(x, cont[..., None], strict=True):
            states = [goes_on * state for state in states]
            states = [cell(step, states[0])] if kind == "RNN" else list(cell(step, tuple(states)))
            outputs.append(states[0])
        y = torch.stack(outputs)
        if kind == "RNN":
            y = torch.tanh(y @ blobs[3].T + blobs[4])
    return y.numpy(), [state[None].numpy() for state in states]


# What they compute


@KINDS
def test_it_begins_with_zeros_and_goes_on_where_the_batch_before_ended(kind):
    net = recurrent(kind)
    states = [np.zeros((1, N, D))] * (1 if kind == "RNN" else 2)
    for seed in range(3):
        x = spaced((T, N, X), seed) * 2
        wanted, states = torch_steps(kind, net, x, CONT, states)
        np.testing.assert_allclose(run(net, x, CONT)[0], wanted, atol=1e-6)


@KINDS
def test_exposed_states_come_from_bottoms_and_go_to_tops(kind):
    states = states_of(kind)
    net = recurrent(kind, *(state.shape for state in states), exposed=True)
    for seed in range(2):  # the second time too: nothing is kept
        x = spaced((T, N, X), seed)
        wanted, ends = torch_steps(kind, net, x, CONT, states)
        y, *got = run(net, x, CONT, *states)
        np.testing.assert_allclose(y, wanted, atol=1e-6)
        assert [end.shape for end in got] == [(1, N, D)] * len(states)
        for end, state in zip(got, ends, strict=True):
            np.testing.assert_allclose(end, state, atol=1e-6)


@KINDS
@pytest.mark.parametrize("exposed", [False, True])
def test_a_static_input_adds_to_every_step(kind, exposed):
    x, static = spaced((T, N, 2, 2)), spaced((N, 3), 1)
    begin = states_of(kind) if exposed else [np.zeros((1, N, D))] * (1 if kind == "RNN" else 2)
    others = begin if exposed else []
    net = recurrent(kind, static.shape, *(state.shape for state in others), exposed=exposed, x=x.shape)
    wanted, _ = torch_steps(kind, net, x, CONT, begin, static)
    np.testing.assert_allclose(run(net, x, CONT, static, *others)[0], wanted, atol=1e-6)


@KINDS
def test_cont_0_forgets_everything_before(kind):
    net = recurrent(kind)
    x = spaced((T, N, X))
    run(net, x, CONT)
    begins = np.ones((T, N))
    begins[0] = 0
    first = run(net, x, begins)[0]
    run(net, -x, CONT)
    np.testing.assert_array_equal(run(net, x, begins)[0], first)


@KINDS
def test_other_numbers_of_steps_and_streams(kind):
    net = recurrent(kind)
    run(net, spaced((T, N, X)), CONT)
    begins = np.ones((2, 6))
    got = run(net, spaced((2, 6, X)), begins)[0]  # six streams know nothing of three: zeros again
    assert got.shape == (2, 6, D)
    fresh = recurrent(kind, x=(2, 6, X), cont=(2, 6))
    for blob, other in zip(fresh.params["l"], net.params["l"], strict=True):
        blob.data[...] = other.data
    np.testing.assert_array_equal(run(fresh, spaced((2, 6, X)), begins)[0], got)


@KINDS
def test_reshape_and_backward_leave_the_state_alone(kind):
    nets = [recurrent(kind, phase=caffe.TEST) for _ in range(2)]
    for blob, other in zip(*(net.params["l"] for net in nets), strict=True):
        blob.data[...] = other.data
    for seed in range(3):
        x = spaced((T, N, X), seed)
        first, second = (run(net, x, CONT)[0] for net in nets)
        np.testing.assert_array_equal(first, second)
        nets[0].reshape()
        nets[0].backward(top0=spaced(first.shape))


@KINDS
def test_the_gradient_of_a_net_that_tests_is_that_of_its_forward(kind):
    nets = [recurrent(kind, phase=phase) for phase in (caffe.TRAIN, caffe.TEST)]
    for blob, other in zip(*(net.params["l"] for net in nets), strict=True):
        blob.data[...] = other.data
    for net in nets:
        for seed in range(2):
            top = run(net, spaced((T, N, X), seed), CONT)[0]
        net.backward(top0=spaced(top.shape))
    for blob, other in zip(*([net.blobs["in0"], *net.params["l"]] for net in nets), strict=True):
        assert blob.diff.any()
        np.testing.assert_allclose(blob.diff, other.diff, atol=1e-6)


@KINDS
def test_no_gradient_goes_through_exposed_states(kind):
    # recurrent_layer.cpp shares the data of the states' blobs with bottoms and tops, not the diffs
    states = states_of(kind)
    net = recurrent(kind, *(state.shape for state in states), exposed=True)
    y, *ends = run(net, spaced((T, N, X)), CONT, *states)
    of_ends = {f"top{1 + k}": np.ones(end.shape) for k, end in enumerate(ends)}
    net.backward(top0=np.zeros(y.shape), **of_ends)
    assert not any(blob.diff.any() for blob in [net.blobs["in0"], *net.params["l"]])
    net.backward(top0=np.ones(y.shape), **of_ends)
    assert net.blobs["in0"].diff.any() and not any(net.blobs[f"in{2 + k}"].diff.any() for k in range(len(states)))


def test_lstm_unit_is_pytorchs_cell():
    cell, gates = spaced((1, N, D)), spaced((1, N, 4 * D), 1) * 3
    cont = np.array([[1, 0, 1]])
    c, h = run(one_layer("LSTMUnit", cell.shape, gates.shape, cont.shape, tops=2), cell, gates, cont)
    torch_cell = torch.nn.LSTMCell(4 * D, D)
    i, f, o, g = (torch.eye(4 * D)[D * k : D * (k + 1)] for k in range(4))
    with torch.no_grad():
        for parameter in torch_cell.parameters():
            parameter.zero_()
        torch_cell.weight_ih.copy_(torch.cat([i, f, g, o]))
        before = torch.from_numpy(cell[0] * cont[0][:, None]).float()
        wanted = torch_cell(torch.from_numpy(gates[0]).float(), (torch.zeros(N, D), before))
    for got, state in zip((h, c), wanted, strict=True):
        np.testing.assert_allclose(got[0], state.numpy(), atol=1e-6)


# Parameters


@pytest.mark.parametrize(
    ("kind", "has_static", "shapes"),
    [
        # the order in which recurrent_layer.cpp meets them in its unrolled net
        ("RNN", False, [(D, X), (D,), (D, D), (D, D), (D,)]),
        ("RNN", True, [(D, X), (D,), (D, 6), (D, D), (D, D), (D,)]),
        ("LSTM", False, [(4 * D, X), (4 * D,), (4 * D, D)]),
        ("LSTM", True, [(4 * D, X), (4 * D,), (4 * D, 6), (4 * D, D)]),
    ],
)
def test_parameters_are_in_caffes_order(kind, has_static, shapes, tmp_path):
    net = recurrent(kind, *[(N, 2, 3)] * has_static, x=(T, N, 2, 2))
    assert [blob.shape for blob in net.params["l"]] == shapes
    net.save(tmp_path / "net.caffemodel")
    other = recurrent(kind, *[(N, 2, 3)] * has_static, x=(T, N, 2, 2))
    other.copy_from(str(tmp_path / "net.caffemodel"))
    for blob, copy in zip(net.params["l"], other.params["l"], strict=True):
        np.testing.assert_array_equal(blob.data, copy.data)


@KINDS
def test_weights_and_biases_have_their_fillers(kind):
    told = "weight_filler { value: 0.5 } bias_filler { value: -1 }"
    net = one_layer(kind, (T, N, X), (T, N), parameters=f"recurrent_param {{ num_output: 2 {told} }}")
    assert all((blob.data == (-1 if len(blob.shape) == 1 else 0.5)).all() for blob in net.params["l"])


@KINDS
def test_bf16_stays_near(kind):
    net = recurrent(kind)
    x = spaced((T, N, X))
    begins = np.ones((T, N)) * (np.arange(T) > 0)[:, None]
    exact = run(net, x, begins)[0]
    caffe.set_precision("bf16")
    np.testing.assert_allclose(run(net, x, begins)[0], exact, atol=0.03)


# What cannot be


@KINDS
@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([(T, N), (T, N)], r"takes x of T×N×… and cont of T×N, not \(5, 3\) and \(5, 3\)"),
        ([(T,), (T,)], "takes x of T×N×… and cont of T×N"),
        ([(T, N, X), (T, N, 1)], "takes x of T×N×… and cont of T×N"),
        ([(T, N, X), (T,)], "takes x of T×N×… and cont of T×N"),
        ([(T, N, X), (N, T)], "takes x of T×N×… and cont of T×N"),
        ([(T, N, X), (T, N), (T, 4)], r"takes a static input of N×…, with N = 3, not \(5, 4\)"),
        ([(T, N, X), (T, N), (N,)], r"takes a static input of N×…, with N = 3, not \(3,\)"),
        ([(T, N, X), (T, N), ()], "takes a static input of N×…"),
    ],
)
def test_bottoms_that_do_not_fit(kind, shapes, said):
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\) {said}"):
        one_layer(kind, *shapes, parameters="recurrent_param { num_output: 2 }")


@KINDS
@pytest.mark.parametrize("state", [(1, N, D + 1), (N, D), (1, N + 1, D), (2, N, D)])
def test_states_that_do_not_fit(kind, state):
    states = [state] * (1 if kind == "RNN" else 2)
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\) takes states of \(1, 3, 2\), not"):
        recurrent(kind, *states, exposed=True)


@pytest.mark.parametrize(
    ("kind", "bottoms", "tops", "exposed", "said"),
    [
        ("LSTM", 4, 1, False, r"has 4 bottom\(s\) and 1 top\(s\); with expose_hidden: false it takes 2 bottoms"),
        ("LSTM", 2, 2, False, r"has 2 bottom\(s\) and 2 top\(s\)"),
        ("LSTM", 2, 3, True, r"with expose_hidden: true it takes 4 bottoms .*, or 5 with a static input behind cont"),
        ("LSTM", 4, 1, True, "and 3 top"),
        ("RNN", 4, 1, False, "it takes 2 bottoms"),
        ("RNN", 2, 2, True, "it takes 3 bottoms"),
        ("RNN", 1, 1, False, r"has 1 bottom\(s\); the type takes 2 to 4"),
        ("LSTM", 6, 1, False, r"has 6 bottom\(s\); the type takes 2 to 5"),
        ("LSTM", 2, 4, False, r"has 4 top\(s\); the type takes 1 to 3"),
    ],
)
def test_numbers_of_blobs_that_do_not_fit(kind, bottoms, tops, exposed, said):
    shapes = [(T, N, X), (T, N), *[(1, N, D)] * 4][:bottoms]
    with pytest.raises(UserError, match=said):
        one_layer(kind, *shapes, parameters=RECURRENT % str(exposed).lower(), tops=tops)


@KINDS
@pytest.mark.parametrize("told", ["", "recurrent_param { num_output: 0 }"])
def test_they_need_num_output(kind, told):
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\) needs num_output in recurrent_param"):
        one_layer(kind, (T, N, X), (T, N), parameters=told)


@KINDS
def test_inputs_of_another_width_than_the_weights(kind):
    net = recurrent(kind)
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\)") as error:
        run(net, spaced((T, N, X + 1)), CONT)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "shapes",
    [
        [(2, 3, 2), (2, 3, 8), (2, 3)],
        [(3, 2), (3, 8), (3,)],
        [(1, 3, 2), (1, 3, 6), (1, 3)],
        [(1, 3, 2), (1, 2, 8), (1, 3)],
        [(1, 3, 2), (1, 3, 8), (3, 1)],
        [(1, 3, 2), (1, 3, 8), (1, 3, 1)],
    ],
)
def test_lstm_units_that_cannot_be(shapes):
    said = r"layer 'l' \(LSTMUnit\) takes a cell of 1×N×D, gate inputs of 1×N×4D and cont of 1×N, not"
    with pytest.raises(UserError, match=said):
        one_layer("LSTMUnit", *shapes, tops=2)
