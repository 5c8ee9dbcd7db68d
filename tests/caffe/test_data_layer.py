"""The Data layer: what batches hold, in which order, and how it ends. Expected pixels are those of the pictures."""

import itertools
import threading
from collections import Counter

import cv2
import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.datum import array_to_blobproto
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

#: How many views each rule of fixed crops gives.
VIEWS = {"centre": 1, "mirrored": 2, "five": 10}
BOTH = 'top: "data" top: "label"'


def layer(source, batch=4, transform="", more="", tops=BOTH, name="data"):
    return f"""layer {{ name: "{name}" type: "Data" {tops} transform_param {{ {transform} }}
      data_param {{ source: "{source}" batch_size: {batch} backend: LMDB {more} }} }}\n"""


def batches(net, count):
    """Return so many batches: images and labels, one after the other."""
    drawn = [{name: values.copy() for name, values in net.forward().items()} for _ in range(count)]
    return np.concatenate([batch["data"] for batch in drawn]), np.concatenate([batch["label"] for batch in drawn])


def chw(images):
    return images.transpose(0, 3, 1, 2).astype(np.float32)


def datum(image, label=0, **fields):
    height, width, channels = image.shape
    content = fields or {"data": image.transpose(2, 0, 1).tobytes()}
    return pb.Datum(channels=channels, height=height, width=width, label=label, **content)


def test_batches_follow_the_keys_and_wrap_around(make_net, image_lmdb, images):
    net = make_net(layer(image_lmdb))
    assert net.blobs["data"].shape == (4, 3, 12, 10) and net.blobs["label"].shape == (4,)
    data, label = batches(net, 5)
    np.testing.assert_array_equal(label, np.arange(20) % 13)
    np.testing.assert_array_equal(data, chw(images)[np.arange(20) % 13])


@pytest.mark.parametrize("batch", [1, 13, 30])
def test_batches_of_any_size(make_net, image_lmdb, images, batch):
    _, label = batches(make_net(layer(image_lmdb, batch)), 3)
    np.testing.assert_array_equal(label, np.arange(3 * batch) % 13)


def test_a_layer_without_labels(make_net, image_lmdb, images):
    net = make_net(layer(image_lmdb, tops='top: "data"'))
    assert list(net.forward()) == ["data"]
    np.testing.assert_array_equal(net.blobs["data"].data, chw(images[:4]))


@pytest.mark.parametrize("transform", ["", "crop_size: 7 mirror: true", "mean_value: 10 scale: 0.5 crop_size: 5"])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_raw_encoded_and_float_images_give_the_same(make_net, make_lmdb, images, transform, phase):
    def png(image):
        return {"encoded": True, "data": cv2.imencode(".png", image)[1].tobytes()}

    def floats(image):
        return {"float_data": image.transpose(2, 0, 1).ravel().astype(np.float32)}

    drawn = []
    for name, content in (("raw", lambda image: {}), ("png", png), ("float", floats)):
        path = make_lmdb([datum(image, **content(image)) for image in images], name)
        caffe.set_random_seed(1)
        drawn.append(batches(make_net(layer(path, transform=transform), phase), 4)[0])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])


def test_random_crops_and_mirrors_follow_the_seed(make_net, image_lmdb):
    def drawn(seed):
        caffe.set_random_seed(seed)
        return batches(make_net(layer(image_lmdb, transform="crop_size: 6 mirror: true"), caffe.TRAIN), 3)[0]

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert (drawn(1) != drawn(2)).any()


def test_without_a_seed_no_two_nets_draw_alike(make_net, image_lmdb):
    one, other = (
        batches(make_net(layer(image_lmdb, transform="crop_size: 6 mirror: true"), caffe.TRAIN), 3)[0] for _ in "ab"
    )
    assert (one != other).any()


def test_an_image_is_cut_otherwise_each_time_round(make_net, image_lmdb):
    caffe.set_random_seed(1)
    data, label = batches(make_net(layer(image_lmdb, 13, "crop_size: 6 mirror: true"), caffe.TRAIN), 4)
    views = data[label == 3]
    assert len(views) == 4 and len({view.tobytes() for view in views}) > 1


def test_every_crop_is_a_window_of_its_image(make_net, image_lmdb, images):
    data, label = batches(make_net(layer(image_lmdb, transform="crop_size: 6 mirror: true"), caffe.TRAIN), 6)
    for crop, number in zip(data, label, strict=True):
        image = chw(images)[int(number)]
        windows = [image[:, y : y + 6, x : x + 6] for y in range(7) for x in range(5)]
        assert any((crop == w).all() or (crop == w[:, :, ::-1]).all() for w in windows)


