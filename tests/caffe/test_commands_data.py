"""`convert_imageset`, `compute_image_mean` and `extract_features`: databases held against NumPy, OpenCV and the net."""

import os
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.caffe import database_writers
from pydeepexpr.caffe.__main__ import main
from pydeepexpr.caffe.commands import databases
from pydeepexpr.caffe.commands.ahead import in_order
from pydeepexpr.caffe.datum import datum_to_image, read_mean
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.conftest import raw_datum
from tests.caffe.solver_texts import HEAD, PLAIN, data


@pytest.fixture
def said(capsys):
    """A function that returns the messages in the log since it was last called, without glog's heads."""
    return lambda: [line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def pictures(tmp_path, images):
    """Seven files of two kinds in two folders, and the list that names them."""
    names = []
    for i, image in enumerate(images[:7]):
        names.append(f"{'ab'[i % 2]}/{i}.{('png', 'JPEG')[i % 3 == 2]}")
        (tmp_path / "pics" / names[-1]).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "pics" / names[-1]), image)
    (tmp_path / "list.txt").write_text("".join(f"{name} {10 + i}\n" for i, name in enumerate(names)))
    return names


def records(path):
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return [(key.decode(), pb.Datum.FromString(value)) for key, value in transaction.cursor()]


@pytest.fixture
def convert(tmp_path, pictures):
    """Return a function that converts the pictures and returns the records."""

    def run(*flags, root=None, name="db"):
        main(
            ["convert_imageset", *flags, root or f"{tmp_path}/pics/", str(tmp_path / "list.txt"), str(tmp_path / name)]
        )
        return records(tmp_path / name)

    return run


# convert_imageset


def test_raw_records_in_the_order_of_the_list(convert, pictures, tmp_path, said):
    found = convert()
    assert [key for key, _ in found] == [f"{i:08d}_{name}" for i, name in enumerate(pictures)]
    for i, ((_, datum), name) in enumerate(zip(found, pictures, strict=True)):
        wanted = cv2.imread(str(tmp_path / "pics" / name))
        assert (datum.label, datum.encoded, datum.channels, datum.height, datum.width) == (10 + i, False, 3, 12, 10)
        np.testing.assert_array_equal(datum_to_image(datum), wanted)
        assert datum.data == wanted.transpose(2, 0, 1).tobytes()
    assert said() == ["A total of 7 images.", "Processed 7 files."]
    assert sorted(os.listdir(tmp_path)) == ["db", "list.txt", "pics"]


def test_grey_ones(convert, pictures, tmp_path):
    for (_, datum), name in zip(convert("-gray"), pictures, strict=True):
        wanted = cv2.imread(str(tmp_path / "pics" / name), cv2.IMREAD_GRAYSCALE)
        assert datum.channels == 1
        np.testing.assert_array_equal(datum_to_image(datum)[:, :, 0], wanted)


def test_resized_ones(convert, pictures, tmp_path):
    for (_, datum), name in zip(convert("--resize_width=5", "--resize_height=7"), pictures, strict=True):
        wanted = cv2.resize(cv2.imread(str(tmp_path / "pics" / name)), (5, 7))
        assert (datum.height, datum.width) == (7, 5)
        np.testing.assert_array_equal(datum_to_image(datum), wanted)


def test_encoded_ones_are_the_files(convert, pictures, tmp_path):
    # ReadImageToDatum: the file's bytes where its ending is the encoding's (jpg: jpeg too) and nothing is to change
    for (_, datum), name in zip(convert("-encoded"), pictures, strict=True):
        assert datum.encoded and not datum.HasField("channels")
        assert datum.data == (tmp_path / "pics" / name).read_bytes()


def test_encoded_ones_of_one_type(convert, pictures, tmp_path, said):
    for (_, datum), name in zip(convert("-encode_type", "png"), pictures, strict=True):
        file = tmp_path / "pics" / name
        assert datum.encoded and datum.data[1:4] == b"PNG"
        assert (datum.data == file.read_bytes()) == name.endswith("png")
        np.testing.assert_array_equal(datum_to_image(datum), cv2.imread(str(file)))
    assert "encode_type specified, assuming encoded=true." in said()
    for (_, datum), name in zip(convert("-encoded", "-encode_type=jpg", name="jpg"), pictures, strict=True):
        assert (datum.data == (tmp_path / "pics" / name).read_bytes()) == name.endswith("JPEG")


