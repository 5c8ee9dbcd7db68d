"""Parameters in HDF5: the layout is that of Net::ToHDF5 and CopyTrainedLayersFromHDF5, told by h5py alone."""

import h5py
import numpy as np
import pytest

from pydeepexpr.caffe.hdf5_weights import load_hdf5, save_hdf5
from pydeepexpr.errors import UserError

NET = """
force_backward: true
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "fc" top: "fc" }
layer { name: "again" type: "InnerProduct" bottom: "fc" top: "again" param { name: "w" }
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
"""
WEIGHT = np.arange(9, dtype=np.float32).reshape(3, 3) / 7
BIAS = np.array([0.5, -1.5, 2], np.float32)


@pytest.fixture
def net(make_net):
    return make_net(NET)


@pytest.fixture
def stored(tmp_path):
    """Return a function that writes arrays, by their paths, to a file."""

    def write(arrays, name="m.caffemodel.h5"):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            for key, array in arrays.items():
                if array is None:
                    file.create_group(key)
                else:
                    file.create_dataset(key, data=array)
        return path

    return write


def listing(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()] if isinstance(item, h5py.Dataset) else None}))
    return found


def whole(**changes):
    """The arrays of a file that fits; `fc_0=None` takes one away."""
    arrays = {"fc/0": WEIGHT, "fc/1": BIAS, "again/1": -BIAS}
    arrays.update({name.replace("_", "/"): array for name, array in changes.items()})
    return {f"data/{name}": array for name, array in arrays.items() if array is not None}


@pytest.mark.parametrize("with_diff", [False, True])
def test_what_is_written_and_where(net, tmp_path, with_diff):
    net.forward(data=np.ones((2, 3)))
    net.backward(again=np.ones((2, 3)))
    path = tmp_path / "m.h5"
    save_hdf5(net, path, with_diff)
    found = listing(path)
    names = {"data", "data/data", "data/fc", "data/fc/0", "data/fc/1", "data/relu", "data/again", "data/again/1"}
    if with_diff:  # those of shared parameters with each of their layers
        names |= {"diff", "diff/data", "diff/fc", "diff/fc/0", "diff/fc/1", "diff/relu"}
        names |= {"diff/again", "diff/again/0", "diff/again/1"}
        np.testing.assert_array_equal(found["diff/fc/0"], found["diff/again/0"])
        np.testing.assert_array_equal(found["diff/fc/0"], net.params["fc"][0].diff)
        np.testing.assert_array_equal(found["diff/again/1"], [2, 2, 2])
    assert set(found) == names
    for key, blob in (
        ("fc/0", net.params["fc"][0]),
        ("fc/1", net.params["fc"][1]),
        ("again/1", net.params["again"][1]),
    ):
        assert found[f"data/{key}"].dtype == np.float32
        np.testing.assert_array_equal(found[f"data/{key}"], blob.data)


@pytest.mark.parametrize("name", ["m.caffemodel.h5", "m.caffemodel"])  # by its name, or by what it is
def test_what_is_written_is_read(net, make_net, tmp_path, name):
    save_hdf5(net, tmp_path / name, with_diff=True)
    other = make_net(NET)
    assert not np.array_equal(other.params["fc"][0].data, net.params["fc"][0].data)
    other.copy_from(tmp_path / name)
    for layer in ("fc", "again"):
        for mine, theirs in zip(net.params[layer], other.params[layer], strict=True):
            np.testing.assert_array_equal(mine.data, theirs.data)


