"""Find the faces in a photograph."""

import functools
import math
from typing import NamedTuple

import cv2
import dlib
import numpy as np

from pydeepexpr.faces.image import check_image

__all__ = ["Detection", "confidence", "detect", "merit"]

# dlib's HOG detector looks for faces of 80 pixels and more. The limits bring a face that fills a small image above
# that size, and keep a large photograph affordable: there a face needs a thirteenth of the longer side.
_SHORT_SIDE = 112
_LONG_SIDE = 1024

# Faces that touch the image's edge are missed without a margin. Measured on 500 images of FER2013 (48x48): a flat
# margin of a quarter finds 77 % at threshold 0, no margin 69 %, a replicated or reflected one 73 %; enlarging further
# costs time (240 pixels: four times as much) and finds no more.
_MARGIN = 0.25


class Detection(NamedTuple):
    """A face box and how sure the detector is of it."""

    box: np.ndarray  #: (4,) float32: left, top, right, bottom edges in pixels of the image; a whole image is 0, 0, W, H
    score: float  #: distance from the detector's decision border: 0 doubtful, 1 and more safe


@functools.cache
def _detector() -> "dlib.fhog_object_detector":
    return dlib.get_frontal_face_detector()


def detect(image: np.ndarray, *, threshold: float = 0.0, cropped: bool = False) -> list[Detection]:
    """Return the frontal faces in an image, the best first.

    The best is the largest among the credible: faces are ordered by `merit`.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey, any size. Small images are enlarged, large ones reduced, for the search only.
    threshold : float
        The least score. Below 0 more faces are found, and more things that are none: for images that are known to
        show a face.
    cropped : bool
        The face fills the image: where none is found, small ones (from 40 pixels on) are not looked for.

    Returns
    -------
    list of Detection
        Boxes may reach beyond the image. Empty where there is no face.

    Raises
    ------
    UserError
        If `image` is not an image as described.

    Notes
    -----
    Dalal and Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, as trained in dlib (King,
    JMLR 2009). It finds frontal faces, up to about 30 degrees of roll and yaw.
    """
    grey = check_image(image)
    if grey.ndim == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY)
    affordable = _LONG_SIDE / max(grey.shape)
    scale = min(max(1.0, _SHORT_SIDE / min(grey.shape)), affordable)
    found = _search(grey, scale, threshold)
    if not found and not cropped and affordable > scale:
        found = _search(grey, min(2 * scale, affordable), threshold)
    return sorted(found, key=lambda one: merit(*one), reverse=True)


def _search(grey: np.ndarray, scale: float, threshold: float) -> list[Detection]:
    """Return the faces found in a grey image when it is resized by `scale`, in its own pixels."""
    height, width = grey.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sized = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    margin = round(_MARGIN * min(size))
    padded = cv2.copyMakeBorder(sized, *[margin] * 4, cv2.BORDER_CONSTANT, value=float(round(sized.mean())))
    boxes, scores, _ = _detector().run(padded, 0, threshold)
    factors = np.array([width / size[0], height / size[1]] * 2)
    edges = (np.array([b.left(), b.top(), b.right() + 1, b.bottom() + 1]) - margin for b in boxes)
    return [Detection((e * factors).astype(np.float32), float(s)) for e, s in zip(edges, scores, strict=True)]


def confidence(score: float) -> float:
    """Return a detector's score as a number from 0 to 1: the logistic function of four times the score."""
    return 1 / (1 + math.exp(-4 * score))


def merit(box: np.ndarray, score: float) -> float:
    """Return by how much a face is the one that is meant: its area times the confidence in it."""
    left, top, right, bottom = box
    return float((right - left) * (bottom - top) * confidence(score))
