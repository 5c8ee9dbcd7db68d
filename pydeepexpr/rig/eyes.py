"""Eyeballs, the wet edge of the lids and the lashes."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.sculpt import eye_centres, eye_radius
from pydeepexpr.rig.shapes import disc_triangles, grid_triangles, two_sided
from pydeepexpr.rig.template import EYE, template

__all__ = ["Eyes"]

_COLUMNS = 32
_LOOKS_AT = 70.0  # centimetres to what eyes look at that look straight ahead
_SCLERA = (0.82, 0.80, 0.78)
_IRIS, _PUPIL = 0.60, 0.23  # radii on an average eyeball, centimetres
_SPARKLES = (((-0.27, 0.30), 0.135), ((0.20, -0.26), 0.06))  # where lamps mirror on an average cornea, how large


def _ball(identity: Identity) -> Mesh:
    """Return an eyeball around the origin, looking along z."""
    radius = eye_radius(identity)
    scale = radius / EYE.radius
    iris = np.arcsin(min(_IRIS * identity.iris_size * scale / radius, 0.75))
    pupil = np.arcsin(min(_PUPIL * identity.pupil_size * identity.iris_size**0.5 * scale / radius, 0.7 * np.sin(iris)))
    colour = linear_rgb(identity.iris).astype(np.float64)
    white = np.array(_SCLERA)
    rings = [  # angle from the axis, colour; where two angles are equal the colour has an edge
        (0.7 * pupil, 0.004 * np.ones(3)),
        (pupil, 0.004 * np.ones(3)),
        (pupil * 1.02, colour * 0.45),
        (pupil + 0.4 * (iris - pupil), colour * 0.95),
        (pupil + 0.75 * (iris - pupil), colour * 1.1),
        (0.94 * iris, colour * 0.5),
        (iris, colour * 0.16),
        (iris * 1.04, white * 0.7),
        (iris * 1.14, white),
        *((iris + share * (1.75 - iris), white) for share in (0.25, 0.45, 0.65, 0.85, 1.0)),
    ]
    turn = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    ring = np.column_stack([np.cos(turn), np.sin(turn)])
    vertices, colours = [np.array([[0, 0, radius]])], [0.004 * np.ones((1, 3))]
    rays = 1 + 0.12 * np.cos(11 * turn) * np.cos(5 * turn)  # the iris' fibres, the same left and right
    for angle, tone in rings:
        vertices.append(np.column_stack([radius * np.sin(angle) * ring, np.full(_COLUMNS, radius * np.cos(angle))]))
        shade = (1 - 0.45 * ring[:, 1]) * rays if pupil < angle < iris else np.ones(_COLUMNS)  # light gathers below
        colours.append(shade[:, None] * tone)
    vertices, colours = np.concatenate(vertices), np.clip(np.concatenate(colours), 0, 1)
    return Mesh(vertices, disc_triangles(len(rings), _COLUMNS), colours, np.full(len(vertices), 1.0))


def _sparkles(radius: float) -> Mesh:
    """Return the lamps' mirror images on an eyeball."""
    turn = 2 * np.pi * np.arange(12) / 12
    meshes = []
    for middle, size in _SPARKLES:
        ring = np.column_stack([np.cos(turn), np.sin(turn)]) * size
        flat = (np.concatenate([[[0, 0]], ring]) + middle) * radius / EYE.radius
        z = np.sqrt((1.012 * radius) ** 2 - (flat**2).sum(axis=1))
        vertices = np.column_stack([flat, z])
        bright = 1.0 if size > 0.1 else 0.6
        meshes.append(Mesh(vertices, disc_triangles(1, 12), np.full((13, 3), bright), np.zeros(13)))
    return join(meshes)


