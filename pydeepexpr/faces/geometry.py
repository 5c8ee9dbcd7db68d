"""The nine distances that describe a face's shape."""

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.faces import landmarks as points

__all__ = ["GEOMETRY", "geometry"]

#: Names of the nine measures, in order. Left and right are the viewer's.
GEOMETRY = (
    "left_eyebrow_height",
    "right_eyebrow_height",
    "left_eyelid_height",
    "right_eyelid_height",
    "nose_width",
    "mouth_width",
    "closed_mouth",
    "left_lip_height",
    "right_lip_height",
)


def geometry(landmarks: np.ndarray) -> np.ndarray:
    """Return the nine geometric measures of each face.

    The head's roll (the slope between the eyes) is taken out first; then vertical distances are divided by the height
    of the landmarks' bounding box and horizontal ones by its width. Distances point down or right, so a measure is
    negative where a face is inside out (a lip corner above the eye), which no sound face is.

    Parameters
    ----------
    landmarks : (..., 49, 2) array
        x, y as detected, in any unit; never registered ones, for registration flattens what is measured here.

    Returns
    -------
    (..., 9) float32
        In the order of `GEOMETRY`, without unit, mostly within 0 and 1:

        - eyebrow height: the brow's top to the centre of the eye (the middle of its corners), vertical
        - eyelid height: upper to lower lid, vertical, each lid the mean of its two points
        - nose width: wing to wing, horizontal
        - mouth width: corner to corner, horizontal
        - closed mouth: middle of the inner upper lip to that of the inner lower lip, vertical; 0 when closed
        - lip height: lower eyelid to the corner of the mouth, vertical

        All nine are NaN where the landmarks are not finite, or degenerate: one eye upon the other, no width, no height.

    Raises
    ------
    UserError
        If the last two dimensions are not 49 and 2.

    Examples
    --------
    >>> from pydeepexpr.faces import geometry, mean_face
    >>> geometry(mean_face()).shape
    (9,)
    """
    upright, sound = _without_roll(landmarks)
    x, y = upright[..., 0], upright[..., 1]
    width, height = np.ptp(x, axis=-1), np.ptp(y, axis=-1)
    sound &= (width > 0) & (height > 0)

    def mean_y(indices: tuple[int, ...]) -> np.ndarray:
        return y[..., indices].mean(axis=-1)

    left_lower_lid, right_lower_lid = mean_y(points.LEFT_LOWER_LID), mean_y(points.RIGHT_LOWER_LID)
    vertical = [
        mean_y(points.LEFT_EYE_CORNERS) - y[..., points.LEFT_BROW].min(axis=-1),
        mean_y(points.RIGHT_EYE_CORNERS) - y[..., points.RIGHT_BROW].min(axis=-1),
        left_lower_lid - mean_y(points.LEFT_UPPER_LID),
        right_lower_lid - mean_y(points.RIGHT_UPPER_LID),
        y[..., points.INNER_LOWER_LIP] - y[..., points.INNER_UPPER_LIP],
        y[..., points.LEFT_MOUTH_CORNER] - left_lower_lid,
        y[..., points.RIGHT_MOUTH_CORNER] - right_lower_lid,
    ]
    horizontal = [
        x[..., points.RIGHT_NOSE_WING] - x[..., points.LEFT_NOSE_WING],
        x[..., points.RIGHT_MOUTH_CORNER] - x[..., points.LEFT_MOUTH_CORNER],
    ]
    down = np.stack(vertical, axis=-1) / np.where(sound, height, np.nan)[..., None]
    across = np.stack(horizontal, axis=-1) / np.where(sound, width, np.nan)[..., None]
    return np.concatenate([down[..., :4], across, down[..., 4:]], axis=-1).astype(np.float32)


def _without_roll(landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks turned so that the eyes are level, and which faces are finite and have two eyes."""
    given = np.asarray(landmarks, np.float64)
    if given.shape[-2:] != (points.NUM_LANDMARKS, 2):
        raise UserError(f"landmarks must have the shape (..., 49, 2), got {given.shape}")
    sound = np.isfinite(given).all(axis=(-2, -1))
    given = np.where(sound[..., None, None], given, 0.0)
    given = given - given.mean(axis=-2, keepdims=True)  # precision: far from the origin small differences are lost
    eye = [given[..., pair, :].mean(axis=-2) for pair in (points.LEFT_EYE_CORNERS, points.RIGHT_EYE_CORNERS)]
    dx, dy = np.moveaxis(eye[1] - eye[0], -1, 0)
    length = np.hypot(dx, dy)
    sound &= length > 0
    length = np.where(length > 0, length, 1.0)
    cos, sin = (dx / length)[..., None], (dy / length)[..., None]
    x, y = given[..., 0], given[..., 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1), sound
