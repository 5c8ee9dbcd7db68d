"""Model files: old shapes, doubles, damage; what a file holds is written and read with protobuf alone."""

import pickle

import numpy as np
import pytest

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.weights import save_weights
from pydeepexpr.errors import UserError

NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
"""
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
BIAS = np.array([0.5, -1.5], np.float32)


def shaped(values, *shape):
    return pb.BlobProto(shape=pb.BlobShape(dim=shape), data=np.ravel(values))


def legacy(num, channels, height, width, **values):
    return pb.BlobProto(num=num, channels=channels, height=height, width=width, **values)


@pytest.fixture
def net(make_net):
    return make_net(NET)


@pytest.fixture
def model(tmp_path):
    """Return a function that writes blobs of the layer fc to a file."""

    def write(*blobs):
        path = tmp_path / "m.caffemodel"
        layer = pb.LayerParameter(name="fc", type="InnerProduct", blobs=blobs)
        path.write_bytes(pb.NetParameter(layer=[layer]).SerializeToString())
        return path

    return write


@pytest.mark.parametrize(
    "blobs",
    [
        (shaped(WEIGHT, 2, 3), shaped(BIAS, 2)),
        (
            legacy(1, 1, 2, 3, data=WEIGHT.ravel()),
            legacy(1, 1, 1, 2, data=BIAS.ravel()),
        ),  # before Blob had any number of axes
        (legacy(1, 1, 2, 3, double_data=WEIGHT.ravel()), shaped(BIAS, 2)),  # a net of doubles
    ],
)
def test_all_ways_to_store_the_same_numbers(net, model, blobs):
    net.copy_from(model(*blobs))
    np.testing.assert_array_equal(net.params["fc"][0].data, WEIGHT)
    np.testing.assert_array_equal(net.params["fc"][1].data, BIAS)


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        (
            (shaped(WEIGHT, 3, 2), shaped(BIAS, 2)),
            r"parameter 0 of layer 'fc' is \(3, 2\) in .* but \(2, 3\) in the net",
        ),
        ((legacy(2, 3, 1, 1, data=WEIGHT.ravel()), shaped(BIAS, 2)), r"parameter 0 of layer 'fc' is \(2, 3, 1, 1\)"),
        ((shaped(WEIGHT, 2, 3), legacy(2, 1, 1, 1, data=BIAS.ravel())), r"parameter 1 of layer 'fc' is \(2, 1, 1, 1\)"),
        ((shaped(WEIGHT, 2, 3),), "has 1 parameter blobs for layer 'fc', the net 2; rename the layer"),
        ((shaped(WEIGHT, 2, 3), shaped(BIAS, 2), shaped(BIAS, 2)), "has 3 parameter blobs"),
        ((), "has 0 parameter blobs"),
        (
            (shaped(WEIGHT[:1], 2, 3), shaped(BIAS, 2)),
            r"parameter 0 of layer 'fc' in .* says \(2, 3\) but holds 3 values",
        ),
        ((pb.BlobProto(), shaped(BIAS, 2)), r"says \(\) but holds 0 values; the file is damaged"),
    ],
)
def test_models_that_do_not_fit_change_nothing(net, model, blobs, said):
    before = [blob.data.copy() for blob in net.params["fc"]]
    with pytest.raises(UserError, match=said):
        net.copy_from(model(*blobs))
    for blob, values in zip(net.params["fc"], before, strict=True):
        np.testing.assert_array_equal(blob.data, values)


def refused(net, path):
    with pytest.raises(UserError) as error:
        net.copy_from(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_files_that_are_no_models(net, tmp_path):
    path = tmp_path / "m.caffemodel"
    assert "cannot read the model" in refused(net, path)
    path.write_bytes(b"")
    assert "holds no layers; give a .caffemodel" in refused(net, path)
    path.write_text(NET)
    assert "is truncated or no NetParameter file" in refused(net, path)
    path.write_bytes(pb.SolverState(iter=5, current_step=1).SerializeToString())
    assert "holds no layers" in refused(net, path)
    path.write_bytes(pb.NetParameter(layers=[pb.V1LayerParameter(name="fc")]).SerializeToString())
    assert "is of the old V1 format, which is not read so far" in refused(net, path)


def test_a_truncated_model(net, tmp_path):
    path = tmp_path / "m.caffemodel"
    net.save(path)
    whole = path.read_bytes()
    for share in (0.3, 0.6, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "is truncated or no NetParameter file" in refused(net, path)


def test_gradients_are_stored_on_request(net, tmp_path):
    net.forward(data=np.ones((2, 3)))
    net.backward(fc=np.ones((2, 2)))
    for with_diff in (False, True):
        save_weights(net, tmp_path / "m", with_diff=with_diff)
        stored = pb.NetParameter.FromString((tmp_path / "m").read_bytes()).layer[1].blobs[0]
        assert list(stored.diff) == ([2.0] * 6 if with_diff else [])
        np.testing.assert_array_equal(stored.data, net.params["fc"][0].data.ravel())


def test_a_file_is_replaced_whole_or_not_at_all(net, tmp_path, monkeypatch):
    path = tmp_path / "m.caffemodel"
    net.save(path)
    before = path.read_bytes()

    def break_off(self, content):
        with open(self, "wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", break_off)
    net.params["fc"][0].data[...] = 9
    with pytest.raises(OSError, match="No space left"):
        net.save(path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["m.caffemodel"]


def test_a_shared_parameter_is_stored_with_each_of_its_layers(make_net, tmp_path):
    # Net::ToProto writes every layer's blobs
    text = NET.replace("num_output: 2", "num_output: 3").replace('top: "fc"', 'top: "fc" param { name: "w" }')
    text += text.split("\n", 3)[3].replace('"fc"', '"again"').replace('bottom: "data"', 'bottom: "fc"')
    net = make_net(text)
    net.save(tmp_path / "m")
    stored = {layer.name: layer.blobs for layer in pb.NetParameter.FromString((tmp_path / "m").read_bytes()).layer}
    assert stored["fc"][0] == stored["again"][0] and len(stored["fc"]) == len(stored["again"]) == 2


def test_no_pickle_is_ever_read(net, tmp_path):
    path = tmp_path / "m.caffemodel"
    path.write_bytes(pickle.dumps({"fc": WEIGHT}))
    refused(net, path)
