"""Following faces: identities and landmarks, on made-up faces whose places are known and on a real one that moves."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.faces import Detection, find_landmarks, mean_face
from pydeepexpr.faces.tracking import Tracker, associate, overlap

SIDE = 60  # of a made-up face's box


def texture(seed: int) -> np.ndarray:
    """What a made-up face looks like."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


class Stage:
    """A plain room with made-up faces, a detector that sees what it is told to, and landmarks that fill a box."""

    def __init__(self, every=5, patience=3):
        self.faces: dict[str, tuple[float, float]] = {}  # left and top edge by who it is
        self.scores: dict[str, float] = {}
        self.hidden: set[str] = set()  # from the detector
        self.detections = 0
        self.tracker = Tracker(every, patience, detect=self.detect, landmarks=self.landmarks)

    def boxes(self):
        return {who: np.array([x, y, x + SIDE, y + SIDE], np.float32) for who, (x, y) in self.faces.items()}

    def detect(self, image):
        self.detections += 1
        seen = {who: box for who, box in self.boxes().items() if who not in self.hidden}
        return [Detection(box, self.scores.get(who, 1.0)) for who, box in seen.items()]

    def landmarks(self, image, box):
        """Those of the face nearest to the box, as a landmark model finds them if the box is not far off."""
        near = [real for real in self.boxes().values() if np.abs(real - box).max() < SIDE / 3]
        left, top, right, bottom = near[0] if near else box
        points = (mean_face() / 256 * (right - left, bottom - top) + (left, top)).astype(np.float32)
        return points

    def frame(self):
        """Show one frame; return who has which number, by the boxes."""
        image = np.full((240, 320, 3), 128, np.uint8)
        for who, (x, y) in self.faces.items():
            left, top = round(x), round(y)
            part = image[max(top, 0) : top + SIDE, max(left, 0) : left + SIDE]
            part[:] = texture(ord(who))[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
        said = {}
        for tracked in self.tracker.follow(image):
            gaps = {who: np.abs(box - tracked.face.box).max() for who, box in self.boxes().items()}
            nearest = min(gaps, key=gaps.get, default=None)
            said[nearest if gaps and gaps[nearest] < 3 else "nobody"] = tracked.number
        return said


def test_identities_stay_while_faces_cross_the_room():
    stage = Stage()
    for step in range(24):
        stage.faces = {"a": (10 + 6 * step, 20), "b": (250 - 6 * step, 140)}
        assert stage.frame() == {"a": 0, "b": 1}
    assert stage.detections == 5  # frames 0, 5, 10, 15, 20


@pytest.mark.parametrize(("every", "expected"), [(1, 12), (3, 4), (50, 1)])
def test_detections_are_as_far_apart_as_asked(every, expected):
    stage = Stage(every)
    for step in range(12):
        stage.faces = {"a": (10 + 4 * step, 20)}
        assert stage.frame() == {"a": 0}
    assert stage.detections == expected


def test_without_a_face_detections_stay_far_apart():
    stage = Stage(every=4)
    assert [stage.frame() for _ in range(8)] == [{}] * 8
    assert stage.detections == 2


def test_a_new_face_gets_the_next_number_at_the_next_detection():
    stage = Stage(every=4)
    stage.faces = {"a": (10, 20)}
    said = [stage.frame()]
    stage.faces["b"] = (200, 100)
    said += [stage.frame() for _ in range(4)]
    assert said == [{"a": 0}] * 4 + [{"a": 0, "b": 1}]


def test_a_face_that_leaves_is_lost_at_once_and_back_soon_is_the_same():
    """What its landmarks would frame then is the plain wall, which does not resemble it."""
    stage = Stage(every=10, patience=3)
    stage.faces = {"a": (10, 20)}
    assert stage.frame() == stage.frame() == {"a": 0}
    stage.faces = {}
    assert stage.frame() == stage.frame() == {}
    stage.faces = {"a": (16, 24)}
    assert stage.frame() == {"a": 0}
    assert stage.tracker.known == {0}


def test_a_face_that_stays_away_is_forgotten():
    stage = Stage(every=2, patience=3)
    stage.faces = {"a": (10, 20)}
    stage.frame()
    stage.faces = {}
    for _ in range(4):
        assert stage.frame() == {}
    assert stage.tracker.known == set()
    stage.faces = {"a": (10, 20)}
    said = [stage.frame() for _ in range(2)]
    assert said[-1] == {"a": 1}


def test_a_cut_to_another_face_in_the_same_place_is_noticed_in_that_frame():
    stage = Stage(every=10)
    stage.faces = {"a": (100, 80)}
    stage.frame()
    before = stage.detections
    stage.faces = {"b": (100, 80)}
    stage.frame()
    assert stage.detections == before + 1


def test_a_face_that_the_detector_misses_once_is_followed_on_and_missed_twice_is_lost():
    stage = Stage(every=3, patience=20)
    stage.faces = {"a": (100, 80)}
    stage.frame()
    stage.hidden = {"a"}
    said = [stage.frame() for _ in range(9)]
    assert said == [{"a": 0}] * 5 + [{}] * 4


def test_a_faint_detection_keeps_a_face_but_begins_none():
    stage = Stage(every=1)
    stage.faces, stage.scores = {"a": (100, 80)}, {"a": -0.2}
    assert stage.frame() == {}
    stage.scores = {"a": 0.5}
    assert stage.frame() == {"a": 0}
    stage.scores = {"a": -0.2}
    assert [stage.frame() for _ in range(5)] == [{"a": 0}] * 5


def test_landmarks_that_do_not_fit_a_face_are_none():
    stage = Stage(every=1)
    stage.faces = {"a": (100, 80)}
    stage.frame()
    points = stage.landmarks(None, stage.boxes()["a"])
    scrambled = points[np.random.default_rng(0).permutation(49)]
    stage.tracker._landmarks = lambda image, box: scrambled
    assert stage.frame() == {}


def test_a_face_that_has_slid_out_of_the_picture_is_lost():
    stage = Stage(every=3)
    for step in range(20):
        stage.faces = {"a": (200 + 8 * step, 80)}
        said = stage.frame()
        assert not said or stage.faces["a"][0] + SIDE / 2 < 320
    assert said == {}


def test_two_tracks_on_one_face_become_the_older_one():
    stage = Stage(every=100)
    stage.faces = {"a": (40, 80), "b": (120, 80)}
    assert stage.frame() == {"a": 0, "b": 1}
    stage.faces = {"a": (40, 80)}
    stage.tracker._tracks[1].face = stage.tracker._tracks[0].face  # as if b's landmarks had jumped onto a
    assert stage.frame() == {"a": 0}
    assert stage.tracker.known == {0}


boxes = st.lists(
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 60), st.floats(1, 60)).map(
        lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
    ),
    max_size=5,
).map(lambda some: np.array(some).reshape(-1, 4))


