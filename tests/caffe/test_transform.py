"""transform_param against plain NumPy: (pixel − mean) · scale on a crop, mirrored or not."""

from collections import Counter

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe import TEST, TRAIN
from pydeepexpr.caffe.crops import Cut
from pydeepexpr.caffe.datum import array_to_blobproto
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)


def transformer(text, phase=TEST):
    return Transformer(text_format.Parse(text, pb.TransformationParameter()), phase)


def lots(seed):
    return np.random.default_rng(seed).random(3).tolist()


def apply(of, image, seed=0):
    """Return C×H×W of one image, as the data layer makes it, and as who cuts images otherwise does."""
    cut = of.choose(image, lots(seed))
    pixels = torch.from_numpy(np.stack([of.cut(image, cut)]))
    means = None if of.mean_image is None else torch.from_numpy(np.stack([of.cut(of.mean_image, cut)]))
    assert of.finish(pixels, means).shape[1:] == of.top_shape(image)
    made = of.finish(torch.from_numpy(np.stack([of.apply(image, lots(seed))])))[0].numpy()
    np.testing.assert_array_equal(made, of.finish(pixels, means)[0])
    return made


def chw(image):
    return image.transpose(2, 0, 1).astype(np.float32)


@pytest.fixture
def mean_file(tmp_path):
    mean = np.random.default_rng(1).random((3, 7, 9)).astype(np.float32) * 255
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(array_to_blobproto(mean).SerializeToString())
    return path, mean


def test_nothing_asked_for_changes_nothing():
    np.testing.assert_array_equal(apply(transformer("", TRAIN), IMAGE), chw(IMAGE))


@pytest.mark.parametrize(("crop", "top", "left"), [(3, 2, 3), (4, 1, 2), (6, 0, 1), (7, 0, 1), (1, 3, 4)])
def test_the_centre_crop_rounds_down(crop, top, left):
    # DataTransformer::Transform: h_off = (height - crop_size) / 2 in integers
    wanted = chw(IMAGE)[:, top : top + crop, left : left + crop]
    np.testing.assert_array_equal(apply(transformer(f"crop_size: {crop}"), IMAGE), wanted)


def test_every_random_crop_is_reached_and_none_lies_outside():
    of = transformer("crop_size: 5", TRAIN)
    cuts = {(cut.top, cut.left, cut.mirror) for cut in (of.choose(IMAGE, lots(seed)) for seed in range(400))}
    assert cuts == {(top, left, False) for top in range(3) for left in range(5)}


@pytest.mark.parametrize("lot", [0.0, np.nextafter(1, 0)])
def test_the_extreme_lots_are_the_extreme_crops(lot):
    for crop in range(1, 8):
        cut = transformer(f"crop_size: {crop} mirror: true", TRAIN).choose(IMAGE, [lot] * 3)
        assert cut == (Cut(0, 0, True) if lot == 0 else Cut(7 - crop, 9 - crop, False))


def test_crops_and_mirrors_are_uniform_and_independent():
    # 3 × 5 places × 2: χ² of 29 degrees of freedom stays below 58.3 in 999 of 1000 cases (tables of the distribution)
    of, drawn = transformer("crop_size: 5 mirror: true", TRAIN), np.random.default_rng(4).random((6000, 3))
    counts = Counter(of.choose(IMAGE, one) for one in drawn)
    assert len(counts) == 30
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 58.3


@given(st.integers(1, 7), st.booleans(), st.sampled_from([TRAIN, TEST]), st.integers(0, 2**32 - 1))
def test_a_crop_is_a_window_of_the_image_mirrored_or_not(crop, mirror, phase, seed):
    of = transformer(f"crop_size: {crop} mirror: {str(mirror).lower()}", phase)
    cut = of.choose(IMAGE, lots(seed))
    assert 0 <= cut.top <= 7 - crop and 0 <= cut.left <= 9 - crop and (mirror or not cut.mirror)
    window = chw(IMAGE)[:, cut.top : cut.top + crop, cut.left : cut.left + crop]
    got = apply(of, IMAGE, seed)
    np.testing.assert_array_equal(got, window[:, :, ::-1] if cut.mirror else window)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
def test_mirror_flips_one_image_in_two_in_both_phases(phase):
    of, drawn = transformer("mirror: true", phase), np.random.default_rng(3).random((1000, 3))
    flips = sum(of.choose(IMAGE, one).mirror for one in drawn)
    assert 440 < flips < 560  # ±4 standard deviations of a fair coin


