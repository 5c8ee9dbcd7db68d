"""The 49 landmarks of a head, as marks upon its skin."""

import numpy as np

from pydeepexpr.rig.brows import brow_line
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.template import EYE, LIPS, lip_height, template

__all__ = ["landmark_marks"]

# Columns of the eye opening's edge, right eye: the points at about a third and two thirds of each lid.
_UPPER_LID, _LOWER_LID = (8, 13), (32, 27)
_BROW_ALONG, _BROW_UP = (0.02, 0.28, 0.53, 0.79, 1.0), (-0.3, 0.7, 0.75, 0.5, -0.4)  # up in thicknesses
_NOSE = (  # ridge from top to tip, then the base from the left wing to the right one
    *((0.0, 0.1), (0.0, -1.1), (0.0, -2.3), (0.0, -3.5)),
    *((-1.12, -4.5), (-0.57, -4.68), (0.0, -4.78), (0.57, -4.68), (1.12, -4.5)),
)
_UPPER_LIP, _LOWER_LIP = (-0.58, -0.22, 0.0, 0.22, 0.58), (0.62, 0.28, 0.0, -0.28, -0.62)  # shares of the half width
_INNER_LIP = (-0.3, 0.0, 0.3)


def landmark_marks(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return where the landmarks are marked on the skin.

    Returns
    -------
    (49, 3) int32, (49, 3) float32
        Vertex numbers and barycentric weights, in the order of `pydeepexpr.faces.landmarks`: brows, nose, eyes, outer
        and inner lips, as the points 18–60, 62–64 and 66–68 of the iBUG 300-W mark-up have them.
    """
    net = template()
    middle, _ = brow_line(identity, np.array(_BROW_ALONG))
    right = middle + np.column_stack([np.zeros(5), 0.36 * identity.brow_thickness * np.array(_BROW_UP)])
    left = right[::-1] * (-1, 1)

    def border(shares: tuple[float, ...], upper: bool) -> np.ndarray:
        shares = np.array(shares)
        height = LIPS.upper * lip_height(shares, True) if upper else -LIPS.lower * lip_height(shares, False)
        return np.column_stack([LIPS.half_width * shares, LIPS.y + height])

    on_skin = net.locate(np.concatenate([left, right, np.array(_NOSE)]))
    outer_upper = net.locate(border(_UPPER_LIP, True))
    outer_lower = net.locate(border(_LOWER_LIP, False))

    def vertices(numbers: list[int]) -> tuple[np.ndarray, np.ndarray]:
        numbers = np.array(numbers, np.int32)
        return np.stack([numbers] * 3, axis=1), np.tile([1.0, 0.0, 0.0], (len(numbers), 1))

    left_lid, right_lid = net.lids
    inner = EYE.columns // 2
    eyes = vertices(
        [
            *(left_lid[i] for i in (0, *_UPPER_LID, inner, *_LOWER_LID[::-1])),
            *(right_lid[i] for i in (inner, *_UPPER_LID[::-1], 0, *_LOWER_LID)),
        ]
    )
    x = net.points[net.upper_slit, 0] / LIPS.half_width
    inner_lips = [int(np.abs(x - share).argmin()) for share in _INNER_LIP]
    corner_left, corner_right = vertices([net.upper_slit[0]]), vertices([net.upper_slit[-1]])
    inner_upper = vertices([net.upper_slit[i] for i in inner_lips])
    inner_lower = vertices([net.lower_slit[i] for i in inner_lips[::-1]])
    marks = [on_skin, eyes, corner_left, outer_upper, corner_right, outer_lower, inner_upper, inner_lower]
    corners = np.concatenate([corners for corners, _ in marks]).astype(np.int32)
    return corners, np.concatenate([weights for _, weights in marks]).astype(np.float32)
