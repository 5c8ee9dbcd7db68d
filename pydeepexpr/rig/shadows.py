"""Soft shadows: what stands between a surface and a lamp.

L. Williams, "Casting curved shadows on curved surfaces", SIGGRAPH 1978: the scene is drawn as the lamp sees it; a
surface that lies behind what the lamp sees is in shadow. Each pixel asks at several places around its own, as
occlusion.py does, so that a shadow's edge is as soft as a large lamp's.
"""

import numpy as np
from numba import njit

from pydeepexpr.rig.kernels import cover
from pydeepexpr.rig.occlusion import SPIRALS, TILE, smoothed

__all__ = ["lit_by"]

_SIZE = 256  # of the lamp's picture, in pixels
_SOFT = 0.5  # half the width of a shadow's edge, in centimetres
_BIAS = 0.25  # how far a surface must lie behind another to be in its shadow, in centimetres


def lit_by(
    towards: np.ndarray,
    shadow: float,
    vertices: np.ndarray,
    triangles: np.ndarray,
    place: np.ndarray,
    facing: np.ndarray,
    depth: np.ndarray,
) -> np.ndarray:
    """Return the share of a lamp's light that reaches each pixel's surface.

    Parameters
    ----------
    towards : (3,) float64
        Direction to the lamp, of length 1.
    shadow : float
        How much of the light a full shadow takes, 0 to 1.
    vertices : (V, 3) float64
    triangles : (T, 3) integers
    place, facing : (H, W, 3) float32
        Where the surface is, in centimetres, and its normal; anything where there is none.
    depth : (H, W) float32
        inf where there is nothing.

    Returns
    -------
    (H, W) float64
    """
    if shadow == 0 or len(vertices) == 0:
        return np.ones(depth.shape)
    right = np.array([towards[2], 0.0, -towards[0]]) if abs(towards[1]) < 0.99 else np.array([1.0, 0.0, 0.0])
    right -= (right * towards).sum() * towards
    right /= np.sqrt((right**2).sum())
    up = np.array([towards[k - 2] * right[k - 1] - towards[k - 1] * right[k - 2] for k in range(3)])
    # No matrix product: its sums depend on the library behind it.
    x, y, z = (
        vertices[:, 0] * axis[0] + vertices[:, 1] * axis[1] + vertices[:, 2] * axis[2] for axis in (right, up, towards)
    )
    origin = np.array([x.min(), y.max(), z.min() - 1])
    scale = (_SIZE - 1) / max(x.max() - origin[0], origin[1] - y.min(), 1e-6)
    screen = np.column_stack([(x - origin[0]) * scale, (origin[1] - y) * scale, z - origin[2]])
    nearest, _ = cover(screen, triangles, _SIZE)
    axes = np.stack([right, up, towards])
    return 1 - shadow * smoothed(_shaded(nearest, place, facing, depth, axes, origin, scale, SPIRALS, TILE), depth)


@njit(cache=True, error_model="numpy")
def _shaded(nearest, place, facing, depth, axes, origin, scale, spirals, tile):
    """Return the share of places around each pixel's that lie in shadow, with grain."""
    height, width = depth.shape
    right, up, towards = axes
    shaded = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            if depth[y, x] == np.inf:
                continue
            # A little off the surface, lest it be in its own shadow.
            px = place[y, x, 0] + _BIAS * facing[y, x, 0]
            py = place[y, x, 1] + _BIAS * facing[y, x, 1]
            pz = place[y, x, 2] + _BIAS * facing[y, x, 2]
            column = (px * right[0] + py * right[1] + pz * right[2] - origin[0]) * scale
            row = (origin[1] - px * up[0] - py * up[1] - pz * up[2]) * scale
            level = px * towards[0] + py * towards[1] + pz * towards[2] - origin[2] + _BIAS
            spiral = spirals[y % tile * tile + x % tile]
            hits = 0
            for tap in range(len(spiral)):
                u = int(np.rint(column + _SOFT * scale * spiral[tap, 0]))
                v = int(np.rint(row + _SOFT * scale * spiral[tap, 1]))
                if 0 <= u < len(nearest) and 0 <= v < len(nearest) and nearest[v, u] > level:
                    hits += 1
            shaded[y, x] = hits / len(spiral)
    return shaded
