"""HDF5Data and HDF5Output. Expected rows are those that h5py wrote."""

import os
import threading

import h5py
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.errors import UserError

ROWS = (5, 1, 7)  # of three files; row n of all holds n in `label`


@pytest.fixture
def files(tmp_path):
    paths = []
    for number, count in enumerate(ROWS):
        first = sum(ROWS[:number])
        labels = np.arange(first, first + count)
        paths.append(tmp_path / f"{number}.h5")
        with h5py.File(paths[-1], "w") as file:
            file["data"] = labels[:, None, None] * 10.0 + np.arange(6).reshape(2, 3)
            file["label"] = labels
    return paths


@pytest.fixture
def listed(tmp_path, files):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(map(str, files)) + "\n")
    return path


def text(source, batch=4, more="", tops='top: "data" top: "label"', outer=""):
    return f"""layer {{ name: "rows" type: "HDF5Data" {tops} {outer}
      hdf5_data_param {{ source: "{source}" batch_size: {batch} {more} }} }}"""


def labels(net, count):
    """Return the labels of so many batches, whose data fit them."""
    drawn = []
    for _ in range(count):
        net.forward()
        label = net.blobs["label"].data.copy()
        np.testing.assert_array_equal(
            net.blobs["data"].data, label[:, None, None] * 10 + np.arange(6, dtype=np.float32).reshape(2, 3)
        )
        drawn += label.astype(int).tolist()
    return drawn


@pytest.mark.parametrize("batch", [1, 4, 13, 40])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_batches_go_through_the_files_and_wrap_around(make_net, listed, batch, phase):
    net = make_net(text(listed, batch), phase)
    assert net.blobs["data"].shape == (batch, 2, 3) and net.blobs["label"].shape == (batch,)
    assert labels(net, 7) == [n % 13 for n in range(7 * batch)]


def test_one_file_is_read_once(make_net, listed, files):
    listed.write_text(str(files[2]))
    net = make_net(text(listed))
    net.forward()
    files[2].unlink()
    assert labels(net, 5) == [6 + (4 + n) % 7 for n in range(20)]


def test_any_number_of_tops_of_any_shape_and_type(make_net, tmp_path):
    values = {
        "a": np.arange(12.0).reshape(3, 2, 1, 1, 2),
        "b": np.arange(3, dtype=np.int64),
        "c": np.array([True, False, True]),
        "d": np.arange(6, dtype=np.uint8).reshape(3, 2),
        "e": np.arange(3, dtype=np.float16)[:, None],
    }
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, array in values.items():
            file.create_dataset(name, data=array, chunks=True, compression="gzip")
    (tmp_path / "list").write_text(f"  {tmp_path / 'x.h5'}")
    net = make_net(text(tmp_path / "list", 3, tops=" ".join(f'top: "{name}"' for name in values)))
    net.forward()
    for name, array in values.items():
        np.testing.assert_array_equal(net.blobs[name].data, array.astype(np.float32))


def test_each_pass_shuffles_the_files_and_the_rows_within_each(make_net, listed):
    caffe.set_random_seed(3)
    passes = np.reshape(labels(make_net(text(listed, 13, "shuffle: true"), caffe.TRAIN), 8), (8, 13)).tolist()
    file_of = np.repeat(range(3), ROWS)
    orders = set()
    for rows in passes:
        assert sorted(rows) == list(range(13))
        order = list(dict.fromkeys(file_of[row] for row in rows))
        assert len(order) == 3 and [file_of[row] for row in rows] == [n for n in order for _ in range(ROWS[n])]
        orders.add(tuple(order))
    assert len(orders) > 1 and len({tuple(rows) for rows in passes}) == 8


def test_the_order_follows_the_seed(make_net, listed):
    def drawn(seed):
        caffe.set_random_seed(seed)
        return labels(make_net(text(listed, 13, "shuffle: true")), 2)

    assert drawn(1) == drawn(1) != drawn(2)


