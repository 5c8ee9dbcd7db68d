"""Detection and landmarks on real faces: one that scikit-image ships, and a folder of others where there is one."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.images import is_image_name, read_image

LEFT_EYE, RIGHT_EYE = (203, 101), (247, 104)


@pytest.fixture(scope="module")
def photograph():
    """Eileen Collins (NASA, public domain), 512x512; measured by eye, her pupils lie at (203, 101) and (247, 104)."""
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    return np.ascontiguousarray(data.astronaut()[:, :, ::-1])


def eyes(landmarks):
    return landmarks[19:25].mean(axis=0), landmarks[25:31].mean(axis=0)


def test_finds_the_face(photograph):
    best = faces.detect(photograph)[0]
    left, top, right, bottom = best.box
    assert left < 203 and right > 247 and top < 101 and bottom > 150
    assert 70 < right - left < 140
    assert best.score > 0.5


def test_landmarks_lie_on_the_face(photograph):
    landmarks = faces.find_landmarks(photograph, faces.detect(photograph)[0].box)
    assert landmarks.shape == (49, 2) and landmarks.dtype == np.float32
    left, right = eyes(landmarks)
    np.testing.assert_allclose(left, LEFT_EYE, atol=3)
    np.testing.assert_allclose(right, RIGHT_EYE, atol=3)
    mouth, nose, brows = landmarks[31:43], landmarks[16], landmarks[:10]
    assert mouth[:, 1].mean() > nose[1] > left[1] > brows[:, 1].mean()
    assert landmarks[31, 0] < nose[0] < landmarks[37, 0]


def test_brings_the_eyes_where_the_mean_face_has_them(photograph):
    """The registered picture is detected anew: its landmarks must lie on the mean face."""
    face = faces.analyse(photograph)[0]
    again = faces.find_landmarks(face.registered, faces.detect(face.registered)[0].box)
    for found, wanted in zip(eyes(again), eyes(faces.mean_face()), strict=True):
        np.testing.assert_allclose(found, wanted, atol=6)
    assert not face.stand_in and face.error < 6
    assert np.isfinite(face.geometry).all()


def test_grey_and_colour_agree(photograph):
    colour, grey = (faces.analyse(p)[0] for p in (photograph, cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY)))
    np.testing.assert_array_equal(colour.landmarks, grey.landmarks)
    assert (grey.registered[:, :, 0] == grey.registered[:, :, 2]).all()
    assert colour.registered.shape == grey.registered.shape == (256, 256, 3)


@pytest.mark.parametrize("scale", [0.6, 0.8, 2.5])
def test_results_are_in_pixels_of_the_photograph(photograph, scale):
    size = round(512 * scale)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    face = faces.analyse(cv2.resize(photograph, (size, size), interpolation=how))[0]
    whole = faces.analyse(photograph)[0]
    np.testing.assert_allclose((face.landmarks + 0.5) * 512 / size - 0.5, whole.landmarks, atol=5)
    np.testing.assert_allclose(face.box * 512 / size, whole.box, atol=18)
    np.testing.assert_allclose(face.geometry, whole.geometry, atol=0.06)


def test_small_crops_are_enlarged(photograph):
    """A face of 48x48 pixels, as FER2013 has it, is far below the detector's 80."""
    small = cv2.resize(photograph[50:190, 155:295], (48, 48), interpolation=cv2.INTER_AREA)
    face = faces.analyse(small, cropped=True)[0]
    assert not face.stand_in
    expected = ((203 - 155) * 48 / 140, (101 - 50) * 48 / 140)
    np.testing.assert_allclose(eyes(face.landmarks)[0], expected, atol=1)


def test_geometry_survives_a_turned_head(photograph):
    turn = cv2.getRotationMatrix2D((228, 130), 15, 1)
    turned = faces.analyse(cv2.warpAffine(photograph, turn, (512, 512)))[0]
    np.testing.assert_allclose(turned.geometry, faces.analyse(photograph)[0].geometry, atol=0.06)


def test_several_faces_come_largest_first(photograph):
    head = photograph[20:220, 120:320]
    both = np.zeros((320, 520, 3), np.uint8)
    both[:200, :200], both[:, 200:] = head, cv2.resize(head, (320, 320))
    large, small = faces.analyse(both)
    assert large.box[0] > 200 > small.box[2]
    assert large.box[2] - large.box[0] > 1.3 * (small.box[2] - small.box[0])
    np.testing.assert_allclose(large.geometry, small.geometry, atol=0.06)


def test_no_face():
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    for image in (noise, np.zeros((64, 64), np.uint8), np.full((300, 40, 3), 255, np.uint8)):
        assert faces.detect(image) == [] and faces.analyse(image) == []


def test_a_cropped_image_without_a_face_stands_in_for_it():
    noise = np.random.default_rng(0).integers(0, 256, (60, 40), dtype=np.uint8)
    (face,) = faces.analyse(noise, cropped=True)
    assert face.stand_in
    np.testing.assert_array_equal(face.box, (0, 0, 40, 60))
    assert np.isnan(face.score) and np.isnan(face.geometry).all() and np.isnan(face.error)
    registered, landmarks = faces.whole_image(noise)
    np.testing.assert_array_equal(face.registered, registered)
    np.testing.assert_array_equal(face.landmarks, landmarks)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4000), (4000, 2, 3), (2, 2, 3), (3, 3000, 3), (79, 81)])
def test_odd_sizes_do_no_harm(shape):
    image = np.zeros(shape, np.uint8)
    assert faces.analyse(image) == []
    assert faces.analyse(image, cropped=True)[0].registered.shape == (256, 256, 3)
    assert faces.find_landmarks(image, (0, 0, shape[1], shape[0])).shape == (49, 2)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 0), (5, 5, 4, 9), (0, 0, 0.5, 10), (0, 0, np.nan, 5), (0, 0, np.inf, 5), (1, 2, 3), range(5), [], 7],
)
def test_boxes_that_are_none(box):
    with pytest.raises(UserError, match="box"):
        faces.find_landmarks(np.zeros((50, 50, 3), np.uint8), box)


def test_a_box_outside_the_image_does_no_harm():
    for box in [(-500, -500, -400, -400), (90, 90, 300, 300), (-1e5, -1e5, 1e5, 1e5)]:
        assert np.isfinite(faces.find_landmarks(np.zeros((50, 50), np.uint8), box)).all()


@pytest.mark.parametrize(
    "image", [None, "photo.jpg", np.zeros((9, 9)), np.zeros((0, 5), np.uint8), np.zeros((9, 9, 4), np.uint8)]
)
def test_what_is_no_image(image):
    for call in (faces.detect, faces.analyse, lambda i: faces.find_landmarks(i, (0, 0, 9, 9))):
        with pytest.raises(UserError, match="an image must"):
            call(image)


def test_most_photographs_of_a_folder_show_a_face():
    folder = os.environ.get("DEEPEXPR_FACES", "")
    paths = sorted(p for p in Path(folder).rglob("*") if is_image_name(p)) if folder else []
    if not paths:
        pytest.skip("DEEPEXPR_FACES names no folder of face photographs")
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, 60).astype(int)]
    found = [faces.analyse(read_image(path), cropped=True)[0] for path in chosen]
    detected = [f for f in found if not f.stand_in]
    assert len(detected) >= 0.7 * len(found)
    assert np.median([f.error for f in detected]) < 6