def test_one_mean_value_for_all_channels_or_one_for_each():
    np.testing.assert_array_equal(apply(transformer("mean_value: 100.5"), IMAGE), chw(IMAGE) - np.float32(100.5))
    got = apply(transformer("mean_value: 104 mean_value: 117 mean_value: 123"), IMAGE)
    np.testing.assert_array_equal(got, chw(IMAGE) - np.float32([104, 117, 123])[:, None, None])


def test_scale_comes_after_the_mean():
    got = apply(transformer("mean_value: 128 scale: 0.015625"), IMAGE)
    np.testing.assert_array_equal(got, (chw(IMAGE) - 128) / 64)


@pytest.mark.parametrize("phase", [TRAIN, TEST])
@pytest.mark.parametrize("crop", [0, 5])
def test_a_mean_file_is_cut_and_mirrored_like_the_image(mean_file, phase, crop):
    path, mean = mean_file
    of = transformer(f'mean_file: "{path}" crop_size: {crop} mirror: true scale: 0.5', phase)
    seen = set()
    for seed in range(12):
        cut = of.choose(IMAGE, lots(seed))
        seen.add(cut.mirror)
        rows, columns = (slice(start, start + (crop or None or size)) for start, size in ((cut.top, 7), (cut.left, 9)))
        wanted = ((chw(IMAGE) - mean) * np.float32(0.5))[:, rows, columns]
        got = apply(of, IMAGE, seed)
        np.testing.assert_allclose(got, wanted[:, :, ::-1] if cut.mirror else wanted, rtol=1e-6)
    assert seen == {False, True}


def test_floats_are_transformed_as_well():
    values = IMAGE.astype(np.float32) / 255
    np.testing.assert_allclose(
        apply(transformer("mean_value: 0.5 scale: 2"), values), (chw(values) - 0.5) * 2, rtol=1e-6
    )


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("planar", [False, True])
def test_any_number_of_channels_in_any_order_of_memory(channels, dtype, planar):
    image = np.random.default_rng(5).integers(0, 256, (7, 9, channels)).astype(dtype)
    if planar:
        image = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    values = "".join(f"mean_value: {10 * c} " for c in range(channels))
    of = transformer(f"crop_size: 4 mirror: true scale: 0.5 {values}", TRAIN)
    for seed in range(8):
        cut = of.choose(image, lots(seed))
        wanted = (chw(image) - 10 * np.arange(channels)[:, None, None]) / 2
        wanted = wanted[:, cut.top : cut.top + 4, cut.left : cut.left + 4]
        np.testing.assert_array_equal(apply(of, image, seed), wanted[:, :, ::-1] if cut.mirror else wanted)


def test_what_is_finished_stays_as_it_was():
    pixels = torch.ones(1, 2, 2, 3)
    for text in ("", "scale: 3", "mean_value: 1"):
        transformer(text).finish(pixels).add(1)
        assert (pixels == 1).all()


def test_a_cut_can_be_compared_and_not_changed():
    assert Cut(1, 2, True) == Cut(1, 2, True)
    with pytest.raises(AttributeError):
        Cut(1, 2, True).top = 3


@pytest.mark.parametrize(("text", "flag"), [("", -1), ("force_color: true", 1), ("force_gray: true", 0)])
def test_how_opencv_is_to_decode(text, flag):
    assert transformer(text).decode_flag == flag


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crop_size: 8", "crop_size 8 is larger than the image, 9×7"),
        ("crop_size: 10", "crop_size 10 is larger than the image, 9×7"),
        ("mean_value: 1 mean_value: 2", "transform_param has 2 mean values for 3 channels"),
        ("mean_value: 1 mean_value: 2 mean_value: 3 mean_value: 4", "has 4 mean values for 3 channels"),
    ],
)
def test_parameters_that_do_not_suit_the_image(text, said):
    with pytest.raises(UserError, match=said):
        transformer(text).top_shape(IMAGE)


def test_bad_mean_files(mean_file, tmp_path):
    path, _ = mean_file
    with pytest.raises(UserError, match=r"the mean file is \(7, 9, 3\) \(H, W, C\) but the images are \(7, 8, 3\)"):
        transformer(f'mean_file: "{path}"').top_shape(IMAGE[:, :8])
    with pytest.raises(UserError, match="transform_param has a mean_file and a mean_value; keep the one or the other"):
        transformer(f'mean_file: "{path}" mean_value: 3')
    with pytest.raises(UserError, match="transform_param has force_color and force_gray; keep the one or the other"):
        transformer("force_color: true force_gray: true")
    with pytest.raises(UserError, match=r"cannot read the mean file .*none\.binaryproto: No such file"):
        transformer(f'mean_file: "{tmp_path / "none.binaryproto"}"')
