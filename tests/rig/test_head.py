import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pydeepexpr.errors import UserError
from pydeepexpr.faces.landmarks import MIRRORED
from pydeepexpr.rig.glasses import glasses
from pydeepexpr.rig.head import PIVOT, Head
from pydeepexpr.rig.identity import HAIR_STYLES, RANGES, Identity, linear_rgb
from pydeepexpr.rig.mesh import Mesh
from pydeepexpr.rig.pose import Pose, expression_pose
from pydeepexpr.rig.sculpt import warp
from pydeepexpr.rig.template import template

BALD = Identity(hair_style="bald")


@pytest.fixture(scope="module")
def head():
    return Head(BALD)


def skin_of(mesh):
    return mesh.vertices[: len(template().points)]


def test_mesh_is_sound(head):
    mesh = head.pose()
    count = len(mesh.vertices)
    assert mesh.vertices.dtype == mesh.colours.dtype == mesh.gloss.dtype == np.float32
    assert mesh.triangles.dtype == np.int32
    assert mesh.colours.shape == (count, 3) and mesh.gloss.shape == (count,)
    assert mesh.triangles.min() >= 0 and mesh.triangles.max() < count
    assert (np.diff(np.sort(mesh.triangles, axis=1), axis=1) > 0).all()  # three different corners
    assert mesh.colours.min() >= 0 and mesh.colours.max() <= 1
    assert 6000 <= count <= 12000


def test_skin_is_closed_but_for_eyes_mouth_and_back():
    net = template()
    edges = np.sort(net.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, uses = np.unique(edges, axis=0, return_counts=True)
    assert uses.max() == 2
    rim = np.unique(edges[uses == 1])
    known = np.concatenate([*net.lids, net.upper_slit, net.lower_slit])
    assert set(known) <= set(rim)
    rest = skin_of(Head(BALD).pose())[np.setdiff1d(rim, known)]
    assert (rest[:, 2] < -10).all()  # the only other hole is at the back of the head


def test_mirrored_muscles_give_the_mirrored_face(head):
    random = np.random.default_rng(1)
    activations = random.uniform(0, 1, (2, 27))
    one = head.pose(Pose(activations, gaze=np.array([0.2, 0.1])))
    other = head.pose(Pose(activations[::-1], gaze=np.array([-0.2, 0.1])))
    np.testing.assert_allclose(skin_of(one)[template().mirror] * (-1, 1, 1), skin_of(other), atol=2e-4)
    count = len(template().points)
    np.testing.assert_allclose(one.colours[:count][template().mirror], other.colours[:count], atol=2e-4)
    marks, mirrored = head.landmarks(one), head.landmarks(other)
    np.testing.assert_allclose(marks[list(MIRRORED)] * (-1, 1, 1), mirrored, atol=2e-4)


def test_the_same_head_twice():
    identity, pose = Identity(nose_width=1.2, hair_style="curly"), expression_pose("fear", 0.7, 0.2)
    one, other = Head(identity).pose(pose), Head(identity).pose(pose)
    for field in dataclasses.fields(Mesh):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_posing_leaves_the_head_as_it_was(head):
    before = head.pose().vertices
    head.pose(expression_pose("surprise"))
    np.testing.assert_array_equal(head.pose().vertices, before)


def test_nothing_contracted_is_rest():
    resting = Head(BALD)
    rest = resting._skin.rest
    np.testing.assert_allclose(skin_of(resting.pose()), rest, atol=0.02)


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_triangles_depend_on_the_hair_style_alone(style):
    usual = Head(Identity(hair_style=style)).pose()
    odd = Head(Identity(hair_style=style, eye_size=1.4, jaw_width=0.8, hair_volume=1.4)).pose()
    np.testing.assert_array_equal(usual.triangles, odd.triangles)
    assert usual.vertices.shape == odd.vertices.shape
    assert np.isfinite(odd.vertices).all()


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float32, (2, 27), elements=st.floats(0, 1, width=32)),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.4, 0.4)),
    st.tuples(*[st.floats(-0.6, 0.6)] * 3),
)
def test_any_activation_gives_a_finite_head(activations, gaze, turn):
    pose = Pose(activations, np.array(gaze), np.array(turn))
    head = _shared_head()
    mesh = head.pose(pose)
    assert np.isfinite(mesh.vertices).all() and np.isfinite(head.landmarks(mesh)).all()
    assert mesh.colours.min() >= 0 and mesh.colours.max() <= 1
    assert np.abs(mesh.vertices).max() < 40


def _shared_head(cache=[]):  # noqa: B006
    if not cache:
        cache.append(Head(BALD))
    return cache[0]


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_face_never_folds(random):
    """Within three quarters of every range the plane is stretched, never turned over."""
    values = {}
    for name, (low, high) in RANGES.items():
        usual = getattr(BALD, name)
        values[name] = usual + 0.75 * (random.choice((low, high)) - usual) * random.random()
    net = template()
    plane = warp(net.points, Identity(**values))

    def areas(points):
        a, b, c = (points[net.triangles[:, corner]] for corner in range(3))
        return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]

    assert (areas(net.points) > 0).all()
    assert (areas(plane) > 0).all()


def test_eyes_follow_the_gaze(head):
    rest, right = head.pose(), head.pose(Pose(gaze=np.array([0.4, 0.0])))
    up = head.pose(Pose(gaze=np.array([0.0, 0.3])))
    pupil = len(template().points)  # the first vertex of the left eyeball is its pupil
    assert right.vertices[pupil, 0] - rest.vertices[pupil, 0] > 0.4
    assert up.vertices[pupil, 1] - rest.vertices[pupil, 1] > 0.3
    lid = lambda mesh: head.landmarks(mesh)[20, 1]  # noqa: E731
    assert lid(up) > lid(rest) + 0.05