def test_encoded_and_resized_ones(convert, pictures, tmp_path):
    size = ("-resize_height", "4", "-resize_width", "6")
    for (_, datum), name in zip(convert("-encoded", *size), pictures, strict=True):
        resized = cv2.resize(cv2.imread(str(tmp_path / "pics" / name)), (6, 4))
        assert datum.data == cv2.imencode(os.path.splitext(name)[1].lower(), resized)[1].tobytes()


def test_shuffled_they_keep_their_labels(convert, pictures):
    caffe.set_random_seed(4)
    found = convert("-shuffle")
    names = [key[9:] for key, _ in found]
    assert names != pictures and sorted(names) == sorted(pictures)
    assert [key[:8] for key, _ in found] == [f"{i:08d}" for i in range(7)]
    assert [datum.label for _, datum in found] == [10 + pictures.index(name) for name in names]


def test_what_cannot_be_read_is_told_and_left_out(convert, pictures, tmp_path, said):
    (tmp_path / "pics" / pictures[2]).unlink()
    (tmp_path / "pics" / pictures[4]).write_bytes(b"no image")
    found = convert()
    assert [key[:8] for key, _ in found] == ["00000000", "00000001", "00000003", "00000005", "00000006"]  # line_id
    lines = said()
    assert lines[1].startswith("cannot read the image ") and pictures[2] in lines[1]
    assert lines[2].endswith("does not decode as an image; make it again") and pictures[4] in lines[2]
    assert lines[3:] == ["Processed 5 files.", "2 of 7 images were left out."]


def test_names_with_spaces_and_in_any_encoding(tmp_path, images):
    names = ["with space.png", "grün.png", "x" * 240 + ".png"]
    for name in names:
        (tmp_path / name).write_bytes(cv2.imencode(".png", images[0])[1].tobytes())
    latin = os.fsencode(tmp_path) + b"/\xfc.png"
    with open(latin, "wb") as file:
        file.write(cv2.imencode(".png", images[1])[1].tobytes())
    listed = "".join(f"{name} 1\n" for name in names).encode() + b"\xfc.png 2\n"
    (tmp_path / "list").write_bytes(listed)
    main(["convert_imageset", f"{tmp_path}/", str(tmp_path / "list"), str(tmp_path / "db")])
    with lmdb.open(str(tmp_path / "db"), readonly=True, lock=False) as env, env.begin() as transaction:
        keys = [key for key, _ in transaction.cursor()]
    assert keys == [b"%08d_" % i + line.rpartition(b" ")[0] for i, line in enumerate(listed.splitlines())]


def test_paths_longer_than_a_key_are_cut(tmp_path, images):
    folder = tmp_path / ("a" * 200) / ("b" * 200) / ("c" * 200)
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "0.png"), images[0])
    (tmp_path / "list").write_text(f"{folder.relative_to(tmp_path)}/0.png 3\n")
    main(["convert_imageset", f"{tmp_path}/", str(tmp_path / "list"), str(tmp_path / "db")])
    ((key, datum),) = records(tmp_path / "db")
    assert len(key) == 511 and key.startswith("00000000_aaa") and datum.label == 3


def test_progress_and_a_map_that_grows(tmp_path, images, said, monkeypatch):
    monkeypatch.setattr(database_writers, "_FIRST_MAP", 1 << 16)
    cv2.imwrite(str(tmp_path / "0.png"), images[0])
    (tmp_path / "list").write_text("0.png 0\n" * 2500)
    main(["convert_imageset", f"{tmp_path}/", str(tmp_path / "list"), str(tmp_path / "db")])
    assert said()[1:] == [f"Processed {count} files." for count in (1000, 2000, 2500)]
    assert len(records(tmp_path / "db")) == 2500


