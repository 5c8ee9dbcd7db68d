"""The MemoryData layer: batches of the user's own arrays."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.errors import UserError

TEXT = """layer { name: "data" type: "MemoryData" top: "data" top: "label"
  memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }"""


def arrays(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3, 4, 5)).astype(np.float32), np.arange(count, dtype=np.float32)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("shape", [(6,), (6, 1, 1, 1)])
def test_batches_go_through_the_arrays_and_wrap_around(make_net, phase, shape):
    net = make_net(TEXT, phase)
    assert net.blobs["data"].shape == (2, 3, 4, 5) and net.blobs["label"].shape == (2,)
    data, label = arrays(6)
    net.set_input_arrays(data, label.reshape(shape))
    for batch in range(7):
        net.forward()
        rows = (2 * batch + np.arange(2)) % 6
        np.testing.assert_array_equal(net.blobs["data"].data, data[rows])
        np.testing.assert_array_equal(net.blobs["label"].data, rows)


def test_other_arrays_begin_at_their_first_row(make_net):
    net = make_net(TEXT)
    net.set_input_arrays(*arrays(6))
    net.forward()
    data, label = arrays(4, seed=1)
    net.set_input_arrays(data, label)
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, data[:2])


def test_the_arrays_are_used_as_they_are_then_and_stay_as_they_are(make_net):
    net = make_net(TEXT)
    data, label = arrays(2)
    net.set_input_arrays(data, label)
    data[:] = 3
    net.forward()
    assert (net.blobs["data"].data == 3).all()
    net.blobs["data"].data[...] = 4
    assert (data == 3).all()


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_skip_to(make_net, batch):
    net = make_net(TEXT)
    net.set_input_arrays(*arrays(6))
    net.forward()
    net.layers[0].skip_to(batch)
    net.forward()
    np.testing.assert_array_equal(net.blobs["label"].data, (2 * batch + np.arange(2)) % 6)


def test_no_transform(make_net, logged):
    # MemoryDataLayer::Reset warns that array data is not transformed
    net = make_net(TEXT.replace("memory_data_param", "transform_param { scale: 2 } memory_data_param"))
    data, label = arrays(2)
    net.set_input_arrays(data, label)
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, data)
    assert any("data does not transform array data" in line for line in logged())


def test_no_arrays_yet(make_net):
    with pytest.raises(UserError, match=r"layer 'data' \(MemoryData\) has no data yet; give it arrays"):
        make_net(TEXT).forward()


DATA, LABEL = arrays(4)


@pytest.mark.parametrize(
    ("data", "label", "said"),
    [
        (DATA.astype(np.float64), LABEL, "data as a float32 array in C order"),
        (DATA.tolist(), LABEL, "data as a float32 array in C order"),
        (np.asfortranarray(DATA), LABEL, "data as a float32 array in C order"),
        (DATA[::2], LABEL[:2], "data as a float32 array in C order"),
        (DATA, LABEL.astype(int), "labels as a float32 array in C order"),
        (DATA[:, :2].copy(), LABEL, r"data of shape \(N, 3, 4, 5\), not \(4, 2, 4, 5\)"),
        (DATA[0], LABEL, r"data of shape \(N, 3, 4, 5\), not \(3, 4, 5\)"),
        (DATA, LABEL[:, None], r"labels of shape \(N, 1, 1, 1\), not \(4, 1\)"),
        (DATA, np.float32(3), "labels as a float32 array"),
        (DATA, LABEL[:2], "as many data as labels, a multiple of the batch size 2, not 4 and 2"),
        (DATA[:3], LABEL[:3], ".* a multiple of the batch size 2, not 3 and 3"),
        (DATA[:0], LABEL[:0], ".* a multiple of the batch size 2, not 0 and 0"),
    ],
)
def test_arrays_that_do_not_fit(make_net, data, label, said):
    net = make_net(TEXT)
    with pytest.raises(UserError, match=rf"layer 'data' \(MemoryData\) takes {said}") as error:
        net.set_input_arrays(data, label)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("missing", ["batch_size: 2", "channels: 3", "height: 4", "width: 5"])
def test_sizes_that_are_missing(make_net, missing):
    with pytest.raises(UserError, match="needs batch_size, channels, height and width above 0"):
        make_net(TEXT.replace(missing, ""))
