"""The rasteriser's inner loops, compiled: light on what is seen.

Light: Lambert's law, "wrapped" for large lamps, a hemisphere of soft light, and highlights after J. F. Blinn, "Models
of light reflection for computer synthesized pictures", SIGGRAPH 1977. Arithmetic as in kernels.py.
"""

import numpy as np
from numba import njit

__all__ = ["light", "picture", "surface"]

#: Highlights: the strength of the broad lobe of skin (exponent 16) and the tight one of wet eyes (exponent 128).
_BROAD, _TIGHT = 0.12, 0.9

_LANES = 64  # fragments that are lit side by side: one row of memory for each of the numbers below
_NX, _NY, _NZ, _SHINE, _RED, _GREEN, _BLUE, _VX, _VY, _VZ, _TOWARDS, _OPEN, _LIT = range(13)
_MATT_RED, _MATT_GREEN, _MATT_BLUE, _BRIGHT_RED, _BRIGHT_GREEN, _BRIGHT_BLUE, _ROWS = range(13, 20)


@njit(cache=True, error_model="numpy")
def surface(found, chosen, screen, triangles, vertices, normals):
    """Return the place, in centimetres, and the normal of some fragments.

    Parameters
    ----------
    found : (N, 6) int32
        Of `pydeepexpr.rig.kernels.fragments`.
    chosen : (h, w) int32
        Numbers of fragments; -1 for none.
    screen, vertices, normals : (V, 3) float64
    triangles : (T, 3) unsigned integers

    Returns
    -------
    place, facing : (h, w, 3) float32
        inf where there is none.
    """
    place, facing = np.full((*chosen.shape, 3), np.inf, np.float32), np.full((*chosen.shape, 3), np.inf, np.float32)
    for y in range(chosen.shape[0]):
        for x in range(chosen.shape[1]):
            if chosen[y, x] < 0:
                continue
            _, _, t, _, row, column = found[chosen[y, x]]
            a, b, c = triangles[t]
            wa, wb, wc = _weights(screen, a, b, c, column, row)
            nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
            ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
            nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
            scale = 1 / np.sqrt(nx * nx + ny * ny + nz * nz + 1e-30)
            facing[y, x, 0], facing[y, x, 1], facing[y, x, 2] = nx * scale, ny * scale, nz * scale
            for k in range(3):
                place[y, x, k] = wa * vertices[a, k] + wb * vertices[b, k] + wc * vertices[c, k]
    return place, facing


