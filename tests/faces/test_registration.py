import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.faces import (
    FACE_SIZE,
    DegenerateLandmarks,
    analyse,
    face_at,
    fit_error,
    geometry,
    mean_face,
    register_face,
    registration_matrix,
    whole_image,
)
from pydeepexpr.faces.analyse import _stand_in
from pydeepexpr.faces.average import EYE_DISTANCE, EYE_LEVEL
from pydeepexpr.faces.landmarks import DLIB_INDICES, MIRRORED
from pydeepexpr.faces.registration import STABLE_POINTS, whole_image_matrix


def move(points, matrix):
    return points @ matrix[:, :2].T + matrix[:, 2]


def test_mean_face_is_symmetric_and_where_it_should_be():
    mean = mean_face()
    middle = (FACE_SIZE - 1) / 2
    np.testing.assert_allclose(mean[list(MIRRORED)] * (-1, 1) + (2 * middle, 0), mean, atol=2e-3)
    left, right = mean[[19, 22]].mean(axis=0), mean[[25, 28]].mean(axis=0)
    np.testing.assert_allclose(left, (middle - EYE_DISTANCE / 2, EYE_LEVEL), atol=2e-3)
    np.testing.assert_allclose(right, (middle + EYE_DISTANCE / 2, EYE_LEVEL), atol=2e-3)
    assert mean.min() > 14, "inside the 227 centre crop"
    assert mean.max() < 242


def test_mean_face_is_a_copy():
    mean_face()[:] = 0
    assert mean_face().max() > 100


def test_stable_points_are_those_of_dlib():
    """Eye corners 36 39 42 45, bridge 27 28, base of the nose 32 33 34; never its wings 31 35."""
    assert sorted(DLIB_INDICES[i] for i in STABLE_POINTS) == [27, 28, 32, 33, 34, 36, 39, 42, 45]


@given(
    linear=st.tuples(*[st.floats(-3, 3)] * 4).filter(lambda m: m[0] * m[3] - m[1] * m[2] > 0.05),
    place=st.tuples(*[st.floats(-5000, 5000)] * 2),
)
@example(linear=(0.0, 0.0546875, -1.0, 2.0), place=(0.0, 4550.0))  # far from the diagonal of the image
def test_undoes_any_affine_map(linear, place):
    warp = np.c_[np.reshape(linear, (2, 2)), place]
    landmarks = move(mean_face(), warp)
    np.testing.assert_allclose(move(landmarks, registration_matrix(landmarks)), mean_face(), atol=1e-5)
    assert fit_error(landmarks) < 1e-5


@given(scale=st.floats(0.1, 5), turn=st.floats(-3.1, 3.1), place=st.tuples(*[st.floats(-5000, 5000)] * 2))
def test_a_similarity_undoes_place_size_and_roll(scale, turn, place):
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    landmarks = move(mean_face(), np.array([[cos, -sin, place[0]], [sin, cos, place[1]]]))
    np.testing.assert_allclose(move(landmarks, registration_matrix(landmarks, "similarity")), mean_face(), atol=1e-5)


@given(stretch=st.floats(0.5, 2), turn=st.floats(-3.1, 3.1))
def test_a_similarity_keeps_proportions(stretch, turn):
    """A character twice as wide as a person stays so; affinely it becomes the mean face."""
    cos, sin = np.cos(turn), np.sin(turn)
    landmarks = mean_face() * (stretch, 1) @ np.array([[cos, sin], [-sin, cos]])
    linear = registration_matrix(landmarks, "similarity")[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.linalg.det(linear) * np.eye(2), atol=1e-9)
    assert np.linalg.det(linear) > 0
    np.testing.assert_allclose(move(landmarks, registration_matrix(landmarks)), mean_face(), atol=1e-6)


@pytest.mark.parametrize("alignment", ["affine", "similarity"])
def test_a_mirrored_face_is_none(alignment):
    with pytest.raises(DegenerateLandmarks, match="left and right"):
        registration_matrix(mean_face() * (-1, 1), alignment)