def test_a_net_gives_the_same_bytes_twice(net, tmp_path):
    for name in ("a", "b"):
        save_hdf5(net, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_names_with_slashes(make_net, tmp_path):
    text = NET.replace('"fc"', '"in/1x1"').replace('"again"', '"in/1x1/reduce"').replace('"relu"', '"in"')
    net, other = make_net(text), make_net(text)
    save_hdf5(net, tmp_path / "m.h5")
    assert "data/in/1x1/reduce/1" in listing(tmp_path / "m.h5")
    load_hdf5(other, tmp_path / "m.h5")
    np.testing.assert_array_equal(other.params["in/1x1"][0].data, net.params["in/1x1"][0].data)


@pytest.mark.parametrize("name", ["fc/0", "fc/1/x", ""])
def test_names_that_cannot_be_stored(make_net, tmp_path, name):
    net = make_net(NET.replace('"again"', f'"{name}"'))
    with pytest.raises(UserError, match=f"layer '{name}' has a name that an HDF5 file cannot hold"):
        save_hdf5(net, tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())


def test_layers_without_parameters_need_no_group_and_unknown_ones_are_ignored(net, stored, logged):
    load_hdf5(net, stored({**whole(), "data/elsewhere/0": BIAS, "diff/fc/0": BIAS}))
    np.testing.assert_array_equal(net.params["fc"][0].data, WEIGHT)
    np.testing.assert_array_equal(net.params["again"][1].data, -BIAS)
    assert [line.split("] ")[1] for line in logged()] == ["Ignoring source layer elsewhere"]


def test_layers_that_the_file_lacks_keep_their_parameters(net, stored):
    before = net.params["again"][1].data.copy()
    load_hdf5(net, stored(whole(again_1=None)))
    np.testing.assert_array_equal(net.params["fc"][1].data, BIAS)
    np.testing.assert_array_equal(net.params["again"][1].data, before)


def test_a_shared_parameter_may_be_stored_with_each_of_its_layers(net, stored):
    load_hdf5(net, stored(whole(again_0=WEIGHT)))
    np.testing.assert_array_equal(net.params["fc"][0].data, WEIGHT)


def test_a_parameter_shared_in_another_shape_is_stored_once(make_net, tmp_path):
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
            inner_product_param { num_output: 2 bias_term: false weight_filler { type: "xavier" } } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" share_mode: PERMISSIVE }
            inner_product_param { num_output: 3 bias_term: false } }
    """
    net, other = make_net(text), make_net(text)
    save_hdf5(net, tmp_path / "m.h5")
    assert set(listing(tmp_path / "m.h5")) == {"data", "data/data", "data/a", "data/a/0", "data/b"}
    load_hdf5(other, tmp_path / "m.h5")
    np.testing.assert_array_equal(other.params["b"][0].data, net.params["a"][0].data.reshape(3, 2))


@pytest.mark.parametrize("kind", ["f8", ">f4", "i4", "u1", "f2"])
def test_numbers_of_other_kinds(net, stored, kind):
    values = np.array([1, 2, 3])
    load_hdf5(net, stored(whole(fc_1=values.astype(kind))))
    np.testing.assert_array_equal(net.params["fc"][1].data, values)


def test_compressed_and_chunked_data(net, stored):
    path = stored(whole(fc_0=None))
    with h5py.File(path, "a") as file:
        file.create_dataset("data/fc/0", data=WEIGHT, chunks=(2, 2), compression="gzip", shuffle=True)
    load_hdf5(net, path)
    np.testing.assert_array_equal(net.params["fc"][0].data, WEIGHT)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        (whole(fc_1=None), r"has the parameter blobs \['0'\] for layer 'fc', the net 2; rename the layer"),
        (whole(fc_0=None), r"has the parameter blobs \['1'\] for layer 'fc'"),
        (whole(fc_2=BIAS), r"has the parameter blobs \['0', '1', '2'\] for layer 'fc'"),
        (whole(relu_0=BIAS), r"has the parameter blobs \['0'\] for layer 'relu', the net 0"),
        (whole(fc_00=BIAS), r"has the parameter blobs \['0', '00', '1'\] for layer 'fc'"),
        ({**whole(), "data/data": None}, None),
        (whole(fc_0=WEIGHT.ravel()), r"parameter 0 of layer 'fc' is \(9,\) in .* but \(3, 3\) in the net; rename"),
        (whole(fc_0=WEIGHT[None, None]), r"parameter 0 of layer 'fc' is \(1, 1, 3, 3\) in"),  # no legacy shapes here
        (whole(again_1=BIAS[:2]), r"parameter 1 of layer 'again' is \(2,\) in .* but \(3,\)"),
        (whole(fc_1=np.float32(3)), r"parameter 1 of layer 'fc' is \(\) in"),
        (whole(fc_1=np.array([b"a", b"b", b"c"])), r"parameter 1 of layer 'fc' in .* holds no numbers \(\|S1\)"),
        (whole(fc_1=BIAS.astype(complex)), r"holds no numbers \(complex128\)"),
        (whole(fc_1=h5py.Empty("f4")), r"parameter 1 of layer 'fc' is None in"),
        ({"data": BIAS}, "has no group `data`; give a .caffemodel.h5"),
        ({"weights/fc/0": WEIGHT}, "has no group `data`"),
        ({}, "has no group `data`"),
    ],
)
def test_files_that_do_not_fit_change_nothing(net, stored, arrays, said):
    before = [blob.data.copy() for blobs in net.params.values() for blob in blobs]
    path = stored(arrays)
    if said is None:
        load_hdf5(net, path)
        return
    with pytest.raises(UserError, match=said) as error:
        load_hdf5(net, path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    for blob, values in zip([blob for blobs in net.params.values() for blob in blobs], before, strict=True):
        np.testing.assert_array_equal(blob.data, values)


def refused(net, path):
    with pytest.raises(UserError) as error:
        net.copy_from(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_files_that_are_no_hdf5(net, tmp_path, stored):
    path = tmp_path / "m.caffemodel.h5"
    assert "cannot read the model" in refused(net, path)
    for content in (b"", b"name: 'a'", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        assert "is damaged or no HDF5 file" in refused(net, path)
    net.save(path)
    assert "is damaged or no HDF5 file" in refused(net, path)
    path.unlink()
    path.mkdir()
    assert "cannot read the model" in refused(net, path)


def test_links_that_lead_nowhere(net, stored):
    path = stored(whole())
    with h5py.File(path, "a") as file:
        del file["data/fc/0"]
        file["data/fc/0"] = h5py.SoftLink("/none")
    assert "has the parameter blobs ['1'] for layer 'fc'" in refused(net, path)


def test_a_file_is_replaced_whole_or_not_at_all(net, tmp_path, monkeypatch):
    path = tmp_path / "m.h5"
    save_hdf5(net, path)
    before = path.read_bytes()

    def break_off(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", break_off)
    with pytest.raises(OSError, match="No space left"):
        save_hdf5(net, path)
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["m.h5"]
