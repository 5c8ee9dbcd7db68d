"""The rig's landmarks against dlib's on rendered heads."""

import numpy as np
import pytest

from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import detect, find_landmarks
from pydeepexpr.rig.camera import Camera
from pydeepexpr.rig.head import Head
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.pose import expression_pose
from pydeepexpr.rig.rasteriser import over, render
from pydeepexpr.rig.template import template

PEOPLE = (
    Identity(),
    Identity(skin="#7a4a2e", nose_width=1.3, lower_lip=1.3, upper_lip=1.2, hair_style="crop", hair="#17100c"),
    Identity(face_width=0.95, jaw_width=0.9, eye_size=1.1, mouth_width=0.95, hair_style="long", hair="#8a6238"),
)


@pytest.mark.parametrize("number", range(len(PEOPLE)))
def test_dlib_agrees(number):
    head, camera, errors = Head(PEOPLE[number]), Camera(), []
    for expression in EXPRESSIONS[number % 2 :: 2]:
        mesh = head.pose(expression_pose(expression, 0.8, head=(0.1, 0.0, 0.05)))
        image = over(render(mesh, camera), (150, 140, 130))
        ours = camera.project(head.landmarks(mesh))[:, :2]
        found = detect(image)
        assert found, expression
        theirs = find_landmarks(image, found[0].box)
        between = np.linalg.norm(ours[19:25].mean(axis=0) - ours[25:31].mean(axis=0))
        errors.append(np.linalg.norm(ours - theirs, axis=1) / between)
    assert np.median(errors) < 0.06


def test_order_of_the_landmarks():
    marks = Head(Identity(hair_style="bald")).landmarks()
    assert marks.shape == (49, 3) and marks.dtype == np.float32
    x, y = marks[:, 0], marks[:, 1]
    assert (np.diff(x[:10]) > 0).all()  # brows from left to right
    assert (np.diff(y[10:14]) < 0).all()  # down the nose
    assert (np.diff(x[14:19]) > 0).all()
    for first in (19, 25):  # eyes clockwise as seen: left corner, upper lid, right corner, lower lid
        assert (np.diff(x[first : first + 4]) > 0).all() and (
            np.diff(x[[first + 3, first + 4, first + 5, first]]) < 0
        ).all()
        assert y[first + 1 : first + 3].min() > y[first + 4 : first + 6].max()
    assert (np.diff(x[31:38]) > 0).all() and (np.diff(x[[37, *range(38, 43), 31]]) < 0).all()
    assert (np.diff(x[43:46]) > 0).all() and (np.diff(x[46:49]) < 0).all()
    np.testing.assert_allclose(y[43:46], y[48:45:-1], atol=0.02)  # the mouth is shut


def test_locating_points_of_the_plane():
    net = template()
    points = np.array([[1.0, 1.0], [-2.0, -3.0], [3.0, 3.0], [0.1, -9.0]])
    corners, weights = net.locate(points)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(np.einsum("nk,nkd->nd", weights, net.points[corners]), points, atol=0.01)
