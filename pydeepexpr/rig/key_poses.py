"""Key poses: the ways in which a character shows an expression, as an animator would vary them.

Aneja et al. 2016 had an animator pose 15 to 20 of them a character and expression. Here they are drawn by lot around a
few ways of showing each expression (FACS's and EMFACS's variants of its prototype): more or less strongly, mixed with
each other, a little lopsided, with a glance and a turn of the head that suit them.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig.action_units import AU_NAMES, PROTOTYPES, activations
from pydeepexpr.rig.pose import Pose

__all__ = ["UNITS", "WAYS", "KeyPose", "key_pose", "key_poses", "personal_generator"]

#: The action units in the order of `KeyPose.units`.
UNITS = tuple(AU_NAMES)

#: Ways to show an expression: action units at their fullest. The first is the prototype.
WAYS: Mapping[str, tuple[Mapping[int, float], ...]] = {
    "anger": (
        PROTOTYPES["anger"],
        {4: 1.0, 5: 0.7, 7: 0.6, 24: 0.9, 17: 0.3},  # a glare, lips pressed
        {4: 1.0, 5: 0.4, 7: 0.8, 9: 0.25, 10: 0.6, 16: 0.6, 25: 0.8, 26: 0.2},  # bared teeth
        {4: 1.0, 5: 0.7, 7: 0.6, 10: 0.4, 16: 0.4, 22: 0.4, 25: 0.8, 26: 0.7},  # a shout
    ),
    "disgust": (
        PROTOTYPES["disgust"],
        {4: 0.4, 7: 0.5, 9: 1.0, 10: 0.8, 17: 0.6},  # lips closed, chin up
        {4: 0.4, 6: 0.3, 7: 0.4, 9: 0.9, 10: 0.9, 16: 0.6, 25: 0.7, 26: 0.25},  # lips parted
        {7: 0.5, 9: 0.7, 10: 1.0, 15: 0.6, 20: 0.2, 25: 0.3},
    ),
    "fear": (
        PROTOTYPES["fear"],
        {1: 1.0, 2: 0.4, 4: 0.7, 5: 1.0, 7: 0.2, 20: 0.6, 25: 0.5},  # lips hardly parted
        {1: 1.0, 2: 0.5, 4: 0.7, 5: 1.0, 16: 0.3, 20: 1.0, 25: 0.9, 26: 0.2},  # clenched teeth
        {1: 1.0, 2: 0.7, 4: 0.6, 5: 1.0, 20: 0.8, 25: 0.8, 26: 0.85},  # a scream
    ),
    "joy": (
        PROTOTYPES["joy"],
        {6: 0.8, 12: 0.9},  # a closed smile
        {1: 0.2, 2: 0.3, 6: 0.7, 12: 1.0, 25: 0.9, 26: 0.35},  # beaming
        {6: 1.0, 7: 0.2, 12: 1.0, 25: 0.9, 26: 0.7},  # a laugh
    ),
    "neutral": (
        {},
        {7: 0.12, 24: 0.15},
        {1: 0.08, 2: 0.1, 25: 0.15},
        {12: 0.08, 45: 0.1},
        {17: 0.12, 45: 0.15},
    ),
    "sadness": (
        PROTOTYPES["sadness"],
        {1: 1.0, 4: 0.4, 11: 0.4, 15: 0.8, 17: 0.8},  # a trembling chin
        {1: 0.9, 4: 0.5, 15: 0.9, 45: 0.3},  # downcast
        {1: 1.0, 4: 0.7, 6: 0.4, 11: 0.5, 15: 0.8, 20: 0.3, 25: 0.5, 26: 0.15},  # weeping
    ),
    "surprise": (
        PROTOTYPES["surprise"],
        {1: 0.9, 2: 1.0, 5: 0.7, 25: 0.5, 26: 0.6},
        {1: 1.0, 2: 1.0, 5: 1.0, 25: 0.5, 27: 0.8},  # a gape
        {1: 1.0, 2: 0.9, 5: 0.9, 18: 0.5, 25: 0.6, 26: 0.7},  # "oh"
    ),
}

#: How weak an expression may be and still be told; the lot lies between this and 1.
_WEAKEST = {"anger": 0.7, "disgust": 0.65, "fear": 0.65, "joy": 0.55, "neutral": 0.0, "sadness": 0.65, "surprise": 0.6}

#: Where an expression's glance and head tend to: gaze's pitch, head's pitch, in radians.
_TENDENCY = {"fear": (0.0, -0.02), "sadness": (-0.14, -0.06), "anger": (0.02, -0.04), "surprise": (0.02, 0.03)}

_MIXED = 0.4  # the share of key poses that mix two ways
_LOPSIDED, _MOST_LOPSIDED = 0.08, 0.3
_GAZE = np.array([0.10, 0.05])  # standard deviations in radians: yaw, pitch
_HEAD = np.array([0.07, 0.04, 0.035])  # yaw, pitch, roll
_FURTHEST = 2.0  # standard deviations; what the lot throws beyond is drawn in


@dataclass(frozen=True, eq=False)
class KeyPose:
    """A pose and the action units it was made of.

    Attributes
    ----------
    units : (2, 24) float32
        Intensities 0 to 1 of `UNITS`, on the viewer's left and right.
    pose : Pose
    """

    units: np.ndarray
    pose: Pose


def key_poses(character: str, expression: str, seed: int = 0) -> tuple[KeyPose, ...]:
    """Return the 15 to 20 key poses of a character with an expression.

    They depend on nothing but the arguments: other characters, expressions and numbers of frames leave them as they
    are.

    Parameters
    ----------
    character : str
        Its name, whatever it is.
    expression : str
        One of `pydeepexpr.expressions.EXPRESSIONS`.
    seed : int
        From 0.

    Raises
    ------
    UserError
        If the expression is unknown or the seed negative.
    """
    rng = personal_generator(character, expression, seed)
    habit = _LOPSIDED * rng.standard_normal()  # a character may favour one side
    return tuple(key_pose(expression, rng, habit) for _ in range(rng.integers(15, 21)))


def key_pose(expression: str, rng: np.random.Generator, habit: float = 0.0) -> KeyPose:
    """Draw one key pose of an expression.

    Parameters
    ----------
    expression : str
    rng : numpy.random.Generator
        Every call draws from it.
    habit : float
        The asymmetry that key poses have on average: 0.1 weakens the viewer's right side by 10 %.
    """
    ways = [_vector(way) for way in WAYS[expression]]
    first, second = rng.permutation(len(ways))[:2]
    share = rng.uniform(0.2, 0.8) if rng.random() < _MIXED else 0.0
    units = (1 - share) * ways[first] + share * ways[second]
    units = units * rng.uniform(0.8, 1.15, len(UNITS)) * rng.uniform(_WEAKEST[expression], 1.0)
    asymmetry = np.clip(habit + _LOPSIDED * rng.standard_normal(), -_MOST_LOPSIDED, _MOST_LOPSIDED)
    sides = np.array([[1 + min(asymmetry, 0)], [1 - max(asymmetry, 0)]])
    units = np.clip(units * sides, 0, 1).astype(np.float32)
    gaze_pitch, head_pitch = _TENDENCY.get(expression, (0.0, 0.0))
    gaze = _GAZE * _drawn(rng, 2) + (0, gaze_pitch)
    head = _HEAD * _drawn(rng, 3) + (0, head_pitch, 0)
    named = {unit: tuple(pair) for unit, pair in zip(UNITS, units.T.tolist(), strict=True)}
    return KeyPose(units, Pose(activations(named), gaze, head))


def personal_generator(who: str, what: str, seed: int) -> np.random.Generator:
    """Return the random numbers of someone's expression.

    Raises
    ------
    UserError
        If `what` is no expression or the seed is negative.
    """
    if what not in EXPRESSIONS:
        raise UserError(f"there are no key poses of {what!r}; use one of: {', '.join(EXPRESSIONS)}")
    if seed < 0:
        raise UserError(f"a seed is a whole number from 0, got {seed}")
    return np.random.default_rng((seed, zlib.crc32(who.encode()), EXPRESSIONS.index(what)))


def _vector(units: Mapping[int, float]) -> np.ndarray:
    return np.array([units.get(unit, 0.0) for unit in UNITS])


def _drawn(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.clip(rng.standard_normal(count), -_FURTHEST, _FURTHEST)
