"""Performers: always the same ones, no two alike, and human enough for dlib."""

import hashlib
import itertools
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import analyse
from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.key_poses import key_pose
from pydeepexpr.rig.performers import Performer, performer
from pydeepexpr.rig.sitters import performer_name, sitter

SOME = [performer(number) for number in range(80)]


def fingerprint(who: Performer) -> str:
    text = repr((who.identity, who.camera, who.lights)).encode()
    return hashlib.sha256(text + who.background.tobytes()).hexdigest()


def test_the_same_number_is_the_same_performer_in_another_process():
    program = (
        "import hashlib; from pydeepexpr.rig.performers import performer; who = performer(3);"
        "text = repr((who.identity, who.camera, who.lights)).encode();"
        "print(hashlib.sha256(text + who.background.tobytes()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert fingerprint(performer(3)) == fingerprint(performer(np.int64(3))) == other.stdout.strip()


def test_numbers_are_different_people():
    assert len({fingerprint(who) for who in SOME}) == len(SOME)
    assert len({who.identity.eye_spacing for who in SOME}) > 60


def test_they_are_varied():
    identities = [who.identity for who in SOME]
    assert len({identity.hair_style for identity in identities}) >= 7
    assert {identity.beard != "none" for identity in identities} == {True, False}
    assert {identity.glasses != "none" for identity in identities} == {True, False}
    lightness = np.array([linear_rgb(identity.skin).mean() for identity in identities])
    assert lightness.min() < 0.12 and lightness.max() > 0.5
    walls = np.array([who.background.mean() for who in SOME])
    assert walls.min() < 70 and walls.max() > 170


def test_proportions_are_human():
    """Nowhere near the cast's: on average those of an average adult, and never far from them."""
    average = asdict(Identity())
    for name in ("eye_size", "eye_spacing", "face_length", "face_width", "head_width", "mouth_width", "jaw_width"):
        drawn = np.array([getattr(who.identity, name) for who in SOME])
        assert drawn.mean() == pytest.approx(average[name], abs=0.04), name
        assert np.abs(drawn - average[name]).max() < 0.25, name
        assert drawn.std() > 0.02, name


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**12))
def test_every_number_makes_a_performer(number):
    """Identity, camera and lights check their own ranges."""
    who = performer(number)
    assert who.background.shape == (256, 256, 3) and who.background.dtype == np.uint8
    assert 55 <= who.camera.distance <= 135


@pytest.mark.parametrize("number", [-1, 1.0, "3", True, None])
def test_what_is_no_number_is_refused(number):
    with pytest.raises(UserError, match="whole number from 0"):
        performer(number)


def test_landmarks_lie_within_the_photograph():
    for number, expression in zip(range(14), itertools.cycle(EXPRESSIONS), strict=False):
        pose = key_pose(expression, np.random.default_rng(number)).pose
        picture, landmarks, visible = sitter(performer_name(number)).render(pose, 64)
        assert np.isfinite(landmarks).all()
        assert landmarks.min() > 6 and landmarks.max() < 58
        assert visible.sum() > 40
        assert (picture[..., 3] == 255).all()
        corner, wall = picture[:4, :4, :3].mean(), performer(number).background[:16, :16].mean()
        assert corner == pytest.approx(wall, abs=12)  # nobody stands in the corner


@pytest.mark.slow
def test_dlib_finds_their_faces_and_agrees_with_their_landmarks():
    """The whole benchmark is benchmarks/rig_faces.py; the landmarks must agree to 6 % of the interocular distance."""
    far = []
    for number, expression in zip(range(42), itertools.cycle(EXPRESSIONS), strict=False):
        pose = key_pose(expression, np.random.default_rng(number)).pose
        rgba, landmarks, _ = sitter(performer_name(number)).render(pose, 256)
        if faces := analyse(np.ascontiguousarray(rgba[..., 2::-1])):
            between = np.linalg.norm(landmarks[19:25].mean(axis=0) - landmarks[25:31].mean(axis=0))
            far.append(np.linalg.norm(faces[0].landmarks - landmarks, axis=1) / between)
    assert len(far) >= 0.95 * 42
    assert np.median(far) <= 0.06
