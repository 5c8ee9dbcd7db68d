"""Blobs as pycaffe shows them: writable NumPy arrays that the layers share."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe import Blob
from pydeepexpr.caffe.blob import Memory
from pydeepexpr.errors import UserError

RELU = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }
"""


def test_data_and_diff_are_writable_zeros_of_float32():
    blob = Blob(2, 3)
    for array in (blob.data, blob.diff):
        assert (
            array.dtype == np.float32 and array.shape == (2, 3) and array.flags.c_contiguous and array.flags.writeable
        )
        assert not array.any()
    blob.data[...] = 1
    blob.diff[0, 1] = 2
    assert blob.data.sum() == 6 and blob.diff.sum() == 2


def test_a_blob_without_axes_holds_one_number():
    blob = Blob()
    blob.data[...] = 3
    assert blob.shape == () and blob.count == 1 and float(blob.data) == 3


def test_a_view_held_before_forward_shows_what_forward_computes(make_net):
    net = make_net(RELU)
    data, relu = net.blobs["data"].data, net.blobs["relu"].data
    for sign in (1, -1):
        data[...] = [[1, -2, 3], [-4, 5, -6]]
        data *= sign
        net.forward()
        np.testing.assert_array_equal(relu, np.maximum(data, 0))
    assert net.blobs["relu"].data is relu


def test_what_is_written_to_a_view_is_what_the_next_layer_reads(make_net):
    net = make_net(RELU + 'layer { name: "again" type: "ReLU" bottom: "relu" top: "again" }')
    net.forward()
    net.blobs["relu"].data[...] = 7
    assert (net.forward(start="again")["again"] == 7).all()


def test_reshape_to_the_same_count_keeps_contents_and_held_views():
    blob = Blob(2, 6)
    held = blob.data
    held[...] = np.arange(12).reshape(2, 6)
    blob.reshape(3, 4)
    assert blob.shape == blob.data.shape == blob.diff.shape == (3, 4)
    np.testing.assert_array_equal(blob.data, np.arange(12).reshape(3, 4))
    blob.data[0, 0] = 50
    assert held[0, 0] == 50


def test_reshape_to_another_count_gives_zeros():
    blob = Blob(2, 6)
    blob.data[...], blob.diff[...] = 1, 1
    blob.reshape(5)
    assert blob.shape == (5,) and not blob.data.any() and not blob.diff.any()


def test_shared_data_is_one_array_and_diffs_stay_apart():
    one, other = Blob(2, 2), Blob(4)
    one.data[...] = 1
    other.share_data(one)
    other.data[0, 0] = 9
    other.diff[...] = 3
    assert one.data[0, 0] == 9 and other.shape == other.diff.shape == (2, 2) and not one.diff.any()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2**31,), "is too large; Caffe's blobs hold up to 2147483647 values"),
        ((4_294_967_295, 3, 3), "is too large"),
        ((65536, 65536), "is too large"),
        ((2**40, 2**40), "is too large"),
        ((2, -1), r"cannot be reshaped to \(2, -1\); sizes are 0 or more"),
        ((1,) * 33, "of 33 axes has too many; Caffe's blobs have up to 32"),
    ],
)
def test_a_blob_has_caffes_limits(shape, said):
    # Caffe's Blob::Reshape allows 32 axes at most, none negative, and 2³¹ − 1 values
    blob = Blob(2)
    for make in (Blob, blob.reshape):
        with pytest.raises(UserError, match=said):
            make(*shape)
    assert blob.shape == blob.data.shape == (2,)


@pytest.mark.parametrize(
    ("shape", "legacy"),
    [((), (1, 1, 1, 1)), ((5,), (5, 1, 1, 1)), ((2, 3), (2, 3, 1, 1)), ((2, 3, 4, 5), (2, 3, 4, 5))],
)
def test_legacy_dimensions(shape, legacy):
    # Blob::LegacyShape: missing axes count as 1
    blob = Blob(*shape)
    assert (blob.num, blob.channels, blob.height, blob.width) == legacy


SHAPES = {12: [(12,), (3, 4), (2, 6)], 6: [(6,), (2, 3)]}


@given(
    st.lists(
        st.tuples(st.sampled_from(["show", "write", "put", "alias", "add", "clear", "reshape"]), st.integers(0, 4)),
        max_size=12,
    )
)
def test_memory_behaves_as_one_plain_array(steps):
    """Whoever looked, wrote or reshaped before: reading gives what a plain NumPy array would."""
    memory, model = Memory((3, 4)), np.zeros((3, 4), np.float32)
    shapes = SHAPES[12] + SHAPES[6]
    foreign = []  # tensors of others, put here: they must not change with this memory
    for action, n in steps:
        if action == "show":
            np.testing.assert_array_equal(memory.numpy(), model)
        elif action == "write":
            memory.numpy()[...] = n
            model[...] = n
        elif action in ("put", "alias"):
            values = torch.arange(model.size, dtype=torch.float32).reshape(model.shape) + n
            memory.put(values)
            model = values.numpy().copy()
            foreign.append((values, model.copy()))
        elif action == "add" and memory.is_shown():
            memory.tensor().add_(n)
            model = model + n
        elif action == "clear":
            memory.clear()
            model = np.zeros_like(model)
        elif action == "reshape":
            shape = shapes[n]
            model = model.reshape(shape) if model.size == np.prod(shape) else np.zeros(shape, np.float32)
            memory.reshape(shape)
        assert memory.shape == model.shape
        np.testing.assert_array_equal(memory.tensor().numpy(), model)
    for tensor, values in foreign:
        np.testing.assert_array_equal(tensor.numpy(), values)
