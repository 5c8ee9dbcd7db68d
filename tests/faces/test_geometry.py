import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.faces import GEOMETRY, geometry, mean_face


def made_face():
    """Return a face on a grid: its box is 100 wide (x 0 to 100) and 120 high (y 0 to 120), every measure round."""
    face = np.full((49, 2), (50.0, 60.0))
    face[0:5] = [(0, 20), (5, 8), (10, 0), (20, 4), (30, 10)]  # left brow, its top at y = 0
    face[5:10] = [(70, 14), (80, 8), (90, 6), (95, 9), (100, 20)]  # right brow, its top at y = 6
    face[10:14] = [(50, 30), (50, 40), (50, 50), (50, 60)]
    face[14:19] = [(38, 66), (44, 68), (50, 70), (56, 68), (62, 66)]  # nose 24 wide
    face[19:25] = [(10, 30), (17, 25), (23, 25), (30, 30), (23, 37), (17, 37)]  # left eye open by 12, centre y = 30
    face[25:31] = [(70, 30), (77, 27), (83, 27), (90, 30), (83, 33), (77, 33)]  # right eye open by 6
    face[31:37] = [(25, 97), (35, 90), (45, 88), (50, 89), (55, 88), (65, 90)]
    face[37:43] = [(75, 105), (65, 115), (55, 119), (50, 120), (45, 119), (35, 115)]
    face[43:49] = [(40, 95), (50, 96), (60, 95), (60, 107), (50, 108), (40, 107)]  # open by 12
    return face


# By hand from the points above: vertical ones over 120, horizontal ones over 100.
EXPECTED = [30 / 120, 24 / 120, 12 / 120, 6 / 120, 24 / 100, 50 / 100, 12 / 120, (97 - 37) / 120, (105 - 33) / 120]


def test_measures_of_a_made_face():
    np.testing.assert_allclose(geometry(made_face()), EXPECTED, rtol=1e-6)


def test_order_and_type():
    measured = geometry(made_face())
    assert measured.shape == (9,) == (len(GEOMETRY),)
    assert measured.dtype == np.float32
    assert GEOMETRY[4:7] == ("nose_width", "mouth_width", "closed_mouth")


@given(
    angle=st.floats(-np.pi, np.pi),
    scale=st.floats(0.01, 1000),
    x=st.floats(-1e4, 1e4),
    y=st.floats(-1e4, 1e4),
)
def test_does_not_change_with_roll_size_or_place(angle, scale, x, y):
    cos, sin = np.cos(angle), np.sin(angle)
    moved = made_face() @ np.array([[cos, sin], [-sin, cos]]) * scale + (x, y)
    np.testing.assert_allclose(geometry(moved), EXPECTED, atol=1e-5)


def test_stretching_changes_nothing_but_registration_would():
    """Each measure is relative to the box, so a stretch along the axes of a level face leaves it as it is."""
    np.testing.assert_allclose(geometry(made_face() * (3, 1)), EXPECTED, rtol=1e-6)


@pytest.mark.parametrize(
    ("points", "shift", "measure", "change"),
    [
        (slice(0, 5), (0, -6), "left_eyebrow_height", None),
        ((20, 21), (0, -3), "left_eyelid_height", 3 / 120),
        ((29, 30), (0, 3), "right_eyelid_height", 3 / 120),
        ((18,), (5, 0), "nose_width", 5 / 100),
        ((37,), (6, 0), "mouth_width", 6 / 100),
        ((46, 47, 48), (0, 6), "closed_mouth", 6 / 120),
        ((31,), (0, -6), "left_lip_height", -6 / 120),
        ((37,), (0, -6), "right_lip_height", -6 / 120),
    ],
)
def test_a_feature_moves_its_measure(points, shift, measure, change):
    face = made_face()
    face[points if isinstance(points, slice) else list(points)] += shift
    index = GEOMETRY.index(measure)
    moved = geometry(face)[index] - EXPECTED[index]
    if change is None:
        assert moved > 0
    else:
        np.testing.assert_allclose(moved, change, atol=1e-6)


def test_closed_mouth_is_zero():
    face = made_face()
    face[46:49] = face[[45, 44, 43]]
    assert geometry(face)[6] == 0


def test_mirror_exchanges_left_and_right():
    from pydeepexpr.faces.landmarks import MIRRORED

    mirrored = (made_face() * (-1, 1))[list(MIRRORED)]
    np.testing.assert_allclose(geometry(mirrored), np.array(EXPECTED)[[1, 0, 3, 2, 4, 5, 6, 8, 7]], rtol=1e-6)


def test_many_at_once():
    many = np.stack([made_face(), mean_face(), np.full((49, 2), np.nan)]).reshape(3, 1, 49, 2)
    measured = geometry(many)
    assert measured.shape == (3, 1, 9)
    np.testing.assert_allclose(measured[0, 0], EXPECTED, rtol=1e-6)
    np.testing.assert_array_equal(measured[1, 0], geometry(mean_face()))
    assert np.isnan(measured[2]).all()
    assert geometry(np.empty((0, 49, 2))).shape == (0, 9)


def degenerate():
    line = made_face()
    line[:, 1] = 5
    column = made_face()
    column[:, 0] = 5
    eyes = made_face()
    eyes[25:31] = eyes[19:25]
    missing, infinite = made_face(), made_face()
    missing[7, 1], infinite[0, 0] = np.nan, np.inf
    return {
        "zeros": np.zeros((49, 2)),
        "one place far away": np.full((49, 2), 1e7),
        "line": line,
        "column": column,
        "one eye upon the other": eyes,
        "nan": missing,
        "infinite": infinite,
    }


@pytest.mark.parametrize("case", degenerate())
def test_degenerate_landmarks_are_nan_without_a_warning(case):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(geometry(degenerate()[case])).all()


@pytest.mark.parametrize("shape", [(0,), (49,), (68, 2), (2, 49), (49, 3), (98,), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UserError, match="49, 2"):
        geometry(np.zeros(shape))