def test_an_image_may_be_taken_whole():
    image = np.random.default_rng(0).integers(0, 256, (FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(register_face(image, mean_face() / 2, "none"), image)


def test_a_face_at_known_landmarks():
    image = np.random.default_rng(0).integers(0, 256, (FACE_SIZE, FACE_SIZE, 3), dtype=np.uint8)
    landmarks = mean_face() * 0.5 + (30, 40)
    face = face_at(image, landmarks, alignment="similarity")
    np.testing.assert_array_equal(face.registered, register_face(image, landmarks, "similarity"))
    np.testing.assert_allclose(face.box, [*landmarks.min(axis=0), *landmarks.max(axis=0)], atol=1e-4)
    np.testing.assert_allclose(face.geometry, geometry(landmarks), atol=1e-5)
    assert np.isnan(face.score) and not face.stand_in and face.error < 1e-4


def jittered(scale):
    """Return landmarks of a face that is no mean one, `scale` times as large."""
    return (mean_face() + np.random.default_rng(5).normal(0, 3, (49, 2))) * scale + (20, 33)


@pytest.mark.parametrize("alignment", ["affine", "similarity", "none"])
def test_the_matrix_of_a_face_brings_its_landmarks_to_the_mean_face(alignment):
    """The error is that of the affine map, whichever was taken: by a similarity the stable points come less close."""
    image, landmarks = np.zeros((400, 400), np.uint8), jittered(1.2).astype(np.float32)
    face = face_at(image, landmarks, alignment=alignment)
    assert face.matrix.shape == (2, 3) and face.matrix.dtype == np.float32
    stable = list(STABLE_POINTS)
    placed = np.stack([face.matrix @ np.append(point, 1) for point in landmarks[stable]])
    apart = np.sqrt(((placed - mean_face()[stable]) ** 2).sum(axis=1).mean())
    assert face.error == pytest.approx(fit_error(landmarks)) == fit_error(landmarks, registration_matrix(landmarks))
    if alignment == "affine":
        assert apart == pytest.approx(face.error, rel=1e-4) and apart > 1
    else:
        assert apart > face.error * (1.01 if alignment == "similarity" else 5)


@pytest.mark.parametrize("scale", [0.5, 1.2, 2.0])
@pytest.mark.parametrize("alignment", ["affine", "similarity"])
def test_the_matrix_of_a_face_warps_the_image_to_the_registered_one(alignment, scale):
    """By OpenCV; also a smooth image that was averaged down first (2.0). Half a pixel off, the mean would be over 2."""
    size = int(300 * scale + 40)
    rough = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image = cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC)
    face = face_at(image, jittered(scale), alignment=alignment)
    warped = cv2.warpAffine(image, face.matrix, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    difference = np.abs(warped.astype(int) - face.registered)
    assert difference.mean() < 0.5 and difference.max() <= 3


@pytest.mark.parametrize("shape", [(64, 64), (100, 300, 3), (1024, 512, 3), (256, 256)])
def test_a_whole_images_corners_come_to_the_frames(shape):
    image = np.zeros(shape, np.uint8)
    taken_whole = face_at(image, jittered(0.2), alignment="none"), _stand_in(image)
    for matrix in (whole_image_matrix(shape), *(face.matrix for face in taken_whole)):
        height, width = shape[:2]
        corners = np.array([(x, y) for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
        expected = [(x, y) for x in (-0.5, 255.5) for y in (-0.5, 255.5)]
        np.testing.assert_allclose(move(corners, matrix), expected, atol=1e-4)
    np.testing.assert_allclose(move(_stand_in(image).landmarks, matrix), mean_face(), atol=1e-3)


def test_detected_landmarks_do_not_depend_on_the_alignment():
    head = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()[
        20:220, 120:320, ::-1
    ]
    head = np.ascontiguousarray(head)
    faces = {alignment: analyse(head, alignment=alignment)[0] for alignment in ("affine", "similarity", "none")}
    for face in faces.values():
        np.testing.assert_array_equal(face.landmarks, faces["affine"].landmarks)
        assert face.score == faces["affine"].score > 0
    np.testing.assert_array_equal(faces["none"].registered, whole_image(head)[0])
    assert (faces["similarity"].registered != faces["affine"].registered).any()


def test_agrees_with_opencv():
    """Three points fix an affine map: OpenCV's own solution for three of the stable ones."""
    warp = np.array([[0.3, 0.1, 40], [-0.05, 0.4, 60.0]])
    landmarks = move(mean_face(), warp)
    three = [19, 28, 16]
    expected = cv2.getAffineTransform(landmarks[three].astype(np.float32), mean_face()[three].astype(np.float32))
    np.testing.assert_allclose(registration_matrix(landmarks), expected, atol=2e-3)


def test_jittered_landmarks_fit_nearly_as_well_as_least_squares_can():
    stable = list(STABLE_POINTS)
    for seed in range(20):
        landmarks = mean_face() * 0.5 + 30
        landmarks[stable] += np.random.default_rng(seed).normal(0, 0.5, (len(stable), 2))
        terms, target = np.c_[landmarks[stable], np.ones(len(stable))], mean_face()[stable]
        best = np.sqrt(((terms @ np.linalg.lstsq(terms, target, rcond=None)[0] - target) ** 2).sum(axis=1).mean())
        assert best - 1e-9 <= fit_error(landmarks) < 1.15 * best


def test_one_stray_point_counts_for_little():
    landmarks = mean_face()
    landmarks[19] += (30, 30)
    stable = list(STABLE_POINTS)
    terms = np.c_[landmarks[stable], np.ones(len(stable))]
    plain = np.linalg.lstsq(terms, mean_face()[stable], rcond=None)[0].T
    others = [i for i in stable if i != 19]

    def error(matrix):
        return np.linalg.norm(move(landmarks[others], matrix) - mean_face()[others], axis=1).mean()

    assert error(registration_matrix(landmarks)) < error(plain) / 2


def test_expressions_do_not_move_the_registration():
    landmarks = mean_face() * 2 + 7
    expected = registration_matrix(landmarks)
    moving = [i for i in range(49) if i not in STABLE_POINTS]
    landmarks[moving] += np.random.default_rng(1).normal(0, 20, (len(moving), 2))
    np.testing.assert_array_equal(registration_matrix(landmarks), expected)


def line():
    return np.stack([np.arange(49.0), 2 * np.arange(49.0)], axis=1)


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((49, 2)), np.full((49, 2), 1e6), line(), mean_face() * (1, 0), mean_face() * (-1, 1)],
    ids=["zeros", "one place", "line", "flat", "mirrored"],
)
def test_degenerate_landmarks(landmarks):
    with pytest.raises(DegenerateLandmarks, match="no face"):
        registration_matrix(landmarks)


@pytest.mark.parametrize(
    "landmarks",
    [np.zeros((68, 2)), np.zeros(98), np.full((49, 2), np.nan), np.full((49, 2), np.inf), np.zeros((1, 49, 2))],
)
def test_what_is_no_landmarks(landmarks):
    with pytest.raises(UserError, match="49 finite points"):
        registration_matrix(landmarks)


def drawn(points, size, radius):
    """Return a dark image with a smooth spot at each point, drawn by the formula and not by OpenCV."""
    y, x = np.mgrid[: size[1], : size[0]]
    image = np.zeros((size[1], size[0]))
    for px, py in points:
        image = np.maximum(image, 255 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * radius**2)))
    return image.astype(np.uint8)