@settings(deadline=None)
@given(boxes, boxes)
def test_overlap_by_its_properties(some, others):
    shared = overlap(some, others)
    assert shared.shape == (len(some), len(others)) and (shared >= 0).all() and (shared <= 1 + 1e-9).all()
    np.testing.assert_allclose(shared, overlap(others, some).T)
    np.testing.assert_allclose(shared, overlap(some * 3 + 7, others * 3 + 7), atol=1e-9)
    np.testing.assert_allclose(np.diag(overlap(some, some)), 1.0)


def test_overlap_by_hand():
    shared = overlap(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [2, 0, 4, 2], [0, 0, 1, 1], [5, 5, 6, 6]]))
    np.testing.assert_allclose(shared, [[1 / 3, 0, 1 / 4, 0]])


@settings(deadline=None)
@given(boxes, boxes)
def test_no_box_is_taken_twice_and_none_that_hardly_overlaps(some, others):
    pairs = associate(some, others, least=0.3)
    assert len(set(pairs.values())) == len(pairs)
    shared = overlap(some, others)
    assert all(shared[pair] >= 0.3 for pair in pairs.items())


def test_pairs_overlap_most_in_sum():
    """The first track alone would take box 0, and leave the second one nothing."""
    tracks = np.array([[0, 0, 10, 10], [-4, 0, 6, 10]])
    candidates = np.array([[-1, 0, 9, 10], [2, 0, 12, 10]])
    assert associate(tracks, candidates) == {0: 1, 1: 0}


@pytest.mark.parametrize(("every", "patience"), [(0, 3), (-1, 3), (5, -1)])
def test_numbers_that_make_no_sense(every, patience):
    with pytest.raises(UserError, match="give 1, 0 or more"):
        Tracker(every, patience)


def test_a_real_face_that_moves_over_a_background():
    """NASA's portrait of Eileen Collins slides, grows and tilts; its landmarks are those of the unmoved portrait."""
    data = pytest.importorskip("skimage.data", reason="scikit-image carries the photograph")
    portrait = np.ascontiguousarray(data.astronaut()[:280, 90:370, ::-1])
    background = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (360, 480, 3), dtype=np.uint8), (0, 0), 9)
    reference = find_landmarks(portrait, np.array([84.0, 67, 184, 167]))
    tracker, errors = Tracker(every=8), []
    for step in range(16):
        scale, angle = 1 + 0.01 * step, 0.6 * step
        matrix = cv2.getRotationMatrix2D((140, 140), angle, scale)
        matrix[:, 2] += (20 + 4 * step, 30 + 2 * step)
        frame = cv2.warpAffine(portrait, matrix, (480, 360), background.copy(), borderMode=cv2.BORDER_TRANSPARENT)
        (tracked,) = tracker.follow(frame)
        assert tracked.number == 0 and np.isfinite(tracked.face.score)
        moved = reference @ matrix[:, :2].T + matrix[:, 2]
        errors.append(np.linalg.norm(tracked.face.landmarks - moved, axis=1).mean() / scale)
    assert max(errors) < 4  # pixels; the eyes are 45 apart
