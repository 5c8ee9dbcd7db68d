"""Images and messages as pycaffe's `caffe.io` makes them. Expected values are worked out by hand beside each test."""

import subprocess
import sys

import numpy as np
import pytest
import skimage.io
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe import io
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

RAMP = np.arange(12, dtype=np.float32).reshape(2, 2, 3)


# Images


@pytest.fixture
def write_image(tmp_path):
    def write(pixels, name="image.png"):
        skimage.io.imsave(tmp_path / name, pixels, check_contrast=False)
        return str(tmp_path / name)

    return write


def test_a_colour_image_is_rgb_in_0_to_1(write_image):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    image = io.load_image(write_image(pixels))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, pixels / 255, atol=1e-6)


def test_a_grey_image_gets_three_channels_unless_told(write_image):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4), np.uint8)
    path = write_image(pixels)
    np.testing.assert_allclose(io.load_image(path), np.repeat(pixels[:, :, None] / 255, 3, 2), atol=1e-6)
    np.testing.assert_allclose(io.load_image(path, color=False), pixels[:, :, None] / 255, atol=1e-6)


def test_a_colour_image_becomes_grey_by_luminance(write_image):
    # ITU-R 709: 0.2125 R + 0.7154 G + 0.0721 B
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    image = io.load_image(write_image(pixels), color=False)
    np.testing.assert_allclose(image[0, :, 0], [0.2125, 0.7154, 0.0721], atol=1e-4)


def test_transparency_is_dropped(write_image):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8)
    np.testing.assert_allclose(io.load_image(write_image(pixels)), pixels[:, :, :3] / 255, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The legacy:DeprecationWarning")  # of a reader that is tried on the way
def test_an_image_that_cannot_be_read(tmp_path):
    (tmp_path / "no.png").write_bytes(b"nothing")
    for path in (tmp_path / "no.png", tmp_path / "missing.jpg"):
        with pytest.raises(UserError, match=f"cannot read the image {path}") as error:
            io.load_image(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_resizing_interpolates_linearly_between_pixel_centres(channels):
    # one row 0, 4, 8, 12 to half: the centres of the new pixels lie between those of the old ones: 2, 10
    row = np.repeat(np.array([0, 4, 8, 12], np.float32)[None, :, None], channels, 2)
    image = np.repeat(row, 4, 0)
    got = io.resize_image(image, (4, 2))
    assert got.shape == (4, 2, channels) and got.dtype == np.float32
    if channels != 5:  # scipy's zoom, which any other number of channels goes through, keeps the corners instead
        np.testing.assert_allclose(got[1:3, :, 0], [[2, 10]] * 2, atol=1e-5)
    else:
        np.testing.assert_allclose(got[:, :, 0], [[0, 12]] * 4, atol=1e-5)


def test_resizing_leaves_a_constant_and_negative_values_alone():
    np.testing.assert_array_equal(io.resize_image(np.full((4, 5, 3), -7.0), (2, 3)), np.full((2, 3, 3), -7))
    image = np.linspace(-300, 500, 48).reshape(4, 4, 3)
    np.testing.assert_allclose(io.resize_image(image, (4, 4)), image, rtol=1e-5)
    assert set(np.unique(io.resize_image(image, (2, 2), interp_order=0))) <= set(np.float32(image).ravel())


def test_ten_crops_are_corners_centre_and_mirrors():
    image = np.arange(4 * 6, dtype=np.float32).reshape(4, 6, 1)
    crops = io.oversample([image, image + 100], (2, 3))
    assert crops.shape == (20, 2, 3, 1) and crops.dtype == np.float32
    np.testing.assert_array_equal(crops[:5, 0, 0, 0], [0, 3, 12, 15, 7])  # (1, 1.5) → (1, 1)
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)
    with pytest.raises(UserError, match="crops of 5×3 do not fit into an image of 4×6"):
        io.oversample([image], (5, 3))


def test_what_scripts_take_from_pycaffes_own_imports():
    # `from skimage.transform import resize` and the like stand at the top of Caffe 1.0's io.py
    image = np.linspace(0, 1, 48).reshape(4, 4, 3)
    assert io.resize(image, (2, 2, 3)).shape == (2, 2, 3) and io.zoom(image, (2, 2, 1)).shape == (8, 8, 3)
    assert io.skimage.img_as_float(np.uint8([255]))[0] == 1 and io.skimage.io.imread and io.skimage.transform.resize
    with pytest.raises(AttributeError, match="no attribute 'skimag'"):
        _ = io.skimag


def test_none_of_these_is_loaded_before_it_is_asked_for():
    loaded = (
        "import sys, pydeepexpr.caffe; print([name for name in sys.modules if name in ('skimage', 'scipy.ndimage')])"
    )
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True)
    assert done.stdout == "[]\n"


