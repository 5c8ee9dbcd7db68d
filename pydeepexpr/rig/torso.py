"""Ears, neck and shoulders."""

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.sculpt import march, solids, warp
from pydeepexpr.rig.shapes import disc_triangles, grid_triangles

__all__ = ["ears", "neck"]

_COLUMNS = 36


def ears(identity: Identity) -> Mesh:
    """Return both ears at rest, the left one first."""
    turn = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    # From the hollow in the middle over the rim and round to the back: share of the outline, height over its plane.
    rings = np.array(
        [
            (0.2, -0.42, 0.30),
            (0.4, -0.34, 0.5),
            (0.52, -0.08, 0.85),
            (0.66, 0.02, 0.95),
            (0.76, -0.12, 0.62),
            (0.86, -0.02, 0.8),
            (0.93, 0.14, 1.0),
            (1.0, 0.1, 1.05),
            (1.01, -0.08, 0.95),
            (0.85, -0.32, 0.8),
            (0.45, -0.85, 0.6),
        ]
    )
    up, back = np.sin(turn), np.cos(turn)
    height = 3.0 * (1 + 0.02 * up)
    width = (1.72 + 0.34 * up) * np.where(back > 0, 1.0, 0.78)
    outline = np.column_stack([width * back, height * up])
    front = np.clip(-back, 0, 1) ** 2  # the rim dies away where the ear grows out of the cheek
    size = identity.ear_size
    local, tone = [np.array([[0.0, -0.1, -0.45]])], [0.28]
    for share, out, light in rings:
        point = outline * share
        lift = out * (1 - 0.8 * front) - 0.25 * front * share
        local.append(np.column_stack([point, lift]))
        tone.extend(np.full(_COLUMNS, light))
    local = np.concatenate(local) * size
    angle, lean = np.radians(identity.ear_angle), np.radians(10.0)
    along = (local[:, 0] + 1.1 * size) * np.cos(lean) + local[:, 1] * np.sin(lean)
    rise = local[:, 1] * np.cos(lean) - local[:, 0] * np.sin(lean)
    y = float(warp(np.array([[0.0, -2.4]]), identity)[0, 1])
    root = np.array([[0.0, y, -4.7]], np.float32)
    side = float(march(solids(identity), root, np.array([[1, 0, 0]], np.float32))[0])
    x = side - 0.2 + along * np.sin(angle) + local[:, 2] * np.cos(angle)
    z = root[0, 2] - along * np.cos(angle) + local[:, 2] * np.sin(angle)
    vertices = np.column_stack([x, y + rise, z])
    tone = np.array(tone)[:, None]
    red = (1 - 0.3 * identity.blush * np.array([0, 1, 1])) * (0.45 + 0.55 * tone)
    colours = np.clip(linear_rgb(identity.skin) * red, 0, 1)
    triangles = disc_triangles(len(rings), _COLUMNS)
    gloss = np.full(len(vertices), 0.1)
    right = Mesh(vertices, triangles, colours, gloss)
    return join([Mesh(vertices * (-1, 1, 1), triangles[:, ::-1], colours, gloss), right])


def neck(identity: Identity) -> tuple[Mesh, np.ndarray]:
    """Return neck and shoulders at rest, and how far each vertex follows the head's turns: (V,) float32."""
    low = float(warp(np.array([[0.0, -10.6]]), identity)[0, 1]) + 10.6
    wide = identity.neck_width
    # Height, half width, half depth, z of the middle.
    skin = np.array(
        [
            (-5.0, 4.4 * wide, 4.3, -6.0),
            (-8.0, 4.6 * wide, 4.5, -6.2),
            (-10.5, 4.7 * wide, 4.5, -6.6),
            (-12.5, 4.8 * wide, 4.6, -7.0),
            (-14.2, 5.1 * wide, 4.85, -7.4),
            (-16.5, 5.2 * wide, 4.8, -7.6),
        ]
    )
    shirt = np.array(
        [
            (-13.9, 5.45 * wide, 5.2, -7.4),
            (-13.75, 5.85 * wide, 5.55, -7.4),
            (-14.1, 6.6 * wide, 6.1, -7.5),
            (-15.0, 8.2 * wide, 6.8, -7.7),
            (-16.2, 11.5, 7.6, -7.9),
            (-17.6, 15.0, 8.2, -8.0),
            (-19.8, 17.8, 8.8, -8.0),
            (-24.0, 18.8, 9.4, -8.0),
        ]
    )
    turn = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    meshes, follows = [], []
    for rings, colour in ((skin, linear_rgb(identity.skin)), (shirt, linear_rgb(identity.shirt))):
        vertices = np.concatenate(
            [
                np.column_stack([w * np.cos(turn), np.full(_COLUMNS, y + low * 0.8), z - d * np.sin(turn)])
                for y, w, d, z in rings
            ]
        )
        dip = 0.16 * np.maximum(vertices[:, 2] + 7.4, 0)  # the collar lies lower in front
        vertices[:, 1] -= dip
        triangles = grid_triangles(len(rings), _COLUMNS, closed=True)
        share = np.clip((vertices[:, 1] + 14.5) / 7.0, 0, 1) * (rings is skin)
        follows.append(share)
        shade = 1 - share[:, None] * (0.35, 0.42, 0.45)  # the chin's shadow
        meshes.append(Mesh(vertices, triangles, shade * colour, np.full(len(vertices), 0.05)))
    return join(meshes), np.concatenate(follows).astype(np.float32)
