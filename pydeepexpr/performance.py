"""From the frames of a video to characters' answers, as a stream: what one stage yields, the next one takes.

    frames → follow_faces → describe_frames → answer_frames, or smooth_frames → tables, clips, sequences

`perform` puts them together. Each stage holds a few frames and no more, however long the video, so that a camera may
run for hours.
"""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.pipeline import Match, Query, Ranking, Recogniser, Retriever
from pydeepexpr.queries import describe, find_faces
from pydeepexpr.retrieval.smoothing import Smoother
from pydeepexpr.video import Frame

if TYPE_CHECKING:
    from pydeepexpr.faces import Face

__all__ = [
    "CANDIDATES",
    "FACES",
    "LAG",
    "STRENGTH",
    "Answer",
    "Moment",
    "answer_frames",
    "describe_frames",
    "follow_faces",
    "perform",
    "smooth_frames",
]

#: Which faces of a frame are asked for: one, the best, for as long as it is followed; or all of them.
FACES = ("best", "all")

#: Chosen by eye and by count on a rendered performer (docs/video.md).
STRENGTH = 2.0

#: Matches of each frame that may be chosen, and as many of those that were good for the frames before.
CANDIDATES = 20

#: Frames that a choice waits for: a second.
LAG = 25

_BATCH = 16  # frames that go through the network together


class Answer(NamedTuple):
    """What some stores answer to one face."""

    query: Query  #: of a video its `number` is the face's identity, from 0 in the order of appearance
    matches: dict[str, list[Match]]  #: by the store's name, best first


class Moment(NamedTuple):
    """A frame and the answers to its faces; without a face there are none."""

    frame: Frame
    answers: list[Answer]


def perform(
    frames: Iterable[Frame],
    retrievers: Mapping[str, Retriever],
    *,
    name: str = "",
    kind: str = "photograph",
    which: str = "best",
    every: int = 5,
    strength: float = STRENGTH,
    candidates: int = CANDIDATES,
    k: int = 1,
    live: bool = False,
    keep_images: bool = True,
) -> Iterator[Moment]:
    """Answer the frames of a video.

    Parameters
    ----------
    frames : iterable of Frame
    retrievers : mapping of str to Retriever
        By the store's name, all with the same network.
    name : str
        What the video is called.
    kind, which, every
        See `follow_faces`.
    strength, candidates
        See `smooth_frames`.
    k : int
        Matches a face and store; several only with a strength of 0.
    live : bool
        Frames come as they happen: none waits for others before it goes through the network.
    keep_images : bool
        Moments carry the pixels of their frames.

    Raises
    ------
    UserError
        If an option is out of range.
    """
    if k > 1 and strength:
        raise UserError(f"smoothing chooses one match a frame, not {k}; ask for one, or smooth with a strength of 0")
    if candidates < 1:
        raise UserError(f"smoothing needs at least 1 candidate a frame, not {candidates}")
    recogniser = next(iter(retrievers.values())).recogniser
    followed = follow_faces(frames, kind=kind, which=which, every=every)
    if not keep_images:
        followed = ((frame._replace(image=None), faces) for frame, faces in followed)
    described = describe_frames(followed, recogniser, name, 1 if live else _BATCH)
    if strength:
        return smooth_frames(described, retrievers, strength, candidates)
    return answer_frames(described, retrievers, k)


def follow_faces(
    frames: Iterable[Frame], *, kind: str = "photograph", which: str = "best", every: int = 5
) -> Iterator[tuple[Frame, "dict[int, Face]"]]:
    """Find the faces of each frame, and who is who.

    Parameters
    ----------
    frames : iterable of Frame
    kind : {'photograph', 'cropped', 'character', 'as-is'}
        Faces of photographs are followed from frame to frame (`faces.tracking`). Of any other kind, each frame is an
        image by itself, whose best face has the identity 0.
    which : {'best', 'all'}
        See `FACES`.
    every : int
        Frames from one detection to the next.

    Yields
    ------
    Frame, dict of int to Face
        Faces by their identities.
    """
    from pydeepexpr.faces import merit
    from pydeepexpr.faces.tracking import Tracker

    tracker, chosen = Tracker(every), None
    for frame in frames:
        if kind != "photograph":
            yield frame, dict(enumerate(find_faces(frame.image, kind)[:1]))
            continue
        faces = {tracked.number: tracked.face for tracked in tracker.follow(frame.image)}
        if which == "best":
            if chosen not in tracker.known:
                chosen = max(faces, key=lambda number: merit(faces[number].box, faces[number].score), default=None)
            faces = {number: face for number, face in faces.items() if number == chosen}
        yield frame, faces


