"""The cast: eight who can be told apart, whose expressions read, and whom nothing cuts off."""

import itertools
import re

import numpy as np
import pytest

from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import analyse
from pydeepexpr.rig.cast import CAST
from pydeepexpr.rig.head import Head
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.key_poses import key_pose
from pydeepexpr.rig.pose import Pose, expression_pose
from pydeepexpr.rig.rasteriser import over, render
from pydeepexpr.rig.sitters import sitter

FERG = {"aia", "bonnie", "jules", "malcolm", "mery", "ray"}


@pytest.fixture(scope="module")
def faces() -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Every character with every expression: small RGBA pictures, and the 49 landmarks in centimetres."""
    taken = {}
    for name, character in CAST.items():
        head = Head(character.identity)
        for expression in EXPRESSIONS:
            mesh = head.pose(expression_pose(expression))
            frame = render(mesh, character.camera, character.lights, size=96)
            taken[name, expression] = frame.rgba, head.landmarks(mesh)
    return taken


def test_there_are_eight_with_names_of_their_own():
    assert len(CAST) == 8
    assert not FERG & set(CAST)
    assert all(re.fullmatch("[a-z]{3,8}", name) for name in CAST)  # names of folders; performers are p0, p1, …
    descriptions = [character.description for character in CAST.values()]
    assert len(set(descriptions)) == 8
    assert all(10 < len(text) < 80 for text in descriptions)


def test_no_two_share_hair_skin_or_shirt():
    identities = [character.identity for character in CAST.values()]
    for what in ("hair_style", "hair", "skin", "brows", "shirt"):
        assert len({getattr(identity, what) for identity in identities}) == 8, what
    assert all(identity != Identity() for identity in identities)


def test_they_are_stylised():
    assert all(character.identity.eye_size > 1.1 for character in CAST.values())


def test_pictures_and_silhouettes_differ(faces):
    for one, other in itertools.combinations(CAST, 2):
        a, b = (over_grey(faces[name, "neutral"][0]) for name in (one, other))
        assert np.abs(a - b).mean() > 8, (one, other)
        shape = [faces[name, "neutral"][0][..., 3] > 127 for name in (one, other)]
        overlap = (shape[0] & shape[1]).sum() / (shape[0] | shape[1]).sum()
        assert overlap < 0.94, (one, other)


def over_grey(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 128 * (1 - alpha)


@pytest.mark.parametrize("name", CAST)
def test_expressions_move_the_landmarks_apart(name, faces):
    """Any two expressions differ, somewhere in the face, by a twelfth of the distance between the eyes."""
    eyes = faces[name, "neutral"][1][[19, 22, 25, 28], 0]
    between = (eyes[2] + eyes[3] - eyes[0] - eyes[1]) / 2
    for one, other in itertools.combinations(EXPRESSIONS, 2):
        moved = np.linalg.norm(faces[name, one][1] - faces[name, other][1], axis=1)
        assert moved.max() > between / 12, (one, other)


@pytest.mark.parametrize("name", CAST)
def test_nothing_is_cut_off_and_little_is_empty(name, faces):
    for expression in EXPRESSIONS:
        alpha = faces[name, expression][0][..., 3]
        rows = np.flatnonzero(alpha.any(axis=1))
        assert 1 <= rows[0] <= 14, expression
        assert not alpha[:72, [0, -1]].any()  # of the shoulders the sides may be cut
    turned = Pose(head=np.array([0.14, 0.08, -0.07]))  # as far as key poses turn
    sits = sitter(name)
    rgba, landmarks, _ = sits.render(turned, 96)
    assert not rgba[0, :, 3].any() and not rgba[:60, [0, -1], 3].any()
    assert landmarks.min() > 8 and landmarks.max() < 88


@pytest.mark.slow
def test_dlib_finds_their_faces():
    found = []
    rng = np.random.default_rng(1)
    for name, expression in itertools.product(CAST, EXPRESSIONS):
        character = CAST[name]
        mesh = sitter(name).head.pose(key_pose(expression, rng).pose)
        found.append(bool(analyse(over(render(mesh, character.camera, character.lights), (0, 0, 0)))))
    assert np.mean(found) >= 0.8
