"""Small helpers that meshes are made with."""

import numpy as np

__all__ = ["disc_triangles", "grid_triangles", "normals", "tube", "two_sided"]


def grid_triangles(rows: int, columns: int, *, closed: bool = False) -> np.ndarray:
    """Return the triangles of a grid of vertices, numbered row by row: (T, 3) int32.

    They are counter-clockwise where rows go down and columns to the right. `closed` joins the last column to the first.
    """
    row, column = np.mgrid[: rows - 1, : columns if closed else columns - 1]
    a = row * columns + column
    b = row * columns + (column + 1) % columns
    c, d = a + columns, b + columns
    return np.stack([np.stack([a, c, d], -1), np.stack([a, d, b], -1)], -2).reshape(-1, 3).astype(np.int32)


def disc_triangles(rings: int, columns: int) -> np.ndarray:
    """Return the triangles of a disc: vertex 0 in the middle, then `rings` rings of `columns` counter-clockwise."""
    first = np.arange(columns)
    fan = np.stack([np.zeros(columns, int), 1 + first, 1 + (first + 1) % columns], -1)
    return np.concatenate([fan, 1 + grid_triangles(rings, columns, closed=True)]).astype(np.int32)


def tube(
    path: np.ndarray, widths: np.ndarray, sides: int = 8, *, closed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return a round tube along a path: vertices (N·sides, 3) and triangles.

    Parameters
    ----------
    path : (N, 3) float array
    widths : (N,) float array
        Radii.
    sides : int
    closed : bool
        The path comes back to its start.
    """
    ahead, behind = (np.roll(path, shift, axis=0) for shift in (-1, 1)) if closed else (None, None)
    along = ahead - behind if closed else np.gradient(path, axis=0)
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    helper = np.where(np.abs(along[:, :1]) > 0.8, [[0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]])
    if closed:  # one helper all round, or the tube would twist
        helper = np.linalg.svd(path - path.mean(axis=0))[2][2:]
    one = np.cross(along, helper)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    two = np.cross(along, one)
    turn = 2 * np.pi * np.arange(sides) / sides
    ring = np.cos(turn)[:, None] * one[:, None] + np.sin(turn)[:, None] * two[:, None]
    vertices = (path[:, None] + widths[:, None, None] * ring).reshape(-1, 3)
    triangles = grid_triangles(len(path), sides, closed=True)
    if closed:
        last = grid_triangles(2, sides, closed=True)
        seam = np.where(last < sides, last + (len(path) - 1) * sides, last - sides)
        triangles = np.concatenate([triangles, seam])
    return vertices, triangles[:, ::-1].astype(np.int32)


def two_sided(triangles: np.ndarray) -> np.ndarray:
    """Return the triangles and the same turned round."""
    return np.concatenate([triangles, triangles[:, ::-1]])


def normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return outward unit normals of a surface's vertices: (V, 3) float64."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    face = np.cross(b - a, c - a)
    summed = np.stack(
        [
            sum(np.bincount(triangles[:, corner], face[:, axis], len(vertices)) for corner in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)
