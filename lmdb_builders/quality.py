"""What is doubtful about a registered face: flags for the manifest's column `quality`."""

import numpy as np

from pydeepexpr.faces import Face

__all__ = ["FLAGS", "quality_flags"]

#: Each flag and what it says; by them a person looks at the doubtful faces first (`tools/browse.py`).
FLAGS = {
    "stand-in": "the landmarks are not this face's",
    "several-faces": "other faces were found in the image, too; the best was taken",
    "faint": "the detector is not sure that this is a face",
    "poor-fit": "the landmarks fit a frontal face badly: the head is turned away, or they have missed the face",
    "enlarged": "the face has few pixels and was enlarged",
    "cut-off": "landmarks lie outside of the image",
}

_FAINT = 0.25  # dlib's score; clear frontal faces have 1 to 3
_POOR_FIT = 5.5  # pixels; most frontal faces stay below (`faces.fit_error`)
_ENLARGED = 3.0  # times, in each direction


def quality_flags(face: Face, shape: tuple[int, ...], *, others: int = 0, person: bool = True) -> list[str]:
    """Return what is doubtful about a face, in the order of `FLAGS`.

    Parameters
    ----------
    face : Face
    shape : tuple of int
        Of the image that it was found in: height, width, …
    others : int
        How many other faces were found there.
    person : bool
        It is a person's. A character's proportions are not held against it.

    Returns
    -------
    list of str
    """
    height, width = shape[:2]
    x, y = face.landmarks.T
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    said = {
        "stand-in": face.stand_in,
        "several-faces": others > 0,
        "faint": face.score < _FAINT,  # not so where nothing was detected: NaN
        "poor-fit": person and face.error > _POOR_FIT,
        "enlarged": np.linalg.det(face.matrix[:, :2]) > _ENLARGED**2,
        "cut-off": not face.stand_in and outside.any(),
    }
    return [flag for flag in FLAGS if said[flag]]
