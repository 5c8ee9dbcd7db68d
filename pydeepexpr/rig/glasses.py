"""Glasses: two rims, a bridge and the arms to the ears; the lenses are clear."""

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.sculpt import eye_centres, eye_radius, march, solids
from pydeepexpr.rig.shapes import tube
from pydeepexpr.rig.template import EYE

__all__ = ["glasses"]

_WIRE = 0.15  # radius of the frame, centimetres
_ROUNDNESS = {"round": 2.0, "square": 4.5}  # exponent of the rim's superellipse


def _skin_behind(identity: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the z of the skin at some places seen from the front."""
    start = np.column_stack([x, y, np.full(len(x), -5.5)]).astype(np.float32)
    return start[:, 2] + march(solids(identity), start, np.tile(np.array([[0, 0, 1]], np.float32), (len(x), 1)))


def glasses(identity: Identity) -> Mesh:
    """Return the glasses; nothing for "none"."""
    if identity.glasses == "none":
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)), np.zeros(0))
    x, radius = eye_centres(identity)[1, 0], eye_radius(identity)
    size = radius / EYE.radius
    half = min(2.15 * size, x - 0.55)
    tall = (2.0 if identity.glasses == "round" else 1.55) * size**0.8
    turn = 2 * np.pi * np.arange(40) / 40
    power = 2 / _ROUNDNESS[identity.glasses]
    cos, sin = np.cos(turn), np.sin(turn)
    rim_x = x + half * np.sign(cos) * np.abs(cos) ** power
    rim_y = -0.25 * size + tall * np.sign(sin) * np.abs(sin) ** power
    bend = 0.06 * np.maximum(rim_x - 1.2, 0) ** 1.5  # the frame follows the face round
    front = max(radius + 0.5, float((_skin_behind(identity, rim_x, rim_y) + bend).max()) + 0.3)
    rim = np.column_stack([rim_x, rim_y, front - bend])
    share = np.linspace(0, 1, 9)
    across, height = (2 * share - 1) * (x - half), 0.1 + 0.3 * np.sin(np.pi * share)
    over_nose = np.maximum(_skin_behind(identity, across, height).max() + 0.2 - front, 0)
    bridge = np.column_stack([across, height, front + over_nose * np.sin(np.pi * share) ** 0.5])
    outer = rim[0]
    ear = np.array([7.6 * identity.head_width, 0.2, -5.0])
    arm = outer + np.linspace(0, 1, 8)[:, None] * (ear - outer)
    arm[:, 0] = outer[0] + (ear[0] - outer[0]) * np.linspace(0, 1, 8) ** 0.4
    parts = []
    for path, closed in ((rim, True), (arm, False), (bridge, False)):
        vertices, triangles = tube(path, np.full(len(path), _WIRE), closed=closed)
        colours = np.tile(linear_rgb(identity.frame), (len(vertices), 1))
        part = Mesh(vertices, triangles, colours, np.full(len(vertices), 0.6))
        parts.append(part)
        if path is not bridge:
            parts.append(Mesh(vertices * (-1, 1, 1), triangles[:, ::-1], colours, part.gloss))
    return join(parts)
