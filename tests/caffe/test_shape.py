"""Concat, Slice, Crop, Flatten, Reshape and Tile against NumPy's own ways to move values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=5).map(tuple)


@st.composite
def shapes_and_axes(draw):
    """A shape, one of its axes, and that axis as it may be written: negative too."""
    shape = draw(SHAPES)
    axis = draw(st.integers(0, len(shape) - 1))
    return shape, axis, draw(st.sampled_from([axis, axis - len(shape)]))


def assert_tops(got, wanted):
    assert [top.shape for top in got] == [np.shape(array) for array in wanted]
    for top, array in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(top, np.float32(array))


# Concat and Slice


@given(shapes_and_axes(), st.lists(st.integers(1, 3), min_size=1, max_size=4), st.booleans())
def test_concat_joins_and_slice_parts_again(shape_and_axis, sizes, old_names):
    shape, axis, written = shape_and_axis
    parts = [spaced((*shape[:axis], n, *shape[axis + 1 :]), seed) for seed, n in enumerate(sizes)]
    joining, parting = (f"{name}: {axis}" if old_names else f"axis: {written}" for name in ("concat_dim", "slice_dim"))
    whole = np.concatenate(parts, axis)
    net = one_layer("Concat", *(part.shape for part in parts), parameters=f"concat_param {{ {joining} }}")
    assert net.blobs["top0"].shape == whole.shape
    assert_tops(run(net, *parts), [whole])
    points = " ".join(f"slice_point: {n}" for n in np.cumsum(sizes)[:-1])
    net = one_layer("Slice", whole.shape, parameters=f"slice_param {{ {parting} {points} }}", tops=len(parts))
    assert_tops(run(net, whole), parts if points else [whole])


@given(shapes_and_axes(), st.integers(1, 4))
def test_slice_without_points_makes_equal_parts(shape_and_axis, count):
    shape, axis, written = shape_and_axis
    x = spaced((*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
    net = one_layer("Slice", x.shape, parameters=f"slice_param {{ axis: {written} }}", tops=count)
    assert_tops(run(net, x), np.split(x, count, axis))


def test_both_take_the_channels_unless_told():
    a, b = spaced((2, 3, 2)), spaced((2, 1, 2), 1)
    assert_tops(run(one_layer("Concat", a.shape, b.shape), a, b), [np.concatenate([a, b], 1)])
    c = spaced((3, 4))
    assert_tops(run(one_layer("Slice", c.shape, tops=2), c), [c[:, :2], c[:, 2:]])


def test_what_was_sliced_stays_when_the_bottom_is_written_to():
    net = one_layer("Slice", (2, 4), tops=2)
    first = run(net, spaced((2, 4)))[0]
    net.blobs["in0"].data[...] = 9
    np.testing.assert_array_equal(net.blobs["top0"].data, first)


@pytest.mark.parametrize(
    ("shapes", "told", "said"),
    [
        ([(2, 3), (2, 3)], "axis: 1 concat_dim: 1", "gives axis and concat_dim; keep axis"),
        ([(2, 3), (2, 3)], "axis: 2", "axis 2 is out of range for a blob of 2 axes"),
        ([(2, 3), (2, 3)], "axis: -3", "axis -3 is out of range"),
        ([(2, 3), (2, 3)], "concat_dim: 4000000000", "axis 4000000000 is out of range"),
        ([(2, 3), (3, 3)], "", r"joins along axis 1 bottoms that differ elsewhere too: \[\(2, 3\), \(3, 3\)\]"),
        ([(2, 3, 4), (2, 3, 5)], "axis: 0", "joins along axis 0 bottoms that differ elsewhere too"),
        ([(2, 3), (2, 3, 1)], "", "joins along axis 1 bottoms that differ elsewhere too"),
        ([(2, 3), (0,)], "", "joins along axis 1 bottoms that differ elsewhere too"),
    ],
)
def test_joins_that_cannot_be(shapes, told, said):
    with pytest.raises(UserError, match=said):
        one_layer("Concat", *shapes, parameters=f"concat_param {{ {told} }}")


@pytest.mark.parametrize(
    ("told", "tops", "said"),
    [
        ("axis: 1 slice_dim: 1", 2, "gives axis and slice_dim; keep axis"),
        ("axis: 3", 2, "axis 3 is out of range for a blob of 3 axes"),
        ("axis: 2", 2, r"cannot cut axis 2 of \(2, 4, 3\) into 2 equal parts; add slice_point"),
        ("slice_point: 1", 3, "has 1 slice_point for 3 tops; give 2"),
        ("slice_point: [1, 2]", 2, "has 2 slice_point for 2 tops; give 1"),
        ("slice_point: [2, 1]", 3, r"needs slice_point that rise from above 0 to 4, not \[2, 1\]"),
        ("slice_point: [2, 2]", 3, r"needs slice_point that rise from above 0 to 4, not \[2, 2\]"),
        ("slice_point: 0", 2, r"needs slice_point that rise from above 0 to 4, not \[0\]"),
        ("slice_point: 5", 2, r"needs slice_point that rise from above 0 to 4, not \[5\]"),
    ],
)
def test_slices_that_cannot_be(told, tops, said):
    with pytest.raises(UserError, match=said):
        one_layer("Slice", (2, 4, 3), parameters=f"slice_param {{ {told} }}", tops=tops)


# Crop


@pytest.mark.parametrize(
    ("told", "reference", "inside"),
    [
        ("", (9, 9, 3, 4), np.s_[:, :, :3, :4]),
        ("offset: 2", (9, 9, 3, 4), np.s_[:, :, 2:5, 2:6]),
        ("offset: [1, 3]", (1, 1, 3, 4), np.s_[:, :, 1:4, 3:7]),
        ("axis: 1 offset: [1, 0, 2]", (7, 2, 6, 5), np.s_[:, 1:3, :6, 2:7]),
        ("axis: -1 offset: 3", (1, 1, 1, 4), np.s_[..., 3:]),
        ("axis: 0", (1, 2, 3, 4), np.s_[:1, :2, :3, :4]),
        ("axis: 2", (2, 3, 6, 7, 8), np.s_[:]),
    ],
)
def test_crop(told, reference, inside):
    x = spaced((2, 3, 6, 7))
    net = one_layer("Crop", x.shape, reference, parameters=f"crop_param {{ {told} }}")
    assert net.blobs["top0"].shape == x[inside].shape
    assert_tops(run(net, x, np.zeros(reference)), [x[inside]])


@pytest.mark.parametrize(
    ("told", "reference", "said"),
    [
        ("offset: [1, 1, 1]", (2, 3, 3, 4), "has 3 offset for the 2 axes from axis 2 on; give 1 or 2"),
        ("axis: 3 offset: [1, 1]", (2, 3, 3, 4), "has 2 offset for the 1 axes from axis 3 on; give 1 or 1"),
        ("offset: 4", (2, 3, 3, 3), r"cannot cut \(2, 3, 3, 3\) out of \(2, 3, 6, 7\) from axis 2 on at \[4, 4\]"),
        ("offset: [0, 4]", (2, 3, 3, 4), r"cannot cut .* at \[0, 4\]"),
        ("offset: 4294967295", (2, 3, 3, 4), "cannot cut"),
        ("", (2, 3, 7, 7), "cannot cut"),
        ("", (2, 3, 6), r"cannot cut \(2, 3, 6\) out of"),
        ("axis: 4", (2, 3, 3, 4), "axis 4 is out of range for a blob of 4 axes"),
    ],
)
def test_crops_that_cannot_be(told, reference, said):
    with pytest.raises(UserError, match=said):
        one_layer("Crop", (2, 3, 6, 7), reference, parameters=f"crop_param {{ {told} }}")


# Flatten, Reshape and Tile


@given(SHAPES, st.data())
def test_flatten_makes_a_range_of_axes_one(shape, data):
    start = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(start, len(shape) - 1))
    told = f"axis: {data.draw(st.sampled_from([start, start - len(shape)]))} "
    told += f"end_axis: {data.draw(st.sampled_from([end, end - len(shape)]))}"
    wanted = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    net = one_layer("Flatten", shape, parameters=f"flatten_param {{ {told} }}")
    assert net.blobs["top0"].shape == wanted
    assert_tops(run(net, spaced(shape)), [spaced(shape).reshape(wanted)])


def test_flatten_of_no_axes_adds_one():
    # flatten_layer.cpp: count(axis, end_axis + 1) of an empty range is 1
    net = one_layer("Flatten", (2, 3, 4), parameters="flatten_param { axis: 2 end_axis: 1 }")
    assert net.blobs["top0"].shape == (2, 3, 1, 4)


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        # the examples are those of ReshapeParameter: 0 copies, −1 follows, axis and num_axes choose what is replaced
        ("shape { dim: 0 dim: 0 dim: 2 dim: 6 }", (2, 8, 2, 6)),
        ("shape { dim: 0 dim: -1 }", (2, 96)),
        ("shape { dim: -1 }", (192,)),
        ("shape { dim: 4 dim: -1 dim: 1 }", (4, 48, 1)),
        ("axis: 1 shape { dim: 2 dim: -1 }", (2, 2, 48)),
        ("axis: -3 shape { dim: 12 }", (2, 8, 12)),
        ("axis: 1 num_axes: 1 shape { dim: 2 dim: 4 }", (2, 2, 4, 3, 4)),
        ("axis: 1 num_axes: 2 shape { dim: -1 }", (2, 24, 4)),
        ("axis: -1 num_axes: 0 shape { dim: 1 dim: 1 }", (2, 8, 3, 4, 1, 1)),
        ("num_axes: 0 shape { dim: 1 }", (1, 2, 8, 3, 4)),
        ("axis: 4 shape { dim: 1 }", (2, 8, 3, 4, 1)),
        ("axis: 1 num_axes: 2 shape { dim: 0 dim: 0 }", (2, 8, 3, 4)),
        ("shape { dim: 2 dim: 8 dim: 12 }", (2, 8, 12)),
        ("num_axes: 0", (2, 8, 3, 4)),
    ],
)
def test_reshape(told, wanted):
    x = spaced((2, 8, 3, 4))
    net = one_layer("Reshape", x.shape, parameters=f"reshape_param {{ {told} }}")
    assert net.blobs["top0"].shape == wanted
    assert_tops(run(net, x), [x.reshape(wanted)])


def test_reshape_and_flatten_follow_a_larger_batch():
    reshape = one_layer("Reshape", (2, 6), parameters="reshape_param { shape { dim: 0 dim: 2 dim: -1 } }")
    assert run(reshape, spaced((5, 6)))[0].shape == (5, 2, 3)
    assert run(one_layer("Flatten", (2, 3, 2)), spaced((5, 3, 4)))[0].shape == (5, 12)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("shape { dim: -1 dim: -1 }", "needs dim of 0 or above, and at most one −1"),
        ("shape { dim: -2 }", "needs dim of 0 or above, and at most one −1"),
        ("shape { dim: 5 dim: -1 }", r"cannot find the −1 in \[5, -1\]: 24 values of \(2, 3, 4\) do not divide"),
        ("shape { dim: 2 dim: 3 dim: 5 }", r"cannot make \[2, 3, 5\] of \(2, 3, 4\): 30 values of 24"),
        ("", r"cannot make \[\] of \(2, 3, 4\): 1 values of 24"),
        ("shape { dim: 2 dim: 3 dim: 4 dim: 0 }", "copies with dim 0 a size that the bottom .* has not"),
        ("axis: 3 shape { dim: 0 }", "copies with dim 0 a size that the bottom .* has not"),
        ("axis: 4 shape { dim: 1 }", r"has axis 4 and num_axes -1, which \(2, 3, 4\) has not"),
        ("axis: -5 shape { dim: 1 }", r"has axis -5 and num_axes -1, which \(2, 3, 4\) has not"),
        ("axis: 2 num_axes: 2 shape { dim: 4 }", "has axis 2 and num_axes 2, which"),
        ("num_axes: -2 shape { dim: 4 }", "has axis 0 and num_axes -2, which"),
        ("shape { dim: 9223372036854775807 dim: 9223372036854775807 }", "cannot make"),
    ],
)
def test_reshapes_that_cannot_be(told, said):
    with pytest.raises(UserError, match=rf"layer 'l' \(Reshape\).*{said}"):
        one_layer("Reshape", (2, 3, 4), parameters=f"reshape_param {{ {told} }}")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("axis: 3", "axis 3 is out of range for a blob of 3 axes"),
        ("end_axis: 3", "axis 3 is out of range for a blob of 3 axes"),
        ("axis: 2 end_axis: 0", r"layer 'l' \(Flatten\) flattens from axis 2 to 0; let end_axis be axis or above"),
    ],
)
def test_flattenings_that_cannot_be(told, said):
    with pytest.raises(UserError, match=said):
        one_layer("Flatten", (2, 3, 4), parameters=f"flatten_param {{ {told} }}")


@pytest.mark.parametrize(("kind", "told"), [("Flatten", ""), ("Reshape", "reshape_param { shape { dim: 2 dim: 3 } }")])
def test_other_axes_are_not_made_in_place(make_net, kind, told):
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\) cannot work in place; give its top another name"):
        make_net(
            f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
            layer {{ name: "l" type: "{kind}" bottom: "x" top: "x" {told} }}"""
        )


@given(shapes_and_axes(), st.integers(1, 4))
def test_tile_repeats_an_axis(shape_and_axis, tiles):
    shape, axis, written = shape_and_axis
    x = spaced(shape)
    net = one_layer("Tile", shape, parameters=f"tile_param {{ axis: {written} tiles: {tiles} }}")
    assert_tops(run(net, x), [np.concatenate([x] * tiles, axis)])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("", r"layer 'l' \(Tile\) needs tiles, 1 or more, in tile_param"),
        ("tiles: 0", "needs tiles, 1 or more"),
        ("tiles: -1", "needs tiles, 1 or more"),
        ("tiles: 2 axis: 2", "axis 2 is out of range for a blob of 2 axes"),
    ],
)
def test_tilings_that_cannot_be(told, said):
    with pytest.raises(UserError, match=said):
        one_layer("Tile", (2, 3), parameters=f"tile_param {{ {told} }}")
