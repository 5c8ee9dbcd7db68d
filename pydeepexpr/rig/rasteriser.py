"""Draw a mesh: a z-buffer in software, which gives the same picture everywhere.

Every pixel holds `samples` × `samples` points. For each, the nearest triangle is found (kernels.py); only then is it
lit (shading.py), once for each pixel in which it is seen, so that nothing hidden costs more than its coverage. Hollows
darken (occlusion.py) and lamps cast shadows (shadows.py); both are soft, and reckoned more coarsely (grain.py). Light
is reckoned in linear intensities, averaged over a pixel's samples and encoded as sRGB (IEC 61966-2-1) at the end.
"""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.camera import NEAR, Camera
from pydeepexpr.rig.colour import SRGB, decode, encode
from pydeepexpr.rig.grain import MARGIN, SPIRALS, STEP, smoothed, spread
from pydeepexpr.rig.kernels import cover, fragments, vertex_normals
from pydeepexpr.rig.lights import STUDIO, Lights
from pydeepexpr.rig.mesh import Mesh
from pydeepexpr.rig.occlusion import obscured
from pydeepexpr.rig.shading import light, picture, surface
from pydeepexpr.rig.shadows import shaded

__all__ = ["Frame", "over", "render", "visible"]

_MAX_SIZE, _MAX_SAMPLES = 4096, 8


@dataclass(frozen=True)
class Frame:
    """A picture of a mesh.

    Attributes
    ----------
    rgba : (H, W, 4) uint8
        sRGB red, green, blue and straight (not premultiplied) alpha: the share of the pixel that is covered.
    depth : (H, W) float32
        Distance to the nearest surface in each pixel along the line of sight, in centimetres; inf where there is none.
    """

    rgba: np.ndarray
    depth: np.ndarray


def render(mesh: Mesh, camera: Camera, lights: Lights = STUDIO, size: int = 256, samples: int = 2) -> Frame:
    """Draw a mesh on a transparent background.

    Triangles that turn their back to the camera are not drawn, nor is one that comes nearer to it than `NEAR`.

    Parameters
    ----------
    mesh : Mesh
    camera : Camera
    lights : Lights
    size : int
        Width and height of the frame in pixels, 1 to 4096.
    samples : int
        Points per pixel in either direction, 1 to 8: 2 gives edges of 4 steps, 3 of 9.

    Raises
    ------
    UserError
        If the mesh's arrays do not fit together, hold values that are not finite, or size or samples are out of range.
    """
    _check(mesh)
    for value, most, name in ((size, _MAX_SIZE, "size"), (samples, _MAX_SAMPLES, "samples")):
        if not 1 <= value <= most:
            raise UserError(f"{name} must lie between 1 and {most}, got {value}")
    vertices, triangles = mesh.vertices.astype(np.float64), mesh.triangles.astype(np.uint32)
    normals = vertex_normals(vertices, triangles)
    x, y, depth = camera.project(vertices, size).T
    # From pixels to samples; 1/depth is linear on the screen. x and y are NaN for what is too near.
    screen = np.column_stack([(x + 0.5) * samples - 0.5, (y + 0.5) * samples - 0.5, 1 / np.maximum(depth, NEAR)])
    nearest, owner = cover(screen, triangles, size * samples)
    found, depth, chosen, coarse = fragments(nearest, owner, samples, STEP, MARGIN)
    focal, lamps = camera.focal_length(size), lights.as_array()
    place, facing = surface(found, chosen, screen, triangles, vertices, normals)
    layers = [obscured(place, facing, coarse, focal / STEP, SPIRALS)]
    layers += [shaded(lamp[:3], vertices, triangles, place, facing, SPIRALS) for lamp in lamps if lamp[-1] > 0]
    shares = spread(smoothed(np.stack(layers), coarse), coarse, depth)
    colours, gloss = mesh.colours.astype(np.float32), mesh.gloss.astype(np.float32)
    soft = np.array([lights.sky, lights.ground], np.float64)
    lit = light(
        *(found, screen, triangles, normals, colours, gloss, shares),
        *(samples, focal, lamps, soft, lights.occlusion),
    )
    return Frame(picture(found, lit, size, samples, SRGB), depth)


def visible(points: np.ndarray, camera: Camera, frame: Frame, slack: float = 0.3) -> np.ndarray:
    """Tell which points can be seen in a frame.

    Parameters
    ----------
    points : (N, 3) array
        x, y, z in centimetres.
    camera : Camera
        The one that took `frame`.
    frame : Frame
    slack : float
        How far a point may lie behind the surface, in centimetres.

    Returns
    -------
    (N,) bool
        False for what lies outside of the image or behind the camera. A point stands between four pixels; it is hidden
        if all of them show something nearer.
    """
    height, width = frame.depth.shape
    x, y, depth = camera.project(points, width).T
    inside = (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)  # False for NaN too
    left, top = (np.floor(np.where(inside, at, 0)).astype(np.intp) for at in (x, y))
    columns, rows = np.clip([left, left + 1], 0, width - 1), np.clip([top, top + 1], 0, height - 1)
    furthest = frame.depth[rows[:, None], columns].max(axis=(0, 1))
    return inside & (depth <= furthest + slack)


def over(frame: Frame, background: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """Lay a frame over a background, blending its edges in linear light.

    Parameters
    ----------
    frame : Frame
    background : (H, W, 3) uint8, or three integers from 0 to 255
        A BGR picture of the frame's size, or one BGR colour.

    Returns
    -------
    (H, W, 3) uint8
        BGR.

    Raises
    ------
    UserError
        If the background has another size or is not uint8.
    """
    shape = (*frame.rgba.shape[:2], 3)
    background = np.asarray(background)
    if background.shape == (3,) and background.dtype.kind in "iu" and 0 <= background.min() <= background.max() <= 255:
        background = np.broadcast_to(background.astype(np.uint8), shape)
    if background.shape != shape or background.dtype != np.uint8:
        got = f"{background.dtype} {background.shape}"
        raise UserError(f"a background must be a BGR colour (0 to 255) or a uint8 picture {shape}, got {got}")
    out = frame.rgba[..., 2::-1].copy()
    alpha = frame.rgba[..., 3]
    out[alpha == 0] = background[alpha == 0]
    edge = (alpha > 0) & (alpha < 255)
    share = alpha[edge, None] / 255
    out[edge] = encode(decode(out[edge]) * share + decode(background[edge]) * (1 - share))
    return out


def _check(mesh: Mesh) -> None:
    count = len(mesh.vertices)
    shapes = mesh.vertices.shape, mesh.colours.shape, mesh.gloss.shape
    if shapes != ((count, 3), (count, 3), (count,)) or mesh.triangles.ndim != 2 or mesh.triangles.shape[1] != 3:
        raise UserError(f"a mesh's vertices, colours and gloss do not fit together: {shapes}, {mesh.triangles.shape}")
    if len(mesh.triangles) and not 0 <= mesh.triangles.min() <= mesh.triangles.max() < count:
        raise UserError(f"a mesh's triangles name vertices that it does not have; it has {count}")
    if not all(np.isfinite(values).all() for values in (mesh.vertices, mesh.colours, mesh.gloss)):
        raise UserError("a mesh holds values that are not finite; the pose has broken it")
