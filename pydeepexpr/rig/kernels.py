"""The rasteriser's inner loops, compiled: normals, coverage, and what is seen where.

They use IEEE's four operations and square roots alone, in a fixed order and on one thread, so that they give the same
numbers everywhere; so do those of shading.py, grain.py, occlusion.py and shadows.py. Functions that call each other
share a file, because a compiled function is cached by the file that it stands in: if one called another that stood
elsewhere, a change there would go unnoticed.
"""

import numpy as np
from numba import njit

__all__ = ["cover", "fragments", "vertex_normals"]

_ABREAST = 16  # samples of a row that are asked together


@njit(cache=True, error_model="numpy")
def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the outward normals of a smooth surface.

    Parameters
    ----------
    vertices : (V, 3) float64
    triangles : (T, 3) unsigned integers
        Counter-clockwise, seen from outside.

    Returns
    -------
    (V, 3) float64
        Of length 1: the mean of the adjacent triangles' normals, weighted by their areas; 0 where there are none.
    """
    normals = np.zeros_like(vertices)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
        vx, vy, vz = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        normals[a, 0], normals[a, 1], normals[a, 2] = normals[a, 0] + nx, normals[a, 1] + ny, normals[a, 2] + nz
        normals[b, 0], normals[b, 1], normals[b, 2] = normals[b, 0] + nx, normals[b, 1] + ny, normals[b, 2] + nz
        normals[c, 0], normals[c, 1], normals[c, 2] = normals[c, 0] + nx, normals[c, 1] + ny, normals[c, 2] + nz
    for v in range(len(normals)):
        scale = 1 / np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2 + 1e-300)
        for k in range(3):
            normals[v, k] *= scale
    return normals


@njit(cache=True, error_model="numpy")
def cover(screen: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest triangle at every sample.

    Parameters
    ----------
    screen : (V, 3) float64
        Column and row in samples; third a positive number that is linear on the screen, and greater where it is nearer.
    triangles : (T, 3) unsigned integers
    size : int

    Returns
    -------
    nearest : (size, size) float32
        The third number where the nearest triangle is; 0 where there is none.
    owner : (size, size) int32
        The number of that triangle.
    """
    # A sample's nearest triangle is the greatest of these: the third number's bits, which are ordered as it is because
    # it is positive, and below them the triangle's number.
    best = np.zeros(size * size + _ABREAST, np.int64)
    abreast = np.arange(float(_ABREAST))
    last = size - 1.0
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        # y points down on the screen: counter-clockwise triangles have a positive area by this order.
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if not area > 0:  # its back, a line, or NaN: too near
            continue
        left, right = np.ceil(max(0.0, min(ax, bx, cx))), min(last, max(ax, bx, cx))
        top, bottom = np.ceil(max(0.0, min(ay, by, cy))), min(last, max(ay, by, cy))
        if left > right or top > bottom:  # between the samples, or beside the image
            continue
        pa, qa, ra = cy - by, bx - cx, cx * by - bx * cy
        pb, qb, rb = ay - cy, cx - ax, ax * cy - cx * ay
        pc, qc, rc = by - ay, ax - bx, bx * ay - ax * by
        slope_x, slope_y = (pa * az + pb * bz + pc * cz) / area, (qa * az + qb * bz + qc * cz) / area
        start = az - slope_x * ax - slope_y * ay
        # An edge crosses a row at the column base + lean · row. Two triangles that share an edge find the same number,
        # to the last bit, and so leave no gap.
        base_a, base_b, base_c = -ra / pa, -rb / pb, -rc / pc
        lean_a, lean_b, lean_c = -qa / pa, -qb / pb, -qc / pc
        blocks = int(right - left) // _ABREAST + 1
        for row in range(int(top), int(bottom) + 1):
            first, final = left, right
            edge = base_a + lean_a * row
            if pa > 0:
                first = max(first, edge)
            elif pa < 0:
                final = min(final, edge)
            edge = base_b + lean_b * row
            if pb > 0:
                first = max(first, edge)
            elif pb < 0:
                final = min(final, edge)
            edge = base_c + lean_c * row
            if pc > 0:
                first = max(first, edge)
            elif pc < 0:
                final = min(final, edge)
            at, column, z = row * size + int(left), left, start + slope_y * row
            for _ in range(blocks):
                for i in range(_ABREAST):  # without a branch: the compiler makes a few vector instructions of it
                    x = column + abreast[i]
                    here = np.int64(np.float32(z + slope_x * x).view(np.int32)) << 32 | t
                    k = np.uintp(at + i)
                    best[k] = max(best[k], here if first <= x and x <= final else 0)
                at += _ABREAST
                column += _ABREAST
    nearest, owner = np.empty((size, size), np.float32), np.empty((size, size), np.int32)
    for row in range(size):
        for column in range(size):
            here = best[row * size + column]
            nearest[row, column] = np.int32(here >> 32).view(np.float32)
            owner[row, column] = here & 0xFFFFFFFF
    return nearest, owner


@njit(cache=True, error_model="numpy")
def fragments(nearest, owner, samples, step, margin):
    """List what is seen: the triangles that own samples of a pixel, pixel by pixel.

    Parameters
    ----------
    nearest, owner
        Of `cover`; the first of 1/depth.
    samples : int
        Per pixel, in either direction.
    step, margin : int
        Of a coarse grid of cells: pixels per cell in either direction, and cells without pixels around the image.

    Returns
    -------
    found : (N, 6) int32
        Row and column of the pixel, number of the triangle, how many of the pixel's samples it owns, and row and column
        of the first of them.
    depth : (H, W) float32
        Of the nearest surface in each pixel; inf where there is none.
    chosen : (h, w) int32
        The fragment that stands for each cell; -1 where there is none. Where several surfaces meet in a cell, it is of
        the nearest or, in every other cell as on a chessboard, of the furthest: so both of an edge's sides are known.
    coarse : (h, w) float32
        Its depth.
    """
    size = len(owner) // samples
    cells = -(-size // step) + 2 * margin
    covered = 0
    for row in range(len(owner)):
        for column in range(len(owner)):
            covered += nearest[row, column] > 0
    found = np.empty((covered, 6), np.int32)
    near, near_cell = np.zeros((size, size), np.float32), np.zeros((cells, cells), np.float32)
    chosen = np.full((cells, cells), -1, np.int32)
    count = 0
    for y in range(size):
        v = y // step + margin
        for x in range(size):
            start, closest, foremost = count, np.float32(0), -1
            for row in range(y * samples, (y + 1) * samples):
                for column in range(x * samples, (x + 1) * samples):
                    here = nearest[row, column]
                    if here > 0:
                        t = owner[row, column]
                        same = count - 1
                        while same >= start and found[same, 2] != t:
                            same -= 1
                        if same < start:
                            same = count
                            found[same, 0], found[same, 1], found[same, 2] = y, x, t
                            found[same, 3], found[same, 4], found[same, 5] = 0, row, column
                            count += 1
                        found[same, 3] += 1
                        if here > closest:
                            closest, foremost = here, same
            if count > start:
                near[y, x] = closest
                u = x // step + margin
                other = near_cell[v, u]
                if other == 0 or (closest > other if (u + v) % 2 == 0 else closest < other):
                    near_cell[v, u], chosen[v, u] = closest, foremost
    return found[:count], 1 / near, chosen, 1 / near_cell
