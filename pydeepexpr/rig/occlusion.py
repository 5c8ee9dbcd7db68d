"""How much of the sky a surface sees: folds, nostrils and the corners of the eyes lie in soft shade.

After M. McGuire, B. Osman, M. Bukowski, P. Hennessy, "The Alchemy screen-space ambient obscurance algorithm", High
Performance Graphics 2011, equation 10.
"""

import numpy as np
from numba import njit

__all__ = ["obscured"]

_REACH = 1.8  # how far away a surface may be that takes light, in centimetres
_BIAS = 0.06  # a surface's own curvature, which takes none, in centimetres
_EPSILON = 0.05  # squared centimetres; keeps the nearest points from counting too much


@njit(cache=True, error_model="numpy")
def obscured(place, facing, depth, focal, spirals):
    """Return how much of the sky the surroundings hide, with grain.

    Parameters
    ----------
    place, facing : (h, w, 3) float32
        Where the surface is in each cell of a picture, in centimetres, and its normal; inf where there is none.
    depth : (h, w) float32
        Along the line of sight, in centimetres; inf where there is none.
    focal : float
        The camera's focal length, in cells.
    spirals : (R, C, N, 2) float64
        Where a cell looks in a disc of radius 1, in tiles of R × C.

    Returns
    -------
    (h, w) float32
        0 in the open, about 1 in a deep fold; 0 where there is nothing.
    """
    height, width = depth.shape
    hidden = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if depth[y, x] == np.inf:
                continue
            reach = _REACH * focal / depth[y, x]
            spiral = spirals[y % len(spirals), x % len(spirals[0])]
            total = 0.0
            for tap in range(len(spiral)):
                column, row = int(np.rint(x + reach * spiral[tap, 0])), int(np.rint(y + reach * spiral[tap, 1]))
                if 0 <= column < width and 0 <= row < height:
                    dx = place[row, column, 0] - place[y, x, 0]
                    dy = place[row, column, 1] - place[y, x, 1]
                    dz = place[row, column, 2] - place[y, x, 2]
                    square = dx * dx + dy * dy + dz * dz
                    if square < 4 * _REACH * _REACH:
                        rise = dx * facing[y, x, 0] + dy * facing[y, x, 1] + dz * facing[y, x, 2] - _BIAS
                        total += max(0.0, rise) / (square + _EPSILON)
            hidden[y, x] = total * _REACH / len(spiral)
    return hidden
