"""What changes softly over a surface is reckoned for cells of 2 × 2 pixels, from a few looks around each; and then the
grain of so few is taken away.

The pattern of looks turns from cell to cell in tiles of 4 × 4, so that the mean over such a tile is as good as sixteen
times as many looks. Surfaces that lie before or behind have no part in it.
"""

import numpy as np
from numba import njit

__all__ = ["MARGIN", "SPIRALS", "STEP", "TILE", "smoothed", "spread"]

#: Width and height of the cells in pixels.
STEP = 2

#: Width and height of the tiles over which the pattern turns, in cells.
TILE = 4

#: Empty cells around the image, so that none has to ask whether it has neighbours.
MARGIN = TILE // 2

_TAPS = 10
_radii = np.sqrt((np.arange(_TAPS) + 0.5) / _TAPS)
_turns = np.random.default_rng(0).permutation(TILE * TILE)[:, None] / (TILE * TILE)
_angles = np.arange(_TAPS) * np.pi * (3 - np.sqrt(5)) + 2 * np.pi * _turns
#: Spirals of the golden angle over a disc of radius 1, one for each cell of a tile: (4, 4, 10, 2).
SPIRALS = np.stack([_radii * np.cos(_angles), _radii * np.sin(_angles)], axis=-1).reshape(TILE, TILE, _TAPS, 2)

_SAME = np.float32(0.9)  # what lies no further before or behind may be the same surface, in centimetres
_NEAR = np.float32(0.05)  # what lies this far before or behind counts half as much as what does not


@njit(cache=True, error_model="numpy")
def smoothed(layers, depth):
    """Add up layers over tiles.

    Parameters
    ----------
    layers : (K, h, w) float32
    depth : (h, w) float32
        inf where there is nothing, as in the whole margin.

    Returns
    -------
    (K + 1, h, w) float32
        The layers' sums, and last the number of cells that had a part in them.
    """
    count, height, width = layers.shape
    sums = np.zeros((count + 1, height, width), np.float32)
    same = np.zeros(width, np.float32)
    for y in range(MARGIN, height - MARGIN):
        for row in range(y - TILE // 2, y + TILE // 2):
            for aside in range(TILE):
                for x in range(width - TILE):
                    same[x] = abs(depth[row, x + aside] - depth[y, x + TILE // 2]) < _SAME
                    sums[count, y, x + TILE // 2] += same[x]
                for k in range(count):
                    for x in range(width - TILE):
                        sums[k, y, x + TILE // 2] += same[x] * layers[k, row, x + aside]
    return sums


@njit(cache=True, error_model="numpy")
def spread(sums, coarse, depth):
    """Return the mean of layers in every pixel, between the four cells around it.

    Parameters
    ----------
    sums : (K + 1, h, w) float32
        Of `smoothed`.
    coarse : (h, w) float32
        Depths of the cells.
    depth : (H, W) float32
        Depths of the pixels.

    Returns
    -------
    (K, H, W) float32
        NaN where there is nothing.
    """
    count, size = len(sums) - 1, len(depth)
    out = np.empty((count, size, size), np.float32)
    whole = np.empty(size, np.float32)
    weight = np.empty((4, size), np.float32)
    for y in range(size):
        top = (y + 1) // 2 + MARGIN - 1
        down = 0.75 if y % 2 else 0.25  # the share of the two cells above
        for odd in range(2):
            along = 0.75 if odd else 0.25  # of the two to the left
            left = MARGIN - 1 + odd
            pixels = (size + 1 - odd) // 2
            for i in range(4):
                row, aside = top + i // 2, left + i % 2
                share = np.float32((down, 1 - down)[i // 2] * (along, 1 - along)[i % 2])
                for p in range(pixels):
                    weight[i, p] = share / (_NEAR + abs(coarse[row, p + aside] - depth[y, 2 * p + odd]))
            for k in range(count + 1):
                line = whole if k == count else out[k, y]
                for p in range(pixels):
                    line[2 * p + odd] = (
                        weight[0, p] * sums[k, top, p + left]
                        + weight[1, p] * sums[k, top, p + left + 1]
                        + weight[2, p] * sums[k, top + 1, p + left]
                        + weight[3, p] * sums[k, top + 1, p + left + 1]
                    )
        for k in range(count):
            for x in range(size):
                out[k, y, x] /= whole[x]
    return out