def centroid(image, point, radius=6):
    x, y = np.rint(point).astype(int)
    part = image[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
    dy, dx = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x + (part * dx).sum() / part.sum(), y + (part * dy).sum() / part.sum()


@pytest.mark.parametrize("scale", [0.5, 1, 1.7, 4, 7.3])
def test_pixels_land_where_the_points_do(scale):
    """To a fifth of a pixel, from a face much smaller than the frame to one that is averaged down."""
    spots = [19, 28, 16]  # outer corners of the eyes, base of the nose: far from one another
    landmarks = mean_face() * scale + (20, 33)
    size = [int(n) for n in landmarks.max(axis=0) + 40]
    registered = register_face(drawn(landmarks[spots], size, 2.0 * scale), landmarks)
    assert registered.shape == (256, 256, 3)
    for index in spots:
        np.testing.assert_allclose(centroid(registered[:, :, 0], mean_face()[index]), mean_face()[index], atol=0.2)


def test_colours_stay_bgr():
    image = np.full((300, 300, 3), (10, 120, 240), np.uint8)
    registered = register_face(image, mean_face() + 20)
    assert (registered == (10, 120, 240)).all()


def test_reducing_does_not_alias():
    """Stripes finer than the registered pixels become grey, not broad stripes."""
    image = np.zeros((2048, 2048), np.uint8)
    image[:, ::2] = 255
    registered = register_face(image, mean_face() * 7.9)
    assert np.ptp(registered[20:-20, 20:-20].astype(int)) < 30


def test_whole_image():
    image = np.zeros((96, 48, 3), np.uint8)
    image[48:] = 255
    registered, landmarks = whole_image(image)
    assert registered.shape == (256, 256, 3)
    assert registered[:120].max() == 0 and registered[136:].min() == 255
    assert landmarks.dtype == np.float32
    # Edges map to edges: the frame's centre (127.5) is the image's (23.5, 47.5).
    np.testing.assert_allclose(landmarks[10, 0], 23.5, atol=0.01)
    np.testing.assert_allclose(move(landmarks, registration_matrix(landmarks)), mean_face(), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (500, 1), (3000, 2000, 3)])
def test_any_size_can_be_registered(shape):
    image = np.full(shape, 77, np.uint8)
    assert (whole_image(image)[0] == 77).all()
    assert (register_face(image, whole_image(image)[1]) == 77).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((5, 0), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 1), np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5, 3), np.uint16),
        np.zeros((5, 5, 3), bool),
        [[0, 1]],
        None,
        "photo.jpg",
    ],
)
def test_what_is_no_image(image):
    for call in (lambda: register_face(image, mean_face()), lambda: whole_image(image)):
        with pytest.raises(UserError, match="an image must"):
            call()