def test_a_mean_file(make_net, image_lmdb, images, tmp_path):
    mean = chw(images).mean(0)
    (tmp_path / "mean").write_bytes(array_to_blobproto(mean).SerializeToString())
    data, _ = batches(make_net(layer(image_lmdb, 13, f'mean_file: "{tmp_path / "mean"}" crop_size: 8')), 1)
    np.testing.assert_allclose(data, (chw(images) - mean)[:, :, 2:10, 1:9], atol=1e-4)


def test_grey_images_forced_to_colour_and_back(make_net, make_lmdb, images):
    encoded = [cv2.imencode(".png", image[:, :, 0])[1].tobytes() for image in images]
    path = make_lmdb(pb.Datum(encoded=True, data=content) for content in encoded)
    assert make_net(layer(path)).blobs["data"].shape == (4, 1, 12, 10)
    net = make_net(layer(path, transform="force_color: true"))
    np.testing.assert_array_equal(net.forward()["data"], np.repeat(chw(images)[:4, :1], 3, 1))


def test_rand_skip_skips_nothing(make_net, image_lmdb):
    # data_layer.cpp of Caffe 1.0 does not look at it
    for phase in (caffe.TRAIN, caffe.TEST):
        _, label = batches(make_net(layer(image_lmdb, more="rand_skip: 1000"), phase), 3)
        np.testing.assert_array_equal(label, np.arange(12))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_each_layer_of_a_net_draws_for_itself(make_net, image_lmdb, phase):
    # Caffe seeds each layer's transformer anew from the one stream of the seed
    transform = "crop_size: 6 mirror: true"
    caffe.set_random_seed(1)
    one, other, again = (
        batches(make_net(layer(image_lmdb, 13, transform, name=name), phase), 2)[0] for name in ("a", "b", "a")
    )
    np.testing.assert_array_equal(one, again)
    pairs = zip(one, other, strict=True)
    assert 0 < sum(np.array_equal(*pair) for pair in pairs) < 26  # 1 in 70 when training, 1 in 2 when testing


def views_of(image, rule):
    """Return the 6×6 views of a 12×10 picture, C×H×W."""
    five = image[:, 3:9, 2:8], image[:, :6, :6], image[:, :6, 4:], image[:, 6:, :6], image[:, 6:, 4:]
    return [view for crop in five for view in (crop, crop[:, :, ::-1])][: VIEWS[rule]]


