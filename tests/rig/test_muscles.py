import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.rig.anatomy import JAW, MUSCLES, ROWS, TONE
from pydeepexpr.rig.muscles import contract, contraction, linear, pull, sheet, sphincter


def test_linear_muscle_by_hand():
    # A muscle from the origin along x, cone of 60°, greatest pull at Rs = 2, gone at Rf = 4.
    points = np.array([[1.0, 0, 0], [2.0, 0, 0], [3.0, 0, 0], [4.0, 0, 0], [np.sqrt(3), 1.0, 0], [0, 2.0, 0]])
    field = linear(points, [[0, 0, 0]], [[2, 0, 0]], [60], [2], [4])[0]
    half = np.sqrt(0.5)  # sin 45° at half of Rs; cos 45° half-way from Rs to Rf
    np.testing.assert_allclose(field[:4, 0], [-half, -1, -half, 0], atol=1e-12)
    # At D = Rs = 2 and 30°, half of the cone: cos 45°, towards the bone.
    np.testing.assert_allclose(field[4], [-half * np.sqrt(3) / 2, -half / 2, 0], atol=1e-12)
    np.testing.assert_allclose(field[5], 0, atol=1e-12)  # outside of the cone


def test_muscles_are_worked_out_side_by_side():
    points = np.random.default_rng(0).normal(size=(20, 3))
    rows = ([[0, 0, 0], [1, 2, 3]], [[2, 0, 0], [0, 0, 1]], [60, 30], [2, 3], [4, 5])
    both = linear(points, *rows)
    for number in range(2):
        np.testing.assert_array_equal(both[number], linear(points, *([column[number]] for column in rows))[0])


def test_sheet_pulls_all_fibres_the_same_way():
    # Fixed at y = 4, fibres straight down; pull greatest 2 below the line and gone at 3.
    points = np.array([[0, 2.0, 0], [0.5, 2.0, 0], [0, 3.0, 0], [0, 1.0, 0], [0, 4.5, 0], [2.1, 2.0, 0]])
    field = sheet(points, [[0, 4, 0]], [[0, 2, 0]], [1], [2], [3])[0]
    assert (field[:, [0, 2]] == 0).all()
    np.testing.assert_allclose(field[0, 1], 1)
    np.testing.assert_allclose(field[1, 1], np.cos(np.pi / 8) ** 2)  # a quarter of the way to the side's end
    np.testing.assert_allclose(field[2, 1], np.sin(np.pi / 4))
    np.testing.assert_allclose(field[3:, 1], 0, atol=1e-12)  # at the finish, above the bone, beside the sheet


def test_sphincter_by_hand():
    # Half axes 4 and 2. At (2, 0) and (0, 1) the ellipse' radius is a half: f = 1/2 of the way to the centre.
    points = np.array([[2.0, 0, 5], [0, 1.0, 5], [4.0, 0, 5], [3.0, 1.6, 5], [0, 0, 5]])
    field = sphincter(points, [[0, 0, 0]], [4], [2])[0]
    np.testing.assert_allclose(field[:2], [[-1, 0, 0], [0, -0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(field[2:], 0, atol=1e-12)


def test_lips_part_what_a_muscle_reaches():
    row = next(row for row in ROWS if row.name == "depressor_labii")
    points = np.array([row.skin, row.skin])
    field = pull(points, np.array([1.0, 0.0]), [row])[0]
    assert field[0, 1] < -0.3
    assert (field[1] == 0).all()


def test_table_of_muscles():
    assert len(MUSCLES) == len(set(MUSCLES)) == 27
    assert MUSCLES[JAW] == "jaw"
    assert ((TONE >= 0) & (TONE < 1)).all()
    for row in ROWS:
        assert row.bone[0] >= 0 and row.skin[0] >= 0, row.name  # of the right side, or the middle
        assert row.kind in ("linear", "sheet", "sphincter", "lid", "hinge")


def test_contraction():
    np.testing.assert_allclose(contraction(TONE), 0)
    np.testing.assert_allclose(contraction(np.ones(27)), 1)
    relaxed = contraction(np.zeros(27))
    assert ((relaxed < 0) == (TONE > 0)).all()


@pytest.mark.parametrize("bad", [np.zeros(26), np.full(27, 1.1), np.full(27, -0.1), np.full(27, np.nan)])
def test_bad_activations(bad):
    with pytest.raises(UserError, match="activations"):
        contraction(bad)


def test_contract_adds_up():
    rest = np.array([[1.0, 2, 3]])
    fields = np.array([[[1.0, 0, 0]], [[0, 2.0, 0]]])
    np.testing.assert_allclose(contract(rest, fields, np.array([0.5, -0.25])), [[1.5, 1.5, 3]])
