"""The skin's net: points of a plane, fixed once, that every head's surface is drawn over.

The plane is the face seen from the front, in centimetres of an average head: within the face a point's coordinates are
x and y themselves; beyond it the plane goes on as if the head were peeled from its back (`sculpt.rays`). Rings of
points surround the eye openings and the slit of the mouth. Only the right half is laid out and triangulated, the left
one is its mirror image, so that faces are exactly symmetric.
"""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

__all__ = ["BROW", "EYE", "LIPS", "Template", "eye_outline", "lip_height", "template"]


@dataclass(frozen=True)
class _Eye:
    """The right eye opening in the plane."""

    centre: tuple[float, float] = (3.15, 0.0)
    radius: float = 1.62  # of the eyeball
    half_width: float = 1.42
    upper: float = 0.60
    lower: float = 0.44
    orbit: tuple[float, float] = (2.2, 1.75)  # half axes of the outermost ring
    columns: int = 40
    rings: tuple[float, ...] = (0.0, 0.1, 0.22, 0.34, 0.46, 0.6, 0.78, 1.0)


@dataclass(frozen=True)
class _Lips:
    """The mouth in the plane."""

    half_width: float = 2.45
    y: float = -6.75
    upper: float = 0.62
    lower: float = 0.90
    columns: int = 18  # of one half, from the middle to before the corner
    across: tuple[float, ...] = (0.0, 0.2, 0.45, 0.72, 0.92, 1.0)  # from the slit to the red's border
    around: tuple[float, ...] = (0.28, 0.52, 0.85, 1.25)  # centimetres outside the border


@dataclass(frozen=True)
class _Brow:
    """The middle line of the right brow: where it starts, peaks and ends."""

    inner: tuple[float, float] = (1.25, 1.95)
    outer: tuple[float, float] = (5.35, 1.75)


EYE, LIPS, BROW = _Eye(), _Lips(), _Brow()

_CORE = (3.9, -8.5, 3.6)  # half width, lowest and highest y of the part that is seen straight from the front
_RIM = 0.08  # the row of skin around the red that keeps its border sharp
_GAPE = 0.03  # how far the slit's edges stand apart while the plane is triangulated
_TURN = 8.0  # centimetres of the plane beyond the core that turn the ray by one radian


