"""Embed, BatchReindex and Filter against NumPy's indexing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pydeepexpr import caffe
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import spaced
from tests.caffe.one_layer import one_layer, run

# Embed

TABLE = "embed_param { input_dim: 7 num_output: 3 bias_term: %s }"


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=4, max_side=3), elements=st.integers(0, 6)), st.booleans())
def test_embed_looks_vectors_up(index, has_bias):
    net = one_layer("Embed", index.shape, parameters=TABLE % str(has_bias).lower())
    weight, *biases = (blob.data for blob in net.params["l"])
    assert weight.shape == (7, 3) and [bias.shape for bias in biases] == [(3,)] * has_bias
    weight[...] = spaced((7, 3))
    wanted = weight[index]
    for bias in biases:
        bias[...] = [1, -2, 3]
        wanted = wanted + bias
    assert net.blobs["top0"].shape == (*index.shape, 3)
    np.testing.assert_allclose(run(net, index)[0], wanted, atol=1e-6)


def test_the_gradient_of_a_vector_is_the_sum_over_its_uses():
    net = one_layer("Embed", (4,), parameters=TABLE % "true", phase=caffe.TRAIN)
    run(net, np.array([2, 0, 2, 2]))
    diff = spaced((4, 3))
    net.backward(top0=diff)
    weight, bias = (blob.diff for blob in net.params["l"])
    np.testing.assert_allclose(weight[[0, 2]], [diff[1], diff[0] + diff[2] + diff[3]], atol=1e-6)
    assert not weight[[1, 3, 4, 5, 6]].any()
    np.testing.assert_allclose(bias, diff.sum(0), atol=1e-6)


@pytest.mark.parametrize("told", ["num_output: 3", "input_dim: 3", "input_dim: 0 num_output: 3", ""])
def test_embed_needs_its_sizes(told):
    with pytest.raises(UserError, match=r"layer 'l' \(Embed\) needs num_output and input_dim above 0 in embed_param"):
        one_layer("Embed", (2,), parameters=f"embed_param {{ {told} }}")


@pytest.mark.parametrize("index", [[0, 7], [-1, 3], [1e9, 0], [np.nan, 0], [np.inf, 0]])
def test_embed_refuses_what_is_not_in_its_table(index):
    net = one_layer("Embed", (2,), parameters=TABLE % "true")
    with pytest.raises(UserError, match=r"layer 'l' \(Embed\) has 7 rows but meets the indices .*; they count from 0"):
        run(net, np.array(index))


# BatchReindex


@given(
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), st.lists(st.integers(0, 3), min_size=0, max_size=6), st.data()
)
def test_batch_reindex(shape, index, data):
    index = np.array(index, int) % shape[0]
    x = spaced(shape).astype(np.float32)
    net = one_layer("BatchReindex", shape, (len(index),))
    assert net.blobs["top0"].shape == (len(index), *shape[1:])
    np.testing.assert_array_equal(run(net, x, index)[0], x[index])


def test_the_gradient_of_an_item_is_the_sum_over_its_uses():
    net = one_layer("BatchReindex", (3, 2), np.array([2, 0, 2]), phase=caffe.TRAIN)
    net.forward()
    diff = spaced((3, 2))
    net.backward(top0=diff)
    np.testing.assert_allclose(net.blobs["in0"].diff, [diff[1], [0, 0], diff[0] + diff[2]], atol=1e-6)
    assert not net.blobs["in1"].diff.any()


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ([3], "has 3 rows but meets the indices 3 to 3; they count from 0"),
        ([0, -1], "has 3 rows but meets the indices -1 to 0"),
        ([[0, 1]], r"takes a batch and a vector of indices, not \(3, 2\) and \(1, 2\)"),
    ],
)
def test_indices_that_cannot_be(index, said):
    with pytest.raises(UserError, match=rf"layer 'l' \(BatchReindex\) {said}"):
        run(one_layer("BatchReindex", (3, 2), np.shape(index)), spaced((3, 2)), np.array(index))


# Filter


@given(st.lists(st.sampled_from([0, 1, -2, 0.5]), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 3))
def test_filter_lets_through_what_is_selected(selector, bottoms, more_axes):
    count = len(selector)
    selector = np.array(selector).reshape(count, *[1] * more_axes)
    values = [spaced((count, 2, 3)[: 1 + k], k).astype(np.float32) for k in range(bottoms)]
    net = one_layer("Filter", *(x.shape for x in values), selector.shape, tops=bottoms)
    assert [net.blobs[f"top{k}"].shape for k in range(bottoms)] == [x.shape for x in values]
    kept = selector.ravel() != 0
    for got, x in zip(run(net, *values, selector), values, strict=True):
        np.testing.assert_array_equal(got, x[kept])


def test_filter_has_all_items_until_the_first_forward_and_then_as_many_as_it_let_through():
    net = one_layer("Filter", (4, 2), (4,), phase=caffe.TRAIN)
    assert net.blobs["top0"].shape == (4, 2)
    run(net, spaced((4, 2)), [1, 0, 0, 1])
    net.reshape()
    assert net.blobs["top0"].shape == (2, 2)
    run(net, spaced((4, 2)), [0, 0, 0, 0])
    assert net.blobs["top0"].shape == (0, 2)
    net.backward()
    assert not net.blobs["in0"].diff.any()
    run(net, spaced((5, 2)), [1, 1, 0, 1, 1])
    assert net.blobs["top0"].shape == (4, 2)


def test_what_was_filtered_out_has_no_gradient():
    net = one_layer("Filter", (3, 2), (3, 1), (3,), tops=2, phase=caffe.TRAIN)
    run(net, spaced((3, 2)), spaced((3, 1)), [1, 0, 1])
    net.backward(top0=[[1, 2], [3, 4]], top1=[[5], [6]])
    np.testing.assert_array_equal(net.blobs["in0"].diff, [[1, 2], [0, 0], [3, 4]])
    np.testing.assert_array_equal(net.blobs["in1"].diff, [[5], [0], [6]])
    assert not net.blobs["in2"].diff.any()


@pytest.mark.parametrize(
    ("shapes", "tops", "said"),
    [
        (
            [(3, 2), (3,)],
            2,
            r"has 2 top\(s\) for 1 bottom\(s\) and a selector; give one top for each bottom but the last",
        ),
        ([(3, 2), (3, 2), (3,)], 1, r"has 1 top\(s\) for 2 bottom\(s\) and a selector"),
        ([(3, 2), (3, 2)], 1, r"takes a selector of N or N×1×…, not \(3, 2\)"),
        ([(3, 2), (3, 1, 2)], 1, r"takes a selector of N or N×1×…, not \(3, 1, 2\)"),
        ([(3, 2), ()], 1, r"takes a selector of N or N×1×…, not \(\)"),
        ([(3, 2), (4,)], 1, r"has a selector for 4 items and bottoms of \[\(3, 2\)\]"),
    ],
)
def test_filters_that_cannot_be(shapes, tops, said):
    with pytest.raises(UserError, match=rf"layer 'l' \(Filter\) {said}"):
        one_layer("Filter", *shapes, tops=tops)
