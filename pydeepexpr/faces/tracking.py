"""Follow faces from frame to frame: who is who, and landmarks without a detection in every frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from pydeepexpr.errors import UserError
from pydeepexpr.faces.analyse import Face, face_at
from pydeepexpr.faces.detect import Detection, detect
from pydeepexpr.faces.landmarks import find_landmarks
from pydeepexpr.faces.registration import DegenerateLandmarks

__all__ = ["TrackedFace", "Tracker", "associate", "overlap"]

# A faint detection proves that a followed face is still there, but begins no new one (Zhang et al., "ByteTrack", ECCV
# 2022).
_FAINT_SCORE, _NEW_SCORE = -0.4, 0.0

# Boxes of one face in neighbouring frames overlap at least so much; two followed faces that overlap more are one.
_SAME_FACE, _DOUBLE = 0.3, 0.6

# The registered face correlates with the one a frame before. Less than this, and the landmarks have slipped off, or
# the scene was cut.
_LEAST_RESEMBLANCE = 0.7
_RESEMBLANCE_SIZE = 32

_WORST_FIT = 11.0  # pixels of the registered face: beyond, landmarks are not to be trusted

# Nose and eyes: the landmarks that tell where a face is and how large, whatever it expresses.
_STEADY = slice(10, 31)

Detect = Callable[[np.ndarray], Sequence[Detection]]
Landmark = Callable[[np.ndarray, np.ndarray], np.ndarray]


class TrackedFace(NamedTuple):
    """A face of one frame, and whose it is."""

    number: int  #: identity, from 0 in the order of appearance
    face: Face  #: its `score` is the detector's when it last saw this face


@dataclass
class _Track:
    number: int
    face: Face
    place: np.ndarray  # (4,): the detector's box, seen from the steady landmarks (`_place`)
    seen: int  # the number of the frame that showed it last
    detected: int  # and of the one in which the detector found it last


def _find_even_faint(image: np.ndarray) -> list[Detection]:
    return detect(image, threshold=_FAINT_SCORE)


class Tracker:
    """Follows the faces of a video, one frame after the other.

    Every few frames, and as soon as a face is lost, faces are detected; detections take over the identities of the
    faces that they overlap most. In between, a face's landmarks are looked for where the last frame had them, which
    costs a tenth of a detection. A face is lost where its landmarks do not fit a face, where what they frame no longer
    resembles the frame before, and where the detector has missed it twice.

    Parameters
    ----------
    every : int
        Frames from one detection to the next, at least 1.
    patience : int
        Frames after which a lost face is forgotten. Found again before that, it keeps its identity.
    alignment : {"affine", "similarity", "none"}
        How faces are registered (`ALIGNMENTS`).
    detect, landmarks : callable
        Functions of the image to detections, the best first, and of the image and a box to 49 landmarks.

    Raises
    ------
    UserError
        If `every` or `patience` is out of range.
    """

    def __init__(
        self,
        every: int = 5,
        patience: int = 12,
        alignment: str = "affine",
        *,
        detect: Detect = _find_even_faint,
        landmarks: Landmark = find_landmarks,
    ) -> None:
        if every < 1 or patience < 0:
            raise UserError(
                f"detections every {every} frames and a patience of {patience} cannot be; give 1, 0 or more"
            )
        self._every, self._patience, self._alignment = every, patience, alignment
        self._detect, self._landmarks = detect, landmarks
        self._tracks: list[_Track] = []
        self._identities = 0
        self._now = -1
        self._next_detection = 0

    @property
    def known(self) -> set[int]:
        """The identities that are followed, or lost and not yet forgotten."""
        return {track.number for track in self._tracks}

    def follow(self, image: np.ndarray) -> list[TrackedFace]:
        """Return the faces of the next frame, in the order of their identities.

        Parameters
        ----------
        image : (H, W, 3) uint8
            BGR.
        """
        self._now += 1
        if self._now < self._next_detection and self._all_seen_in(self._now - 1):
            for track in self._tracks:
                self._go_on(track, image)
        if self._now >= self._next_detection or not self._all_seen_in(self._now):
            self._look_again(image)
            self._next_detection = self._now + self._every
        self._tracks = [track for track in _distinct(self._tracks) if self._now - track.seen <= self._patience]
        return [TrackedFace(track.number, track.face) for track in self._tracks if track.seen == self._now]

    def _all_seen_in(self, frame: int) -> bool:
        return all(track.seen >= frame for track in self._tracks)

    def _go_on(self, track: _Track, image: np.ndarray) -> None:
        """Look for a face where the last frame had it."""
        if self._now - track.detected >= 2 * self._every:
            return
        face = self._face(image, _box_at(track.face.landmarks, track.place))
        if face and _resemblance(face.registered, track.face.registered) >= _LEAST_RESEMBLANCE:
            box = _box_at(face.landmarks, track.place).astype(np.float32)
            track.face, track.seen = face._replace(box=box, score=track.face.score), self._now

    def _look_again(self, image: np.ndarray) -> None:
        """Detect: renew the tracks that are found, go on with those that are not, and begin new ones."""
        found = self._detect(image)
        boxes = np.array([one.box for one in found]).reshape(-1, 4)
        renewed = associate(np.array([track.face.box for track in self._tracks]).reshape(-1, 4), boxes)
        for number, track in enumerate(self._tracks):
            if number in renewed and (face := self._face(image, *found[renewed[number]])):
                track.face, track.place = face, _place(face.box, face.landmarks)
                track.seen = track.detected = self._now
            elif track.seen == self._now - 1:
                self._go_on(track, image)
        for number, one in enumerate(found):
            if number not in renewed.values() and one.score >= _NEW_SCORE and (face := self._face(image, *one)):
                place = _place(face.box, face.landmarks)
                self._tracks.append(_Track(self._identities, face, place, self._now, self._now))
                self._identities += 1

    def _face(self, image: np.ndarray, box: np.ndarray, score: float = float("nan")) -> Face | None:
        """Return the face in a box; None where there is none to be trusted."""
        height, width = image.shape[:2]
        middle = (box[:2] + box[2:]) / 2
        if not (np.isfinite(box).all() and (middle >= 0).all() and (middle < (width, height)).all()):
            return None
        try:
            face = face_at(image, self._landmarks(image, box), alignment=self._alignment)
        except DegenerateLandmarks:
            return None
        return face._replace(box=np.asarray(box, np.float32), score=score) if face.error <= _WORST_FIT else None


def associate(tracks: np.ndarray, boxes: np.ndarray, least: float = _SAME_FACE) -> dict[int, int]:
    """Pair boxes of one frame with those of another so that they overlap most in sum.

    Parameters
    ----------
    tracks, boxes : (T, 4) and (B, 4) arrays
        Left, top, right, bottom.
    least : float
        Boxes that overlap less are no pair.

    Returns
    -------
    dict of int to int
        Numbers of boxes by numbers of tracks.
    """
    shared = overlap(tracks, boxes)
    return {int(t): int(b) for t, b in zip(*linear_sum_assignment(-shared), strict=True) if shared[t, b] >= least}


def overlap(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the overlap of boxes, their intersection over their union.

    Parameters
    ----------
    some, others : (S, 4) and (O, 4) arrays
        Left, top, right, bottom; right > left, bottom > top.

    Returns
    -------
    (S, O) float64 array
        0, apart, to 1, equal.
    """
    some, others = np.asarray(some, np.float64)[:, None], np.asarray(others, np.float64)[None]
    sides = np.minimum(some[..., 2:], others[..., 2:]) - np.maximum(some[..., :2], others[..., :2])
    intersection = np.clip(sides, 0, None).prod(axis=-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (some, others)]
    return intersection / (areas[0] + areas[1] - intersection)