@dataclass(frozen=True)
class Template:
    """The net. V vertices, T triangles.

    Attributes
    ----------
    points : (V, 2) float64
        In the plane, the mouth shut.
    triangles : (T, 3) int32
        Counter-clockwise as seen by the viewer.
    mirror : (V,) int32
        Every vertex' mirror image.
    lids : (2, columns) int32
        The eye openings' edges, the left one (x < 0) first, both counted from the outer corner over the upper lid.
    lid_ring : (V,) float64
        0 on the edge of an eye opening to 1 on the outermost ring; infinite elsewhere.
    lid_column : (V,) int32
        The vertex' column around its eye; -1 elsewhere.
    upper_slit, lower_slit : (2·columns + 1,) int32
        The lips' edges from the left corner to the right one; the corners are shared.
    lip : (V,) float64
        0 at the slit to 1 at the border of the red, infinite outside of it.
    upper : (V,) bool
        Above the slit's height.
    """

    points: np.ndarray
    triangles: np.ndarray
    mirror: np.ndarray
    lids: np.ndarray
    lid_ring: np.ndarray
    lid_column: np.ndarray
    upper_slit: np.ndarray
    lower_slit: np.ndarray
    lip: np.ndarray
    upper: np.ndarray
    _finder: Delaunay
    _half: np.ndarray

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the corners and barycentric weights of the triangles that hold some points.

        Parameters
        ----------
        points : (N, 2) array
            In the plane.

        Returns
        -------
        (N, 3) int32, (N, 3) float64
            Vertex numbers and weights that sum to 1.
        """
        points = np.asarray(points, np.float64)
        left = points[:, 0] < 0
        right = np.where(left[:, None], points * (-1, 1), points)
        found = np.maximum(self._finder.find_simplex(right), 0)
        transform = self._finder.transform[found]
        first = np.einsum("nij,nj->ni", transform[:, :2], right - transform[:, 2])
        weights = np.clip(np.column_stack([first, 1 - first.sum(axis=1)]), 0, 1)
        corners = self._half[self._finder.simplices[found]]
        corners = np.where(left[:, None], self.mirror[corners], corners)
        return corners.astype(np.int32), weights / weights.sum(axis=1, keepdims=True)


def eye_outline(angle: np.ndarray, upper: float, lower: float) -> np.ndarray:
    """Return an almond around the origin, (N, 2): angle 0 is the outer corner (+x), π the inner one."""
    x, y = np.cos(angle), np.sin(angle)
    # The upper lid peaks towards the nose, the lower one towards the temple; the corners are pointed.
    lean = np.where(y > 0, -0.16, 0.22)
    height = np.where(y > 0, upper, lower)
    shape = np.abs(y) ** 1.25 * (1 + lean * x)
    return np.column_stack([EYE.half_width * x, np.sign(y) * height * shape])


def lip_height(along: np.ndarray, upper: bool) -> np.ndarray:
    """Return the height of the red above (below) the slit, 0 at the corners (|along| = 1) to about 1."""
    along = np.abs(along)
    end = np.maximum(1 - along**2, 0)
    if upper:  # Cupid's bow
        return end**0.8 * (1.02 - 0.24 * np.exp(-((along / 0.13) ** 2)) + 0.1 * np.exp(-(((along - 0.24) / 0.2) ** 2)))
    return end**0.62


def _eye_points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    angle = 2 * np.pi * np.arange(EYE.columns) / EYE.columns
    edge = eye_outline(angle, EYE.upper, EYE.lower)
    orbit = np.column_stack([EYE.orbit[0] * np.cos(angle), EYE.orbit[1] * np.sin(angle)])
    rings = np.stack([edge * (1 - t) + orbit * t for t in EYE.rings]) + EYE.centre
    ring = np.repeat(EYE.rings, EYE.columns)
    return rings.reshape(-1, 2), ring, np.tile(np.arange(EYE.columns), len(EYE.rings))


def _lip_points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points, lip coordinate and which side (1 upper, -1 lower, 0 corner) of the right half of the mouth."""
    along = np.sin(np.linspace(0, np.pi / 2, LIPS.columns + 1))[:-1]
    points, lip, side = [[[LIPS.half_width, LIPS.y]]], [[0.0]], [[0]]
    for sign, height in ((1, LIPS.upper), (-1, LIPS.lower)):
        top = height * lip_height(along, sign > 0)
        for t in LIPS.across:
            y = sign * (_GAPE * np.sqrt(1 - along**2) + t * top)
            points.append(np.column_stack([LIPS.half_width * along, LIPS.y + y]))
            lip.append(np.full(len(along), t))
            side.append(np.full(len(along), sign))
        points.append(np.column_stack([LIPS.half_width * along, LIPS.y + sign * (_GAPE + top + _RIM)]))
        lip.append(np.full(len(along), np.inf))
        side.append(np.full(len(along), sign))
    for distance in LIPS.around:
        count = round(14 + 4 * distance)
        angle = np.linspace(np.pi / 2, -np.pi / 2, 2 * count + 1)
        x = (LIPS.half_width + distance) * np.cos(angle)
        reach = np.clip(np.abs(x) / (LIPS.half_width + distance), 0, 1)
        height = np.where(
            np.sin(angle) > 0, LIPS.upper * lip_height(reach, True), LIPS.lower * lip_height(reach, False)
        )
        y = np.sin(angle) * distance + np.sign(np.sin(angle)) * height * np.abs(np.sin(angle)) ** 0.2
        points.append(np.column_stack([np.where(np.abs(x) < 1e-9, 0, x), LIPS.y + y]))
        lip.append(np.full(len(angle), np.inf))
        side.append(np.where(y > 0, 1, -1))
    return np.concatenate(points), np.concatenate(lip), np.concatenate(side)


def _grid(x: np.ndarray, y: np.ndarray, *, shift: bool = True) -> np.ndarray:
    """Return the points of a staggered grid, the column x = 0 always among them."""
    rows = []
    for number, height in enumerate(y):
        row = x if number % 2 == 0 or not shift else np.concatenate([[0.0], (x[:-1] + x[1:]) / 2])
        rows.append(np.column_stack([row, np.full(len(row), height)]))
    return np.concatenate(rows)


def _outer_points() -> np.ndarray:
    """Return rings beyond the core, to the back of the head, of the right half."""
    half, low, high = _CORE
    rings = []
    distance, step = 0.34, 0.36
    while distance < np.pi * _TURN - 0.5:
        length = (high - low) + 2 * half + np.pi * distance * (1 if distance < 12 else 12 / distance)
        count = max(16, int(length / (1.35 * step)))
        # Walk along the right half of a rounded rectangle at this distance from the core.
        walk = np.linspace(0, 2 * half + (high - low) + np.pi * distance, count + 1)
        quarter = np.pi / 2 * distance
        x = np.interp(walk, [0, half, half + quarter, half + quarter + high - low], [0, half, half, half])
        angle = np.interp(
            walk,
            [half, half + quarter, half + quarter + high - low, half + 2 * quarter + high - low],
            [np.pi / 2, 0, 0, -np.pi / 2],
        )
        last = half + 2 * quarter + high - low
        x = np.where(walk > last, half - (walk - last), x)
        y = np.interp(walk, [half + quarter, half + quarter + high - low], [high, low])
        point = np.column_stack([x + distance * np.cos(angle), y + distance * np.sin(angle)])
        point[[0, -1], 0] = 0
        rings.append(point)
        step = min(step * (1.06 if distance < 4 else 1.16), 1.7)
        distance += step
    return np.concatenate(rings)