def test_each_layer_of_a_net_has_its_own_order(make_net, listed):
    # Caffe shuffles by the one stream of the seed, so that no two layers do it alike
    caffe.set_random_seed(3)
    layer = text(listed, 13, "shuffle: true")
    one, other, again = (labels(make_net(layer.replace('"rows"', f'"{name}"')), 2) for name in "aba")
    assert one == again != other


@pytest.mark.parametrize("batch", [0, 1, 3, 4, 10])
@pytest.mark.parametrize("more", ["", "shuffle: true"])
def test_skip_to_gives_the_batches_of_an_uninterrupted_run(make_net, listed, batch, more):
    caffe.set_random_seed(4)
    whole, resumed = (make_net(text(listed, more=more), caffe.TRAIN) for _ in range(2))
    wanted = labels(whole, 12)
    resumed.forward()
    resumed.layers[0].skip_to(batch)
    assert labels(resumed, 12 - batch) == wanted[4 * batch :]


@pytest.mark.parametrize("more", ["", "shuffle: true"])
@pytest.mark.parametrize("count", [2, 3, 14])
def test_solvers_share_the_rows_out(make_net, listed, more, count):
    caffe.set_random_seed(4)
    together = labels(make_net(text(listed, 3 * count, more), caffe.TRAIN), 3)
    mode.set_solver_count(count)
    for rank in range(count):
        mode.set_solver_rank(rank)
        assert labels(make_net(text(listed, 3, more), caffe.TRAIN), 3) == together[rank::count]
    assert labels(make_net(text(listed, 13), caffe.TEST), 1) == list(range(13))


def test_its_thread_ends(make_net, listed):
    before = set(threading.enumerate())
    net = make_net(text(listed))
    net.forward()
    net.close()
    assert set(threading.enumerate()) == before
    assert labels(net, 1) == [0, 1, 2, 3]


def rewrite(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda files: files[1].unlink(), r"cannot read .*1\.h5: no such file"),
        (lambda files: files[1].write_bytes(b"no HDF5"), r"cannot read .*1\.h5: .*file signature not found"),
        (lambda files: files[2].write_bytes(files[2].read_bytes()[:500]), r"cannot read .*2\.h5: "),
        (lambda files: rewrite(files[0], data=np.ones((2, 2, 3))), r"needs a dataset 'label' .* 0\.h5; it has: data"),
        (lambda files: rewrite(files[0]), "it has: nothing"),
        (lambda files: rewrite(files[0], data=3, label=[1]), "needs a dataset 'data' of numbers, by rows"),
        (lambda files: rewrite(files[0], data=["a"], label=[1]), "needs a dataset 'data' of numbers, by rows"),
        (lambda files: rewrite(files[0], **{"data/x": [1], "label": [1]}), "needs a dataset 'data' of numbers"),
        (
            lambda files: rewrite(files[0], data=np.ones((2, 2, 3)), label=[1]),
            r"finds different numbers of rows in the datasets of .*0\.h5",
        ),
        (
            lambda files: rewrite(files[2], data=np.ones((2, 3, 2)), label=[1, 2]),
            r"finds rows of other shapes in .*2\.h5 than in .*0\.h5",
        ),
        (
            lambda files: [rewrite(file, data=np.ones((0, 2, 3)), label=[]) for file in files],
            r"finds no rows in the files that .*list\.txt names",
        ),
    ],
)
def test_files_that_do_not_fit(make_net, listed, files, damage, said):
    damage(files)
    with pytest.raises(UserError, match=said.replace(" 0", ".* .*0")) as error:
        make_net(text(listed))
    assert "layer 'rows' (HDF5Data)" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_changes_later(make_net, listed, files):
    net = make_net(text(listed, 5))
    rewrite(files[2], data=np.ones((6, 2, 3)), label=np.ones(6))
    net.forward()
    for _ in range(2):
        with pytest.raises(UserError, match=r"finds that .*2\.h5 has changed since the layer was made"):
            net.forward()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 0}, "needs a batch_size above 0"),
        ({"outer": "transform_param { scale: 2 }"}, "does not transform data; take its transform_param away"),
        ({"source": "none.txt"}, r"cannot read the list of HDF5 files none\.txt"),
        ({"source": os.devnull}, "finds no file in the list of HDF5 files"),
        ({"tops": ""}, r"has 0 top\(s\)"),
    ],
)
def test_layers_that_cannot_be_built(make_net, listed, change, said):
    with pytest.raises(UserError, match=said) as error:
        make_net(text(**({"source": listed} | change)))
    assert "\n" not in str(error.value)


