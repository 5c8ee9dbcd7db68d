"""Eyebrows: two raised strips of hair that ride on the skin."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.shapes import grid_triangles, normals
from pydeepexpr.rig.template import BROW, template

__all__ = ["Brows", "brow_line"]

_COLUMNS, _ROWS = 36, 6


def brow_line(identity: Identity, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle line of the right brow in the template's plane, and half its thickness.

    Parameters
    ----------
    identity : Identity
    along : (N,) array
        0 at the inner end to 1 at the outer one.

    Returns
    -------
    (N, 2), (N,) float64
        Centimetres.
    """
    inner, outer = np.array(BROW.inner), np.array(BROW.outer)
    reach = 0.5 + (along - 0.5) * identity.brow_length
    line = inner + reach[:, None] * (outer - inner)
    arch = identity.brow_arch * 0.62 * np.sin(np.pi * along**1.35) ** 1.2
    line[:, 1] += identity.brow_height + arch + identity.brow_slant * (along - 0.35)
    thick = (
        0.36
        * identity.brow_thickness
        * np.interp(along, [0, 0.04, 0.12, 0.35, 0.7, 1], [0.35, 0.7, 0.92, 1.0, 0.72, 0.1])
    )
    return line, thick


@dataclass(frozen=True, eq=False)
class Brows:
    """Both brows, the left one first."""

    triangles: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray
    _corners: np.ndarray
    _weights: np.ndarray
    _offset: np.ndarray

    @classmethod
    def of(cls, identity: Identity, rest: np.ndarray) -> "Brows":
        """Build the brows of an identity upon its skin at rest, (V, 3)."""
        net = template()
        along = np.linspace(0, 1, _COLUMNS)
        line, thick = brow_line(identity, along)
        across = np.linspace(1, -1, _ROWS)
        slant = 0.28 * thick * (1 - along)  # hair of the inner end stands up
        points = np.stack(
            [
                line[:, 0] + across[:, None] * (slant * 0.4),
                line[:, 1] + across[:, None] * thick,
            ],
            axis=-1,
        ).reshape(-1, 2)
        corners, weights = net.locate(points)
        rise = (0.02 + 0.13 * identity.brow_thickness**0.5 * (1 - across**2))[:, None] * np.ones(_COLUMNS)
        rise[[0, -1]] = -0.04  # the edges go under
        rise[:, [0, -1]] *= 0.3
        outward = np.einsum("nk,nkd->nd", weights, normals(rest, net.triangles)[corners])
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        offset = outward * rise.reshape(-1, 1)
        hair = linear_rgb(identity.brows)
        strand = np.random.default_rng(3).uniform(0.75, 1.25, (_ROWS, _COLUMNS))
        strand = strand * (0.85 + 0.3 * (1 - np.abs(across)))[:, None]
        colours = np.clip(strand.reshape(-1, 1) * hair, 0, 1)
        triangles = grid_triangles(_ROWS, _COLUMNS)
        count = len(points)
        return cls(
            np.concatenate([triangles[:, ::-1], triangles + count]).astype(np.int32),
            np.concatenate([colours, colours]).astype(np.float32),
            np.full(2 * count, 0.1, np.float32),
            np.concatenate([net.mirror[corners], corners]),
            np.concatenate([weights, weights]).astype(np.float32),
            np.concatenate([offset * (-1, 1, 1), offset]).astype(np.float32),
        )

    def pose(self, skin: np.ndarray) -> np.ndarray:
        """Return the vertices upon a posed skin: (N, 3)."""
        return np.einsum("nk,nkd->nd", self._weights, skin[self._corners]) + self._offset
