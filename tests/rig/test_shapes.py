import numpy as np
import pytest

from pydeepexpr.rig.glasses import glasses
from pydeepexpr.rig.hair import hair
from pydeepexpr.rig.identity import HAIR_STYLES, Identity
from pydeepexpr.rig.shapes import disc_triangles, grid_triangles, normals, tube, two_sided
from pydeepexpr.rig.torso import ears, neck


def volume(vertices, triangles):
    """What a surface encloses, seen from the middle of its vertices; negative if it is inside out."""
    a, b, c = (vertices[triangles[:, corner]] - vertices.mean(axis=0) for corner in range(3))
    return np.einsum("ni,ni->n", np.cross(a, b), c).sum() / 6


def test_straight_tube():
    path = np.column_stack([np.zeros(5), np.linspace(0, 8, 5), np.zeros(5)])
    vertices, triangles = tube(path, np.full(5, 0.5), sides=64)
    # Without its ends, which count a third of the volume each way: 2/3 of π·r²·h.
    assert volume(vertices, triangles) == pytest.approx(np.pi * 0.25 * 8 * 2 / 3, rel=0.01)


def test_closed_tube_is_a_torus():
    turn = 2 * np.pi * np.arange(60) / 60
    path = np.column_stack([3 * np.cos(turn), 3 * np.sin(turn), np.zeros(60)])
    vertices, triangles = tube(path, np.full(60, 0.4), sides=24, closed=True)
    assert volume(vertices, triangles) == pytest.approx(2 * np.pi**2 * 3 * 0.4**2, rel=0.02)
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # no seam is open


def test_grid_and_disc_face_the_viewer():
    y, x = np.mgrid[2:-1:-1, 0:4]
    flat = np.column_stack([x.ravel(), y.ravel(), np.zeros(12)]).astype(float)
    np.testing.assert_allclose(normals(flat, grid_triangles(3, 4)), np.tile([0, 0, 1], (12, 1)))
    turn = 2 * np.pi * np.arange(8) / 8
    ring = np.column_stack([np.cos(turn), np.sin(turn), 0 * turn])
    disc = np.concatenate([np.zeros((1, 3)), ring, 2 * ring])
    np.testing.assert_allclose(normals(disc, disc_triangles(2, 8)), np.tile([0, 0, 1], (17, 1)), atol=1e-12)
    both = two_sided(grid_triangles(3, 4))
    assert abs(volume(flat, both)) < 1e-12 and len(both) == 24


@pytest.mark.parametrize("style", [s for s in HAIR_STYLES if s not in ("bald", "bob", "long")])
def test_hair_is_not_inside_out(style):
    mesh = hair(Identity(hair_style=style))
    assert volume(mesh.vertices, mesh.triangles) > 1000


def test_ears_neck_and_glasses_are_not_inside_out():
    for mesh in (ears(Identity()), neck(Identity())[0], glasses(Identity(glasses="round"))):
        assert volume(mesh.vertices, mesh.triangles) > 0


def test_neck_follows_the_head_less_the_lower_it_is():
    mesh, follow = neck(Identity())
    assert follow.min() == 0 and follow.max() == 1
    skin = follow[:216]  # the shirt stays
    assert (np.diff(skin[np.argsort(mesh.vertices[:216, 1])]) >= 0).all()
    assert (follow[216:] == 0).all()
