"""Triangles with colours: what the rig builds and the rasteriser draws."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Mesh", "join"]


@dataclass(frozen=True)
class Mesh:
    """A coloured surface.

    Coordinates are centimetres of an average adult head: x to the viewer's right, y up, z towards the viewer; the
    origin lies midway between the eyeballs' centres. Vertices that triangles share are shaded smoothly; where an edge
    shall be sharp, in shape or colour, its vertices stand twice.

    Attributes
    ----------
    vertices : (V, 3) float32
    triangles : (T, 3) int32
        Counter-clockwise, seen from outside.
    colours : (V, 3) float32
        Albedo: linear red, green, blue, 0 to 1.
    gloss : (V,) float32
        0 is matt, 1 is wet.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    gloss: np.ndarray


def join(meshes: Sequence[Mesh]) -> Mesh:
    """Return several meshes as one; their vertices follow one another in the given order."""
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts, strict=True)]).astype(np.int32),
        np.concatenate([mesh.colours for mesh in meshes]),
        np.concatenate([mesh.gloss for mesh in meshes]),
    )
