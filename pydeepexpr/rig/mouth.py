"""Inside the mouth: teeth, gums, tongue and the dark behind them."""

import itertools
from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.lips import Lips
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.shapes import grid_triangles
from pydeepexpr.rig.skin import Skin
from pydeepexpr.rig.template import template

__all__ = ["Mouth"]

_IVORY, _GUM = np.array([0.80, 0.76, 0.68]), np.array([0.42, 0.12, 0.11])
_TONGUE, _DARK = np.array([0.45, 0.13, 0.13]), np.array([0.025, 0.006, 0.006])
# Widths of the teeth from the middle outwards, centimetres of an average mouth; lengths of their crowns.
_TEETH = {1: ((0.86, 0.66, 0.76, 0.7, 0.7), 1.0), -1: ((0.54, 0.58, 0.66, 0.7), 0.75)}
_PER_TOOTH = 6  # columns
_SMILE_ARC = 0.045  # how the upper row's edge curves up to the sides, 1/cm


def _row_of_teeth(lips: Lips, side: int, y: float, scale: float) -> Mesh:
    """Return the upper (side 1) or lower (−1) row: crowns that end at height y, and the gum over them."""
    widths, crown = _TEETH[side]
    front, curve = lips.arch
    ends = np.concatenate([[0], np.cumsum(widths)]) * scale
    share = np.linspace(0, 1, _PER_TOOTH)
    right = np.concatenate([a + share * (b - a) for a, b in itertools.pairwise(ends)])
    bulge = np.tile(1 - (2 * share - 1) ** 6, len(widths))
    tip = np.tile(np.where(np.abs(2 * share - 1) > 0.9, 0.04, 0.0), len(widths))
    x = np.concatenate([-right[::-1], right])
    bulge, tip = np.concatenate([bulge[::-1], bulge]), np.concatenate([tip[::-1], tip])
    rows = np.array([0.0, 0.12, 0.55, 0.9, 1.0, 1.75 if side > 0 else 1.6])  # from the biting edge to the gum
    depth = np.array([-0.1, 0.0, 0.05, 0.02, 0.0, -0.3])
    # x runs along the arch, a parabola; its arc is measured once.
    walk = np.linspace(0, 4.5, 400)
    arc = np.concatenate([[0], np.cumsum(np.hypot(np.diff(walk), np.diff(curve * walk**2)))])
    along = np.sign(x) * np.interp(np.abs(x), arc, walk)
    vertices, colours = [], []
    for row, (height, out) in enumerate(zip(rows, depth, strict=True)):
        z = front - curve * along**2 - 0.2 + (out + 0.07 * bulge - 0.07) * scale
        arc = _SMILE_ARC * along**2 / scale if side > 0 else 0.0
        up = y + arc + side * scale * (crown * height + (tip if row == 0 else 0 * tip))
        vertices.append(np.column_stack([along, up, z]))
        tone = _GUM * np.ones((len(x), 1)) if height > 0.95 else _IVORY * (0.5 + 0.5 * bulge)[:, None]
        colours.append(tone)
    triangles = grid_triangles(len(rows), len(x))
    triangles = triangles[:, ::-1] if side > 0 else triangles
    vertices, colours = np.concatenate(vertices), np.concatenate(colours)
    return Mesh(vertices, triangles, colours, np.full(len(vertices), 0.55))


def _tongue(lips: Lips, y: float, scale: float) -> Mesh:
    across, back = np.meshgrid(np.linspace(-1, 1, 11), np.linspace(0, 1, 9))
    width = (0.6 + 0.9 * np.sqrt(back)) * scale
    top = y - 0.25 - 0.55 * across**2 + 0.75 * np.sin(np.pi * 0.55 * back) - 0.16 * np.exp(-((across / 0.15) ** 2))
    z = lips.arch[0] - 0.55 - 3.4 * back + 0.0 * across - 0.35 * across**2
    vertices = np.column_stack([(across * width).ravel(), top.ravel(), z.ravel()])
    triangles = grid_triangles(9, 11)[:, ::-1]
    return Mesh(vertices, triangles, np.tile(_TONGUE, (len(vertices), 1)), np.full(len(vertices), 0.4))


@dataclass(frozen=True, eq=False)
class Mouth:
    """What an open mouth shows."""

    triangles: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray
    _rest: np.ndarray  # teeth and tongue
    _jaw: np.ndarray
    _ring: np.ndarray  # vertices of the lips' edges, all round
    _bag: np.ndarray  # for each ring of the dark bag: share of the way back, height and depth

    @classmethod
    def of(cls, skin: Skin) -> "Mouth":
        """Build the inside of the mouth of a skin."""
        net = template()
        corner = skin.rest[net.upper_slit[-1]]
        middle = skin.rest[net.upper_slit[len(net.upper_slit) // 2]]
        scale = float(corner[0]) / 2.45
        y = float(middle[1])
        upper, lower = (
            _row_of_teeth(skin.lips, 1, y - 0.24 * scale, scale),
            _row_of_teeth(skin.lips, -1, y - 0.2 * scale, scale),
        )
        tongue = _tongue(skin.lips, y - 0.55, scale)
        solid = join([upper, lower, tongue])
        jaw = np.repeat([0.0, 1.0, 0.95], [len(m.vertices) for m in (upper, lower, tongue)])
        ring = np.concatenate([net.upper_slit, net.lower_slit[-2:0:-1]])  # counter-clockwise from behind
        bag = np.array([(0.0, 0.0, 0.0), (0.0, 0.18, 0.3), (0.06, 0.5, 1.0), (0.2, 0.8, 2.2), (1.0, 0.0, 5.0)])
        triangles = grid_triangles(len(bag), len(ring), closed=True)
        lips = skin.colours[ring] * 0.8
        bag_colours = np.concatenate([lips, lips * 0.45, np.tile(_DARK, (3 * len(ring), 1))])
        count = len(solid.vertices)
        return cls(
            np.concatenate([solid.triangles, triangles + count]).astype(np.int32),
            np.concatenate([solid.colours, bag_colours]).astype(np.float32),
            np.concatenate([solid.gloss, np.full(len(bag_colours), 0.1)]).astype(np.float32),
            solid.vertices.astype(np.float32),
            jaw.astype(np.float32),
            ring,
            bag.astype(np.float32),
        )

    def pose(self, skin: Skin, posed: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        """Return the vertices for a posed skin, (V, 3), and the muscles' contraction."""
        teeth = skin.turn_jaw(self._rest, self._jaw, amounts)
        edge = posed[self._ring]
        centre = edge.mean(axis=0)
        half = len(self._ring) // 2
        up = np.where(np.arange(len(self._ring)) <= half, 1.0, -1.0).astype(np.float32)
        up[[0, half]] = 0
        rings = []
        for share, height, depth in self._bag:
            ring = edge + share * (centre - edge)
            ring[:, 1] += up * height
            ring[:, 2] -= depth
            rings.append(ring)
        return np.concatenate([teeth, *rings]).astype(np.float32)
