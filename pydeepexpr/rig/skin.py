"""The skin of a head: its surface and colours at rest, and where muscles, jaw and lids bring it."""

import functools
from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.anatomy import ROWS
from pydeepexpr.rig.complexion import complexion
from pydeepexpr.rig.folds import darkening, folds
from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.lids import Lids
from pydeepexpr.rig.lips import Lips, below_slit, lip_relief, lip_roll
from pydeepexpr.rig.muscles import contract, pull
from pydeepexpr.rig.sculpt import eye_centres, eye_radius, march, rays, solids, warp
from pydeepexpr.rig.template import LIPS, template

__all__ = ["Skin", "rest_surface", "turn_jaw"]


_OF_THE_NOSE = ("levator_labii_alaeque_nasi", "levator_labii", "nasalis", "procerus")


@dataclass(frozen=True, eq=False)
class Skin:
    """A head's skin. V vertices, in the order of the template.

    Attributes
    ----------
    rest : (V, 3) float32
    colours : (V, 3) float32
        Linear RGB at rest.
    gloss : (V,) float32
    jaw : (V,) float32
        How far each vertex follows the jaw, 0 to 1.
    """

    rest: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray
    jaw: np.ndarray
    _fields: np.ndarray
    _folds: np.ndarray
    _wrinkles: float
    _hinge: np.ndarray
    lids: Lids
    lips: Lips

    @classmethod
    def of(cls, identity: Identity) -> "Skin":
        """Build the skin of an identity."""
        rest = rest_surface(identity)
        hinge = np.array([0.0, *warp(np.array([[0.0, ROWS[-1].bone[1]]]), identity)[0, 1:], ROWS[-1].bone[2]])
        return cls(
            rest.astype(np.float32),
            *complexion(identity),
            _jaw_weight().astype(np.float32),
            _carried(identity),
            _marks(),
            identity.wrinkles,
            hinge.astype(np.float32),
            Lids.of(rest, eye_centres(identity), eye_radius(identity)),
            Lips.of(rest),
        )

    def pose(self, amounts: np.ndarray, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the skin's vertices and colours.

        Parameters
        ----------
        amounts : (2, 27) float32
            `contraction` of the left and right muscles.
        gaze : (2,) float32
            Yaw and pitch of the eyes, radians.

        Returns
        -------
        (V, 3) float32, (V, 3) float32
        """
        moved = contract(self.rest, self._fields, amounts.reshape(-1))
        moved = self.lips.slide(moved)
        moved = turn_jaw(moved, self.jaw, amounts, self._hinge)
        moved = self.lips.touch(moved)
        moved = self.lids.slide(moved, amounts, gaze)
        colours = self.colours * darkening(self._folds, amounts, self._wrinkles)
        return moved, colours

    def turn_jaw(self, points: np.ndarray, weight: np.ndarray | float, amounts: np.ndarray) -> np.ndarray:
        """Move what hangs on the jaw, such as its teeth, with it."""
        return turn_jaw(points, np.broadcast_to(np.float32(weight), len(points)), amounts, self._hinge)


def turn_jaw(points: np.ndarray, weight: np.ndarray, amounts: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """Return points turned about the jaw's hinge and slid sideways, each by its own weight.

    Parameters
    ----------
    points : (N, 3) float32
    weight : (N,) float32
        0 stays, 1 follows the jaw.
    amounts : (2, 27) float32
        Of left and right; the last column is the jaw's.
    hinge : (3,) float32

    Returns
    -------
    (N, 3) float32
    """
    left, right = amounts[:, -1]
    angle = weight * np.float32(np.radians(ROWS[-1].strength) * (left + right) / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    _, y, z = (points - hinge).T
    x = points[:, 0] + weight * np.float32(right - left)
    return np.column_stack([x, hinge[1] + cos * y - sin * z, hinge[2] + sin * y + cos * z])


def rest_surface(identity: Identity) -> np.ndarray:
    """Return the skin at rest: (V, 3) float64."""
    net = template()
    plane = warp(net.points, identity)
    start, direction = rays(plane, identity)
    surface = start + march(solids(identity), start, direction)[:, None] * direction
    surface = _smoothed(surface.astype(np.float64))
    surface += lip_relief(net, identity)
    surface = Lids.laid(surface, plane, eye_centres(identity), eye_radius(identity))
    return (surface + surface[net.mirror] * (-1, 1, 1)) / 2  # exactly symmetric


@functools.cache
def _neighbours() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the ends of all edges, both ways round, and the number of each vertex' neighbours."""
    triangles = template().triangles
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    return edges[:, 0], edges[:, 1], np.bincount(edges[:, 0])


def _smoothed(surface: np.ndarray) -> np.ndarray:
    """Return the surface with vertices drawn to their neighbours' mean, which rounds seams between the solids."""
    a, b, count = _neighbours()
    net = template()
    x, y = np.abs(net.points[:, 0]), net.points[:, 1]
    mouth = (x < LIPS.half_width + 0.9) & (np.abs(y - LIPS.y) < 1.5)
    free = ~(np.isfinite(net.lid_ring) | mouth)
    plain = free & ((y < LIPS.y - 1.5) | (x > 3.2)) & (y < 1.0)  # cheeks and chin have no fine relief to lose
    for chosen in (free, free, *[plain] * 8):
        share = np.where(chosen, 0.5, 0.0)[:, None] * (0.3, 0.3, 1.0)
        mean = np.stack([np.bincount(a, surface[b, axis]) / count for axis in range(3)], axis=1)
        surface = surface + share * (mean - surface)
    return surface


@functools.cache
def _template_fields() -> np.ndarray:
    """Return the pulls on the average head of the left, then the right muscles: (54, V, 3) float32."""
    net = template()
    below = below_slit(net)
    right = pull(rest_surface(Identity()), below)
    right += lip_roll(net, ROWS)
    lid = np.clip((net.lid_ring - 0.15) / 0.75, 0, 1)  # what pulls the brow or the cheek leaves the lids' edges alone
    right *= (lid * lid * (3 - 2 * lid))[:, None]
    x, y = net.points.T
    nose = np.exp(-((x / 1.7) ** 4) - ((y + 3.9) / 1.15) ** 4)  # its gristle gives way to its own muscles alone
    for row, field in zip(ROWS, right, strict=True):
        if row.name not in _OF_THE_NOSE:
            field *= 1 - nose[:, None]
    return np.concatenate([right[:, net.mirror] * (-1, 1, 1), right]).astype(np.float32)


def _carried(identity: Identity) -> np.ndarray:
    """Return the pulls on a head, (54, V, 3) float32: the average head's, stretched as its face is, and its motion."""
    net = template()
    step = 0.05
    default = [warp(net.points + d, Identity()) - warp(net.points - d, Identity()) for d in ((step, 0), (0, step))]
    here = [warp(net.points + d, identity) - warp(net.points - d, identity) for d in ((step, 0), (0, step))]
    jacobian = np.stack(here, axis=-1) @ np.linalg.inv(np.stack(default, axis=-1))
    (xx, xy), (yx, yy) = np.moveaxis(identity.motion * np.clip(jacobian, -2, 2), 0, -1).astype(np.float32)
    x, y, z = np.moveaxis(_template_fields(), -1, 0)
    return np.stack([xx * x + xy * y, yx * x + yy * y, np.float32(identity.motion) * z], axis=-1)


@functools.cache
def _marks() -> np.ndarray:
    """Return where folds mark the skin, of any head."""
    return folds(template().points).astype(np.float32)


@functools.cache
def _jaw_weight() -> np.ndarray:
    net = template()
    x, y = net.points.T
    # The jaw bone carries the chin; towards the ears and the throat the skin stays behind.
    back = np.clip((np.abs(x) - 4.5) / 5.5, 0, 1)
    throat = np.clip((-12.5 - y) / 7.0, 0, 1)
    return below_slit(net) * (1 - back * back * (3 - 2 * back)) * (1 - throat)
