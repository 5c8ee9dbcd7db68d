import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.faces import average_face, mean_face


def test_similar_copies_average_to_the_face_itself():
    rng = np.random.default_rng(0)
    copies = []
    for _ in range(20):
        angle, scale = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 9)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        copies.append(mean_face() @ [[cos, sin], [-sin, cos]] + rng.uniform(-500, 500, 2))
    np.testing.assert_allclose(average_face(np.array(copies)), mean_face(), atol=5e-3)


def test_one_sided_faces_average_to_a_symmetric_one():
    raised = mean_face()
    raised[0:5, 1] -= 8  # the left brow only
    average = average_face(raised[None])
    np.testing.assert_allclose(average[0:5, 1], average[9:4:-1, 1])
    np.testing.assert_allclose(average[2, 1], mean_face()[2, 1] - 4, atol=0.01)


def test_turned_and_broken_faces_are_left_out():
    turned, broken, blind = mean_face(), mean_face(), mean_face()
    turned[10:19, 0] += 25
    broken[3] = np.nan
    blind[25:31] = blind[19:25]
    average = average_face(np.stack([mean_face(), turned, broken, blind]))
    np.testing.assert_allclose(average, mean_face(), atol=5e-3)
    with pytest.raises(UserError, match="no frontal face"):
        average_face(np.stack([turned, broken]))


@pytest.mark.parametrize("shape", [(49, 2), (3, 68, 2), (0,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UserError, match="N, 49, 2"):
        average_face(np.zeros(shape))


def test_no_face_at_all():
    with pytest.raises(UserError, match="no frontal face"):
        average_face(np.zeros((0, 49, 2)))
