"""Bring a face onto the average frontal face."""

import functools
import json
from pathlib import Path

import cv2
import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.faces.image import check_image
from pydeepexpr.faces.landmarks import (
    LEFT_EYE_CORNERS,
    NOSE_BASE,
    NUM_LANDMARKS,
    RIGHT_EYE_CORNERS,
    UPPER_NOSE_BRIDGE,
)

__all__ = [
    "ALIGNMENTS",
    "CHARACTER_ALIGNMENT",
    "FACE_SIZE",
    "MEAN_FACE_FILE",
    "STABLE_POINTS",
    "DegenerateLandmarks",
    "fit_error",
    "mean_face",
    "register_face",
    "registration_matrix",
    "warp_face",
    "whole_image",
    "whole_image_matrix",
]

#: Width and height of a registered face, in pixels.
FACE_SIZE = 256

#: Points that expressions hardly move. The tip of the nose and the bridge near it are left out too: they stand so far
#: out of the face's plane that a slight turn of the head would shear the whole face.
STABLE_POINTS = (*UPPER_NOSE_BRIDGE, *NOSE_BASE, *LEFT_EYE_CORNERS, *RIGHT_EYE_CORNERS)

#: The mean face, as `tools/mean_face.py` writes it.
MEAN_FACE_FILE = Path(__file__).with_name("mean_face.json")

#: How a face is brought onto the mean face: with all six degrees of freedom; with position, size and roll alone, which
#: keeps its proportions; not at all, the image being taken whole.
ALIGNMENTS = ("affine", "similarity", "none")

#: How a stylized character's face is brought onto it (docs/decisions.md).
CHARACTER_ALIGNMENT = "similarity"

_HUBER_ROUNDS = 5
_HUBER_BEND = 2.0  # times the median distance: only points that lie further off than that lose weight


class DegenerateLandmarks(UserError):
    """Landmarks that lie so that no face can be registered by them."""


@functools.cache
def _mean_face() -> np.ndarray:
    return np.array(json.loads(MEAN_FACE_FILE.read_text(encoding="utf-8"))["landmarks"], np.float64)


def mean_face() -> np.ndarray:
    """Return the average frontal face: (49, 2) float64, x, y in pixels of the 256x256 registered frame."""
    return _mean_face().copy()


def registration_matrix(landmarks: np.ndarray, alignment: str = "affine") -> np.ndarray:
    """Return the map from an image to the registered frame.

    It fits `STABLE_POINTS` to the mean face by least squares with Huber's weights (iteratively reweighted), so that one
    landmark gone astray counts for little.

    Parameters
    ----------
    landmarks : (49, 2) array
        x, y in pixels of the image.
    alignment : {"affine", "similarity"}
        All six degrees of freedom, or the four that keep the face's proportions.

    Returns
    -------
    (2, 3) float64
        The map ``[x', y'] = M @ [x, y, 1]``, in pixels on both sides.

    Raises
    ------
    UserError
        If the landmarks are not 49 finite points; `DegenerateLandmarks` if they lie on a line, or form a mirrored face.
    """
    given = np.asarray(landmarks, np.float64)
    if given.shape != (NUM_LANDMARKS, 2) or not np.isfinite(given).all():
        raise UserError(f"landmarks must be 49 finite points (49, 2), got {given.shape}")
    source, target = given[list(STABLE_POINTS)], _mean_face()[list(STABLE_POINTS)]
    centre = source.mean(axis=0)
    spread = (source - centre).std() or 1.0
    source = (source - centre) / spread
    weights = np.ones(len(source))
    if np.linalg.matrix_rank(source, tol=1e-3) < 2 or np.linalg.det(_affine(source, target, weights)[0]) <= 0:
        raise DegenerateLandmarks("the landmarks form no face: they lie on a line, or left and right are exchanged")
    fit = {"affine": _affine, "similarity": _similarity}[alignment]
    for _ in range(_HUBER_ROUNDS):
        linear, shift = fit(source, target, weights)
        error = np.linalg.norm(source @ linear.T + shift - target, axis=1)
        bend = _HUBER_BEND * np.median(error)
        weights = np.minimum(1.0, bend / np.maximum(error, 1e-9)) if bend > 1e-6 else weights
    linear = linear / spread
    return np.c_[linear, shift - linear @ centre]