# Transformer


@pytest.fixture
def transformer():
    return io.Transformer({"data": (10, 3, 2, 2)})


def test_preprocessing_does_its_steps_in_caffes_order(transformer):
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([10, 20, 30]))
    transformer.set_input_scale("data", 0.5)
    kept = RAMP.copy()
    got = transformer.preprocess("data", RAMP)
    expected = (RAMP.transpose(2, 0, 1)[::-1] * 255 - np.array([10, 20, 30])[:, None, None]) * 0.5
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    np.testing.assert_array_equal(RAMP, kept)
    np.testing.assert_allclose(transformer.deprocess("data", got[None]), RAMP, atol=1e-4)


@pytest.mark.parametrize(("given", "wanted"), [(np.float32, np.float32), (float, float), (np.uint8, np.float32)])
def test_what_comes_back_has_the_blobs_type_whatever_the_mean_has(transformer, given, wanted):
    # pycaffe works in place on a copy of the blob
    transformer.set_mean("data", np.array([10.0, 20, 30]))
    transformer.set_raw_scale("data", 255.0)
    back = transformer.deprocess("data", np.ones((1, 3, 2, 2), given))
    assert back.dtype == wanted
    np.testing.assert_allclose(back[:, 0, 0], np.array([11, 21, 31]) / 255, rtol=1e-6)


def test_preprocessing_resizes_first(transformer):
    big = np.repeat(np.repeat(RAMP, 2, 0), 2, 1)
    np.testing.assert_allclose(transformer.preprocess("data", big), RAMP, atol=1e-5)


def test_nothing_set_changes_nothing(transformer):
    np.testing.assert_array_equal(transformer.preprocess("data", RAMP), RAMP)
    np.testing.assert_array_equal(transformer.deprocess("data", RAMP), RAMP)


@given(st.permutations(range(3)), st.permutations(range(3)), st.floats(0.1, 300), st.floats(0.01, 10))
def test_deprocessing_undoes_preprocessing(order, swap, raw, scale):
    shape = (1, 2, 2, 2)
    transformer = io.Transformer({"x": shape})
    image = np.random.default_rng(0).normal(size=(2, 2, 2)).astype(np.float32)
    transformer.set_transpose("x", order)
    transformer.set_channel_swap("x", [c for c in swap if c < 2])
    transformer.set_raw_scale("x", raw)
    transformer.set_mean("x", np.array([1.0, -2.0]))
    transformer.set_input_scale("x", scale)
    back = transformer.deprocess("x", transformer.preprocess("x", image))
    np.testing.assert_allclose(back, image, atol=1e-3)


@pytest.mark.parametrize(
    ("mean", "at_origin"),
    [
        (np.array([1, 2, 3]), [1, 2, 3]),
        (np.arange(12).reshape(3, 2, 2), [0, 4, 8]),
        (np.array([1, 2, 3]).reshape(3, 1, 1), [1, 2, 3]),
    ],
)
def test_means_of_all_kinds(transformer, mean, at_origin):
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", mean)
    got = transformer.preprocess("data", np.zeros((2, 2, 3)))
    np.testing.assert_allclose(got[:, 0, 0], np.negative(at_origin), atol=1e-5)


