"""Reduction and ArgMax against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run

REDUCED = {
    "SUM": lambda rows: rows.sum(-1),
    "ASUM": lambda rows: np.abs(rows).sum(-1),
    "SUMSQ": lambda rows: (rows**2).sum(-1),
    "MEAN": lambda rows: rows.mean(-1),
}


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    st.sampled_from(sorted(REDUCED)),
    st.sampled_from([1.0, -2.5]),
    st.data(),
)
def test_reduction(shape, operation, coeff, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    written = data.draw(st.sampled_from([axis, axis - len(shape)]))
    x = spaced(shape)
    told = f"operation: {operation} axis: {written} coeff: {coeff}"
    net = one_layer("Reduction", shape, parameters=f"reduction_param {{ {told} }}")
    assert net.blobs["top0"].shape == shape[:axis]
    wanted = coeff * REDUCED[operation](x.reshape(*shape[:axis], -1))
    np.testing.assert_allclose(run(net, x)[0], wanted, rtol=1e-5, atol=1e-5)


def test_reduction_of_everything_unless_told():
    x = spaced((3, 4))
    (total,) = run(one_layer("Reduction", x.shape), x + 1)
    assert total.shape == () and total == pytest.approx(x.sum() + 12)


def test_reduction_adds_up_in_float32_under_bf16():
    caffe.set_precision("bf16")
    assert run(one_layer("Reduction", (4096,)), np.full(4096, 1 / 3))[0] == pytest.approx(4096 / 3, rel=1e-5)


@pytest.mark.parametrize("axis", [3, -4])
def test_reduction_from_an_axis_that_is_not(axis):
    with pytest.raises(UserError, match=f"axis {axis} is out of range for a blob of 3 axes"):
        one_layer("Reduction", (2, 3, 4), parameters=f"reduction_param {{ axis: {axis} }}")


# ArgMax


def largest(x, axis, top_k):
    """Return the places of the largest, of equal ones the last first: argmax_layer.cpp sorts (value, place) pairs."""
    order = np.argsort(-np.flip(x, axis), axis, kind="stable")
    return (x.shape[axis] - 1 - order).take(range(top_k), axis)


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@given(SIZES, st.integers(1, 4), st.booleans(), st.booleans(), st.data())
def test_arg_max_along_an_axis(shape, top_k, gives_values, is_tied, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    top_k = min(top_k, shape[axis])
    x = spaced(shape).astype(np.float32)
    x = x.round() if is_tied else x
    told = f"axis: {axis - len(shape)} top_k: {top_k} out_max_val: {str(gives_values).lower()}"
    places = largest(x, axis, top_k)
    wanted = np.take_along_axis(x, places, axis) if gives_values else places
    net = one_layer("ArgMax", shape, parameters=f"argmax_param {{ {told} }}")
    assert net.blobs["top0"].shape == wanted.shape
    np.testing.assert_array_equal(run(net, x)[0], wanted)


@given(SIZES, st.integers(1, 4), st.booleans(), st.booleans())
def test_arg_max_of_whole_images(shape, top_k, gives_values, is_tied):
    # argmax_layer.cpp, without axis: N × (1, or 2 with values) × top_k, and 1 for every axis beyond the third
    x = spaced(shape).astype(np.float32)
    x = x.round() if is_tied else x
    rows = x.reshape(len(x), -1)
    top_k = min(top_k, rows.shape[1])
    places = largest(rows, 1, top_k)
    wanted = np.stack([places, np.take_along_axis(rows, places, 1)] if gives_values else [places], 1)
    told = f"top_k: {top_k} out_max_val: {str(gives_values).lower()}"
    net = one_layer("ArgMax", shape, parameters=f"argmax_param {{ {told} }}")
    assert net.blobs["top0"].shape == (*wanted.shape, *[1] * (len(shape) - 3))
    np.testing.assert_array_equal(run(net, x)[0].reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("top_k: 0", r"layer 'l' \(ArgMax\) needs a top_k from 1 to 12, not 0"),
        ("top_k: 13", "needs a top_k from 1 to 12, not 13"),
        ("top_k: 4 axis: 1", "needs a top_k from 1 to 3, not 4"),
        ("axis: 3", "axis 3 is out of range for a blob of 3 axes"),
        ("axis: -4", "axis -4 is out of range for a blob of 3 axes"),
    ],
)
def test_arg_maxima_that_cannot_be(told, said):
    with pytest.raises(UserError, match=said):
        one_layer("ArgMax", (2, 3, 4), parameters=f"argmax_param {{ {told} }}")


def test_arg_max_sends_no_gradient_down(make_net):
    net = make_net(
        """force_backward: true
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "l" type: "ArgMax" bottom: "x" top: "y" argmax_param { out_max_val: true } }""",
        caffe.TRAIN,
    )
    net.forward()
    net.backward(y=np.ones((2, 2, 1)))
    assert not net.blobs["x"].diff.any()
