"""The WindowData layer. Expected pixels are worked out by hand after WindowDataLayer::load_batch."""

import cv2
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.datum import array_to_blobproto
from pydeepexpr.caffe.layers.window_data import _part
from pydeepexpr.errors import UserError

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def pictures(tmp_path):
    """Two smooth pictures, 0.png and 1.png, of 30×20 pixels."""
    found = []
    for number in range(2):
        small = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
        found.append(cv2.resize(small, (WIDTH, HEIGHT)))
        cv2.imwrite(str(tmp_path / f"{number}.png"), found[-1])
    return found


@pytest.fixture
def listed(tmp_path, pictures):
    """A function that writes the list of windows, given as (image, label, overlap, x1, y1, x2, y2)."""

    def write(windows):
        lines = []
        for number in range(len(pictures)):
            own = [" ".join(map(str, window[1:])) for window in windows if window[0] == number]
            lines += [f"# {number}", f"{number}.png", "3", str(HEIGHT), str(WIDTH), str(len(own)), *own]
        path = tmp_path / "windows.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def text(source, more="", transform="crop_size: 10", batch=4, folder=None):
    folder = f"{source.parent}/" if folder is None else folder
    return f"""layer {{ name: "data" type: "WindowData" top: "data" top: "label" transform_param {{ {transform} }}
      window_data_param {{ source: "{source}" root_folder: "{folder}" batch_size: {batch} {more} }} }}"""


def drawn(net, count=1):
    batches = [{name: values.copy() for name, values in net.forward().items()} for _ in range(count)]
    return np.concatenate([batch["data"] for batch in batches]), np.concatenate([batch["label"] for batch in batches])


def chw(image):
    return image.transpose(2, 0, 1).astype(np.float32)


def warped(picture, x1, y1, x2, y2, width=10, height=10):
    return cv2.resize(picture[y1 : y2 + 1, x1 : x2 + 1], (width, height))


OBJECT, BACKGROUND = (0, 7, 0.9, 2, 3, 17, 15), (1, 5, 0.2, 4, 0, 20, 9)


@pytest.mark.parametrize("cache", ["", "cache_images: true"])
@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_background_first_then_objects(make_net, listed, pictures, cache, phase):
    # int(batch_size · fg_fraction) objects come last; a background window has label 0
    data, label = drawn(make_net(text(listed([OBJECT, BACKGROUND]), f"fg_fraction: 0.4 {cache}", batch=6), phase))
    assert label.tolist() == [0, 0, 0, 0, 7, 7]
    for pixels in data[:4]:
        np.testing.assert_array_equal(pixels, chw(warped(pictures[1], 4, 0, 20, 9)))
    for pixels in data[4:]:
        np.testing.assert_array_equal(pixels, chw(warped(pictures[0], 2, 3, 17, 15)))


def test_mirrored(make_net, listed, pictures):
    net = make_net(text(listed([OBJECT]), "fg_fraction: 1", "crop_size: 10 mirror: true", batch=50))
    data, _ = drawn(net, 8)
    plain = chw(warped(pictures[0], 2, 3, 17, 15))
    flips = sum(np.array_equal(pixels, plain[:, :, ::-1]) for pixels in data)
    assert flips + sum(np.array_equal(pixels, plain) for pixels in data) == 400
    assert 160 < flips < 240  # ±4 standard deviations of a fair coin


def test_mean_values_and_scales(make_net, listed, pictures):
    transform = "crop_size: 10 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.5"
    data, _ = drawn(make_net(text(listed([OBJECT]), "fg_fraction: 1 scale: 0.25", transform, batch=1)))
    wanted = (chw(warped(pictures[0], 2, 3, 17, 15)) - np.float32([104, 117, 123])[:, None, None]) / 8
    np.testing.assert_array_equal(data[0], wanted)


