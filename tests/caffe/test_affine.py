"""Scale and Bias: NumPy's broadcasting, lined up from an axis on."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net, spaced


@st.composite
def cuts(draw):
    """Return a shape, an axis (from the front or the back), a number of axes, and the shape's part they name."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    axis = draw(st.integers(0, len(shape) - 1))
    count = draw(st.integers(-1, len(shape) - axis))
    end = len(shape) if count == -1 else axis + count
    return shape, draw(st.sampled_from([axis, axis - len(shape)])), count, (axis, end)


@given(cuts(), st.booleans())
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_axes(make_net, cut, from_bottom):
    shape, axis, count, (first, end) = cut
    part = shape[first:end]
    lined_up = (*part, *(1,) * (len(shape) - end))
    x, factor, bias = spaced(shape), spaced(part, 1), spaced(part, 2)
    second = [factor] if from_bottom else []
    place = f"axis: {axis} num_axes: {count}"
    scale = layer_net(make_net, "Scale", x, *second, parameters=f"scale_param {{ {place} bias_term: true }}")
    for blob, values in zip(scale.params["l"], [factor, bias][len(second) :], strict=True):
        assert blob.shape == part
        blob.data[...] = values
    wanted = x * factor.reshape(lined_up)
    np.testing.assert_allclose(scale.forward()["top0"], wanted + bias.reshape(lined_up), rtol=1e-5, atol=1e-6)
    plus = layer_net(make_net, "Bias", x, *second, parameters=f"bias_param {{ {place} }}")
    if not from_bottom:
        plus.params["l"][0].data[...] = factor
    np.testing.assert_allclose(plus.forward()["top0"], x + factor.reshape(lined_up), rtol=1e-5, atol=1e-6)


def test_what_is_learned_begins_as_doing_nothing_unless_told(make_net):
    x = spaced((2, 3))
    for kind, parameters in [("Scale", ""), ("Scale", "scale_param { bias_term: true }"), ("Bias", "")]:
        net = layer_net(make_net, kind, x, parameters=parameters)
        np.testing.assert_array_equal(net.forward()["top0"], x.astype(np.float32))
    told = "scale_param { filler { value: 2 } bias_term: true bias_filler { value: 3 } }"
    np.testing.assert_allclose(layer_net(make_net, "Scale", x, parameters=told).forward()["top0"], 2 * x + 3, rtol=1e-6)
    told = "bias_param { filler { value: 3 } }"
    np.testing.assert_allclose(layer_net(make_net, "Bias", x, parameters=told).forward()["top0"], x + 3, rtol=1e-6)


@pytest.mark.parametrize(("kind", "field"), [("Scale", "scale_param"), ("Bias", "bias_param")])
@pytest.mark.parametrize(
    ("bottoms", "place", "said"),
    [
        ([(2, 3)], "axis: 2", "axis 2 is out of range"),
        ([(2, 3)], "axis: -3", "axis -3 is out of range"),
        ([(2, 3)], "axis: 1 num_axes: 2", "num_axes 2 from axis 1 on"),
        ([(2, 3)], "axis: 1 num_axes: -2", "num_axes -2 from axis 1 on"),
        ([(2, 3), (2,)], "", r"cannot lay \(2,\) along \(2, 3\)"),
        ([(2, 3), (1,)], "", r"cannot lay \(1,\) along \(2, 3\)"),
        ([(2, 3), (3, 1)], "", r"cannot lay \(3, 1\) along \(2, 3\)"),
        ([(2, 3), (3,), (3,)], "", "takes 1 to 2"),
    ],
)
def test_what_is_refused(make_net, kind, field, bottoms, place, said):
    with pytest.raises(UserError, match=said):
        layer_net(make_net, kind, *bottoms, parameters=f"{field} {{ {place} }}")


@pytest.mark.parametrize("kind", ["Scale", "Bias"])
def test_another_number_of_channels_than_was_learned(make_net, kind):
    net = layer_net(make_net, kind, (2, 3))
    net.blobs["in0"].reshape(2, 1)  # which NumPy would broadcast
    with pytest.raises(UserError, match=r"cannot lay \(3,\) along \(2, 1\)"):
        net.forward()