def test_lids_stay_outside_of_the_eyeballs(head):
    net = template()
    for units in (Pose(), expression_pose("fear"), expression_pose("anger"), expression_pose("joy")):
        vertices = skin_of(head.pose(units))
        for lids, centre in zip(net.lids, head._skin.lids.centres, strict=True):
            distance = np.linalg.norm(vertices[lids] - centre, axis=1)
            assert distance.min() >= 1.62


def test_lips_never_pass_through_each_other(head):
    net = template()
    for muscles in np.random.default_rng(2).uniform(0, 1, (20, 2, 27)):
        muscles[:, -1] = 0  # the jaw stays shut
        vertices = skin_of(head.pose(Pose(muscles)))
        assert (vertices[net.upper_slit, 1] - vertices[net.lower_slit, 1]).min() > -0.01


def test_turning_the_head(head):
    angles = np.array([0.3, -0.2, 0.1], np.float32)
    rest, turned = skin_of(head.pose()), skin_of(head.pose(Pose(head=angles)))
    # A rigid turn about the pivot: distances from it, and between vertices, stay.
    np.testing.assert_allclose(np.linalg.norm(turned - PIVOT, axis=1), np.linalg.norm(rest - PIVOT, axis=1), rtol=1e-4)
    nose = head.landmarks(Pose(head=np.array([0.3, 0, 0])))[13]
    assert nose[0] > 1  # yaw is to the viewer's right
    assert head.landmarks(Pose(head=np.array([0, 0.3, 0])))[13, 1] > head.landmarks()[13, 1] + 1  # pitch is up
    assert head.landmarks(Pose(head=np.array([0, 0, 0.3])))[0, 1] < head.landmarks(Pose())[0, 1]


def test_jaw_slides_to_the_stronger_side(head):
    both = np.array(Pose().activations)
    both[:, -1] = (0.0, 0.4)
    chin = head.landmarks(Pose(both))[40, 0]
    assert chin > 0.1


def test_identity_shows(head):
    def width(identity, a, b):
        marks = Head(identity).landmarks()
        return abs(marks[b, 0] - marks[a, 0])

    assert width(Identity(mouth_width=1.3), 31, 37) > 1.15 * width(BALD, 31, 37)
    assert width(Identity(eye_size=1.4), 25, 28) > 1.25 * width(BALD, 25, 28)
    assert width(Identity(nose_width=1.5), 14, 18) > 1.2 * width(BALD, 14, 18)
    assert width(Identity(eye_spacing=1.2), 22, 25) > 1.2 * width(BALD, 22, 25)


def test_landmarks_of_another_mesh(head):
    mesh = Head(Identity(hair_style="short")).pose()
    with pytest.raises(UserError, match="vertices"):
        head.landmarks(mesh)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eye_size": 9.0}, "eye_size"),
        ({"jaw_width": float("nan")}, "jaw_width"),
        ({"nose_width": "wide"}, "nose_width"),
        ({"skin": "pink"}, "skin"),
        ({"hair_style": "mullet"}, "mullet"),
    ],
)
def test_bad_identities(values, message):
    with pytest.raises(UserError, match=message):
        Identity(**values)


@pytest.mark.parametrize("style", ["moustache", "goatee", "full"])
def test_beard_grows_before_the_skin_and_goes_with_the_jaw(style):
    head = Head(dataclasses.replace(BALD, beard=style))
    plain = len(Head(BALD).pose().vertices)
    beard = head._beard
    rest, dropped = head.pose(), head.pose(expression_pose("surprise"))
    assert len(rest.vertices) == plain + len(beard.colours)
    start = len(template().points) + len(head._eyes.gloss) + len(head._brows.gloss)
    hair = slice(start, start + len(beard.colours))
    grown = rest.vertices[hair] - skin_of(rest)[beard._vertices]
    assert np.linalg.norm(grown, axis=1).max() > 0.2
    lowest = [mesh.vertices[hair, 1].min() for mesh in (rest, dropped)]
    assert lowest[1] < lowest[0] - (0.1 if style == "moustache" else 1.0)


@pytest.mark.parametrize("style", ["round", "square"])
def test_glasses_sit_before_the_face(style, head):
    identity = dataclasses.replace(BALD, glasses=style)
    worn = glasses(identity)
    assert len(Head(identity).pose().vertices) == len(head.pose().vertices) + len(worn.vertices)
    before = worn.vertices[np.abs(worn.vertices[:, 0]) < 5]
    assert before[:, 2].min() > 1.62  # the eyeballs' radius
    skin = skin_of(head.pose())
    for side in (-1, 1):
        pupil = np.array([3.15 * side, 0])
        rim = worn.vertices[np.sign(worn.vertices[:, 0]) == side, :2] - pupil
        angle = np.arctan2(rim[:, 1], rim[:, 0])
        assert np.diff(np.sort(angle)).max() < 0.8  # it goes all round the eye
    assert before[:, 2].max() < skin[:, 2].max() + 1


def test_colours_become_linear_light():
    # IEC 61966-2-1: 0x80 is ((128/255 + 0.055)/1.055)^2.4, 0x08 lies on the straight part.
    np.testing.assert_allclose(linear_rgb("#80ff08"), [0.21586, 1.0, 8 / 255 / 12.92], rtol=1e-4)