def test_a_mean_file_is_cut_in_the_centre(make_net, listed, pictures, tmp_path):
    mean = np.random.default_rng(3).random((3, 13, 13)).astype(np.float32) * 255
    (tmp_path / "mean").write_bytes(array_to_blobproto(mean).SerializeToString())
    transform = f'crop_size: 10 mirror: true mean_file: "{tmp_path / "mean"}"'
    data, _ = drawn(make_net(text(listed([OBJECT]), "fg_fraction: 1", transform, batch=20)))
    plain, cut = chw(warped(pictures[0], 2, 3, 17, 15)), mean[:, 1:11, 1:11]  # (13 − 10) / 2 in integers
    for pixels in data:  # the mean is not mirrored with the window
        assert any(np.array_equal(pixels, view - cut) for view in (plain, plain[:, :, ::-1]))


def test_context_inside_the_image(make_net, listed, pictures):
    # context_pad 2 of crop 10: half sizes 4 and 3 (8 and 6 pixels) grow by 10 / 6 to 6⅔ and 5 around (14, 9)
    window = (0, 7, 0.9, 10, 6, 17, 11)
    data, _ = drawn(make_net(text(listed([window]), "fg_fraction: 1 context_pad: 2", batch=1)))
    np.testing.assert_array_equal(data[0], chw(warped(pictures[0], 7, 4, 21, 14)))