def _affine(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (2, 2) matrix and the shift that bring (N, 2) points closest to others, weighted.

    The points are centred and of unit spread, so that the normal equations are well conditioned.
    """
    terms = np.c_[source, np.ones(len(source))]
    weighted = (terms * weights[:, None]).T
    fit = np.linalg.solve(weighted @ terms, weighted @ target)
    return fit[:2].T, fit[2]


def _similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do as `_affine` does with a rotation and one scale: on complex numbers, one factor and one shift."""
    root = np.sqrt(weights)
    terms = np.c_[source @ (1, 1j), np.ones(len(source))] * root[:, None]
    factor, shift = np.linalg.lstsq(terms, target @ (1, 1j) * root, rcond=None)[0]
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return linear, np.array([shift.real, shift.imag])


def fit_error(landmarks: np.ndarray, matrix: np.ndarray | None = None) -> float:
    """Return how badly a face fits the mean face: the root mean square distance of `STABLE_POINTS` after registration.

    In pixels of the registered frame: 0 is perfect, most frontal faces stay below 5.5, and beyond 11 the head is turned
    far away or the landmarks have missed the face. Parameters and errors as for `registration_matrix`, whose
    affine map for these landmarks is `matrix`, where it is known already.
    """
    if matrix is None:
        matrix = registration_matrix(landmarks)
    points = np.asarray(landmarks, np.float64)[list(STABLE_POINTS)] @ matrix[:, :2].T + matrix[:, 2]
    return float(np.sqrt(((points - _mean_face()[list(STABLE_POINTS)]) ** 2).sum(axis=1).mean()))


def register_face(image: np.ndarray, landmarks: np.ndarray, alignment: str = "affine") -> np.ndarray:
    """Return the face registered to the mean face.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey.
    landmarks : (49, 2) array
        x, y in pixels of `image`.
    alignment : {"affine", "similarity", "none"}
        As in `ALIGNMENTS`. With "none" the image is resized whole, whatever the landmarks.

    Returns
    -------
    (256, 256, 3) uint8
        BGR, the brows near the upper edge and the chin near the lower. What lies outside of `image` repeats its edge.

    Raises
    ------
    UserError
        If `image` or `landmarks` cannot be used.
    """
    if alignment == "none":
        return whole_image(image)[0]
    return warp_face(image, registration_matrix(landmarks, alignment))


def warp_face(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return what `matrix` (see `registration_matrix`) brings into the registered frame: (256, 256, 3) uint8, BGR.

    Raises
    ------
    UserError
        If `image` cannot be used.
    """
    image = check_image(image)
    # One step of interpolation reads 2x2 pixels: a larger face is averaged down first, or it would be aliased.
    shrink = min(1.0, float(np.sqrt(np.linalg.det(matrix[:, :2]))))
    if shrink < 0.75:
        height, width = image.shape[:2]
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        factors = np.array([width / size[0], height / size[1]])
        # Pixel centres lie at whole numbers, so a reduced image's are shifted by half a pixel of each size.
        matrix = np.c_[matrix[:, :2] * factors, matrix[:, 2] + matrix[:, :2] @ ((factors - 1) / 2)]
    size = (FACE_SIZE, FACE_SIZE)
    return _bgr(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))


def whole_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a stand-in for a face that was not found in a cropped photograph.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey, known to be a face.

    Returns
    -------
    registered : (256, 256, 3) uint8
        The whole image, resized.
    landmarks : (49, 2) float32
        The mean face's, stretched over the image, in pixels of `image`. They say nothing about this face.
    """
    image = check_image(image)
    height, width = image.shape[:2]
    smaller = height * width > FACE_SIZE * FACE_SIZE
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    factors = np.array([width, height]) / FACE_SIZE
    landmarks = (_mean_face() + 0.5) * factors - 0.5
    return _bgr(cv2.resize(image, (FACE_SIZE, FACE_SIZE), interpolation=how)), landmarks.astype(np.float32)


def whole_image_matrix(shape: tuple[int, ...]) -> np.ndarray:
    """Return the map from an image of the shape (H, W, …) to its whole in the registered frame: (2, 3) float64."""
    factors = FACE_SIZE / np.array([shape[1], shape[0]])
    return np.c_[np.diag(factors), (factors - 1) / 2]  # pixel centres lie at whole numbers


def _bgr(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