def test_it_feeds_a_data_layer(convert, tmp_path, make_net, images):
    convert("-encode_type", "png", "-resize_width", "8", "-resize_height", "8")
    net = make_net(
        f'layer {{ name: "data" type: "Data" top: "data" top: "label" data_param {{ source: "{tmp_path}/db" '
        "batch_size: 7 backend: LMDB } }"
    )
    tops = net.forward()
    assert tops["data"].shape == (7, 3, 8, 8) and tops["label"].tolist() == list(range(10, 17))
    np.testing.assert_array_equal(tops["data"][0].transpose(1, 2, 0), cv2.resize(images[0], (8, 8)))


@pytest.mark.parametrize(
    ("flags", "damage", "error"),
    [
        ("", lambda root: (root / "db").mkdir(), "db is there already; remove it or choose another name"),
        ("", lambda root: (root / "db").symlink_to("nowhere"), "db is there already"),
        ("", lambda root: (root / "list.txt").write_text(""), "list.txt names none"),
        ("", lambda root: (root / "list.txt").write_text("a/0.png cat\n"), "line 1 .*: the label 'cat' is no whole"),
        ("-check_size", lambda root: cv2.imwrite(f"{root}/pics/a/4.png", np.zeros((3, 4, 3))), "4.png is .3, 4, 3. "),
        ("-encode_type xyz", None, "OpenCV cannot encode .* as 'xyz'; give -encode_type png or jpg"),
        ("-backend leveldb", "no plyvel", "writing a LevelDB needs plyvel; install it"),
        ("-resize_width 7", None, "-resize_width and -resize_height are given together"),
    ],
)
def test_what_it_refuses_leaves_nothing(convert, tmp_path, monkeypatch, flags, damage, error):
    if damage == "no plyvel":
        monkeypatch.setattr(database_writers.leveldb_source, "plyvel", None)
    elif damage:
        damage(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UserError, match=error):
        convert(*flags.split())
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_without_its_slash_is_told(convert, tmp_path):
    with pytest.raises(UserError, match=r"none of the images in .*list\.txt can be read; is '.*pics' their folder, wi"):
        convert(root=f"{tmp_path}/pics")
    assert not (tmp_path / "db").exists()


def test_files_without_an_ending_are_stored_as_they_are(tmp_path, images):
    content = cv2.imencode(".png", images[0])[1].tobytes()
    (tmp_path / "image").write_bytes(content)
    (tmp_path / "list").write_text("image 0\n")
    words = [f"{tmp_path}/", str(tmp_path / "list"), str(tmp_path / "db")]
    with pytest.raises(UserError, match=r"OpenCV cannot encode .*image as ''; give -encode_type"):
        main(["convert_imageset", "-encoded", "-resize_width=9", "-resize_height=9", *words])
    main(["convert_imageset", "-encoded", *words])
    assert records(tmp_path / "db")[0][1].data == content


