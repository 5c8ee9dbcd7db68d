"""The ImageData layer. Expected pixels are those of PNGs, read and resized by OpenCV as Caffe does."""

import cv2
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.errors import UserError


@pytest.fixture
def listed(tmp_path, images):
    """The list of the 13 pictures, in a folder of their own."""
    (tmp_path / "pictures").mkdir()
    for label, image in enumerate(images):
        cv2.imwrite(str(tmp_path / "pictures" / f"a picture {label}.png"), image)
    path = tmp_path / "list.txt"
    path.write_text("".join(f"a picture {label}.png {label}\n" for label in range(13)))
    return path


def text(source, more="", transform="", batch=4):
    folder = f"{source.parent}/pictures/"
    return f"""layer {{ name: "data" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }}
      image_data_param {{ source: "{source}" root_folder: "{folder}" batch_size: {batch} {more} }} }}"""


def drawn(net, count):
    """Return so many batches: images and labels, one after the other."""
    batches = [{name: values.copy() for name, values in net.forward().items()} for _ in range(count)]
    return np.concatenate([batch["data"] for batch in batches]), np.concatenate([batch["label"] for batch in batches])


def chw(images):
    return images.transpose(0, 3, 1, 2).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 4, 13, 30])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_batches_follow_the_list_and_wrap_around(make_net, listed, images, batch, phase):
    net = make_net(text(listed, batch=batch), phase)
    assert net.blobs["data"].shape == (batch, 3, 12, 10) and net.blobs["label"].shape == (batch,)
    data, label = drawn(net, 3)
    np.testing.assert_array_equal(label, np.arange(3 * batch) % 13)
    np.testing.assert_array_equal(data, chw(images)[np.arange(3 * batch) % 13])


def test_resized_and_grey(make_net, listed, images):
    data, _ = drawn(make_net(text(listed, "new_height: 6 new_width: 9")), 1)
    wanted = np.stack([cv2.resize(image, (9, 6)) for image in images[:4]])
    np.testing.assert_array_equal(data, chw(wanted))
    grey, _ = drawn(make_net(text(listed, "is_color: false new_height: 6 new_width: 9")), 1)
    paths = [str(listed.parent / "pictures" / f"a picture {n}.png") for n in range(4)]
    wanted = np.stack([cv2.resize(cv2.imread(path, cv2.IMREAD_GRAYSCALE), (9, 6)) for path in paths])
    np.testing.assert_array_equal(grey, wanted[:, None])


def test_transformed(make_net, listed, images):
    data, _ = drawn(make_net(text(listed, transform="crop_size: 8 mean_value: 7 scale: 0.5")), 1)
    np.testing.assert_array_equal(data, (chw(images)[:4, :, 2:10, 1:9] - 7) / 2)


def test_each_pass_has_its_own_order(make_net, listed):
    caffe.set_random_seed(3)
    _, label = drawn(make_net(text(listed, "shuffle: true", batch=13), caffe.TRAIN), 4)
    passes = label.reshape(4, 13).astype(int).tolist()
    assert all(sorted(each) == list(range(13)) for each in passes)
    assert len({tuple(each) for each in [*passes, list(range(13))]}) == 5


@pytest.mark.parametrize("more", ["", "rand_skip: 9", "shuffle: true"])
def test_fixed_crops_are_shown_one_a_pass_until_each_was(make_net, listed, images, more):
    caffe.set_random_seed(2)
    caffe.set_crops("mirrored")
    data, label = drawn(make_net(text(listed, more, "crop_size: 8", batch=13), caffe.TRAIN), 2)
    for number, centre in enumerate(chw(images)[:, :, 2:10, 1:9]):
        seen = [view.tobytes() for view in data[label == number]]
        assert sorted(seen) == sorted(view.tobytes() for view in (centre, centre[:, :, ::-1]))


def test_the_order_follows_the_seed(make_net, listed):
    def labels(seed):
        caffe.set_random_seed(seed)
        return drawn(make_net(text(listed, "shuffle: true"), caffe.TRAIN), 5)[1].tolist()

    assert labels(1) == labels(1) != labels(2)


def test_each_layer_of_a_net_has_its_own_order(make_net, listed):
    # Caffe seeds each layer's shuffling anew from the one stream of the seed
    caffe.set_random_seed(3)
    layer = text(listed, "shuffle: true")
    one, other, again = (
        drawn(make_net(layer.replace('name: "data"', f'name: "{name}"'), caffe.TRAIN), 3)[1].tolist() for name in "aba"
    )
    assert one == again != other


def test_rand_skip_begins_at_a_random_image_before_its_limit(make_net, listed):
    starts = set()
    for seed in range(12):
        caffe.set_random_seed(seed)
        _, label = drawn(make_net(text(listed, "rand_skip: 3")), 4)
        np.testing.assert_array_equal(label, (label[0] + np.arange(16)) % 13)
        starts.add(int(label[0]))
    assert starts == {0, 1, 2}