@njit(cache=True, error_model="numpy")
def light(found, screen, triangles, normals, colours, gloss, shares, samples, focal, lamps, soft, occlusion):
    """Return what fragments send towards the camera: (N, 3) float32, linear red, green, blue, at most 1.

    Parameters
    ----------
    found : (N, 6) int32
        Of `pydeepexpr.rig.kernels.fragments`.
    screen, normals : (V, 3) float64
    triangles : (T, 3) unsigned integers
    colours, gloss : (V, 3), (V,) float32
    shares : (1 + K, H, W) float32
        In each pixel, how much of the sky its surroundings hide, then how much of the light of each lamp that casts
        shadows something takes away: 0 to 1.
    samples : int
    focal : float
        Of the camera, in pixels.
    lamps : (L, 8) float64
        `Lights.as_array`.
    soft : (2, 3) float64
        The sky's light and the ground's.
    occlusion : float
    """
    out = np.empty((len(found), 3), np.float32)
    middle, slope = 0.5 * (samples * shares.shape[1] - 1), 1 / (focal * samples)
    lanes = np.zeros((_ROWS, _LANES))
    for start in range(0, len(found), _LANES):
        count = min(_LANES, len(found) - start)
        for i in range(count):
            y, x, t, _, row, column = found[start + i]
            a, b, c = triangles[t]
            wa, wb, wc = _weights(screen, a, b, c, column, row)
            for k in range(3):
                lanes[_NX + k, i] = wa * normals[a, k] + wb * normals[b, k] + wc * normals[c, k]
                lanes[_RED + k, i] = wa * colours[a, k] + wb * colours[b, k] + wc * colours[c, k]
            lanes[_SHINE, i] = wa * gloss[a] + wb * gloss[b] + wc * gloss[c]
            lanes[_VX, i] = (middle - column) * slope
            lanes[_VY, i] = (row - middle) * slope
            lanes[_OPEN, i] = shares[0, y, x]
        # The loops over all lanes hold no branch, call nothing and gather nothing: the compiler makes them vectors.
        for i in range(_LANES):
            scale = 1 / np.sqrt(lanes[_NX, i] ** 2 + lanes[_NY, i] ** 2 + lanes[_NZ, i] ** 2 + 1e-30)
            lanes[_NX, i] *= scale
            lanes[_NY, i] *= scale
            lanes[_NZ, i] *= scale
            scale = 1 / np.sqrt(lanes[_VX, i] ** 2 + lanes[_VY, i] ** 2 + 1)
            lanes[_VX, i] *= scale
            lanes[_VY, i] *= scale
            lanes[_VZ, i] = scale
            lanes[_TOWARDS, i] = (
                lanes[_NX, i] * lanes[_VX, i] + lanes[_NY, i] * lanes[_VY, i] + lanes[_NZ, i] * lanes[_VZ, i]
            )
            lanes[_OPEN, i] = 1 / (1 + occlusion * lanes[_OPEN, i])
            up = (0.5 + 0.5 * lanes[_NY, i]) * lanes[_OPEN, i]
            down = lanes[_OPEN, i] - up
            lanes[_MATT_RED, i] = soft[0, 0] * up + soft[1, 0] * down
            lanes[_MATT_GREEN, i] = soft[0, 1] * up + soft[1, 1] * down
            lanes[_MATT_BLUE, i] = soft[0, 2] * up + soft[1, 2] * down
            lanes[_BRIGHT_RED, i] = 0
            lanes[_BRIGHT_GREEN, i] = 0
            lanes[_BRIGHT_BLUE, i] = 0
        for number in range(len(lamps)):
            lx, ly, lz, red, green, blue, wrap, shadow = lamps[number]
            even = 1 / (1 + wrap)
            lanes[_LIT] = 1
            if shadow > 0:
                for i in range(count):
                    lanes[_LIT, i] -= shadow * shares[1 + number, found[start + i, 0], found[start + i, 1]]
            for i in range(_LANES):
                # A lamp finds its way into a hollow better than light from everywhere.
                reached = (0.5 + 0.5 * lanes[_OPEN, i]) * lanes[_LIT, i]
                cosine = lanes[_NX, i] * lx + lanes[_NY, i] * ly + lanes[_NZ, i] * lz
                facing = max(0.0, (cosine + wrap) * even) * reached
                lanes[_MATT_RED, i] += red * facing
                lanes[_MATT_GREEN, i] += green * facing
                lanes[_MATT_BLUE, i] += blue * facing
                # The square of the cosine between the normal and the half-way direction, without a root.
                half = max(0.0, cosine + lanes[_TOWARDS, i]) ** 2
                square = half / (2 + 2 * (lanes[_VX, i] * lx + lanes[_VY, i] * ly + lanes[_VZ, i] * lz) + 1e-12)
                broad = square**8 if cosine > 0 else 0.0
                tight = broad**8
                shine = lanes[_SHINE, i]
                highlight = shine * ((1 - shine) * _BROAD * broad + shine * _TIGHT * tight) * reached
                lanes[_BRIGHT_RED, i] += red * highlight
                lanes[_BRIGHT_GREEN, i] += green * highlight
                lanes[_BRIGHT_BLUE, i] += blue * highlight
        for i in range(count):
            for k in range(3):
                out[start + i, k] = min(1.0, lanes[_RED + k, i] * lanes[_MATT_RED + k, i] + lanes[_BRIGHT_RED + k, i])
    return out


@njit(cache=True, error_model="numpy")
def picture(found, lit, size, samples, srgb):
    """Average fragments over their pixels.

    Parameters
    ----------
    found : (N, 6) int32
    lit : (N, 3) float32
        Of `light`.
    size, samples : int
    srgb : (S + 1,) uint8
        Levels of intensities from 0 to 1.

    Returns
    -------
    (size, size, 4) uint8
        sRGB and straight alpha.
    """
    rgba = np.zeros((size, size, 4), np.uint8)
    steps = len(srgb) - 1
    i = 0
    while i < len(found):
        y, x = found[i, 0], found[i, 1]
        covered = 0
        red = green = blue = 0.0
        while i < len(found) and found[i, 1] == x and found[i, 0] == y:
            owned = found[i, 3]
            covered += owned
            red += owned * lit[i, 0]
            green += owned * lit[i, 1]
            blue += owned * lit[i, 2]
            i += 1
        scale = steps / covered
        rgba[y, x, 0] = srgb[int(red * scale + 0.5)]
        rgba[y, x, 1] = srgb[int(green * scale + 0.5)]
        rgba[y, x, 2] = srgb[int(blue * scale + 0.5)]
        rgba[y, x, 3] = int(covered * 255 / (samples * samples) + 0.5)
    return rgba


@njit(cache=True, error_model="numpy")
def _weights(screen, a, b, c, column, row):
    """Return the parts of a triangle's three corners in a sample, right in perspective."""
    ax, ay, bx, by, cx, cy = screen[a, 0], screen[a, 1], screen[b, 0], screen[b, 1], screen[c, 0], screen[c, 1]
    wa = ((cx - column) * (by - row) - (bx - column) * (cy - row)) * screen[a, 2]
    wb = ((ax - column) * (cy - row) - (cx - column) * (ay - row)) * screen[b, 2]
    wc = ((bx - column) * (ay - row) - (ax - column) * (by - row)) * screen[c, 2]
    scale = 1 / (wa + wb + wc)
    return wa * scale, wb * scale, wc * scale
