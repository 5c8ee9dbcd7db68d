"""From a photograph to its registered faces, in one call."""

from typing import NamedTuple

import numpy as np

from pydeepexpr.faces.detect import Detection, detect
from pydeepexpr.faces.geometry import GEOMETRY, geometry
from pydeepexpr.faces.landmarks import find_landmarks
from pydeepexpr.faces.registration import (
    DegenerateLandmarks,
    fit_error,
    registration_matrix,
    warp_face,
    whole_image,
    whole_image_matrix,
)

__all__ = ["Face", "analyse", "face_at"]

# Where every image is known to show one face, faint detections (a score below 0) count too if they make sense: the box
# takes up half of the shorter side (a smaller one is a mouth or an ear), and the landmarks fit a frontal face. Judged
# by eye on FER2013, most of what lies below this score or beyond this error is a profile that the landmarks miss.
_CROPPED_SCORE = -0.2
_FAINT_LEAST_SIDE = 0.5
_CROPPED_ERROR = 11.0


class Face(NamedTuple):
    """One face of a photograph."""

    registered: np.ndarray  #: (256, 256, 3) uint8, BGR
    box: np.ndarray  #: (4,) float32: left, top, right, bottom edges in pixels of the photograph
    score: float  #: the detector's confidence, NaN where nothing was detected
    landmarks: np.ndarray  #: (49, 2) float32: x, y in pixels of the photograph
    geometry: np.ndarray  #: (9,) float32: see `geometry`; NaN for a stand-in
    matrix: np.ndarray  #: (2, 3) float32: the map from pixels of the photograph to pixels of `registered`
    error: float  #: pixels, see `fit_error`: beyond 11 do not trust the landmarks; NaN for a stand-in
    stand_in: bool  #: no face was found: `registered` is the whole image, `landmarks` are the mean face's


def analyse(image: np.ndarray, *, cropped: bool = False, alignment: str = "affine") -> list[Face]:
    """Detect, landmark, register and measure the faces of a photograph.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey.
    cropped : bool
        The image is known to show one face that fills it. Then fainter faces count, only the best is returned, and
        where none is found the whole image stands in for it.
    alignment : {"affine", "similarity", "none"}
        How the face is brought onto the mean face (`ALIGNMENTS`).

    Returns
    -------
    list of Face
        The best first (see `detect`); empty where there is no face. With `cropped`, exactly one.

    Raises
    ------
    UserError
        If `image` is not an image as described, or the landmark model is missing.
    """
    if cropped:
        return [_only_face(image, alignment) or _stand_in(image)]
    return [face for found in detect(image) if (face := _face(image, found, alignment))]


def face_at(image: np.ndarray, landmarks: np.ndarray, *, alignment: str = "affine") -> Face:
    """Register and measure a face whose landmarks are known, as they are of a rendered one.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey.
    landmarks : (49, 2) array
        x, y in pixels of `image`.
    alignment : {"affine", "similarity", "none"}
        How the face is brought onto the mean face (`ALIGNMENTS`).

    Returns
    -------
    Face
        Its box is the landmarks' own.

    Raises
    ------
    UserError
        If `image` or `landmarks` cannot be used.
    """
    landmarks = np.asarray(landmarks, np.float32)
    affine = registration_matrix(landmarks)
    error = fit_error(landmarks, affine)
    if alignment == "none":
        registered, matrix = whole_image(image)[0], whole_image_matrix(image.shape)
    else:
        matrix = affine if alignment == "affine" else registration_matrix(landmarks, alignment)
        registered = warp_face(image, matrix)
    box = np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)])
    measures = geometry(landmarks)
    return Face(registered, box, float("nan"), landmarks, measures, matrix.astype(np.float32), error, stand_in=False)


def _face(image: np.ndarray, found: Detection, alignment: str) -> Face | None:
    try:
        face = face_at(image, find_landmarks(image, found.box), alignment=alignment)
    except DegenerateLandmarks:
        return None
    return face._replace(box=found.box, score=found.score)


def _only_face(image: np.ndarray, alignment: str) -> Face | None:
    least = _FAINT_LEAST_SIDE * min(image.shape[:2])
    for found in detect(image, threshold=_CROPPED_SCORE, cropped=True):
        if found.score >= 0 or found.box[2] - found.box[0] >= least:
            face = _face(image, found, alignment)
            if face and face.error <= _CROPPED_ERROR:
                return face
    return None


def _stand_in(image: np.ndarray) -> Face:
    registered, landmarks = whole_image(image)
    box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
    unknown = np.full(len(GEOMETRY), np.nan, np.float32)
    matrix = whole_image_matrix(image.shape).astype(np.float32)
    return Face(registered, box, float("nan"), landmarks, unknown, matrix, float("nan"), stand_in=True)
