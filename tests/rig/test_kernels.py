import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.rig.kernels import cover, fragments

SIZE = 24


def triangles_of(count):
    return np.arange(3 * count, dtype=np.uint32).reshape(count, 3)


def inside(screen, triangle):
    """Which samples lie in a triangle, by the signs of three areas; its edges belong to it."""
    x, y = np.meshgrid(np.arange(float(SIZE)), np.arange(float(SIZE)))
    a, b, c = screen[triangle, :2]
    sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
    return np.logical_and.reduce([side <= 0 for side in sides])


quarters = st.integers(-40, 4 * SIZE + 40).map(lambda value: value / 4)  # exact in binary: no doubt about edges
corners = st.tuples(quarters, quarters)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(corners, corners, corners), min_size=1, max_size=6))
def test_cover_finds_the_nearest_triangle(shapes):
    """Triangles that stand upright one behind the other, the later the nearer, against a test of every sample."""
    screen = np.array([(*corner, 1.0 + t) for t, shape in enumerate(shapes) for corner in shape])
    triangles = triangles_of(len(shapes))
    expected = np.zeros((SIZE, SIZE), int)
    for t, triangle in enumerate(triangles):
        (ax, ay), (bx, by), (cx, cy) = screen[triangle, :2]
        if (cx - ax) * (by - ay) - (bx - ax) * (cy - ay) > 0:  # it faces the camera
            expected[inside(screen, triangle)] = t + 1
    nearest, owner = cover(screen, triangles, SIZE)
    # A sample on a slanting edge may fall to either side: its column is rounded once.
    doubtful = np.zeros((SIZE, SIZE), bool)
    for triangle in triangles:
        for aside in (-1e-9, 1e-9):
            doubtful |= inside(screen, triangle) & ~inside(screen + np.array([aside, 0, 0]), triangle)
    np.testing.assert_array_equal(nearest[~doubtful], expected[~doubtful])
    np.testing.assert_array_equal(owner[~doubtful & (nearest > 0)], expected[~doubtful & (nearest > 0)] - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1, SIZE - 2), st.floats(1, SIZE - 2)), min_size=1, max_size=30))
def test_neighbours_leave_no_gap(points):
    """A fan of triangles around every point in turn covers the whole square."""
    square = [(-1.0, -1.0), (-1.0, SIZE + 1.0), (SIZE + 1.0, SIZE + 1.0), (SIZE + 1.0, -1.0)]
    for point in points:
        screen = np.array([(*at, 1.0) for at in (*square, point)])
        fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.uint32)
        nearest, _ = cover(screen, fan, SIZE)
        np.testing.assert_allclose(nearest, 1, rtol=1e-5)


@pytest.mark.parametrize(("samples", "step"), [(1, 1), (1, 2), (2, 2), (3, 2), (4, 3)])
def test_fragments_count_every_sample_once(samples, step):
    random = np.random.default_rng(3)
    size, margin = 9, 2
    owner = random.integers(0, 4, (size * samples, size * samples)).astype(np.int32)
    nearest = random.choice([0.0, 0.25, 0.5, 1.0], owner.shape).astype(np.float32)
    found, depth, chosen, coarse = fragments(nearest, owner, samples, step, margin)
    y, x, triangle, owned, row, column = found.T
    pixels = lambda values: values.reshape(size, samples, size, samples).swapaxes(1, 2).reshape(size, size, -1)  # noqa: E731
    for t in range(4):
        share = np.zeros((size, size), int)
        np.add.at(share, (y[triangle == t], x[triangle == t]), owned[triangle == t])
        np.testing.assert_array_equal(share, pixels((owner == t) & (nearest > 0)).sum(axis=-1))
    assert len(np.unique(found[:, :3], axis=0)) == len(found)
    np.testing.assert_array_equal(owner[row, column], triangle)
    np.testing.assert_array_equal([row // samples, column // samples], [y, x])
    assert (np.diff(y * size + x) >= 0).all()  # pixel by pixel
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(depth, 1 / pixels(nearest).max(axis=-1))
    cells = -(-size // step)
    assert chosen.shape == coarse.shape == (cells + 2 * margin,) * 2
    assert (chosen >= 0).sum() == np.isfinite(coarse).sum()
    for v, u in np.argwhere(chosen >= 0):
        top, left = (v - margin) * step, (u - margin) * step
        seen = depth[top : top + step, left : left + step]
        seen = seen[np.isfinite(seen)]
        assert coarse[v, u] == (seen.max() if (u + v) % 2 else seen.min())
        assert depth[y[chosen[v, u]], x[chosen[v, u]]] == coarse[v, u]