@pytest.mark.parametrize("batch", [0, 1, 3, 6])
@pytest.mark.parametrize("more", ["", "shuffle: true", "shuffle: true rand_skip: 9"])
def test_skip_to_gives_the_batches_of_an_uninterrupted_run(make_net, listed, batch, more):
    layer = text(listed, more, "crop_size: 6 mirror: true")
    caffe.set_random_seed(4)
    whole, resumed = make_net(layer, caffe.TRAIN), make_net(layer, caffe.TRAIN)
    wanted, labels = drawn(whole, 8)
    resumed.forward()
    resumed.layers[0].skip_to(batch)
    data, label = drawn(resumed, 8 - batch)
    np.testing.assert_array_equal(data, wanted[4 * batch :])
    np.testing.assert_array_equal(label, labels[4 * batch :])


def test_solvers_share_the_images_out(make_net, listed):
    caffe.set_random_seed(4)
    layer = text(listed, "shuffle: true", "crop_size: 6 mirror: true", batch=6)
    together = drawn(make_net(layer, caffe.TRAIN), 5)
    mode.set_solver_count(3)
    for rank in range(3):
        mode.set_solver_rank(rank)
        own = drawn(make_net(layer.replace("batch_size: 6", "batch_size: 2"), caffe.TRAIN), 5)
        for mine, all_of_them in zip(own, together, strict=True):
            np.testing.assert_array_equal(mine, all_of_them[rank::3])
        tested = drawn(make_net(layer, caffe.TEST), 1)[1]
    np.testing.assert_array_equal(np.sort(tested), np.sort(drawn(make_net(layer, caffe.TEST), 1)[1]))


@pytest.mark.parametrize(
    ("line", "wanted"), [("one.png", 0), ("one.png\t8", 8), ("one.png   +8 \r", 8), ("one.png -3", -3)]
)
def test_other_lines(make_net, listed, images, line, wanted):
    (listed.parent / "pictures" / "a picture 5.png").rename(listed.parent / "pictures" / "one.png")
    listed.write_text(f"\n{line}\n\n")
    data, label = drawn(make_net(text(listed, batch=1)), 1)
    np.testing.assert_array_equal(data, chw(images)[5:6])
    assert label.tolist() == [wanted]


def test_images_of_several_sizes(make_net, listed, images):
    small = listed.parent / "pictures" / "a picture 1.png"
    cv2.imwrite(str(small), images[1][:9, :8])
    net = make_net(text(listed, batch=1))
    assert [net.forward()["data"].shape for _ in range(3)] == [(1, 3, 12, 10), (1, 3, 9, 8), (1, 3, 12, 10)]
    assert drawn(make_net(text(listed, transform="crop_size: 8")), 1)[0].shape == (4, 3, 8, 8)
    assert drawn(make_net(text(listed, "new_height: 5 new_width: 4")), 1)[0].shape == (4, 3, 5, 4)
    with pytest.raises(UserError, match=r"layer 'data' \(ImageData\) meets images of several sizes or types"):
        make_net(text(listed)).forward()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"cannot read the list of images .*list\.txt: No such file"),
        ("", r"the list of images .*list\.txt names none"),
        ("\n \n", "names none"),
        (
            "a picture 0.png 0\na picture 1.png one\n",
            "line 2 of the list of images .*: the label 'one' is no whole number",
        ),
        ("a picture 0.png 1.5\n", "the label '1.5' is no whole number"),
        ("a picture 0.png 99999999999\n", "the label '99999999999' is no whole number"),
        ("none.png 0\n", r"cannot read the image that .*list\.txt lists, .*none\.png: No such file"),
        ("bad.png 0\n", r"the image .*bad\.png does not decode as an image"),
        ("\0 0\n", "that is no path"),
    ],
)
def test_lists_that_are_none(make_net, listed, content, said):
    (listed.parent / "pictures" / "bad.png").write_bytes(b"no image")
    listed.unlink() if content is None else listed.write_text(content)
    with pytest.raises(UserError, match=said) as error:
        make_net(text(listed))
    assert "\n" not in str(error.value)


def test_an_image_that_is_missing_is_named_when_its_batch_is_due(make_net, listed):
    (listed.parent / "pictures" / "a picture 8.png").unlink()
    net = make_net(text(listed))
    net.forward(), net.forward()
    for _ in range(2):
        with pytest.raises(UserError, match=r"cannot read the image that .* lists, .*a picture 8\.png: No such file"):
            net.forward()


@pytest.mark.parametrize(
    ("more", "transform", "said"),
    [
        ("new_height: 5", "", "needs new_height and new_width together, or neither"),
        ("new_width: 5", "", "needs new_height and new_width together, or neither"),
        ("new_height: 4000000000 new_width: 4000000000", "", "cannot resize to 4000000000×4000000000"),
        ("rand_skip: 4000000000", "", r"cannot skip \d+ images \(rand_skip\): .* lists 13"),
        ("", "crop_size: 11", r"the image .*a picture 0\.png: crop_size 11 is larger than the image, 10×12"),
        ("is_color: false", "mean_value: 1 mean_value: 2", "has 2 mean values for 1 channels"),
        ("", "force_color: true force_gray: true", "keep the one or the other"),
    ],
)
def test_layers_that_cannot_be_built(make_net, listed, more, transform, said):
    with pytest.raises(UserError, match=said) as error:
        make_net(text(listed, more, transform))
    assert "\n" not in str(error.value)


def test_no_batch(make_net, listed):
    with pytest.raises(UserError, match=r"layer 'data' \(ImageData\) needs a batch_size above 0"):
        make_net(text(listed, batch=0))
