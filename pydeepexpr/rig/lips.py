"""Lips: their relief, what belongs to the lower one, and how they slide over the teeth and meet."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.anatomy import Muscle
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.template import LIPS, Template, lip_height, template

__all__ = ["Lips", "below_slit", "lip_relief", "lip_roll"]


def below_slit(net: Template) -> np.ndarray:
    """Return how much each vertex belongs to the lower lip and what hangs on it: (V,) float64, 0 to 1.

    The step at the slit grows soft towards the corners, which belong to both by half, and wide beyond them.
    """
    x, y = np.abs(net.points[:, 0]), net.points[:, 1]
    away = np.abs(y - LIPS.y)
    along = np.minimum(x / LIPS.half_width, 1)
    half = 0.5 * (1 - np.sqrt(1 - along**2))  # of the other side, at the slit: an open mouth is an ellipse
    reach = 0.55 + 0.75 * np.maximum(x - 0.6 * LIPS.half_width, 0)
    other = half * np.exp(-((away / reach) ** 2))
    corner = (net.lip == 0) & (x > LIPS.half_width - 1e-9)
    return np.where(corner, 0.5, np.where(net.upper, other, 1 - other))


def lip_relief(net: Template, identity: Identity) -> np.ndarray:
    """Return what the lips, the groove above and the hollow below them add to the skull's surface: (V, 3)."""
    x, y = np.abs(net.points[:, 0]), net.points[:, 1]
    along = np.clip(x / LIPS.half_width, 0, 1)
    red = np.isfinite(net.lip)
    t = np.where(red, net.lip, 1)
    taper = np.sqrt(np.maximum(1 - along**2, 0))
    full = np.where(net.upper, identity.upper_lip**0.7, identity.lower_lip**0.7)
    mean = (0.40 * identity.upper_lip**0.7 + 0.46 * identity.lower_lip**0.7) / 2  # where they meet they are one
    rise = np.where(net.upper, 0.40, 0.46) * full
    rise = mean + np.minimum(t / 0.3, 1) * (rise - mean)
    roll = rise * taper * (0.15 + 0.85 * np.sin(np.pi * (0.06 + 0.86 * t) ** 0.85))
    z = np.where(red, roll - 0.1 * taper * (t < 0.1), 0)
    height = np.where(net.upper, LIPS.upper * lip_height(along, True), LIPS.lower * lip_height(along, False))
    beyond = np.maximum(np.abs(y - LIPS.y) - height, 0)
    outside = np.hypot(beyond, np.maximum(x - LIPS.half_width, 0) * 1.2)
    border = np.where(net.upper, 0.40, 0.46) * full * taper * 0.15
    z = z + np.where(red, 0, (border + 0.12 * taper) * np.exp(-((outside / 0.45) ** 2)))
    spot = lambda cx, cy, rx, ry: np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)  # noqa: E731
    z -= 0.14 * spot(0, -5.6, 0.26, 0.55) - 0.07 * spot(0.48, -5.6, 0.24, 0.55)  # philtrum
    z -= 0.34 * spot(0, LIPS.y - 1.75, 1.7, 0.5)  # above the chin
    z -= 0.14 * spot(LIPS.half_width + 0.15, LIPS.y, 0.6, 0.6)  # corners lie deeper
    return np.column_stack([np.zeros((len(x), 2)), z])