def describe_frames(
    followed: "Iterable[tuple[Frame, dict[int, Face]]]", recogniser: Recogniser, name: str = "", batch: int = _BATCH
) -> Iterator[tuple[Frame, list[Query]]]:
    """Describe the faces of each frame; those of `batch` frames go through the network together.

    Yields
    ------
    Frame, list of Query
        In the order of their identities, which are their `number`.
    """
    followed = iter(followed)
    while some := list(islice(followed, batch)):
        queries = iter(describe(recogniser, [face for _, faces in some for face in faces.values()], name))
        for frame, faces in some:
            yield frame, [dataclasses.replace(next(queries), number=n, others=len(faces) - 1) for n in faces]


def answer_frames(
    described: Iterable[tuple[Frame, list[Query]]], retrievers: Mapping[str, Retriever], k: int = 1
) -> Iterator[Moment]:
    """Retrieve for each frame by itself the k best matches in each store."""
    for frame, queries in described:
        answers = [
            Answer(query, {name: one.retrieve(query, k) for name, one in retrievers.items()}) for query in queries
        ]
        yield Moment(frame, answers)


def smooth_frames(
    described: Iterable[tuple[Frame, list[Query]]],
    retrievers: Mapping[str, Retriever],
    strength: float = STRENGTH,
    candidates: int = CANDIDATES,
    lag: int = LAG,
) -> Iterator[Moment]:
    """Retrieve one match a frame, face and store, so that a character does not flicker.

    The distance of a match from its frame is φ, but not less than that of any match ranked before it, so that a
    strength of 0 gives what `answer_frames` gives. A face that was lost for a frame begins anew.

    Parameters
    ----------
    described : iterable of (Frame, list of Query)
    retrievers : mapping of str to Retriever
        By the store's name.
    strength, lag
        See `Smoother`.
    candidates : int
        How many of each frame's best matches may be chosen; as many of the frames before stay eligible.

    Yields
    ------
    Moment
        In the order of the frames, `lag` frames later, with one match a store.
    """
    threads: dict[tuple[int, str], _Thread] = {}
    open_moments: deque[Moment] = deque()
    for frame, queries in described:
        here = {query.number for query in queries}
        for key in [key for key in threads if key[0] not in here]:
            threads.pop(key).finish()
        moment = Moment(frame, [Answer(query, {}) for query in queries])
        open_moments.append(moment)
        for answer in moment.answers:
            for name, retriever in retrievers.items():
                key = (answer.query.number, name)
                if key not in threads:
                    threads[key] = _Thread(name, retriever, candidates, Smoother(strength, lag))
                threads[key].add(answer)
        while open_moments and _is_answered(open_moments[0], len(retrievers)):
            yield open_moments.popleft()
    for thread in threads.values():
        thread.finish()
    yield from open_moments


class _Thread:
    """The matches of one face in one store, from frame to frame."""

    def __init__(self, name: str, retriever: Retriever, candidates: int, smoother: Smoother) -> None:
        self._name, self._retriever, self._candidates, self._smoother = name, retriever, candidates, smoother
        self._waiting: deque[tuple[Answer, list[Match]]] = deque()
        self._held = np.empty(0, np.int64)  # rows that were good for the frames before

    def add(self, answer: Answer) -> None:
        """Take the next frame's face, and give the one that is due its match."""
        ranking = self._retriever.rank(answer.query)
        places = np.arange(len(ranking.order))
        eligible = (places < self._candidates) | np.isin(ranking.order, self._held)
        places = places[eligible]
        rows = ranking.order[places]
        self._waiting.append((answer, self._retriever.matches_at(ranking, places)))
        chosen = self._smoother.add(
            _distances(ranking, self._retriever.alpha)[places], self._retriever.distributions(rows)
        )
        self._held = rows[self._smoother.best(self._candidates)]
        if chosen is not None:
            self._give(chosen)

    def finish(self) -> None:
        """Give all that wait their matches."""
        for chosen in self._smoother.finish():
            self._give(chosen)

    def _give(self, chosen: int) -> None:
        answer, matches = self._waiting.popleft()
        answer.matches[self._name] = [matches[chosen]]


def _distances(ranking: Ranking, alpha: float) -> np.ndarray:
    """Return by place φ, or where geometry is unknown α·JS, but not less than at any place before."""
    phi = np.where(np.isnan(ranking.phi), alpha * ranking.divergence, ranking.phi)
    return np.maximum.accumulate(phi[ranking.order])


def _is_answered(moment: Moment, stores: int) -> bool:
    return all(len(answer.matches) == stores for answer in moment.answers)
