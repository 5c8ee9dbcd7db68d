"""Classifier and Detector against the same steps done by hand."""

import sys
from types import ModuleType

import numpy as np
import pytest
import skimage.io

from pydeepexpr import caffe
from pydeepexpr.caffe import io
from pydeepexpr.errors import UserError

#: The scores are the sums of each colour over the input.
NET = """
input: "data" input_shape { dim: 4 dim: 3 dim: 6 dim: 6 }
layer { name: "sum" type: "Convolution" bottom: "data" top: "scores"
  convolution_param { num_output: 3 kernel_size: 6 bias_term: false } }
layer { name: "flat" type: "Flatten" bottom: "scores" top: "flat" }
"""


@pytest.fixture
def files(tmp_path):
    """A prototxt and its weights."""
    (tmp_path / "deploy.prototxt").write_text(NET)
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST)
    for channel in range(3):
        net.params["sum"][0].data[channel, channel] = 1
    net.save(tmp_path / "net.caffemodel")
    return str(tmp_path / "deploy.prototxt"), str(tmp_path / "net.caffemodel")


@pytest.fixture
def images():
    return [np.random.default_rng(k).uniform(size=(8, 8, 3)).astype(np.float32) for k in range(5)]


SETTINGS = {"mean": np.array([1.0, 2.0, 3.0]), "raw_scale": 255, "channel_swap": (2, 1, 0), "input_scale": 0.5}


def scored(crop):
    """Return what the network makes of a 6×6 crop with the settings above."""
    return ((crop * 255)[:, :, ::-1] - SETTINGS["mean"]).sum((0, 1)) * 0.5


def test_the_centre_alone(files, images):
    net = caffe.Classifier(*files, image_dims=(8, 8), **SETTINGS)
    got = net.predict(images, oversample=False)
    assert got.shape == (5, 3)
    np.testing.assert_allclose(got, [scored(image[1:7, 1:7]) for image in images], rtol=1e-4)


def test_ten_crops_are_averaged(files, images):
    net = caffe.Classifier(*files, image_dims=(8, 8), **SETTINGS)
    crops = [[(0, 0), (0, 2), (2, 0), (2, 2), (1, 1)]] * 5
    expected = [
        np.mean([scored(image[y : y + 6, x : x + 6]) for y, x in corners], 0)  # a sum does not mind the mirror
        for image, corners in zip(images, crops, strict=True)
    ]
    np.testing.assert_allclose(net.predict(images), expected, rtol=1e-4)


def test_images_are_scaled_to_the_networks_size_unless_told(files, images):
    net = caffe.Classifier(*files)
    assert list(net.image_dims) == list(net.crop_dims) == [6, 6]
    expected = [io.resize_image(image, (6, 6)).sum((0, 1)) for image in images]
    np.testing.assert_allclose(net.predict(images, oversample=False), expected, rtol=1e-4)
    np.testing.assert_allclose(net.predict(images), expected, rtol=1e-4)


def test_what_a_classifier_cannot_do(files, tmp_path):
    with pytest.raises(UserError, match="predict was given no image"):
        caffe.Classifier(*files).predict([])
    (tmp_path / "train.prototxt").write_text(
        'layer { name: "d" type: "DummyData" top: "scores" dummy_data_param { shape { dim: 1 } } }'
    )
    with pytest.raises(UserError, match="the network has no input to put images in"):
        caffe.Classifier(str(tmp_path / "train.prototxt"), files[1])


# Detector


@pytest.fixture
def photographs(tmp_path):
    paths = []
    for k in range(2):
        pixels = np.random.default_rng(k).integers(0, 256, (20, 24, 3), np.uint8)
        paths.append(str(tmp_path / f"{k}.png"))
        skimage.io.imsave(paths[-1], pixels, check_contrast=False)
    return paths


def test_windows_are_warped_to_the_input_and_scored(files, photographs):
    net = caffe.Detector(*files, **SETTINGS)
    windows = [[(0, 0, 6, 6), (3, 4, 9, 10), (2, 0, 14, 12)], [(14, 18, 20, 24)]]
    got = net.detect_windows(zip(photographs, windows, strict=True))
    assert [(found["filename"], found["window"]) for found in got] == [
        *((photographs[0], window) for window in windows[0]),
        (photographs[1], windows[1][0]),
    ]
    for found in got:
        top, left, bottom, right = found["window"]
        crop = io.load_image(found["filename"])[top:bottom, left:right]
        np.testing.assert_allclose(found["prediction"], scored(io.resize_image(crop, (6, 6))), rtol=1e-3)
    assert net.detect_windows([]) == []
    assert net.crop(np.ones((9, 9, 3)), (5, 2, 12, 8)).shape == (4, 6, 3)


