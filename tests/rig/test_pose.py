import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.rig.anatomy import MUSCLES, TONE
from pydeepexpr.rig.pose import Pose, activation_vector, blend, expression_pose


def test_default_is_rest():
    pose = Pose()
    np.testing.assert_array_equal(pose.activations, [TONE, TONE])
    assert pose.jaw == 0
    assert not pose.gaze.any() and not pose.head.any()


def test_blend_is_linear():
    a, b = expression_pose("joy", gaze=(0.2, 0.0)), expression_pose("anger", head=(0.0, 0.4, 0.0))
    quarter = blend(a, b, 0.25)
    np.testing.assert_allclose(quarter.activations, 0.75 * a.activations + 0.25 * b.activations, atol=1e-6)
    np.testing.assert_allclose(quarter.gaze, [0.15, 0])
    np.testing.assert_allclose(quarter.head, [0, 0.1, 0])
    for end, pose in ((0, a), (1, b)):
        np.testing.assert_array_equal(blend(a, b, end).activations, pose.activations)
    with pytest.raises(UserError, match="share"):
        blend(a, b, 1.5)


def test_neither_pose_nor_its_arrays_change():
    given = np.zeros(2, np.float32)
    pose = Pose(gaze=given)
    given[:] = 1
    assert not pose.gaze.any()
    with pytest.raises(ValueError):
        pose.activations[0, 0] = 1
    with pytest.raises(AttributeError):
        pose.gaze = given


def test_expression_intensity_and_asymmetry():
    np.testing.assert_array_equal(expression_pose("joy", 0.0).activations, Pose().activations)
    np.testing.assert_array_equal(expression_pose("neutral").activations, Pose().activations)
    smile = MUSCLES.index("zygomaticus_major")
    np.testing.assert_allclose(expression_pose("joy", 0.5, 0.4).activations[:, smile], [0.5, 0.3])
    np.testing.assert_allclose(expression_pose("joy", 0.5, -0.4).activations[:, smile], [0.3, 0.5])
    poses = [expression_pose(name).activations for name in EXPRESSIONS]
    assert all(np.abs(a - b).max() > 0.3 for i, a in enumerate(poses) for b in poses[:i])


def test_activation_vector():
    vector = activation_vector({"jaw": 0.5, "corrugator": (0.2, 0.8)})
    assert vector.shape == (2, 27) and vector.dtype == np.float32
    np.testing.assert_allclose(vector[:, MUSCLES.index("jaw")], 0.5)
    np.testing.assert_allclose(vector[:, MUSCLES.index("corrugator")], [0.2, 0.8])
    assert (vector != [TONE, TONE]).sum() == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pose(activations=np.zeros(27)), "activations"),
        (lambda: Pose(activations=np.full((2, 27), 1.2)), "activations"),
        (lambda: Pose(gaze=np.array([0, np.nan])), "gaze"),
        (lambda: Pose(head=np.zeros(2)), "head"),
        (lambda: activation_vector({"biceps": 1.0}), "biceps"),
        (lambda: activation_vector({"jaw": 2.0}), "jaw"),
        (lambda: expression_pose("envy"), "envy"),
        (lambda: expression_pose("joy", 1.2), "intensity"),
        (lambda: expression_pose("joy", 1.0, 2.0), "asymmetry"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(UserError, match=message):
        make()
