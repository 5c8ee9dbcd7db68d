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
        ((pb.BlobProto(), shaped(BIAS, 2)), r"parameter 0 of layer 'fc' is \(\) in .* but \(2, 3\) in the net"),
        ((shaped(WEIGHT, 1, 1, 2, 3), shaped(BIAS, 2)), r"is \(1, 1, 2, 3\) in"),  # ones go in front in old files only
        ((legacy(1, 1, 6, 1, data=WEIGHT.ravel()), shaped(BIAS, 2)), r"is \(6, 1\) in .* but \(2, 3\)"),
        ((legacy(0, 0, 2, 3, data=WEIGHT.ravel()), shaped(BIAS, 2)), r"is \(0, 0, 2, 3\) in"),
        ((shaped(WEIGHT, -2, -3), shaped(BIAS, 2)), r"is \(-2, -3\) in"),
        ((shaped(WEIGHT, 1 << 40, 1 << 40), shaped(BIAS, 2)), r"is \(1099511627776, 1099511627776\) in"),
        (
            (pb.BlobProto(shape=pb.BlobShape(dim=[2, 3]), data=WEIGHT.ravel(), diff=[1]), shaped(BIAS, 2)),
            r"the gradient of parameter 0 of layer 'fc' in .* says \(2, 3\) but holds 1 values",
        ),
    ],
)
def test_models_that_do_not_fit_change_nothing(net, model, blobs, said):
    before = [blob.data.copy() for blob in net.params["fc"]]
    with pytest.raises(UserError, match=said):
        net.copy_from(model(*blobs))
    for blob, values in zip(net.params["fc"], before, strict=True):
        np.testing.assert_array_equal(blob.data, values)


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_old_models(net, tmp_path, logged, generation):
    blobs = [legacy(1, 1, 2, 3, data=WEIGHT.ravel()), legacy(1, 1, 1, 2, data=BIAS.ravel())]
    if generation == "v0":
        stored = pb.V1LayerParameter(layer=pb.V0LayerParameter(name="fc", type="innerproduct", blobs=blobs))
    else:
        stored = pb.V1LayerParameter(name="fc", type=pb.V1LayerParameter.INNER_PRODUCT, blobs=blobs)
    path = tmp_path / "old.caffemodel"
    other = pb.V1LayerParameter(name="elsewhere")
    # the input has no shape, as in the models of that time
    path.write_bytes(pb.NetParameter(input=["data"], layers=[stored, other]).SerializeToString())
    net.copy_from(path)
    np.testing.assert_array_equal(net.params["fc"][0].data, WEIGHT)
    np.testing.assert_array_equal(net.params["fc"][1].data, BIAS)
    assert any("Upgraded the model" in line for line in logged())
    assert "Ignoring source layer elsewhere" in logged()[-1]


def test_stored_gradients_are_copied_too(net, model):
    # Blob::FromProto
    blobs = shaped(WEIGHT, 2, 3), shaped(BIAS, 2)
    blobs[0].diff.extend(-WEIGHT.ravel())
    blobs[1].double_diff.extend([3, 4])
    net.params["fc"][1].diff[...] = 7
    net.copy_from(model(*blobs))
    np.testing.assert_array_equal(net.params["fc"][0].diff, -WEIGHT)
    np.testing.assert_array_equal(net.params["fc"][1].diff, [3, 4])
    net.copy_from(model(shaped(WEIGHT, 2, 3), shaped(BIAS, 2)))
    np.testing.assert_array_equal(net.params["fc"][1].diff, [3, 4])


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
    assert "has 0 parameter blobs for layer 'fc', the net 2" in refused(net, path)
    both = pb.NetParameter(layers=[pb.V1LayerParameter(name="fc")], layer=[pb.LayerParameter(name="fc")])
    path.write_bytes(both.SerializeToString())
    assert "it has `layer` and `layers`" in refused(net, path)
    named = pb.NetParameter(layers=[pb.V1LayerParameter(name="fcfc")]).SerializeToString()
    path.write_bytes(named.replace(b"fcfc", b"\xff\xfe\xff\xfe"))
    assert "a layer's name or blob is no text" in refused(net, path)


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


def test_two_layers_of_one_name(make_net, tmp_path):
    # Net::ToProto writes both; CopyTrainedLayersFrom looks for the first of the name
    text = NET + NET.split("\n", 3)[3].replace('top: "fc"', 'top: "more"')
    net, other = make_net(text), make_net(text)
    net.layers[-1].blobs[0].data[...] = 5
    net.save(tmp_path / "m")
    stored = pb.NetParameter.FromString((tmp_path / "m").read_bytes()).layer
    assert [layer.name for layer in stored if layer.blobs] == ["fc", "fc"]
    before = other.layers[-1].blobs[0].data.copy()
    other.copy_from(tmp_path / "m")
    first = next(layer for layer in other.layers if layer.name == "fc")
    np.testing.assert_array_equal(first.blobs[0].data, 5)  # the file's last of the name is copied last
    np.testing.assert_array_equal(other.layers[-1].blobs[0].data, before)


def test_no_pickle_is_ever_read(net, tmp_path):
    path = tmp_path / "m.caffemodel"
    path.write_bytes(pickle.dumps({"fc": WEIGHT}))
    refused(net, path)
