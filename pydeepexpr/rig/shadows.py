"""Soft shadows: what stands between a surface and a lamp.

L. Williams, "Casting curved shadows on curved surfaces", SIGGRAPH 1978: the scene is drawn as the lamp sees it; a
surface that lies behind what the lamp sees is in shadow. Each place asks at several places around its own, as
occlusion.py does, so that a shadow's edge is as soft as a large lamp's.
"""

import numpy as np
from numba import njit

from pydeepexpr.rig.kernels import cover

__all__ = ["shaded"]

_SIZE = 256  # of the lamp's picture, in pixels
_SOFT = 0.5  # half the width of a shadow's edge, in centimetres
_BIAS = 0.25  # how far a surface must lie behind another to be in its shadow, in centimetres


def shaded(
    towards: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    place: np.ndarray,
    facing: np.ndarray,
    spirals: np.ndarray,
) -> np.ndarray:
    """Return the share of a lamp's light that something takes away, with grain.

    Parameters
    ----------
    towards : (3,) float64
        Direction to the lamp, of length 1.
    vertices : (V, 3) float64
    triangles : (T, 3) unsigned integers
    place, facing, spirals
        As `pydeepexpr.rig.occlusion.obscured` has them.

    Returns
    -------
    (h, w) float32
        0 to 1; 0 where there is nothing.
    """
    right = np.array([towards[2], 0.0, -towards[0]]) if abs(towards[1]) < 0.99 else np.array([1.0, 0.0, 0.0])
    right -= (right * towards).sum() * towards
    right /= np.sqrt((right**2).sum())
    up = np.array([towards[k - 2] * right[k - 1] - towards[k - 1] * right[k - 2] for k in range(3)])
    axes = np.stack([right, up, towards])
    seen, origin, scale = _seen(vertices, axes)
    nearest, _ = cover(seen, triangles, _SIZE)
    return _behind(nearest, place, facing, axes, origin, scale, spirals)


@njit(cache=True, error_model="numpy")
def _seen(vertices, axes):
    """Return vertices as a lamp sees them, (V, 3): column, row, nearness; and where its picture begins, and its scale.

    No matrix product: its sums would depend on the library behind it.
    """
    seen = np.empty_like(vertices)
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for v in range(len(vertices)):
        for k in range(3):
            along = vertices[v, 0] * axes[k, 0] + vertices[v, 1] * axes[k, 1] + vertices[v, 2] * axes[k, 2]
            seen[v, k], low[k], high[k] = along, min(low[k], along), max(high[k], along)
    origin = np.array([low[0], high[1], low[2] - 1])
    scale = (_SIZE - 1) / max(high[0] - low[0], high[1] - low[1], 1e-6)
    for v in range(len(vertices)):
        seen[v, 0] = (seen[v, 0] - origin[0]) * scale
        seen[v, 1] = (origin[1] - seen[v, 1]) * scale
        seen[v, 2] -= origin[2]
    return seen, origin, scale


@njit(cache=True, error_model="numpy")
def _behind(nearest, place, facing, axes, origin, scale, spirals):
    """Return the share of places around each that lie behind what the lamp sees."""
    height, width = place.shape[:2]
    right, up, towards = axes
    share = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if place[y, x, 0] == np.inf:
                continue
            # A little off the surface, lest it be in its own shadow.
            px = place[y, x, 0] + _BIAS * facing[y, x, 0]
            py = place[y, x, 1] + _BIAS * facing[y, x, 1]
            pz = place[y, x, 2] + _BIAS * facing[y, x, 2]
            column = (px * right[0] + py * right[1] + pz * right[2] - origin[0]) * scale
            row = (origin[1] - px * up[0] - py * up[1] - pz * up[2]) * scale
            level = px * towards[0] + py * towards[1] + pz * towards[2] - origin[2] + _BIAS
            spiral = spirals[y % len(spirals), x % len(spirals[0])]
            hits = 0
            for tap in range(len(spiral)):
                u = int(np.rint(column + _SOFT * scale * spiral[tap, 0]))
                v = int(np.rint(row + _SOFT * scale * spiral[tap, 1]))
                if 0 <= u < len(nearest) and 0 <= v < len(nearest) and nearest[v, u] > level:
                    hits += 1
            share[y, x] = hits / len(spiral)
    return share
