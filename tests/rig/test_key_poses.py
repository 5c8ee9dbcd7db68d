import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig.action_units import PROTOTYPES, activations
from pydeepexpr.rig.key_poses import UNITS, WAYS, key_pose, key_poses, personal_generator


def numbers(keys):
    return [
        np.concatenate([k.units.ravel(), k.pose.activations.ravel(), k.pose.gaze, k.pose.head]).tolist() for k in keys
    ]


@settings(max_examples=25, deadline=None)
@given(st.text(min_size=1, max_size=8), st.sampled_from(EXPRESSIONS), st.integers(0, 2**40))
def test_fifteen_to_twenty_from_the_arguments_alone(character, expression, seed):
    keys = key_poses(character, expression, seed)
    assert 15 <= len(keys) <= 20
    assert numbers(keys) == numbers(key_poses(character, expression, seed))
    for key in keys:
        assert key.units.dtype == np.float32
        assert key.units.min() >= 0
        assert key.units.max() <= 1


def test_characters_expressions_and_seeds_differ():
    keys = [
        key_poses("a", "joy", 0),
        key_poses("b", "joy", 0),
        key_poses("a", "joy", 1),
        key_poses("a", "anger", 0),
    ]
    assert len({str(numbers(k)[0]) for k in keys}) == 4


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_poses_are_made_of_their_units(expression):
    for key in key_poses("somebody", expression):
        named = {unit: tuple(pair) for unit, pair in zip(UNITS, key.units.T.tolist(), strict=True)}
        np.testing.assert_array_equal(key.pose.activations, activations(named))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_they_use_the_units_of_their_expression_alone(expression):
    allowed = {unit for way in WAYS[expression] for unit in way}
    used = np.any([key.units.any(axis=0) for key in key_poses("somebody", expression)], axis=0)
    assert {unit for unit, u in zip(UNITS, used, strict=True) if u} <= allowed
    assert WAYS[expression][0] == PROTOTYPES[expression]


@pytest.mark.parametrize("expression", [e for e in EXPRESSIONS if e != "neutral"])
def test_they_vary_in_strength_side_and_mixture_and_can_be_told(expression):
    keys = key_poses("somebody", expression)
    strength = np.array([key.units.mean(axis=0).max() for key in keys])
    assert 0.35 < strength.min() < 0.8 < strength.max()
    left, right = np.array([key.units.sum(axis=1) for key in keys]).T
    assert 0.01 < np.abs(left / right - 1).mean() < 0.25
    patterns = {tuple(np.flatnonzero(key.units[0])) for key in keys}
    assert len(patterns) >= 4
    head = np.array([key.pose.head for key in keys])
    assert 0.01 < np.abs(head).max() < 0.25


def test_a_neutral_face_hardly_moves():
    for key in key_poses("somebody", "neutral"):
        assert key.units.max() < 0.2


def test_a_habit_favours_one_side():
    rng = np.random.default_rng(0)
    left, right = np.mean([key_pose("joy", rng, habit=0.2).units.sum(axis=1) for _ in range(60)], axis=0)
    assert right / left == pytest.approx(0.8, abs=0.04)


def test_sadness_looks_down():
    pitch = np.mean([key.pose.gaze[1] for key in key_poses("somebody", "sadness")])
    assert pitch < -0.05


def test_mistakes():
    with pytest.raises(UserError, match="no key poses of 'smirk'; use one of: anger"):
        key_poses("somebody", "smirk")
    with pytest.raises(UserError, match="seed is a whole number from 0, got -1"):
        personal_generator("somebody", "joy", -1)