def test_a_flat_mean_serves_one_channel():
    transformer = io.Transformer({"data": (1, 1, 2, 2)})
    transformer.set_mean("data", np.arange(4).reshape(2, 2))
    assert transformer.mean["data"].shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: t.set_transpose("data", (2, 0)), "needs its 3 axes once each"),
        (lambda t: t.set_transpose("data", (0, 1, 1)), "needs its 3 axes once each"),
        (lambda t: t.set_channel_swap("data", (1, 0)), "needs its 3 channels once each"),
        (lambda t: t.set_mean("data", np.ones(2)), r"for each of its 3 channels.*it is \(2, 1, 1\)"),
        (lambda t: t.set_mean("data", np.ones((4, 2, 2))), "for each of its 3 channels"),
        (lambda t: t.set_mean("data", np.ones((1, 3, 2, 2))), "for each of its 3 channels"),
        (lambda t: t.set_mean("data", np.ones((3, 4, 4))), r"or the input's shape \(3, 2, 2\); it is \(3, 4, 4\)"),
        *[
            (lambda t, call=call: call(t), "'other' is not one of the net's inputs: data")
            for call in (
                lambda t: t.preprocess("other", RAMP),
                lambda t: t.deprocess("other", RAMP),
                lambda t: t.set_transpose("other", (2, 0, 1)),
                lambda t: t.set_channel_swap("other", (2, 1, 0)),
                lambda t: t.set_raw_scale("other", 1),
                lambda t: t.set_input_scale("other", 1),
                lambda t: t.set_mean("other", np.ones(3)),
            )
        ],
    ],
)
def test_settings_that_do_not_fit(transformer, call, said):
    with pytest.raises(ValueError, match=said) as error:
        call(transformer)
    assert isinstance(error.value, UserError)


# Messages


def test_blobs_of_the_old_and_of_todays_format():
    values = np.arange(24.0)
    old = pb.BlobProto(data=values, num=1, channels=2, height=3, width=4)
    new = pb.BlobProto(data=values, diff=-values)
    new.shape.dim.extend([6, 4])
    assert io.blobproto_to_array(old).shape == (1, 2, 3, 4)
    np.testing.assert_array_equal(io.blobproto_to_array(new), values.reshape(6, 4))
    np.testing.assert_array_equal(io.blobproto_to_array(new, return_diff=True), -values.reshape(6, 4))
    assert io.blobproto_to_array(new).dtype == np.float64


def test_a_single_number_needs_no_shape_but_several_do():
    assert io.blobproto_to_array(pb.BlobProto(data=[123])) == 123
    with pytest.raises(ValueError, match="holds 2 values"):
        io.blobproto_to_array(pb.BlobProto(data=[1, 2]))


@given(st.lists(st.integers(0, 3), max_size=5))
def test_arrays_survive_a_blob(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    blob = io.array_to_blobproto(values, diff=2 * values)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, True), 2 * values)


def test_lists_of_arrays_survive_a_blob_vector():
    arrays = [np.ones((2, 3)), np.arange(4.0), np.array(5.0)]
    content = io.arraylist_to_blobprotovector_str(arrays)
    assert isinstance(content, bytes)
    for one, two in zip(arrays, io.blobprotovector_str_to_arraylist(content), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64])
def test_arrays_survive_a_datum(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    datum = io.array_to_datum(values, label=7)
    assert (datum.channels, datum.height, datum.width, datum.label) == (2, 3, 4, 7)
    assert bool(datum.data) == (dtype == np.uint8)
    got = io.datum_to_array(pb.Datum.FromString(datum.SerializeToString()))
    assert got.dtype == (np.uint8 if dtype == np.uint8 else np.float64) and got.flags.writeable
    np.testing.assert_array_equal(got, values)


def test_a_datum_without_a_label_does_not_say_0():
    assert not io.array_to_datum(np.ones((2, 2, 3))).HasField("label")
    assert len(io.array_to_datum(np.ones((2, 2, 3)), 0).SerializeToString()) > len(
        io.array_to_datum(np.ones((2, 2, 3))).SerializeToString()
    )


def test_an_encoded_datum_is_decoded(write_image):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    with open(write_image(pixels), "rb") as file:
        datum = pb.Datum(encoded=True, data=file.read())
    np.testing.assert_array_equal(io.datum_to_array(datum), pixels[:, :, ::-1].transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 2, 3, 4)])
def test_a_datum_has_three_axes(shape):
    with pytest.raises(ValueError, match="three axes"):
        io.array_to_datum(np.ones(shape))