@pytest.mark.parametrize("rule", VIEWS)
@pytest.mark.parametrize("batch", [5, 13, 30])
@pytest.mark.parametrize("more", ["", "mirror: true"])
def test_fixed_crops_are_shown_one_a_pass_until_each_was(make_net, image_lmdb, images, rule, batch, more):
    caffe.set_random_seed(1)
    caffe.set_crops(rule)
    count = VIEWS[rule]
    net = make_net(layer(image_lmdb, batch, f"crop_size: 6 {more}"), caffe.TRAIN)
    data, label = batches(net, -(-13 * 2 * count // batch))
    np.testing.assert_array_equal(label, np.arange(len(label)) % 13)  # every image once a pass
    shown = data[: 13 * 2 * count].reshape(2, count, 13, 3, 6, 6)
    for number, image in enumerate(chw(images)):
        seen = [view.tobytes() for view in shown[0, :, number]]
        assert sorted(seen) == sorted(view.tobytes() for view in views_of(image, rule))
    np.testing.assert_array_equal(shown[0], shown[1])


def test_each_image_has_its_own_order_of_views_by_seed_and_layer(make_net, image_lmdb, images):
    def orders(seed, name="data"):
        caffe.set_random_seed(seed)
        data, _ = batches(make_net(layer(image_lmdb, 13, "crop_size: 6", name=name), caffe.TRAIN), 10)
        numbers = [[view.tobytes() for view in views_of(image, "five")] for image in chw(images)]
        return [tuple(numbers[i].index(view.tobytes()) for view in data[i::13]) for i in range(13)]

    caffe.set_crops("five")
    assert len(set(orders(1))) == 13 and orders(1) == orders(1)
    assert orders(1) != orders(2) and orders(1) != orders(1, "other")


def test_fixed_crops_of_a_mean_file(make_net, image_lmdb, images, tmp_path):
    mean = chw(images).mean(0)
    (tmp_path / "mean").write_bytes(array_to_blobproto(mean).SerializeToString())
    caffe.set_crops("five")
    data, _ = batches(
        make_net(layer(image_lmdb, 13, f'mean_file: "{tmp_path / "mean"}" crop_size: 6'), caffe.TRAIN), 10
    )
    for number, image in enumerate(chw(images) - mean):
        assert {view.tobytes() for view in data[number::13]} == {view.tobytes() for view in views_of(image, "five")}


@pytest.mark.parametrize(("transform", "phase"), [("crop_size: 6", caffe.TEST), ("", caffe.TRAIN)])
def test_fixed_crops_leave_tests_and_whole_images_alone(make_net, image_lmdb, transform, phase):
    def drawn(rule):
        caffe.set_random_seed(1)
        caffe.set_crops(rule)
        return batches(make_net(layer(image_lmdb, transform=f"{transform} mirror: true"), phase), 4)[0]

    np.testing.assert_array_equal(drawn("five"), drawn("random"))


@pytest.mark.parametrize("batch", [0, 1, 5])
@pytest.mark.parametrize("more", ["", "prefetch: 1"])
@pytest.mark.parametrize("crops", ["random", "five"])
def test_skip_to_gives_the_batches_of_an_uninterrupted_run(make_net, image_lmdb, batch, more, crops):
    caffe.set_crops(crops)
    text = layer(image_lmdb, transform="crop_size: 6 mirror: true", more=more)
    caffe.set_random_seed(4)
    whole, resumed = make_net(text, caffe.TRAIN), make_net(text, caffe.TRAIN)
    wanted, labels = batches(whole, 8)
    resumed.forward()
    resumed.layers[0].skip_to(batch)
    data, label = batches(resumed, 8 - batch)
    np.testing.assert_array_equal(data, wanted[4 * batch :])
    np.testing.assert_array_equal(label, labels[4 * batch :])


@pytest.mark.parametrize("solvers", [2, 3, 16])
@pytest.mark.parametrize("crops", ["random", "five"])
def test_solvers_share_the_records_out(make_net, image_lmdb, solvers, crops):
    # DataLayer::Skip of Caffe 1.0: solver r of n takes the records whose number is r modulo n, when training
    transform = "crop_size: 6 mirror: true"
    caffe.set_crops(crops)
    caffe.set_random_seed(4)
    together = batches(make_net(layer(image_lmdb, 2 * solvers, transform), caffe.TRAIN), 4)
    mode.set_solver_count(solvers)
    for rank in range(solvers):
        mode.set_solver_rank(rank)
        own = batches(make_net(layer(image_lmdb, 2, transform), caffe.TRAIN), 4)
        for mine, all_of_them in zip(own, together, strict=True):
            np.testing.assert_array_equal(mine, all_of_them[rank::solvers])
    tested = batches(make_net(layer(image_lmdb, 13)), 1)[1]
    np.testing.assert_array_equal(tested, np.arange(13))


def test_random_crops_and_mirrors_are_uniform_over_a_training(make_net, image_lmdb, images):
    """Where each crop lies is read off its pixels: no two of a picture's are alike."""
    caffe.set_random_seed(2)
    net = make_net(layer(image_lmdb, 100, "crop_size: 9 mirror: true"), caffe.TRAIN)
    data, label = batches(net, 32)
    counts = Counter()
    for crop, number in zip(data[:, 0], label.astype(int), strict=True):
        picture = images[number, :, :, 0]
        top, left = np.argwhere(picture == crop[0, 0])[0]
        mirrored = left != np.argwhere(picture == crop[0, -1])[0][1] - 8
        counts[top, left - 8 * mirrored, mirrored] += 1
    assert set(counts) == set(itertools.product(range(4), range(2), (False, True)))
    # χ² of 15 degrees of freedom stays below 37.7 in 999 of 1000 cases (tables of the distribution)
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 37.7


def test_two_layers_on_one_lmdb(make_net, image_lmdb, images):
    text = layer(image_lmdb, 2) + layer(image_lmdb, 3, tops='top: "more" top: "names"', name="more")
    net = make_net(text)
    for step in range(6):
        net.forward()
        np.testing.assert_array_equal(net.blobs["label"].data, (2 * step + np.arange(2)) % 13)
        np.testing.assert_array_equal(net.blobs["names"].data, (3 * step + np.arange(3)) % 13)


def test_the_layers_of_both_phases_may_share_an_lmdb(make_net, image_lmdb):
    train, test = make_net(layer(image_lmdb), caffe.TRAIN), make_net(layer(image_lmdb), caffe.TEST)
    train.forward()
    np.testing.assert_array_equal(test.forward()["label"], [0, 1, 2, 3])
    train.close()
    np.testing.assert_array_equal(test.forward()["label"], [4, 5, 6, 7])


def fails_in_forward(net, said, good=0):
    for _ in range(good):
        net.forward()
    for _ in range(2):  # and again for whoever asks again
        with pytest.raises(UserError, match=said) as error:
            net.forward()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"\xff\xff\xff", "record b'00000006' of the LMDB .* is no Datum; build it again"),
        (pb.Datum(encoded=True, data=b"junk"), "record b'00000006' of the LMDB .* does not decode as an image"),
        (pb.Datum(channels=3, height=12, width=10, data=b"short"), "record b'00000006' of the LMDB .* holds 5 values"),
        (datum(np.zeros((5, 5, 3), np.uint8)), "record b'00000006' .*: crop_size 6 is larger than the image, 5×5"),
        (
            datum(np.zeros((12, 10, 1), np.uint8)),
            r"layer 'data' \(Data\) meets images of several sizes or types in one batch",
        ),
    ],
)
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_bad_record_is_named_when_its_batch_is_due(make_net, make_lmdb, images, bad, said, phase):
    records = [datum(image) for image in images]
    records[6] = bad
    fails_in_forward(make_net(layer(make_lmdb(records), transform="crop_size: 6"), phase), said, good=1)