def test_a_square_window(make_net, listed, pictures):
    # half sizes 4 and 3 both become 4, around (14, 9); Caffe's far edge is one pixel further than the near one
    window = (0, 7, 0.9, 10, 6, 17, 11)
    data, _ = drawn(make_net(text(listed([window]), 'fg_fraction: 1 crop_mode: "square"', batch=1)))
    np.testing.assert_array_equal(data[0], chw(warped(pictures[0], 10, 5, 18, 13)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_context_beyond_the_image_is_the_mean(make_net, listed, pictures, mirrored):
    # The window 0…7 × 0…5 with context_pad 2 of crop 10 reaches around (4, 3) from round(−2⅔) = −3 to round(10⅔) = 11
    # and from −2 to 8: 15 × 11 pixels, of which 12 × 9 are in the image. They become round(12 · 10/15) = 8 wide and
    # round(9 · 10/11) = 8 high, behind round(3 · 10/15) = 2 and round(2 · 10/11) = 2 pixels of nothing.
    transform = f"crop_size: 10 mean_value: 100 mirror: {str(mirrored).lower()}"
    net = make_net(text(listed([(0, 7, 0.9, 0, 0, 7, 5)]), "fg_fraction: 1 context_pad: 2", transform, batch=20))
    inside = warped(pictures[0], 0, 0, 11, 8, 8, 8).astype(np.float32) - 100
    plain, flipped = np.zeros((10, 10, 3), np.float32), np.zeros((10, 10, 3), np.float32)
    plain[2:, 2:] = inside
    flipped[2:, :8] = inside[:, ::-1]
    seen = set()
    for pixels in drawn(net)[0]:
        views = [n for n, view in enumerate((plain, flipped)) if np.array_equal(pixels, chw(view))]
        assert views
        seen.update(views)
    assert seen == ({0, 1} if mirrored else {0})


@pytest.mark.parametrize(
    ("corners", "crop", "pad", "square", "wanted"),
    [
        ((0, 0, 29, 19), 10, 0, False, (0, 19, 0, 29, 10, 10, 0, 0)),
        ((5, 5, 5, 5), 10, 0, False, (5, 5, 5, 5, 10, 10, 0, 0)),
        ((0, 0, 30, 19), 10, 0, False, None),
        ((-1, 0, 5, 5), 10, 0, False, None),
        ((5, 5, 4, 5), 10, 0, False, None),
        # far edges: (22 … 29) × (14 … 19) reaches to x 34⅔−… by symmetry with the test above: 19 … 33 and 12 … 22
        ((22, 14, 29, 19), 10, 2, False, (12, 19, 19, 29, 7, 7, 0, 0)),
        ((100, 100, 110, 110), 10, 2, False, None),
        ((9, 9, 7, 9), 10, 2, False, None),
        ((9, 9, 8, 8), 10, 2, True, None),
        ((-50, -50, -40, -40), 10, 0, True, None),
    ],
)
def test_the_part_of_an_image_that_a_window_shows(corners, crop, pad, square, wanted):
    part = _part(list(corners), (HEIGHT, WIDTH), crop, pad, square, False)
    if wanted is None:
        assert part is None
    else:
        assert (part.rows, part.columns) == (slice(wanted[0], wanted[1] + 1), slice(wanted[2], wanted[3] + 1))
        assert part[2:] == wanted[4:]


@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("square", [False, True])
def test_every_window_fits_its_crop(pad, square):
    rng = np.random.default_rng(0)
    for _ in range(300):
        (x1, x2), (y1, y2) = np.sort(rng.integers(0, WIDTH, 2)), np.sort(rng.integers(0, HEIGHT, 2))
        part = _part([x1, y1, x2, y2], (HEIGHT, WIDTH), 12, pad, square, bool(rng.integers(2)))
        assert min(part.top, part.left) >= 0 and max(part.top + part.height, part.left + part.width) <= 12
        assert 0 <= part.rows.start < part.rows.stop <= HEIGHT and 0 <= part.columns.start < part.columns.stop <= WIDTH


def test_thresholds(make_net, listed):
    # overlap ≥ fg_threshold is an object, < bg_threshold background, between them nothing
    windows = [(0, 10 + n, overlap, n, 0, n + 9, 9) for n, overlap in enumerate((0.1, 0.3, 0.5, 0.6, 0.7, 1.0))]
    net = make_net(text(listed(windows), "fg_fraction: 0.5 fg_threshold: 0.6 bg_threshold: 0.3", batch=40))
    _, label = drawn(net)
    assert set(label[:20]) == {0} and set(label[20:]) == {13, 14, 15}
    assert len({pixels.tobytes() for pixels in drawn(net)[0][:20]}) == 1  # only the first is below 0.3


def test_windows_are_drawn_evenly(make_net, listed):
    net = make_net(text(listed([(n % 2, n + 1, 0.9, n, 0, n + 9, 9) for n in range(5)]), "fg_fraction: 1", batch=100))
    counts = np.bincount(drawn(net, 5)[1].astype(int))[1:]
    assert ((counts - 100) ** 2 / 100).sum() < 18.5  # χ² of 4 degrees of freedom, 999 of 1000 cases


def test_the_draw_follows_the_seed_and_skip_to(make_net, listed):
    source = listed([(n % 2, n + 1, 0.9, n, 0, n + 9, 9) for n in range(20)])
    layer = text(source, "fg_fraction: 1", "crop_size: 10 mirror: true")
    caffe.set_random_seed(4)
    whole, resumed = (make_net(layer, caffe.TRAIN) for _ in range(2))
    wanted = drawn(whole, 6)
    resumed.forward()
    resumed.layers[0].skip_to(3)
    for got, all_of_it in zip(drawn(resumed, 3), wanted, strict=True):
        np.testing.assert_array_equal(got, all_of_it[12:])
    other = make_net(layer.replace('name: "data"', 'name: "other"'), caffe.TRAIN)  # as Caffe's layers, it draws apart
    assert drawn(other, 6)[1].tolist() != wanted[1].tolist()
    mode.set_solver_count(2)
    mode.set_solver_rank(1)
    assert drawn(make_net(layer, caffe.TRAIN))[1].tolist() == wanted[1][4:8].tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "names no image"),
        ("0.png 3 20 30 0", "image 0 of the list of windows .*: '0.png' stands where '#' should"),
        ("# 0 0.png 3 20", "image 0 of .* is not as it should be"),
        ("# 0 0.png 3 20 30 many", "image 0 of .* is not as it should be: .*many"),
        ("# 0 0.png 3 20 30 -1", "image 0 of .* is not as it should be"),
        ("# 0 0.png 3 20 30 2 1 0.9 0 0 9 9", "image 0 of .* is not as it should be"),
        ("# 0 0.png 3 20 30 1 1 0.9 0 0 9 x", "image 0 of .* is not as it should be"),
        ("# 0 0.png 3 20 30 1 1 0.9 0 0 9 9 # 1 1.png 3 20 30 1 1 0.9 0 0 9 9 9", "image 2 of .*: '9' stands where"),
        ("# 0 0.png 3 20 30 1 0 0.9 0 0 9 9", "finds an object of label 0 in .*; objects' begin at 1"),
        ("# 0 0.png 3 20 30 1 1 0.1 0 0 9 9", "finds no object windows in"),
        ("# 0 0.png 3 20 30 1 1 0.9 0 0 9 9", "finds no background windows in"),
        ("# 0 0.png 3 20 30 0", "finds no background windows in"),
        ("# 0 0.png 3 20 30 1 1 nan 0 0 9 9", "finds no background windows in"),
        ("# 0 0.png 3 20 30 1 1 0.9 0 0 9e30 9", "a label or a corner is no whole number"),
        ("# 0 0.png 3 20 30 1 1 0.9 0 0.5 9 9", "a label or a corner is no whole number"),
        ("# 0 0.png 3 20 30 1 nan 0.9 0 0 9 9", "a label or a corner is no whole number"),
    ],
)
def test_lists_that_do_not_fit(make_net, tmp_path, content, said):
    (tmp_path / "windows.txt").write_text(content)
    with pytest.raises(UserError, match=said) as error:
        make_net(text(tmp_path / "windows.txt"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "transform", "said"),
    [
        ("", "", "needs a crop_size above twice its context_pad 0, not 0"),
        ("context_pad: 5", "crop_size: 10", "needs a crop_size above twice its context_pad 5, not 10"),
        ('crop_mode: "wrap"', "crop_size: 10", "unknown crop_mode 'wrap'; use one of: warp, square"),
        ("fg_fraction: 1.5", "crop_size: 10", "has a fg_fraction of 1.5"),
        ("", "crop_size: 10 mean_value: 1 mean_value: 2", "has 2 mean values for 3 channels"),
        ("", 'crop_size: 10 mean_file: "none"', "cannot read the mean file none"),
        ("", 'crop_size: 10 mean_file: "MEAN"', r"cannot cut \(10, 10, 3\) .* from a mean file of \(9, 9, 3\)"),
    ],
)
def test_layers_that_cannot_be_built(make_net, listed, tmp_path, more, transform, said):
    mean = array_to_blobproto(np.ones((3, 9, 9), np.float32))
    (tmp_path / "mean").write_bytes(mean.SerializeToString())
    with pytest.raises(UserError, match=said):
        make_net(text(listed([OBJECT, BACKGROUND]), more, transform.replace("MEAN", str(tmp_path / "mean"))))


