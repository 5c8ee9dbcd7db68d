"""The 49 facial landmarks, and what each of them marks."""

import functools

import cv2
import dlib
import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.faces.image import check_image
from pydeepexpr.faces.model import landmark_model_path

__all__ = ["DLIB_INDICES", "NUM_LANDMARKS", "find_landmarks"]

#: The points of dlib's 68 that are kept: all but the outline of the face and the inner corners of the mouth.
DLIB_INDICES = (*range(17, 60), 61, 62, 63, 65, 66, 67)

NUM_LANDMARKS = len(DLIB_INDICES)

# Indices into the 49, by what they mark. Left and right are the viewer's: the left eye is the one with the lesser x.
LEFT_BROW, RIGHT_BROW = slice(0, 5), slice(5, 10)
UPPER_NOSE_BRIDGE, NOSE_BASE = (10, 11), (15, 16, 17)
LEFT_NOSE_WING, RIGHT_NOSE_WING = 14, 18
LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (19, 22), (25, 28)
LEFT_UPPER_LID, RIGHT_UPPER_LID = (20, 21), (26, 27)
LEFT_LOWER_LID, RIGHT_LOWER_LID = (23, 24), (29, 30)
LEFT_MOUTH_CORNER, RIGHT_MOUTH_CORNER = 31, 37
INNER_UPPER_LIP, INNER_LOWER_LIP = 44, 47

#: The index of each point's mirror image.
MIRRORED = (
    *(9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
    *(10, 11, 12, 13, 18, 17, 16, 15, 14),
    *(28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23),
    *(37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38),
    *(45, 44, 43, 48, 47, 46),
)

# The predictor compares single pixels, so a small face is enlarged to a box of this width to tell positions between
# pixels.
_FACE_WIDTH = 160


@functools.cache
def _predictor(path: str) -> "dlib.shape_predictor":
    try:
        predictor = dlib.shape_predictor(path)
        parts = predictor(np.zeros((8, 8), np.uint8), dlib.rectangle(0, 0, 7, 7)).num_parts
    except RuntimeError as error:
        raise UserError(f"cannot read {path} as a dlib landmark model: {error}") from None
    if parts != 68:
        raise UserError(f"{path} is a model of {parts} landmarks; 68 are needed")
    return predictor


def find_landmarks(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the 49 landmarks of the face in a box.

    Parameters
    ----------
    image : (H, W, 3) or (H, W) uint8
        BGR or grey.
    box : (4,) array
        The face's left, top, right and bottom edges in pixels, as `detect` gives them.

    Returns
    -------
    (49, 2) float32
        x, y in pixels of `image`, 0 being the centre of the first pixel. Points may lie outside the image.
        Order: brows 0-9, nose 10-18, eyes 19-30, outer lips 31-42, inner lips 43-48 (`DLIB_INDICES`).

    Raises
    ------
    UserError
        If `image` or `box` is not as described, or the model is missing or unreadable.

    Notes
    -----
    Kazemi and Sullivan, "One millisecond face alignment with an ensemble of regression trees", CVPR 2014, as trained
    in dlib on iBUG 300-W; the selection of points is that of IntraFace (Xiong and De la Torre, CVPR 2013).
    """
    grey = check_image(image)
    if grey.ndim == 3:
        grey = cv2.cvtColor(grey, cv2.COLOR_BGR2GRAY)
    left, top, right, bottom = _check_box(box)

    # Only the surroundings of the face are resized, so that a small face in a large photograph stays cheap.
    height, width = grey.shape
    side = max(right - left, bottom - top)
    x0, y0 = (int(np.clip(edge - side / 2, 0, end - 1)) for edge, end in ((left, width), (top, height)))
    x1, y1 = (int(np.clip(edge + side / 2, 1, end)) for edge, end in ((right, width), (bottom, height)))
    part = grey[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    scale = _FACE_WIDTH / (right - left)
    size = [max(1, round(n * scale)) for n in (part.shape[1], part.shape[0])]
    sized = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)

    factors = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
    corners = (np.array([[left, top], [right, bottom]]) - (x0, y0)) * factors
    (x_from, y_from), (x_to, y_to) = np.rint(corners).astype(int).tolist()
    inside = dlib.rectangle(x_from, y_from, x_to - 1, y_to - 1)
    shape = _predictor(str(landmark_model_path()))(sized, inside)
    points = np.array([(shape.part(i).x, shape.part(i).y) for i in DLIB_INDICES], np.float64)
    return ((points + 0.5) / factors - 0.5 + (x0, y0)).astype(np.float32)


def _check_box(box: np.ndarray) -> tuple[float, float, float, float]:
    edges = np.asarray(box, np.float64)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise UserError(f"a face box is four finite numbers (left, top, right, bottom), got {box}")
    left, top, right, bottom = edges.tolist()
    if right - left < 1 or bottom - top < 1:
        raise UserError(f"the face box {edges.tolist()} is less than a pixel wide or high")
    return left, top, right, bottom
