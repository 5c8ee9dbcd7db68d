"""How much of the sky each pixel's surface sees: folds, nostrils and the corners of the eyes lie in soft shade.

After M. McGuire, B. Osman, M. Bukowski, P. Hennessy, "The Alchemy screen-space ambient obscurance algorithm", High
Performance Graphics 2011, equation 10. Each pixel looks at a few others around it; the pattern turns from pixel to
pixel in tiles of 4 × 4, and the mean over such a tile takes the grain away again.
"""

import numpy as np
from numba import njit

__all__ = ["SPIRALS", "TILE", "open_sky", "smoothed"]

_REACH = 1.8  # how far away a surface may be that takes light, in centimetres
_BIAS = 0.06  # a surface's own curvature, which takes none, in centimetres
_EPSILON = 0.05  # squared centimetres; keeps the nearest points from counting too much

#: Width and height of the tiles over which the pattern turns, in pixels.
TILE = 4

_TAPS = 10
_radii = np.sqrt((np.arange(_TAPS) + 0.5) / _TAPS)
_turns = np.random.default_rng(0).permutation(TILE * TILE)[:, None] / (TILE * TILE)
_angles = np.arange(_TAPS) * np.pi * (3 - np.sqrt(5)) + 2 * np.pi * _turns
#: Spirals of the golden angle over a disc of radius 1, one for each pixel of a tile: (16, 10, 2).
SPIRALS = np.stack([_radii * np.cos(_angles), _radii * np.sin(_angles)], axis=-1)


def open_sky(place: np.ndarray, facing: np.ndarray, depth: np.ndarray, focal: float, strength: float) -> np.ndarray:
    """Return the share of soft light that reaches each pixel's surface.

    Parameters
    ----------
    place, facing : (H, W, 3) float32
        Where the surface is, in centimetres, and its normal; anything where there is none.
    depth : (H, W) float32
        Along the line of sight, in centimetres; inf where there is nothing.
    focal : float
        The camera's focal length, in pixels.
    strength : float
        From 0: no shade.

    Returns
    -------
    (H, W) float64
        1 in the open, towards 0 in a deep fold.
    """
    if strength == 0:
        return np.ones(depth.shape)
    return 1 / (1 + strength * smoothed(_obscured(place, facing, depth, focal), depth))


@njit(cache=True, error_model="numpy")
def _obscured(place, facing, depth, focal):
    """Return how much of the sky the surroundings hide: 0 in the open, about 1 in a deep fold, with grain."""
    height, width = depth.shape
    hidden = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            if depth[y, x] == np.inf:
                continue
            reach = _REACH * focal / depth[y, x]
            spiral = SPIRALS[y % TILE * TILE + x % TILE]
            for tap in range(len(spiral)):
                column, row = int(np.rint(x + reach * spiral[tap, 0])), int(np.rint(y + reach * spiral[tap, 1]))
                if not (0 <= column < width and 0 <= row < height) or depth[row, column] == np.inf:
                    continue
                dx = place[row, column, 0] - place[y, x, 0]
                dy = place[row, column, 1] - place[y, x, 1]
                dz = place[row, column, 2] - place[y, x, 2]
                square = dx * dx + dy * dy + dz * dz
                if square < 4 * _REACH * _REACH:
                    rise = dx * facing[y, x, 0] + dy * facing[y, x, 1] + dz * facing[y, x, 2] - _BIAS
                    hidden[y, x] += max(0.0, rise) / (square + _EPSILON)
            hidden[y, x] *= _REACH / len(spiral)
    return hidden


@njit(cache=True, error_model="numpy")
def smoothed(values, depth):
    """Return (H, W) values averaged over tiles, without the pixels whose surface lies before or behind."""
    height, width = depth.shape
    out = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            if depth[y, x] == np.inf:
                continue
            total, count = 0.0, 0
            for row in range(max(0, y - TILE // 2), min(height, y + TILE // 2)):
                for column in range(max(0, x - TILE // 2), min(width, x + TILE // 2)):
                    if abs(depth[row, column] - depth[y, x]) < 0.5 * _REACH:
                        total += values[row, column]
                        count += 1
            out[y, x] = total / count
    return out