def test_no_batch_and_no_list(make_net, listed, tmp_path):
    with pytest.raises(UserError, match=r"layer 'data' \(WindowData\) needs a batch_size above 0"):
        make_net(text(listed([OBJECT]), batch=0))
    with pytest.raises(UserError, match="cannot read the list of windows"):
        make_net(text(tmp_path / "none"))


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ((0, 7, 0.9, 0, 0, 30, 9), r"the window \[0, 0, 30, 9\] of the image .*0\.png in .*windows\.txt holds no part"),
        ((0, 7, 0.9, 9, 9, 2, 2), "holds no part"),
        ((1, 7, 0.9, 0, 0, 5, 5), r"the image .*1\.png does not decode"),
    ],
)
def test_windows_that_cannot_be_cut(make_net, listed, tmp_path, window, said):
    net = make_net(text(listed([window]), "fg_fraction: 1"))
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=said):
        net.forward()


def test_images_that_are_not_there(make_net, listed, tmp_path):
    source = listed([OBJECT, BACKGROUND])
    with pytest.raises(UserError, match=r"cannot read the image that .*windows\.txt lists, none/[01]\.png"):
        make_net(text(source, folder="none/")).forward()
    with pytest.raises(UserError, match=r"cannot read the image that .*windows\.txt lists, none/0\.png"):
        make_net(text(source, "cache_images: true", folder="none/"))