def _distinct(tracks: list[_Track]) -> list[_Track]:
    """Return the tracks without those that have come upon the face of an older one."""
    kept: list[_Track] = []
    for track in tracks:
        seen_too = [other.face.box for other in kept if other.seen == track.seen]
        if not seen_too or overlap(track.face.box[None], np.array(seen_too)).max() < _DOUBLE:
            kept.append(track)
    return kept


def _spread(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the middle of the steady landmarks and their root mean square distance from it."""
    steady = np.asarray(landmarks, np.float64)[_STEADY]
    middle = steady.mean(axis=0)
    return middle, float(np.sqrt(((steady - middle) ** 2).sum(axis=1).mean()))


def _place(box: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    middle, size = _spread(landmarks)
    return (np.asarray(box, np.float64) - np.tile(middle, 2)) / size


def _box_at(landmarks: np.ndarray, place: np.ndarray) -> np.ndarray:
    middle, size = _spread(landmarks)
    return place * size + np.tile(middle, 2)


def _resemblance(face: np.ndarray, before: np.ndarray) -> float:
    """Return the correlation of two registered faces in grey, −1 to 1."""
    small = [
        cv2.resize(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), (_RESEMBLANCE_SIZE,) * 2, interpolation=cv2.INTER_AREA)
        for one in (face, before)
    ]
    deviations = [one - one.mean() for one in small]
    norms = np.linalg.norm(deviations[0]) * np.linalg.norm(deviations[1])
    return float((deviations[0] * deviations[1]).sum() / norms) if norms > 0 else 0.0