def lip_roll(net: Template, rows: tuple[Muscle, ...]) -> np.ndarray:
    """Return what the two halves of orbicularis oris add to their pull: the red rolls inwards. (M, V, 3)."""
    fields = np.zeros((len(rows), len(net.points), 3))
    x, y = net.points.T
    half = np.clip(0.5 + x / 1.6, 0, 1)
    away = np.abs(y - LIPS.y)
    rolled = np.where(np.isfinite(net.lip), 1.0, np.exp(-(((away - 0.5) / 0.5) ** 2)))
    rolled = rolled * np.clip((LIPS.half_width + 0.4 - np.abs(x)) / 0.8, 0, 1)
    for number, row in enumerate(rows):
        if row.name.startswith("orbicularis_oris"):
            part = half * (net.upper if row.part == "above" else ~net.upper)
            fields[number, :, 1] = -np.sign(y - LIPS.y) * np.minimum(away, 0.8) * 0.27 * part * rolled
            fields[number, :, 2] = -0.12 * part * np.where(np.isfinite(net.lip), 1 - 0.6 * net.lip, 0)
    return fields


_STICKY = 0.1  # lips as near as this begin to close, centimetres
_ROOM = 0.2  # between the teeth's arch and the lips' surface, centimetres


@dataclass(frozen=True, eq=False)
class Lips:
    """How the lips meet and slide.

    Attributes
    ----------
    zone : (N,) int32
        Vertices in reach of the mouth.
    arch : (2,) float64
        The teeth's arch, a parabola: z of its front, and its curve.
    """

    zone: np.ndarray
    arch: np.ndarray
    _slack: np.ndarray  # (N,) how far a vertex may be behind the arch
    _spread: np.ndarray  # (N, columns of the slit)

    @classmethod
    def of(cls, rest: np.ndarray) -> "Lips":
        """Measure the lips of a skin at rest, (V, 3)."""
        net = template()
        x, y = net.points.T
        zone = np.flatnonzero((np.abs(x) < LIPS.half_width + 1.2) & (np.abs(y - LIPS.y) < 2.2))
        slit = net.points[net.upper_slit, 0]
        column = np.clip(np.interp(x[zone], slit, np.arange(len(slit))), 0, len(slit) - 1)
        near = np.maximum(1 - np.abs(column[:, None] - np.arange(len(slit))), 0)
        beyond = np.maximum(np.abs(x[zone]) - LIPS.half_width, 0)
        fade = np.exp(-(((y[zone] - LIPS.y) / 0.9) ** 2) - (beyond / 0.5) ** 2)
        sign = np.where(net.upper[zone], 0.5, -0.5)
        spread = near * (fade * sign)[:, None]
        spread[:, [0, -1]] = 0
        middle, corner = rest[net.upper_slit[len(slit) // 2]], rest[net.upper_slit[-1]]
        front = middle[2] - 0.55
        curve = (front - (corner[2] - 0.35)) / corner[0] ** 2
        # What lies behind the arch already at rest, beside and below the mouth, may stay so.
        slack = np.maximum(front - curve * rest[zone, 0] ** 2 + _ROOM - rest[zone, 2], 0)
        slack += 2.0 * np.clip(np.abs(y[zone] - LIPS.y) - 1.2, 0, 1)
        return cls(zone.astype(np.int32), np.array([front, curve]), slack.astype(np.float32), spread.astype(np.float32))

    def slide(self, points: np.ndarray) -> np.ndarray:
        """Return the skin (V, 3) with the lips before the teeth."""
        front, curve = self.arch.astype(np.float32)
        moved = points.copy()
        x, _, z = points[self.zone].T
        moved[self.zone, 2] = np.maximum(z, front - curve * x * x + np.float32(_ROOM) - self._slack)
        return moved

    def touch(self, points: np.ndarray) -> np.ndarray:
        """Return the skin (V, 3) with lips that have passed through each other, or nearly meet, brought to touch."""
        net = template()
        upper, lower = points[net.upper_slit], points[net.lower_slit]
        gap = upper[:, 1] - lower[:, 1]
        shut = np.clip((_STICKY - gap) / (0.5 * _STICKY), 0, 1)
        moved = points.copy()
        moved[self.zone, 1] -= self._spread @ (shut * gap)
        together = shut[:, None] * (lower - upper) / 2
        moved[net.upper_slit] = upper + together
        moved[net.lower_slit] = lower - together
        return moved
