"""Eyelids: how they lie on the eyeballs and slide over them."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.anatomy import ROWS, TONE, muscle_index
from pydeepexpr.rig.template import EYE, template

__all__ = ["Lids"]

_LEVATOR = muscle_index("levator_palpebrae")
_UPPER = muscle_index("orbicularis_oculi_palpebral_upper")
_LOWER = muscle_index("orbicularis_oculi_palpebral_lower")
_THICK = 0.07  # lids' thickness over the eyeball of an average adult, centimetres
_DROOP = 0.8  # how far the upper lid falls, of the opening, when its levator lets go
_FOLLOW = 0.55  # how much of a lowered gaze the upper lid follows


@dataclass(frozen=True, eq=False)
class Lids:
    """The lids of both eyes. N vertices an eye, left eye first.

    Attributes
    ----------
    zone : (2, N) int32
        Vertices around each eye.
    centres : (2, 3) float32
    radius : float
        Of the lids' inner side.
    """

    zone: np.ndarray
    centres: np.ndarray
    radius: float
    _open: np.ndarray  # (2, 2, N) radians from the lower up to the upper lid's edge, in each vertex' column
    _follow: np.ndarray  # (2, N) how far a vertex goes with its lid's edge: upper, lower

    @staticmethod
    def laid(surface: np.ndarray, plane: np.ndarray, centres: np.ndarray, eye_radius: float) -> np.ndarray:
        """Return the skin at rest, (V, 3), with the lids laid upon the eyeballs.

        Parameters
        ----------
        surface : (V, 3) float64
            The skull's surface.
        plane : (V, 2) float64
            Where the vertices shall be seen from the front.
        centres : (2, 3) float64
        eye_radius : float
        """
        net = template()
        laid = surface.copy()
        scale = eye_radius / EYE.radius
        ring = net.lid_ring
        near = np.isfinite(ring)
        ring = ring[near]
        centre = np.where(plane[near, :1] < 0, centres[0], centres[1])
        dx, dy = (plane[near] - centre[:, :2]).T
        radius = eye_radius + _THICK * scale
        ball = np.sqrt(np.maximum(radius**2 - dx**2 - dy**2, (0.25 * radius) ** 2))
        upper = dy > 0
        bulge = np.exp(-(((ring - 0.66) / 0.2) ** 2)) * np.where(upper, 0.16, 0.06) * scale
        bulge = bulge - np.exp(-(((ring - 0.42) / 0.1) ** 2)) * np.where(upper, 0.05, 0.0) * scale
        skull = surface[near, 2]
        share = np.clip((ring - 0.2) / 0.75, 0, 1)
        share = share * share * (3 - 2 * share)
        soft = 0.25 * scale
        over = soft * (
            np.logaddexp(skull / soft, (ball - 0.05) / soft) - np.log(2) * np.exp(-(((skull - ball) / soft) ** 2))
        )
        laid[near, 2] = ball + share * (np.where(share < 1, over, skull) - ball) + bulge
        keep = np.clip((1 - ring) / 0.3, 0, 1)[:, None]
        laid[near, :2] = keep * plane[near] + (1 - keep) * surface[near, :2]
        return laid

    @classmethod
    def of(cls, rest: np.ndarray, centres: np.ndarray, eye_radius: float) -> "Lids":
        """Measure the lids of a skin at rest, (V, 3)."""
        net = template()
        inside = np.isfinite(net.lid_ring)
        zone = np.flatnonzero(inside & (net.points[:, 0] > 0))
        zones = np.stack([net.mirror[zone], zone])
        column, ring = net.lid_column[zone], net.lid_ring[zone]
        upper_columns = np.arange(EYE.columns // 2 + 1)
        lower_columns = -upper_columns % EYE.columns
        up = column <= EYE.columns // 2
        opens = np.empty((2, 2, len(zone)))
        for eye in range(2):
            edge = rest[net.lids[eye]] - centres[eye]
            angle = np.arctan2(edge[:, 1], edge[:, 2])
            x = np.abs(rest[net.lids[eye], 0])
            own_x = x[column]
            order = slice(None, None, -1)  # from the nose outwards
            opens[eye, 0] = np.interp(own_x, x[lower_columns][order], angle[lower_columns][order])
            opens[eye, 1] = np.interp(own_x, x[upper_columns][order], angle[upper_columns][order])
        fade = np.clip(1 - ring, 0, 1)
        follow = np.stack([np.where(up, fade**1.1, 0), np.where(~up, fade**1.7, 0)])
        scale = eye_radius / EYE.radius
        return cls(
            zones.astype(np.int32),
            centres.astype(np.float32),
            float(eye_radius + _THICK * scale),
            opens.astype(np.float32),
            follow.astype(np.float32),
        )

    def slide(self, points: np.ndarray, amounts: np.ndarray, gaze: np.ndarray) -> np.ndarray:
        """Return the skin (V, 3) with its lids open or shut.

        Parameters
        ----------
        points : (V, 3) float32
        amounts : (2, 27) float32
            `contraction` of the muscles.
        gaze : (2,) float32
            Yaw, pitch: the lids follow the pitch.
        """
        moved = points.copy()
        for eye in range(2):
            zone, centre = self.zone[eye], self.centres[eye]
            lower, upper = self._open[eye]
            raised = lower + ROWS[_LOWER].strength * amounts[eye, _LOWER] * (upper - lower)
            raised = raised + 0.35 * gaze[1]
            levator, shut = amounts[eye, _LEVATOR], amounts[eye, _UPPER]
            slack = max(-levator, 0.0) * (1 - TONE[_LEVATOR]) / TONE[_LEVATOR]
            wide = ROWS[_LEVATOR].strength * max(levator, 0.0)
            close = min(_DROOP * slack + ROWS[_UPPER].strength * shut, 1.0) - wide
            lifted = upper + _FOLLOW * gaze[1] * (1 - min(max(close, 0.0), 1.0))
            lifted = np.maximum(lifted + close * (raised - lifted), raised)
            turn = self._follow[0] * (lifted - upper) + self._follow[1] * (raised - lower)
            x, y, z = (points[zone] - centre).T
            cos, sin = np.cos(turn), np.sin(turn)
            turned = np.column_stack([x, cos * y + sin * z, cos * z - sin * y])
            # Nothing of a lid is inside the eyeball.
            distance = np.sqrt(np.einsum("ni,ni->n", turned, turned))
            out = np.maximum(self.radius / np.maximum(distance, 1e-6), 1)
            front = turned[:, 2] > 0
            moved[zone] = centre + turned * np.where(front, out, 1)[:, None]
        return moved
