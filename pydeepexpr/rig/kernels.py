"""The rasteriser's inner loops, compiled: normals, coverage, light.

They use IEEE's four operations and square roots alone, in a fixed order and on one thread, so that they give the same
numbers everywhere. All of them share this file, because a compiled function is cached by the file that it stands in:
if `draw` called one that stood elsewhere, a change there would go unnoticed.
"""

import numpy as np
from numba import njit

__all__ = ["cover", "draw", "surface", "vertex_normals"]

#: Highlights: the strength of the broad lobe of skin (exponent 16) and the tight one of wet eyes (exponent 128).
_BROAD, _TIGHT = 0.12, 0.9


@njit(cache=True, error_model="numpy")
def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return the outward normals of a smooth surface.

    Parameters
    ----------
    vertices : (V, 3) float64
    triangles : (T, 3) integers
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
        for v in (a, b, c):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(normals)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2)
        if length > 0:
            normals[v] /= length
    return normals


@njit(cache=True, error_model="numpy")
def cover(screen: np.ndarray, triangles: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest triangle at every sample: its 1/depth (0: none) and number (-1: none), (size, size) each."""
    nearest = np.zeros((size, size))
    owner = np.full((size, size), -1, np.int32)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ax, ay, az = screen[a, 0], screen[a, 1], screen[a, 2]
        bx, by, bz = screen[b, 0], screen[b, 1], screen[b, 2]
        cx, cy, cz = screen[c, 0], screen[c, 1], screen[c, 2]
        # y points down on the screen: counter-clockwise triangles have a positive area by this order.
        area = (cx - ax) * (by - ay) - (bx - ax) * (cy - ay)
        if not area > 0:  # its back, a line, or NaN: too near
            continue
        left, right = max(0.0, np.ceil(min(ax, bx, cx))), min(size - 1.0, np.floor(max(ax, bx, cx)))
        top, bottom = max(0.0, np.ceil(min(ay, by, cy))), min(size - 1.0, np.floor(max(ay, by, cy)))
        # Which side of an edge a sample lies on: p·column + q·row + r. Two triangles that share an edge find the same
        # number with opposite signs, to the last bit, and so leave no gap.
        pa, qa, ra = cy - by, bx - cx, cx * by - bx * cy
        pb, qb, rb = ay - cy, cx - ax, ax * cy - cx * ay
        pc, qc, rc = by - ay, ax - bx, bx * ay - ax * by
        slope_x, slope_y = (pa * az + pb * bz + pc * cz) / area, (qa * az + qb * bz + qc * cz) / area
        for row in range(int(top), int(bottom) + 1):
            wa, wb, wc = qa * row + ra, qb * row + rb, qc * row + rc
            z = az + slope_y * (row - ay) - slope_x * ax
            for column in range(int(left), int(right) + 1):
                here = z + slope_x * column
                ahead = here > nearest[row, column]  # asked first, for most triangles lie behind others
                if ahead and pa * column + wa >= 0 and pb * column + wb >= 0 and pc * column + wc >= 0:
                    nearest[row, column] = here
                    owner[row, column] = t
    return nearest, owner


@njit(cache=True, error_model="numpy")
def surface(screen, triangles, vertices, normals, nearest, owner, samples):
    """Return the nearest surface in each pixel: depth (H, W), place and normal (H, W, 3), all float32."""
    size = len(owner) // samples
    depth = np.full((size, size), np.inf, np.float32)
    place = np.empty((size, size, 3), np.float32)
    facing = np.empty((size, size, 3), np.float32)
    for y in range(size):
        for x in range(size):
            closest, at_row, at_column = 0.0, 0, 0
            for row in range(y * samples, (y + 1) * samples):
                for column in range(x * samples, (x + 1) * samples):
                    if nearest[row, column] > closest:
                        closest, at_row, at_column = nearest[row, column], row, column
            if closest > 0:
                depth[y, x] = 1 / closest
                a, b, c = triangles[owner[at_row, at_column]]
                wa, wb, wc = _weights(screen, a, b, c, at_column, at_row)
                for k in range(3):
                    place[y, x, k] = _mix(vertices, a, b, c, wa, wb, wc, k)
                facing[y, x] = _normal(normals, a, b, c, wa, wb, wc)
    return depth, place, facing


@njit(cache=True, error_model="numpy")
def draw(screen, triangles, normals, colours, gloss, owner, openness, lit, samples, focal, lamps, sky, ground, srgb):
    """Light the covered samples and average them: (H, W, 4) uint8."""
    size = len(owner) // samples
    middle, focal_samples = 0.5 * (len(owner) - 1), focal * samples
    rgba = np.zeros((size, size, 4), np.uint8)
    steps = len(srgb) - 1
    for y in range(size):
        for x in range(size):
            covered, last = 0, -1
            red = green = blue = own_red = own_green = own_blue = 0.0
            for row in range(y * samples, (y + 1) * samples):
                for column in range(x * samples, (x + 1) * samples):
                    t = owner[row, column]
                    if t < 0:
                        continue
                    if t != last:  # the samples of one triangle in one pixel hardly differ
                        last = t
                        a, b, c = triangles[t]
                        wa, wb, wc = _weights(screen, a, b, c, column, row)
                        normal = _normal(normals, a, b, c, wa, wb, wc)
                        shine = wa * gloss[a] + wb * gloss[b] + wc * gloss[c]
                        matt, bright = _reflect(
                            *(normal, shine, (middle - column) / focal_samples, (row - middle) / focal_samples),
                            *(openness[y, x], lit[:, y, x], lamps, sky, ground),
                        )
                        own_red = min(1.0, _mix(colours, a, b, c, wa, wb, wc, 0) * matt[0] + bright[0])
                        own_green = min(1.0, _mix(colours, a, b, c, wa, wb, wc, 1) * matt[1] + bright[1])
                        own_blue = min(1.0, _mix(colours, a, b, c, wa, wb, wc, 2) * matt[2] + bright[2])
                    covered += 1
                    red += own_red
                    green += own_green
                    blue += own_blue
            if covered > 0:
                rgba[y, x, 0] = srgb[int(red / covered * steps + 0.5)]
                rgba[y, x, 1] = srgb[int(green / covered * steps + 0.5)]
                rgba[y, x, 2] = srgb[int(blue / covered * steps + 0.5)]
                rgba[y, x, 3] = int(covered * 255 / (samples * samples) + 0.5)
    return rgba


@njit(cache=True, error_model="numpy")
def _reflect(normal, shine, view_x, view_y, openness, lit, lamps, sky, ground):
    """Return what a surface sends towards the camera.

    Parameters
    ----------
    normal : (float, float, float)
        Of length 1.
    shine : float
        0 (matt) to 1 (wet).
    view_x, view_y : float
        Slopes of the line to the camera: its direction is (view_x, view_y, 1).
    openness : float
        Share of the soft light that reaches the surface (`pydeepexpr.rig.occlusion`).
    lit : (L,) float64
        Share of each lamp's light that no shadow takes.
    lamps : (L, 7) float64
        `Lights.as_array`.
    sky, ground : (3,) float64

    Returns
    -------
    matt, bright : (float, float, float)
        What the surface would send were it white, and the highlights upon it: linear red, green, blue.
    """
    nx, ny, nz = normal
    view_scale = 1 / np.sqrt(view_x * view_x + view_y * view_y + 1)
    vx, vy, vz = view_x * view_scale, view_y * view_scale, view_scale
    up = (0.5 + 0.5 * ny) * openness
    down = openness - up
    red = sky[0] * up + ground[0] * down
    green = sky[1] * up + ground[1] * down
    blue = sky[2] * up + ground[2] * down
    red_bright = green_bright = blue_bright = 0.0
    reached = 0.5 + 0.5 * openness  # a lamp finds its way into a hollow better than light from everywhere
    for i in range(len(lamps)):
        lx, ly, lz, wrap = lamps[i, 0], lamps[i, 1], lamps[i, 2], lamps[i, 6]
        cosine = nx * lx + ny * ly + nz * lz
        facing = (cosine + wrap) / (1 + wrap) * reached * lit[i]
        if facing <= 0:
            continue
        red += lamps[i, 3] * facing
        green += lamps[i, 4] * facing
        blue += lamps[i, 5] * facing
        if shine > 0 and cosine > 0:
            # The square of the cosine between the normal and the half-way direction, without a root.
            half = (cosine + nx * vx + ny * vy + nz * vz) ** 2
            square = half / ((lx + vx) ** 2 + (ly + vy) ** 2 + (lz + vz) ** 2 + 1e-12)
            broad = square**8
            tight = broad**8
            highlight = shine * ((1 - shine) * _BROAD * broad + shine * _TIGHT * tight) * reached * lit[i]
            red_bright += lamps[i, 3] * highlight
            green_bright += lamps[i, 4] * highlight
            blue_bright += lamps[i, 5] * highlight
    return (red, green, blue), (red_bright, green_bright, blue_bright)


@njit(cache=True, error_model="numpy")
def _weights(screen, a, b, c, column, row):
    """Return the parts of a triangle's three corners in a sample, right in perspective."""
    ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
    wa = ((cx - column) * (by - row) - (bx - column) * (cy - row)) * screen[a, 2]
    wb = ((ax - column) * (cy - row) - (cx - column) * (ay - row)) * screen[b, 2]
    wc = ((bx - column) * (ay - row) - (ax - column) * (by - row)) * screen[c, 2]
    scale = 1 / (wa + wb + wc)
    return wa * scale, wb * scale, wc * scale


@njit(cache=True, error_model="numpy")
def _mix(values, a, b, c, wa, wb, wc, k):
    return wa * values[a, k] + wb * values[b, k] + wc * values[c, k]


@njit(cache=True, error_model="numpy")
def _normal(normals, a, b, c, wa, wb, wc):
    x = _mix(normals, a, b, c, wa, wb, wc, 0)
    y = _mix(normals, a, b, c, wa, wb, wc, 1)
    z = _mix(normals, a, b, c, wa, wb, wc, 2)
    scale = 1 / np.sqrt(x * x + y * y + z * z + 1e-30)
    return x * scale, y * scale, z * scale