def test_an_interrupt_leaves_nothing(convert, tmp_path, monkeypatch):
    def interrupted(self, key, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(database_writers.Writer, "put", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert()
    assert sorted(os.listdir(tmp_path)) == ["list.txt", "pics"]


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    class Full:
        def begin(self, write):
            raise lmdb.Error("Input/output error")

        def close(self):
            pass

    monkeypatch.setattr(database_writers.lmdb, "open", lambda *args, **options: Full())
    monkeypatch.setattr(database_writers.shutil, "disk_usage", lambda path: SimpleNamespace(free=50))
    with pytest.raises(OSError, match="No space left"), databases.new_database(tmp_path / "db", "lmdb") as writer:
        writer.put(b"0", b"x" * 100)
    assert os.listdir(tmp_path) == []


def test_threads_never_run_far_ahead():
    begun = []
    items = in_order(lambda i: i * i, (begun.append(i) or i for i in range(1000)))
    assert [next(items) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(begun) < 200
    items.close()


# compute_image_mean


def test_the_mean_of_each_pixel_and_channel(image_lmdb, images, tmp_path, said):
    main(["compute_image_mean", str(image_lmdb), str(tmp_path / "mean.binaryproto")])
    mean = images.astype(np.float64).mean(0)
    np.testing.assert_allclose(read_mean(tmp_path / "mean.binaryproto"), mean.transpose(2, 0, 1), rtol=1e-6)
    blob = pb.BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 12, 10) and not blob.HasField("shape")
    assert said() == [
        "Starting iteration",
        "Processed 13 files.",
        f"Write to {tmp_path}/mean.binaryproto",
        "Number of channels: 3",
        *(f"mean_value channel [{channel}]: {mean[:, :, channel].mean():g}" for channel in range(3)),
    ]


def test_the_mean_of_converted_images_is_numpys(convert, pictures, tmp_path, said):
    convert("-encoded")
    convert(name="raw")
    wanted = np.mean([cv2.imread(str(tmp_path / "pics" / name)).astype(float) for name in pictures], 0)
    for name in ("db", "raw"):
        main(["compute_image_mean", "-backend=lmdb", str(tmp_path / name), str(tmp_path / f"{name}.mean")])
        np.testing.assert_allclose(read_mean(tmp_path / f"{name}.mean"), wanted.transpose(2, 0, 1), rtol=1e-6)
    before = sorted(os.listdir(tmp_path))
    main(["compute_image_mean", str(tmp_path / "db")])
    assert sorted(os.listdir(tmp_path)) == before  # no OUTPUT_FILE


def test_the_mean_of_floats(make_lmdb, tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 2, 3, 4)).astype(np.float32)
    datums = [pb.Datum(channels=2, height=3, width=4, float_data=item.ravel()) for item in values]
    main(["compute_image_mean", str(make_lmdb(datums)), str(tmp_path / "mean")])
    np.testing.assert_allclose(read_mean(tmp_path / "mean"), values.mean(0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda images: [raw_datum(images[0]), raw_datum(images[0][:5])], r"'00000001' of the LMDB .* is \(5, 10, 3\)"),
        (lambda images: [raw_datum(images[0]), raw_datum(images[0][:, :, :1])], r"is \(12, 10, 1\) .*; make them one"),
        (lambda images: [b"\xff\xff"], "record b'00000000' of the LMDB .* is no Datum"),
        (lambda images: [pb.Datum(channels=3, height=2, width=2, data=b"abc")], "record b'00000000' .* holds 3 values"),
        (lambda images: [pb.Datum(encoded=True, data=b"abc")], "record b'00000000' .*: an encoded Datum does not dec"),
        (lambda images: [], "is empty; build it again"),
    ],
)
def test_databases_without_a_mean(make, error, make_lmdb, images, tmp_path):
    path = make_lmdb(make(images))
    with pytest.raises(UserError, match=error):
        main(["compute_image_mean", str(path), str(tmp_path / "mean")])
    assert not (tmp_path / "mean").exists()


def test_leveldb_in_the_place_of_lmdb(convert, pictures, tmp_path):
    pytest.importorskip("plyvel")
    words = [f"{tmp_path}/pics/", str(tmp_path / "list.txt"), str(tmp_path / "level")]
    main(["convert_imageset", "-backend", "leveldb", *words])
    main(["compute_image_mean", "-backend", "leveldb", str(tmp_path / "level"), str(tmp_path / "mean")])
    wanted = np.mean([cv2.imread(str(tmp_path / "pics" / name)).astype(float) for name in pictures], 0)
    np.testing.assert_allclose(read_mean(tmp_path / "mean"), wanted.transpose(2, 0, 1), rtol=1e-6)


# extract_features


@pytest.fixture
def net_files(tmp_path, image_lmdb):
    """A net over the 13 pictures, four at a time, with its weights."""
    model, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    conv = 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 2 '
    conv += 'kernel_size: 3 weight_filler { type: "xavier" } } }\n'
    (tmp_path / "net.prototxt").write_text(data(image_lmdb) + conv + PLAIN + HEAD)
    net = caffe.Net(model, caffe.TEST)
    net.save(weights)
    net.close()
    return weights, model


