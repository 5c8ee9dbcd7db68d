"""Each flag on both sides of its limit, by faces made by hand."""

import numpy as np
import pytest

from lmdb_builders.find_face import find_face
from lmdb_builders.quality import FLAGS, quality_flags
from lmdb_builders.records import Record
from pydeepexpr.faces import Face

SHAPE = (100, 200, 3)  # height, width


def made(*, point=(50.0, 50.0), scale=1.0, **changes):
    """Return a face without a fault; one of its landmarks lies at `point`, and it was enlarged `scale` times."""
    landmarks = np.full((49, 2), 50, np.float32)
    landmarks[7] = point
    matrix = np.float32([[scale, 0, 9], [0, scale, -9]])
    nothing = np.zeros(9, np.float32)
    return Face(np.zeros((256, 256, 3), np.uint8), nothing[:4], 1.0, landmarks, nothing, matrix, 1.0, False)._replace(
        **changes
    )


@pytest.mark.parametrize(
    ("good", "bad", "flag"),
    [
        ({"score": 0.25}, {"score": 0.2499}, "faint"),
        ({"score": float("nan")}, {"score": -0.2}, "faint"),
        ({"error": 5.5}, {"error": 5.5001}, "poor-fit"),
        ({"scale": 3.0}, {"scale": 3.001}, "enlarged"),
        ({"point": (-0.5, 50)}, {"point": (-0.51, 50)}, "cut-off"),
        ({"point": (50, -0.5)}, {"point": (50, -0.51)}, "cut-off"),
        ({"point": (199.5, 50)}, {"point": (199.51, 50)}, "cut-off"),
        ({"point": (50, 99.5)}, {"point": (50, 99.51)}, "cut-off"),
        ({"stand_in": False}, {"stand_in": True}, "stand-in"),
    ],
)
def test_limits(good, bad, flag):
    assert quality_flags(made(**good), SHAPE) == []
    assert quality_flags(made(**bad), SHAPE) == [flag]
    assert flag in FLAGS


def test_enlargement_is_of_both_directions_together():
    """2×4.5 is the area of 3×3; a turn enlarges nothing."""
    turned = np.float32([[0, -4.5, 0], [2, 0, 0]])
    assert quality_flags(made(matrix=turned), SHAPE) == []
    assert quality_flags(made(matrix=1.01 * turned), SHAPE) == ["enlarged"]


def test_other_faces():
    assert quality_flags(made(), SHAPE, others=0) == []
    assert quality_flags(made(), SHAPE, others=1) == ["several-faces"]


def test_a_characters_proportions_are_its_own():
    assert quality_flags(made(error=9.0), SHAPE, person=False) == []


def test_of_a_stand_in_the_landmarks_say_nothing():
    unknown = {"stand_in": True, "score": float("nan"), "error": float("nan")}
    assert quality_flags(made(point=(-9, 50), **unknown), SHAPE) == ["stand-in"]


def test_all_at_once_come_in_the_order_of_the_list():
    face = made(point=(-9, 50), scale=4.0, score=0.0, error=9.0)
    assert quality_flags(face, SHAPE[:2], others=2) == list(FLAGS)[1:]


def test_a_second_face_of_a_photograph_is_told():
    head = pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()[20:220, 120:320, 1]
    both = np.concatenate([head, head], axis=1)
    for image, quality in ((head, []), (both, ["several-faces"])):
        found = find_face(Record("a", image, "folder"), cropped=False, alignment="affine")
        assert (found.how, found.quality) == ("detected", quality)