# HDF5Output


def output(path, data=(2, 3), label=(2,)):
    shapes = [" ".join(f"dim: {size}" for size in shape) for shape in (data, label)]
    return f"""layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shapes[0]} }} }} }}
      layer {{ name: "y" type: "Input" top: "y" input_param {{ shape {{ {shapes[1]} }} }} }}
      layer {{ name: "out" type: "HDF5Output" bottom: "x" bottom: "y" hdf5_output_param {{ file_name: "{path}" }} }}"""


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_output(make_net, tmp_path, phase):
    # HDF5OutputLayer: datasets "data" and "label", num × channels × height × width
    path = tmp_path / "out.h5"
    path.write_text("from before")
    net = make_net(output(path), phase)
    rng = np.random.default_rng(0)
    data, label = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=6).astype(np.float32)
    assert path.read_text() == "from before"
    for start in range(0, 6, 2):
        net.forward(x=data[start : start + 2], y=label[start : start + 2])
        with h5py.File(path) as file:
            assert set(file) == {"data", "label"} and file["data"].dtype == np.float32
            np.testing.assert_array_equal(file["data"], data[: start + 2, :, None, None])
            np.testing.assert_array_equal(file["label"], label[: start + 2, None, None, None])
    assert os.listdir(tmp_path) == ["out.h5"]
    make_net(output(path), phase).forward(x=data[:2], y=label[:2])
    with h5py.File(path) as file:
        assert file["data"].shape == (2, 3, 1, 1)


def test_output_after_a_reshape_of_the_batch(make_net, tmp_path):
    net = make_net(output(tmp_path / "out.h5", (2, 3, 4, 5), (2, 1)))
    net.forward()
    net.blobs["x"].reshape(5, 3, 4, 5), net.blobs["y"].reshape(5, 1)
    net.forward()
    with h5py.File(tmp_path / "out.h5") as file:
        assert file["data"].shape == (7, 3, 4, 5) and file["label"].shape == (7, 1, 1, 1)


def test_what_is_written_is_read(make_net, tmp_path):
    make_net(output(tmp_path / "out.h5")).forward(x=np.arange(6).reshape(2, 3), y=np.array([7, 8]))
    (tmp_path / "list").write_text(str(tmp_path / "out.h5"))
    net = make_net(text(tmp_path / "list", 2))
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data.ravel(), range(6))
    np.testing.assert_array_equal(net.blobs["label"].data.ravel(), [7, 8])


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (((2, 3), (3,)), "takes as many labels as data"),
        (((2, 3, 1, 1, 1), (2,)), "takes up to four axes"),
    ],
)
def test_outputs_that_do_not_fit(make_net, tmp_path, shapes, said):
    with pytest.raises(UserError, match=rf"layer 'out' \(HDF5Output\) {said}"):
        make_net(output(tmp_path / "out.h5", *shapes))


def test_output_in_other_shapes_later(make_net, tmp_path):
    net = make_net(output(tmp_path / "out.h5"))
    net.forward()
    net.blobs["x"].reshape(2, 4)
    with pytest.raises(
        UserError, match=r"layer 'out' \(HDF5Output\) cannot write .*out\.h5: its data has rows of \(3, 1, 1\)"
    ):
        net.forward()
    with h5py.File(tmp_path / "out.h5") as file:
        assert len(file["data"]) == len(file["label"]) == 2


def test_outputs_that_cannot_be_written(make_net, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "out.h5"):
        with pytest.raises(UserError, match=r"layer 'out' \(HDF5Output\) cannot write") as error:
            make_net(output(path)).forward()
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="needs a file_name in hdf5_output_param"):
        make_net(output(""))