def test_a_damaged_page_is_named_when_its_batch_is_due(make_net, make_lmdb):
    """The page of the last records is reached while earlier batches are at work."""
    image = np.zeros((24, 24, 1), np.uint8)
    path = make_lmdb([datum(image, label) for label in range(40)])
    file = path / "data.mdb"
    content = bytearray(file.read_bytes())
    last = content.rfind(b"00000039") // 4096
    content[4096 * last + 12] ^= 1
    file.write_bytes(content)
    net = make_net(layer(path, 1))
    labels = []
    with pytest.raises(UserError, match=rf"data.mdb is damaged or no LMDB \(page {last} is none of the tree\)"):
        for _ in range(50):
            labels.append(net.forward()["label"][0])
    assert labels == list(range(len(labels))) and len(labels) > 5


def test_images_of_several_sizes_need_a_crop(make_net, make_lmdb, images):
    records = [datum(images[0]), datum(images[1][:, :8])]
    path = make_lmdb(records)
    fails_in_forward(make_net(layer(path)), "meets images of several sizes or types in one batch")
    assert make_net(layer(path, transform="crop_size: 8")).forward()["data"].shape == (4, 3, 8, 8)
    one_by_one = make_net(layer(path, 1))
    assert [one_by_one.forward()["data"].shape for _ in range(3)] == [(1, 3, 12, w) for w in (10, 8, 10)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (layer("LMDB", transform="crop_size: 11"), "crop_size 11 is larger than the image, 10×12"),
        (layer("LMDB", transform="mean_value: 1 mean_value: 2"), "has 2 mean values for 3 channels"),
        (layer("LMDB", transform='mean_file: "none"'), "cannot read the mean file none"),
        (layer("LMDB", 0), r"layer 'data' \(Data\) needs a batch_size above 0"),
        (layer("LMDB").replace("backend: LMDB", ""), "LevelDB"),  # the default of caffe.proto
        (layer("LMDB/none"), "no LMDB at .*none; build it"),
        (layer("LMDB", tops='top: "a" top: "b" top: "c"'), r"has 3 top\(s\); the type takes 1 to 2"),
        (layer("LMDB", tops=""), r"has 0 top\(s\)"),
    ],
)
def test_layers_that_cannot_be_built(make_net, image_lmdb, text, said):
    with pytest.raises(UserError, match=said) as error:
        make_net(text.replace("LMDB/", f"{image_lmdb}/").replace('"LMDB"', f'"{image_lmdb}"'))
    assert "\n" not in str(error.value)


def test_close_ends_the_threads_and_forward_begins_anew(make_net, image_lmdb):
    before = set(threading.enumerate())
    net = make_net(layer(image_lmdb))
    assert set(threading.enumerate()) == before  # none before they are needed
    net.forward()
    own = set(threading.enumerate()) - before
    assert own
    net.close()
    assert not any(thread.is_alive() for thread in own)
    net.close()
    assert net.forward()["label"][0] == 0


def test_close_after_an_error(make_net, make_lmdb, images):
    before = threading.active_count()
    net = make_net(layer(make_lmdb([datum(images[0]), b"\xff\xff\xff"])))
    fails_in_forward(net, "is no Datum")
    net.close()
    assert threading.active_count() == before


def test_a_net_is_saved_with_its_data_layer_as_described(make_net, image_lmdb, tmp_path):
    text = layer(image_lmdb, transform="crop_size: 6 mirror: true")
    make_net(text).save(tmp_path / "m")
    saved = pb.NetParameter.FromString((tmp_path / "m").read_bytes()).layer[0]
    described = text_format.Parse(text, pb.NetParameter()).layer[0]
    assert saved.data_param == described.data_param and saved.transform_param == described.transform_param
