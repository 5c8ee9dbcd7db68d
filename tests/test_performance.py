"""From frames to answers: stages one by one, on features whose answers are known."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.faces import tracking
from pydeepexpr.performance import answer_frames, describe_frames, follow_faces, perform, smooth_frames
from pydeepexpr.pipeline import Query, Retriever
from pydeepexpr.video import Frame


def frames(count: int) -> list[Frame]:
    return [Frame(number, number / 25, np.full((8, 8, 3), number % 256, np.uint8)) for number in range(count)]


def made_face(image: np.ndarray, left: float = 0.0, score: float = 1.0) -> faces.Face:
    box = np.array([left, 0, left + 8, 8], np.float32)
    return faces.Face(image, box, score, np.zeros((49, 2)), np.full(9, 0.5), np.eye(2, 3), 2.0, stand_in=False)


@pytest.fixture
def queries(tiny):
    """The images of the store as faces of one person."""
    described = tiny.recogniser.features(tiny.faces)
    nothing = np.empty(0)
    return [
        Query("", nothing, nothing, nothing, geometry, 1.0, 2.0, fc6, prob, stand_in=False)
        for fc6, prob, geometry in zip(*described, tiny.geometry, strict=True)
    ]


@pytest.fixture
def retrievers(tiny):
    return {"a": Retriever(tiny.store, tiny.recogniser), "b": Retriever(tiny.store, tiny.recogniser, beta=0)}


def rows(moments, store="a"):
    """The chosen rows of the first face of each frame."""
    return [moment.answers[0].matches[store][0].row if moment.answers else None for moment in moments]


class FakeTracker:
    """Says who is there in each frame, as it was told."""

    script: tuple[dict[int, float], ...] = ()  # left edges by identity

    def __init__(self, every):
        self.told, self.known = iter(self.script), set()

    def follow(self, image):
        here = next(self.told)
        self.known |= set(here)
        return [tracking.TrackedFace(number, made_face(image, left)) for number, left in here.items()]


def test_the_best_face_stays_the_one_until_it_is_forgotten(monkeypatch):
    monkeypatch.setattr(tracking, "Tracker", FakeTracker)
    monkeypatch.setattr(FakeTracker, "script", ({}, {0: 0.0}, {0: 0.0, 1: 9.0}, {1: 9.0}, {0: 0.0, 1: 9.0}))
    best = [list(found) for _, found in follow_faces(frames(5))]
    assert best == [[], [0], [0], [], [0]]
    everyone = [list(found) for _, found in follow_faces(frames(5), which="all")]
    assert everyone == [[], [0], [0, 1], [1], [0, 1]]


@pytest.mark.parametrize("kind", ["cropped", "character", "as-is"])
def test_frames_that_are_faces_already_are_taken_one_by_one(monkeypatch, kind):
    monkeypatch.setattr(faces, "analyse", lambda image, **options: [made_face(image), made_face(image)])
    found = [(frame.number, list(those)) for frame, those in follow_faces(frames(3), kind=kind)]
    assert found == [(0, [0]), (1, [0]), (2, [0])]


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_faces_come_out_with_their_frames_and_numbers_whatever_the_batch(tiny, batch):
    """The frames have 0, 1, 2, 0, 1, 2 … faces; the network sees each once."""
    followed = []
    for frame in frames(8):
        pictures = tiny.faces[frame.number : frame.number + frame.number % 3]
        followed.append((frame, {7 + number: made_face(picture) for number, picture in enumerate(pictures)}))
    described = list(describe_frames(followed, tiny.recogniser, "film", batch))
    assert [frame.number for frame, _ in described] == list(range(8))
    expected = tiny.recogniser.features(tiny.faces)[0]
    for frame, queries in described:
        assert [query.number for query in queries] == [7, 8][: frame.number % 3]
        for number, query in enumerate(queries):
            np.testing.assert_allclose(query.fc6, expected[frame.number + number], rtol=1e-5, atol=1e-6)
            assert query.name == "film" and query.others == frame.number % 3 - 1


def test_frames_by_themselves_find_what_photographs_find(retrievers, queries):
    described = [(frame, [query]) for frame, query in zip(frames(23), queries, strict=True)]
    moments = list(answer_frames(described, retrievers, 3))
    for moment, query in zip(moments, queries, strict=True):
        for name, retriever in retrievers.items():
            assert str(moment.answers[0].matches[name]) == str(retriever.retrieve(query, 3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    order=st.lists(st.integers(0, 22), min_size=1, max_size=12), candidates=st.integers(1, 23), lag=st.integers(0, 9)
)
def test_smoothing_of_strength_0_is_none(retrievers, queries, order, candidates, lag):
    described = [(frame, [queries[row]]) for frame, row in zip(frames(len(order)), order, strict=True)]
    smoothed = list(smooth_frames(described, retrievers, 0.0, candidates, lag))
    alone = list(answer_frames(described, retrievers))
    assert str(smoothed) == str(alone)


def test_a_great_strength_holds_one_frame_throughout(retrievers, queries):
    described = [(frame, [queries[row]]) for frame, row in zip(frames(15), [3, 9, 3, 5] * 4, strict=False)]
    for lag in (0, 4, 30):
        moments = list(smooth_frames(described, retrievers, 1e4, 23, lag))
        assert [len(set(rows(moments, store))) for store in retrievers] == [1, 1]


def test_one_frame_of_another_expression_does_not_show(tiny, queries):
    """It is not even among the candidates of its neighbours: theirs stay eligible for it."""
    retriever = {"a": Retriever(tiny.store, tiny.recogniser, beta=0)}
    described = [(frame, [queries[row]]) for frame, row in zip(frames(9), [3] * 4 + [9] + [3] * 4, strict=True)]
    assert rows(answer_frames(described, retriever)) == [3] * 4 + [9] + [3] * 4
    assert rows(smooth_frames(described, retriever, 5.0, candidates=1)) == [3] * 9


def test_after_a_gap_a_face_begins_anew_and_faces_do_not_mix(tiny, queries):
    retriever = {"a": Retriever(tiny.store, tiny.recogniser, beta=0)}
    second = dataclasses.replace(queries[9], number=1)
    described = [(frame, [queries[3], second]) for frame in frames(3)]
    described += [(frame, []) for frame in frames(5)[3:]]
    described += [(frame, [queries[5]]) for frame in frames(8)[5:]]
    moments = list(smooth_frames(described, retriever, 1e4, 23))
    assert [moment.frame.number for moment in moments] == list(range(8))
    found = [[answer.matches["a"][0].row for answer in moment.answers] for moment in moments]
    assert found == [[3, 9]] * 3 + [[]] * 2 + [[5]] * 3


@pytest.mark.parametrize("lag", [0, 2, 7])
def test_answers_wait_for_the_lag_and_no_longer(retrievers, queries, lag):
    """Of the frames that were taken, `lag` are open: memory does not grow with the video."""
    taken = []

    def described():
        for frame in frames(40):
            taken.append(frame.number)
            yield frame, [queries[frame.number % 23]]

    for moment in smooth_frames(described(), retrievers, 1.0, 5, lag):
        assert len(taken) - 1 - moment.frame.number <= lag


def test_a_query_without_geometry_is_smoothed_by_divergence_alone(tiny, queries):
    unknown = [dataclasses.replace(query, geometry=np.full(9, np.nan)) for query in queries]
    described = [(frame, [query]) for frame, query in zip(frames(23), unknown, strict=True)]
    moments = list(smooth_frames(described, {"a": Retriever(tiny.store, tiny.recogniser)}, 1e-9))
    assert rows(moments) == list(range(23))


def test_all_together(tiny, retrievers, monkeypatch):
    """Frames of whole faces through every stage, without their pixels at the end."""
    monkeypatch.setattr(faces, "analyse", lambda image, **options: [made_face(image)])
    film = [Frame(number, number / 25, tiny.faces[row]) for number, row in enumerate([4, 4, 8, 8])]
    by_js = {"b": retrievers["b"]}
    for live in (False, True):
        moments = list(perform(film, by_js, kind="as-is", strength=1e-9, live=live, keep_images=False))
        assert rows(moments, "b") == [4, 4, 8, 8]
        assert [moment.frame for moment in moments] == [frame._replace(image=None) for frame in film]
    alone = list(perform(film, by_js, kind="as-is", strength=0, k=3))
    assert [len(moment.answers[0].matches["b"]) for moment in alone] == [3] * 4
    assert alone[0].frame.image is film[0].image


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 2, "strength": 1.0}, "smoothing chooses one match a frame, not 2"),
        ({"strength": -1.0}, "strength of smoothing must be"),
        ({"candidates": 0}, "needs at least 1 candidate"),
        ({"every": 0}, "give 1, 0 or more"),
        ({"kind": "film"}, "no query is of the kind 'film'"),
    ],
)
def test_options_that_make_no_sense(tiny, retrievers, options, message):
    with pytest.raises(UserError, match=message):
        list(perform([Frame(0, 0.0, tiny.faces[0])], retrievers, **({"kind": "as-is"} | options)))


def test_a_camera_waits_for_nothing(tiny, retrievers, monkeypatch):
    """Live, the frame that was taken is answered before the next one is, but for the lag."""
    monkeypatch.setattr(faces, "analyse", lambda image, **options: [made_face(image)])
    taken = SimpleNamespace(count=0)

    def camera():
        for number in range(5):
            taken.count += 1
            yield Frame(number, number / 25, tiny.faces[number])

    for moment in perform(camera(), retrievers, kind="as-is", strength=0, live=True):
        assert taken.count == moment.frame.number + 1
