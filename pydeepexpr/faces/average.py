"""The average frontal face, made from many."""

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.faces.landmarks import LEFT_EYE_CORNERS, MIRRORED, NUM_LANDMARKS, RIGHT_EYE_CORNERS
from pydeepexpr.faces.registration import FACE_SIZE

__all__ = ["EYE_DISTANCE", "EYE_LEVEL", "average_face"]

#: Where the eyes' centres lie in the 256x256 frame: how far apart, and how far down. So placed, the average face has
#: its brows at 62 pixels, its mouth at 190 and its chin at 246, and is framed nearly as face detectors crop faces
#: (FER2013's eyes lie 94 apart at 100 of 256), so that a whole cropped image resembles a registered face.
EYE_DISTANCE = 88.0
EYE_LEVEL = 90.0

_ROUNDS = 10
_MOST_TURNED = 0.15


def average_face(landmarks: np.ndarray) -> np.ndarray:
    """Return the symmetric average of faces, placed in the registered frame.

    Faces that look to a side are left out (the bridge of the nose lies off the middle of the eyes by more than 15 % of
    their distance); the rest are aligned by generalised Procrustes analysis with similarities (Gower 1975), averaged,
    and averaged with their mirror image.

    Parameters
    ----------
    landmarks : (N, 49, 2) array
        x, y in any unit and place, as detected.

    Returns
    -------
    (49, 2) float64
        x, y in pixels of the 256x256 frame; the eyes' centres lie level, `EYE_DISTANCE` apart, at `EYE_LEVEL`.

    Raises
    ------
    UserError
        If the shape is another, or no frontal face is among them.
    """
    given = np.asarray(landmarks, np.float64)
    if given.ndim != 3 or given.shape[1:] != (NUM_LANDMARKS, 2):
        raise UserError(f"landmarks must have the shape (N, 49, 2), got {given.shape}")
    given = given[np.isfinite(given).all(axis=(1, 2))]
    faces = given[:, :, 0] + 1j * given[:, :, 1]  # a similarity is then one complex factor
    faces = _between_eyes(faces[np.ptp(_eyes(faces), axis=1) != 0])
    faces = faces[np.abs(faces[:, 10:14].real.mean(axis=1)) < _MOST_TURNED]
    if len(faces) == 0:
        raise UserError("there is no frontal face to average")
    faces -= faces.mean(axis=1, keepdims=True)
    mean = faces.mean(axis=0)
    for _ in range(_ROUNDS):
        factors = (faces.conj() @ mean) / (np.abs(faces) ** 2).sum(axis=1)
        mean = (faces * factors[:, None]).mean(axis=0)
    mean = _between_eyes(mean[None])[0]
    mean = (mean - mean[list(MIRRORED)].conj()) / 2  # x -> -x with left and right exchanged
    placed = mean * EYE_DISTANCE + complex((FACE_SIZE - 1) / 2, EYE_LEVEL)
    return np.stack([placed.real, placed.imag], axis=1)


def _eyes(faces: np.ndarray) -> np.ndarray:
    pairs = (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)
    return np.stack([faces[:, pair].mean(axis=1) for pair in pairs], axis=1)


def _between_eyes(faces: np.ndarray) -> np.ndarray:
    """Return faces moved and turned so that the eyes' centres are at -1/2 and 1/2."""
    eyes = _eyes(faces)
    return (faces - eyes.mean(axis=1, keepdims=True)) / (eyes[:, 1:] - eyes[:, :1])