@functools.cache
def template() -> Template:
    """Return the net, laid out once."""
    eye, eye_ring, eye_column = _eye_points()
    lips, lip, side = _lip_points()

    face = _grid(np.arange(0, _CORE[0] + 0.1, 0.31), np.arange(_CORE[1], _CORE[2] + 0.1, 0.29))
    nose = _grid(np.arange(0, 2.0, 0.2), np.arange(-5.2, 0.3, 0.2))
    outer = _outer_points()
    reach = (LIPS.half_width + LIPS.around[-1] + 0.12, LIPS.lower + LIPS.around[-1] + 0.1)

    def in_eye(points: np.ndarray, grow: float) -> np.ndarray:
        return (((points - EYE.centre) / np.add(EYE.orbit, grow)) ** 2).sum(axis=1) < 1

    def in_mouth(points: np.ndarray) -> np.ndarray:
        return (((points - (0, LIPS.y)) / reach) ** 2).sum(axis=1) < 1

    in_nose = (face[:, 0] < 2.05) & (face[:, 1] > -5.3) & (face[:, 1] < 0.4)
    face = face[~in_eye(face, 0.15) & ~in_mouth(face) & ~in_nose]
    nose = nose[~in_eye(nose, 0.1) & ~in_mouth(nose)]
    outer = outer[~in_eye(outer, 0.2) & ~in_mouth(outer)]

    points = np.concatenate([eye, lips, nose, face, outer])
    finder = Delaunay(points)
    triangles = finder.simplices
    count, eyes, mouths = len(points), len(eye), len(lips)
    edge = np.zeros(count, int)  # 1 on the eye opening's edge, 2 on the slit's
    edge[: EYE.columns] = 1
    edge[eyes : eyes + mouths][lip == 0] = 2
    hole = (edge[triangles] > 0).all(axis=1) & (np.ptp(edge[triangles], axis=1) == 0)
    triangles = triangles[~hole]
    a, b, c = (points[triangles[:, i]] for i in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    triangles = triangles[np.abs(area) > 1e-9]
    area = area[np.abs(area) > 1e-9]
    triangles[area < 0] = triangles[area < 0][:, ::-1]

    middle = points[:, 0] == 0
    image = np.where(middle, np.arange(count), count + np.cumsum(~middle) - 1)
    mirror = np.concatenate([image, np.flatnonzero(~middle)])
    shut = points.copy()  # the slit gaped only to keep its edges apart
    along = np.clip(np.abs(lips[:, 0]) / LIPS.half_width, 0, 1)
    shut[eyes : eyes + mouths, 1] -= np.where(np.isfinite(lip), side * _GAPE * np.sqrt(1 - along**2), 0)
    both = np.concatenate([shut, shut[~middle] * (-1, 1)])
    whole = lambda values: np.concatenate([values, values[~middle]])  # noqa: E731

    lid_ring, lid_column = np.full(count, np.inf), np.full(count, -1)
    lid_ring[:eyes], lid_column[:eyes] = eye_ring, eye_column
    on_lip = np.full(count, np.inf)
    on_lip[eyes : eyes + mouths] = lip
    upper = points[:, 1] > LIPS.y
    upper[eyes : eyes + mouths] = side > 0
    slit = [eyes + np.flatnonzero((lip == 0) & (side == s)) for s in (1, -1)]
    corner = np.array([eyes])
    slit = [np.concatenate([image[corner], image[s[:0:-1]], s, corner]) for s in slit]
    lids = np.arange(EYE.columns)
    return Template(
        both,
        np.concatenate([triangles, image[triangles][:, ::-1]]).astype(np.int32),
        mirror.astype(np.int32),
        np.stack([image[lids], lids]).astype(np.int32),
        whole(lid_ring),
        whole(lid_column).astype(np.int32),
        slit[0].astype(np.int32),
        slit[1].astype(np.int32),
        whole(on_lip),
        whole(upper),
        finder,
        np.arange(count),
    )
