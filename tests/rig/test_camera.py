import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.rig.camera import NEAR, Camera

#: tan of half the field is a half, so an image's focal length is its size.
SIMPLE = Camera(distance=70.0, field=math.degrees(2 * math.atan(0.5)), centre=(0.0, 0.0))


def test_projection_by_hand():
    assert SIMPLE.focal_length(256) == pytest.approx(256)
    points = [[0, 0, 0], [7, 3.5, 0], [7, 3.5, 35], [-35, 35, 0]]
    expected = [
        [127.5, 127.5, 70],
        [127.5 + 25.6, 127.5 - 12.8, 70],
        [127.5 + 51.2, 127.5 - 25.6, 35],
        [-0.5, -0.5, 70],
    ]
    np.testing.assert_allclose(SIMPLE.project(points), expected, atol=1e-9)


def test_centre_appears_in_the_middle():
    camera = Camera(distance=50, field=30, centre=(2.0, -3.0))
    np.testing.assert_allclose(camera.project([[2, -3, 0], [2, -3, 20]])[:, :2], 127.5, atol=1e-9)


def test_field_spans_the_image():
    camera = Camera(distance=60, field=40, centre=(0.0, 0.0))
    edge = 60 * math.tan(math.radians(20))
    np.testing.assert_allclose(camera.project([[edge, -edge, 0]], size=100)[0, :2], 99.5)


@given(st.integers(1, 1000), st.floats(-10, 10), st.floats(-10, 10), st.floats(-20, 60))
def test_pixel_centres_lie_at_whole_numbers_at_every_size(size, x, y, z):
    """Sizes differ by the scale about the image's corner, which lies at (-0.5, -0.5)."""
    small, large = Camera().project([[x, y, z]], size)[0], Camera().project([[x, y, z]], 3 * size)[0]
    np.testing.assert_allclose(large[:2] + 0.5, 3 * (small[:2] + 0.5), rtol=1e-9, atol=1e-6)
    assert large[2] == small[2]


def test_points_at_and_behind_the_camera_have_no_picture():
    projected = SIMPLE.project([[1, 1, 70 - NEAR], [1, 1, 70 - 0.99 * NEAR], [1, 1, 70], [1, 1, 90]])
    assert np.isfinite(projected[0]).all()
    assert np.isnan(projected[1:, :2]).all()
    np.testing.assert_allclose(projected[1:, 2], [0.99, 0, -20])


def test_default_takes_in_a_head():
    """Ears, the hair on top, the chin: little of the frame is left around them, and nothing is cut."""
    x, y = Camera().project([[-10, 0, -6], [10, 0, -6], [0, 13, -8], [0, -12, 2]])[:, :2].T
    assert 20 < x[0] < x[1] < 235
    assert 8 < y[2] < 28
    assert 215 < y[3] < 245


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distance": 0.5}, "distance must be above 1 cm, got 0.5"),
        ({"distance": math.nan}, "distance"),
        ({"field": 0}, "field must lie between 0 and 180 degrees, got 0"),
        ({"field": 180}, "field"),
        ({"centre": (0.0,)}, "centre must be two finite numbers"),
        ({"centre": (0.0, math.inf)}, "centre"),
    ],
)
def test_bad_cameras(changes, message):
    with pytest.raises(UserError, match=message):
        Camera(**changes)


@pytest.mark.parametrize("points", [[1, 2, 3], [[1, 2]], np.zeros((2, 3, 3))])
def test_bad_points(points):
    with pytest.raises(UserError, match=r"points must be \(N, 3\), got"):
        Camera().project(points)
