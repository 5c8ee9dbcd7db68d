"""Every action unit moves the landmarks it is seen by; y points up, sizes are centimetres."""

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces.landmarks import MIRRORED
from pydeepexpr.rig.action_units import AU_NAMES, AU_TO_MUSCLES, PROTOTYPES, activations
from pydeepexpr.rig.anatomy import MUSCLES, TONE
from pydeepexpr.rig.head import Head
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.pose import Pose

# Landmarks of the right side (x > 0).
INNER_BROW, OUTER_BROW, UPPER_LID, LOWER_LID, CORNER = 5, 9, 26, 29, 37
NOSE_WING, UPPER_LIP, LOWER_LIP, INNER_UPPER, INNER_LOWER = 18, 34, 40, 44, 47
X, Y, Z = 0, 1, 2


@pytest.fixture(scope="module", params=["human", "stylised"])
def moves(request):
    """How far each landmark goes with one action unit at full intensity."""
    stylised = Identity(eye_size=1.4, nose_length=0.8, chin_length=0.8, hair_style="bald")
    head = Head(Identity(hair_style="bald") if request.param == "human" else stylised)
    rest = head.landmarks()
    return lambda *units: head.landmarks(Pose(activations(dict.fromkeys(units, 1.0)))) - rest


def test_brows(moves):
    inner, outer, frown = moves(1), moves(2), moves(4)
    assert inner[INNER_BROW, Y] > 0.5 > 3 * abs(inner[OUTER_BROW, Y])
    assert outer[OUTER_BROW, Y] > 0.5 and outer[OUTER_BROW, Y] > 2 * outer[INNER_BROW, Y]
    assert frown[INNER_BROW, Y] < -0.3 and frown[INNER_BROW, X] < -0.2
    assert frown[4, X] > 0.2  # the left brow comes to the middle as well


def test_lids(moves):
    assert moves(5)[UPPER_LID, Y] > 0.2
    assert moves(6)[LOWER_LID, Y] > 0.1
    tight, blink = moves(7), moves(45)
    assert tight[LOWER_LID, Y] - tight[UPPER_LID, Y] > 0.2
    assert blink[UPPER_LID, Y] < -0.5


def test_blink_shuts_the_eyes():
    head = Head(Identity(hair_style="bald"))
    shut = head.landmarks(Pose(activations({45: 1.0})))
    gap = shut[[20, 21, 26, 27], Y] - shut[[24, 23, 30, 29], Y]
    np.testing.assert_allclose(gap, 0, atol=0.06)


def test_nose_and_upper_lip(moves):
    wrinkled, raised = moves(9), moves(10)
    assert wrinkled[NOSE_WING, Y] > 0.2 and wrinkled[UPPER_LIP, Y] > 0.2
    assert wrinkled[INNER_BROW, Y] < 0
    assert raised[UPPER_LIP, Y] > 0.3 and raised[UPPER_LIP, Y] > raised[CORNER, Y]
    assert moves(11)[36, Y] > 0.1


def test_corners_of_the_mouth(moves):
    smile, frown, stretch, dimple = moves(12), moves(15), moves(20), moves(14)
    assert smile[CORNER, Y] > 0.5 and smile[CORNER, X] > 0.3
    assert frown[CORNER, Y] < -0.5 and frown[CORNER, Y] < frown[UPPER_LIP, Y]
    assert stretch[CORNER, X] > 0.4 > abs(stretch[CORNER, Y])
    assert dimple[CORNER, X] > 0.2 and dimple[CORNER, Z] < -0.1


def test_lips(moves):
    lowered, raised, pucker = moves(16), moves(17), moves(18)
    assert lowered[LOWER_LIP, Y] < -0.3 and lowered[INNER_LOWER, Y] < -0.3 and abs(lowered[INNER_UPPER, Y]) < 0.05
    assert raised[LOWER_LIP, Y] > 0.2
    assert pucker[CORNER, X] < -0.5 and pucker[CORNER, Z] > 0.2
    funnel = moves(22)
    assert funnel[CORNER, X] < -0.3 and funnel[INNER_UPPER, Y] - funnel[INNER_LOWER, Y] > 0.3
    for unit in (23, 24, 28):  # the red grows thin and the mouth narrow
        move = moves(unit)
        thinner = (move[INNER_UPPER, Y] - move[UPPER_LIP, Y]) + (move[LOWER_LIP, Y] - move[INNER_LOWER, Y])
        assert thinner > 0.15 and move[CORNER, X] < -0.1, unit
    parted = moves(25)
    assert parted[INNER_UPPER, Y] - parted[INNER_LOWER, Y] > 0.2


def test_jaw(moves):
    drop, stretch = moves(26), moves(27)
    assert drop[LOWER_LIP, Y] < -1 and drop[INNER_UPPER, Y] - drop[INNER_LOWER, Y] > 1
    assert stretch[LOWER_LIP, Y] < 1.5 * drop[LOWER_LIP, Y]
    for move in (drop, stretch):
        np.testing.assert_allclose(move[10:31], 0, atol=0.06)  # nose and eyes stay


@pytest.mark.parametrize("unit", AU_TO_MUSCLES)
def test_one_side_alone(unit):
    head = Head(Identity(hair_style="bald"))
    left = head.landmarks(Pose(activations({unit: (1.0, 0.0)})))
    right = head.landmarks(Pose(activations({unit: (0.0, 1.0)})))
    np.testing.assert_allclose(left, right[list(MIRRORED)] * (-1, 1, 1), atol=1e-4)


def test_table():
    assert set(AU_TO_MUSCLES) == set(AU_NAMES)
    used = {muscle for muscles in AU_TO_MUSCLES.values() for muscle in muscles}
    assert used == set(MUSCLES)
    assert set(PROTOTYPES) == set(EXPRESSIONS)
    assert {unit for units in PROTOTYPES.values() for unit in units} <= set(AU_TO_MUSCLES)


def test_activations():
    np.testing.assert_array_equal(activations({}), [TONE, TONE])
    levator = MUSCLES.index("levator_palpebrae")
    assert activations({45: 1.0})[0, levator] == 0
    np.testing.assert_allclose(activations({5: (0.5, 1.0)})[:, levator], [0.7, 1.0])  # 0.4 at rest
    # Units that share a muscle add up, to at most full activation.
    both, frontalis = activations({1: 1.0, 2: 1.0}), MUSCLES.index("frontalis_major")
    np.testing.assert_allclose(both[:, frontalis], 0.05 + 0.95 * 0.7, rtol=1e-6)
    assert both.max() <= 1


@pytest.mark.parametrize(
    ("units", "message"),
    [({3: 1.0}, "action unit 3"), ({12: 1.5}, "12"), ({12: (0.5, -0.1)}, "12"), ({12: (1, 1, 1)}, "12")],
)
def test_bad_units(units, message):
    with pytest.raises(UserError, match=message):
        activations(units)