def test_context_shows_what_surrounds_a_window(files):
    # An input of 6 with 1 of context: the window's 4 + 1 pixels become 6/4 as many, 7.5, around its middle:
    # from round(10 + 2.5 − 3.75) to round(10 + 2.5 + 3.75), and 6/(16 − 9 + 1) of each is kept
    net = caffe.Detector(*files, context_pad=1)
    image = np.random.default_rng(0).uniform(size=(30, 40, 3)).astype(np.float32)
    crop = net.crop(image, np.array([10, 10, 14, 14]))
    assert crop.shape == (6, 6, 3)
    np.testing.assert_allclose(crop, io.resize_image(image[9:16, 9:16], (6, 6)), atol=1e-6)


def test_context_beyond_the_image_is_the_mean_in_the_images_own_values(files):
    # The window at the corner: from round(2.5 − 3.75) = −1 on; 1 · 6/8 of a pixel, rounded, lies outside
    net = caffe.Detector(*files, context_pad=1, mean=np.array([25.5, 51, 76.5]), raw_scale=255, channel_swap=(2, 1, 0))
    crop = net.crop(np.ones((30, 40, 3), np.float32), (0, 0, 4, 4))
    outside = np.ones((6, 6), bool)
    outside[1:, 1:] = False
    np.testing.assert_allclose(crop[outside], np.tile([0.3, 0.2, 0.1], (11, 1)), atol=1e-6)
    np.testing.assert_allclose(crop[~outside], 1)
    mean = np.arange(3 * 6 * 6.0).reshape(3, 6, 6)
    net = caffe.Detector(*files, context_pad=2, mean=mean)
    np.testing.assert_array_equal(net.crop_mean, mean.transpose(1, 2, 0))
    assert net.crop(np.ones((4, 4, 3), np.float32), (0, 0, 4, 4)).shape == (6, 6, 3)


def test_without_a_mean_the_outside_is_zero(files):
    net = caffe.Detector(*files, context_pad=1)
    crop = net.crop(np.ones((30, 40, 3), np.float32), (0, 0, 4, 4))
    assert (crop[0] == 0).all() and (crop[1:, 1:] == 1).all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net: net.crop(np.ones((9, 9, 3)), (9, 0, 10, 5)), r"\(9, 0, 10, 5\) does not lie in an image of 9×9"),
        (lambda net: net.crop(np.ones((9, 9, 3)), (4, 0, 4, 5)), "does not lie in an image"),
        (lambda net: net.crop(np.ones((9, 9, 3)), (-1, 0, 4, 5)), "does not lie in an image"),
        (lambda net: net.configure_crop(3), "a context_pad of 3 leaves nothing of an input of 6 pixels"),
        (lambda net: net.detect_windows([("missing.png", [(0, 0, 2, 2)])]), "cannot read the image missing.png"),
        (lambda net: net.detect_selective_search(["a.png"]), "needs the module selective_search_ijcv_with_python"),
    ],
)
def test_what_a_detector_cannot_do(files, monkeypatch, call, said):
    monkeypatch.setitem(sys.modules, "selective_search_ijcv_with_python", None)
    with pytest.raises(UserError, match=said):
        call(caffe.Detector(*files))


def test_selective_search_proposes_windows(files, photographs, monkeypatch):
    module = ModuleType("selective_search_ijcv_with_python")
    asked = []

    def get_windows(paths, cmd):
        asked.append((list(paths), cmd))
        return [np.array([[0, 0, 6, 6], [1, 1, 9, 9]]), np.array([[2, 2, 8, 8]])]

    module.get_windows = get_windows
    monkeypatch.setitem(sys.modules, module.__name__, module)
    got = caffe.Detector(*files).detect_selective_search(photographs)
    assert asked == [(photographs, "selective_search_rcnn")]
    assert [found["filename"] for found in got] == [photographs[0], photographs[0], photographs[1]]
    assert got[2]["prediction"].shape == (3,)
