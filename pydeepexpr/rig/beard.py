"""Beards: a second surface that grows out of the skin and moves with it."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.shapes import normals
from pydeepexpr.rig.template import LIPS, lip_height, template

__all__ = ["Beard"]


def _growth(style: str) -> np.ndarray:
    """Return how long the beard is at each vertex of the template, (V,): 0 is bare, 1 full."""
    net = template()
    x, y = np.abs(net.points[:, 0]), net.points[:, 1]
    along = np.clip(x / LIPS.half_width, 0, 1)
    # The moustache follows the upper lip, 0.15 cm above the red, and bends down beyond the corners.
    line = LIPS.y + LIPS.upper * lip_height(along, True) + 0.42 - 0.9 * np.maximum(x - 1.9, 0) ** 1.5
    moustache = np.clip(1.25 - np.abs(y - line) / 0.42, 0, 1) * np.clip((3.1 - x) / 0.8, 0, 1)
    edge = LIPS.y - LIPS.lower * lip_height(along, False)  # lower border of the red
    chin = np.clip((edge - 0.55 - y) / 0.5, 0, 1) * np.clip((2.3 - x) / 0.6, 0, 1) * np.clip((y + 15.0) / 3.0, 0, 1)
    tuft = np.clip((edge - 0.12 - y) / 0.2, 0, 1) * np.clip((0.75 - x) / 0.3, 0, 1) * (y > -10)
    side = np.clip((3.1 - x) / 0.4, 0, 1) * np.clip((x - 2.35) / 0.4, 0, 1) * (y < LIPS.y + 0.5) * (y > -10)
    cheek = -3.4 - 2.6 * np.clip((5.6 - x) / 3.2, 0, 1)  # the beard's upper edge, falling from the ear to the mouth
    jaw = np.clip((cheek - y) / 0.6, 0, 1) * np.clip((x - 2.5) / 0.5, 0, 1)
    below = np.clip((edge - 0.5 - y) / 0.5, 0, 1) * (x < 3.6)
    whole = np.maximum(jaw, below) * np.clip((13.5 - x) / 3, 0, 1) * np.clip((y + 19) / 4, 0, 1)
    growths = {
        "moustache": moustache,
        "goatee": np.maximum.reduce([0.7 * moustache, chin, 0.6 * tuft, 0.7 * side]),
        "full": np.maximum.reduce([0.75 * moustache, whole, 0.6 * tuft]),
    }
    return np.where(np.isfinite(net.lip), 0, growths[style])


@dataclass(frozen=True, eq=False)
class Beard:
    """A beard. N vertices; none where the identity has no beard."""

    triangles: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray
    _vertices: np.ndarray  # (N,) of the skin
    _offset: np.ndarray

    @classmethod
    def of(cls, identity: Identity, rest: np.ndarray) -> "Beard":
        """Grow the beard of an identity on its skin at rest, (V, 3)."""
        net = template()
        if identity.beard == "none":
            nothing = np.zeros((0, 3), np.float32)
            return cls(nothing.astype(np.int32), nothing, nothing[:, 0], np.zeros(0, np.int32), nothing)
        growth = _growth(identity.beard)
        used = net.triangles[(growth[net.triangles] > 0).any(axis=1)]
        vertices, numbers = np.unique(used, return_inverse=True)
        growth = growth[vertices]
        random = np.random.default_rng(9).uniform(-1, 1, len(net.points))
        random = (random + random[net.mirror])[vertices] / 2
        low = np.clip((LIPS.y - net.points[vertices, 1]) / 5, 0, 1)[:, None]
        away = normals(rest, net.triangles)[vertices] + low * (0, -0.7, 0.15)
        long = identity.beard_volume * growth * (0.32 + 0.5 * low[:, 0]) * (1 + 0.25 * random)
        long = np.where(growth > 0.05, long, -0.08)
        hair = linear_rgb(identity.brows) * 0.7 + linear_rgb(identity.hair) * 0.3
        colours = np.clip((1 + 0.35 * random)[:, None] * hair, 0, 1)
        return cls(
            numbers.reshape(-1, 3).astype(np.int32),
            colours.astype(np.float32),
            np.full(len(vertices), 0.1, np.float32),
            vertices.astype(np.int32),
            (away * long[:, None]).astype(np.float32),
        )

    def pose(self, skin: np.ndarray) -> np.ndarray:
        """Return the vertices upon a posed skin: (N, 3)."""
        return skin[self._vertices] + self._offset