def test_features_are_what_forward_computes(net_files, tmp_path, said):
    weights, model = net_files
    paths = [str(tmp_path / name) for name in ("one_db", "conv_db", "loss_db")]
    main(["extract_features", weights, model, "one,conv,loss", ",".join(paths), "5", "lmdb"])
    net = caffe.Net(model, caffe.TEST, weights=weights)
    batches = [
        {name: values.copy() for name, values in net.forward(blobs=["one", "conv", "loss"]).items()} for _ in range(5)
    ]
    net.close()
    for name, path, shape in zip(("one", "conv"), paths, ((8, 1, 1), (2, 10, 8)), strict=False):
        found = records(path)
        assert [key for key, _ in found] == [f"{i:010d}" for i in range(20)]
        assert {(datum.channels, datum.height, datum.width) for _, datum in found} == {shape}
        values = np.array([datum.float_data for _, datum in found], np.float32).reshape(20, *shape)
        wanted = np.concatenate([batch[name] for batch in batches])
        np.testing.assert_array_equal(values.reshape(wanted.shape), wanted)
    losses = [list(datum.float_data) for _, datum in records(paths[2])]  # a single number is one of one image
    assert losses == [[batch["loss"].item()] for batch in batches]
    lines = said()
    assert "Use CPU." in lines and f"Opening dataset {paths[0]}" in lines
    assert "Extracted features of 20 query images for feature blob conv" in lines
    assert lines[-1] == "Successfully extracted the features!"


def test_features_feed_a_data_layer(net_files, tmp_path, make_net):
    weights, model = net_files
    main(["extract_features", weights, model, "one", str(tmp_path / "db"), "1", "lmdb", "CPU", "0"])
    layer = 'layer { name: "data" type: "Data" top: "data" data_param { source: "%s" batch_size: 4 backend: LMDB } }'
    assert make_net(layer % (tmp_path / "db")).forward()["data"].shape == (4, 8, 1, 1)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("{w} {m} none {t}/db 1 lmdb", "has no blob 'none'; it has: data, label, "),
        ("{w} {m} one,none {t}/db,{t}/db2 1 lmdb", "has no blob 'none'"),
        ("{m} {w} one {t}/db 1 lmdb", "the network .* is no text file|does not parse"),
        ("none {m} one {t}/db 1 lmdb", "cannot read the model none"),
        ("{w} {m} one {t} 1 lmdb", "is there already; remove it or choose another name"),
        ("{w} {m} one,two {t}/db,{t} 1 lmdb", "is there already"),
        ("{w} {m} one {t}/db 1 lmdb GPU", "GPU 0 is asked for, but PyTorch sees no CUDA device"),
        ("{w} {m} one {t}/db 1 lmdb GPU 3", "GPU 3 is asked for"),
    ],
)
def test_features_that_cannot_be(net_files, tmp_path, monkeypatch, words, error):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    weights, model = net_files
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(UserError, match=error):
        main(["extract_features", *words.format(w=weights, m=model, t=tmp_path).split()])
    assert sorted(os.listdir(tmp_path)) == before


def test_blobs_of_five_axes_are_no_datums(tmp_path):
    text = 'layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: [1, 2, 3, 4, 5] } } }'
    (tmp_path / "net.prototxt").write_text(text)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.save(tmp_path / "w")
    with pytest.raises(
        UserError, match=r"the blob 'd' is \(1, 2, 3, 4, 5\); a Datum holds three axes beside the first"
    ):
        main(["extract_features", f"{tmp_path}/w", f"{tmp_path}/net.prototxt", "d", f"{tmp_path}/db", "1", "lmdb"])


def test_an_error_in_a_later_batch_leaves_nothing(net_files, tmp_path, make_lmdb, images):
    weights, model = net_files
    bad = make_lmdb([*(raw_datum(image) for image in images[:5]), b"\xff\xff", raw_datum(images[0])], "bad")
    text = (tmp_path / "net.prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(text.replace(f"{tmp_path}/lmdb", str(bad)))
    with pytest.raises(UserError, match="is no Datum"):
        main(["extract_features", weights, model, "one", str(tmp_path / "db"), "4", "lmdb"])
    assert not (tmp_path / "db").exists() and not [name for name in os.listdir(tmp_path) if name.startswith(".")]