def _rotation(gaze: np.ndarray) -> np.ndarray:
    yaw, pitch = gaze
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    return (around_y @ around_x).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Eyes:
    """Both eyes. Built once; `pose` moves them."""

    triangles: np.ndarray
    gloss: np.ndarray
    _ball: Mesh
    _sparkles: Mesh
    _centres: np.ndarray
    _radius: float
    _lash: float
    _edge_colours: np.ndarray
    _lash_colours: np.ndarray

    @classmethod
    def of(cls, identity: Identity) -> "Eyes":
        """Build the eyes of an identity."""
        ball, radius = _ball(identity), eye_radius(identity)
        sparkles = _sparkles(radius)
        edge = grid_triangles(2, EYE.columns, closed=True)
        lash = two_sided(grid_triangles(2, EYE.columns // 2 + 1))
        parts, start = [], 0
        sizes = (len(ball.vertices), len(sparkles.vertices), 2 * EYE.columns, 2 * (EYE.columns // 2 + 1))
        for side in range(2):
            for part, size in zip((ball.triangles, sparkles.triangles, two_sided(edge), lash), sizes, strict=True):
                parts.append((part[:, ::-1] if side == 0 and part is ball.triangles else part) + start)
                start += size
        skin = linear_rgb(identity.skin)
        upper = np.arange(EYE.columns) <= EYE.columns // 2
        edge_colours = np.where(upper[:, None], skin * (0.25, 0.14, 0.13), skin * (0.95, 0.62, 0.62))
        gloss = np.concatenate([ball.gloss, sparkles.gloss, np.full(sizes[2], 0.5), np.zeros(sizes[3])])
        return cls(
            np.concatenate(parts).astype(np.int32),
            np.tile(gloss, 2).astype(np.float32),
            ball,
            sparkles,
            eye_centres(identity).astype(np.float32),
            float(radius),
            (0.05 + 0.2 * identity.lashes) * radius / EYE.radius,
            np.tile(edge_colours, (2, 1)).astype(np.float32),
            np.tile(0.25 * linear_rgb(identity.brows) * 0.6, (sizes[3], 1)).astype(np.float32),
        )

    def pose(self, skin: np.ndarray, gaze: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the eyes' vertices and colours.

        Parameters
        ----------
        skin : (V, 3) float32
            The posed skin.
        gaze : (2,) float32
            Yaw, pitch.
        """
        vertices, colours = [], []
        turn, follow = _rotation(gaze), _rotation(0.6 * gaze)
        toe_in = np.array([-np.arctan(self._centres[1, 0] / _LOOKS_AT), 0.0])
        for side, (edge_of, centre) in enumerate(zip(template().lids, self._centres, strict=True)):
            mirror = np.array([-1 if side == 0 else 1, 1, 1], np.float32)
            edge = skin[edge_of]
            ball = (self._ball.vertices * mirror) @ (turn @ _rotation(toe_in * mirror[0])).T
            upper = edge[: EYE.columns // 2 + 1] - centre
            order = np.argsort(upper[:, 0])
            lid = np.interp(ball[:, 0], upper[order, 0], upper[order, 1])
            below = np.maximum(lid - ball[:, 1], 0)
            shade = 1 - 0.55 * np.exp(-below / (0.22 * self._radius / EYE.radius))
            vertices += [ball + centre, self._sparkles.vertices @ follow.T + centre]
            colours += [self._ball.colours * shade[:, None], self._sparkles.colours]
            inner = centre + (edge - centre) * (0.97 * self._radius / np.linalg.norm(edge - centre, axis=1))[:, None]
            vertices += [edge, inner]
            colours.append(self._edge_colours)
            vertices += list(self._lashes(edge, centre))
            colours.append(self._lash_colours)
        return np.concatenate(vertices).astype(np.float32), np.concatenate(colours).astype(np.float32)

    def _lashes(self, edge: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the roots and tips of the upper lashes: from the outer to the inner corner."""
        edge = edge[: EYE.columns // 2 + 1]
        out = (edge - centre) / np.linalg.norm(edge - centre, axis=1, keepdims=True)
        share = np.linspace(0, 1, len(edge))[:, None]
        long = self._lash * (0.35 + 0.65 * np.sin(np.pi * (0.15 + 0.75 * (1 - share))))
        away = np.sign(centre[0]) * np.array([[0.75, 0, 0]]) * (1 - share) ** 2
        lifted = np.array([[0, 0.75, 0]]) * np.sin(np.pi * share) ** 0.5 + [[0, 0.2, 0]]
        tips = edge + long * (0.9 * out + away + lifted)
        return edge + 0.012 * out - [[0, 0.02, 0]], tips
