"""Hair: locks that grow from a whorl, lie upon the skull, and end at the hairline or hang."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.mesh import Mesh, join
from pydeepexpr.rig.sculpt import march, solids, warp
from pydeepexpr.rig.shapes import grid_triangles, tube

__all__ = ["hair"]

_COLUMNS, _ROWS = 132, 30
_ROWS_ON_HEAD = 18  # of hair that hangs
_CENTRE = np.array([0.0, 3.0, -6.0])  # of the skull; directions are reckoned from here
_TILT = np.radians(20)  # the crown lies this far behind the top
_CROWN = np.array([0.0, np.cos(_TILT), -np.sin(_TILT)])
_FRONT = np.array([0.0, np.sin(_TILT), np.cos(_TILT)])
# Where hair ends: degrees around the crown, from the front; degrees down from the crown.
_HAIRLINE = PchipInterpolator(
    [0, 18, 32, 45, 60, 74, 86, 100, 130, 180], [83, 84, 88, 92, 104, 120, 127, 122, 127, 133]
)


@dataclass(frozen=True)
class _Style:
    """One cut."""

    whorl: tuple[float, float, float] = (0.0, 0.94, -0.34)  # where locks start from, as a direction
    top: float = 1.0  # thickness, centimetres
    side: float = 0.6
    front: float = 0.0  # added over the forehead
    hang: float | None = None  # height at which hanging hair ends, centimetres
    fringe: float = 0.0  # how far hair falls over the forehead, centimetres
    wave: float = 0.0
    curl_in: float = 0.0  # how far the hanging ends turn inwards
    sweep: float = 0.0  # how far hair beside the face is swept back
    locks: int = 26  # across the head
    groove: float = 0.16  # depth between locks, centimetres
    taper: float = 0.16  # the share of a lock over which it thins out
    ragged: float = 0.0  # how unevenly locks end at the hairline, radians
    swirl: float = 0.0  # how far locks turn about the whorl on their way, radians
    extra: str = ""


_STYLES = {
    "short": _Style(top=1.05, side=0.5, front=0.7, swirl=0.6, locks=24, groove=0.22, taper=0.3, ragged=0.06),
    "crop": _Style(top=0.4, side=0.22, groove=0.03, locks=60),
    "quiff": _Style(top=1.2, side=0.35, front=2.3, locks=22, groove=0.26, swirl=0.35, ragged=0.03),
    "spiky": _Style(top=0.9, side=0.45, front=0.3, extra="spikes"),
    "curly": _Style(top=1.0, side=0.8, front=0.2, extra="curls"),
    "bob": _Style(top=1.3, side=1.2, hang=-7.6, fringe=1.7, curl_in=1.2, locks=34),
    "long": _Style(whorl=(0.12, 0.86, 0.5), top=1.1, side=1.1, hang=-15.5, wave=0.8, sweep=2.2, locks=30, groove=0.2),
    "bun": _Style(whorl=(0.12, 0.90, 0.42), top=0.65, side=0.45, groove=0.09, locks=44, extra="bun"),
    "ponytail": _Style(whorl=(0.1, 0.90, 0.42), top=0.75, side=0.5, groove=0.09, locks=44, extra="tail"),
}


def hair(identity: Identity) -> Mesh:
    """Return the hair at rest; nothing for "bald"."""
    if identity.hair_style == "bald":
        return Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32), np.zeros((0, 3)), np.zeros(0))
    style = _STYLES[identity.hair_style]
    meshes = [_cap(identity, style)]
    if style.extra:
        meshes.append(_EXTRAS[style.extra](identity))
    return join(meshes)


def _inside(direction: np.ndarray, identity: Identity) -> np.ndarray:
    """Return how far directions lie above the hairline, in degrees: negative on the bare skin."""
    polar = np.degrees(np.arccos(np.clip(direction @ _CROWN, -1, 1)))
    around = np.degrees(np.arctan2(np.abs(direction[..., 0]), direction @ _FRONT))
    raised = identity.hairline * 6.5 * np.clip(1 - around / 90, 0, 1)
    return _HAIRLINE(around) - raised - polar


def _on_skull(identity: Identity, direction: np.ndarray) -> np.ndarray:
    """Return how far from the skull's centre its surface lies in some directions: (N,)."""
    flat = direction.reshape(-1, 3).astype(np.float32)
    start = np.tile(_centre(identity), (len(flat), 1)).astype(np.float32)
    return march(solids(identity), start, flat).reshape(direction.shape[:-1])


def _centre(identity: Identity) -> np.ndarray:
    y = float(warp(np.array([[0.0, _CENTRE[1]]]), identity)[0, 1])
    return np.array([0.0, y, _CENTRE[2]])


@dataclass(frozen=True, eq=False)
class _Whorl:
    """Where the locks start, and the way they take from there."""

    pole: np.ndarray
    ahead: np.ndarray
    right: np.ndarray
    swirl: float

    @classmethod
    def of(cls, identity: Identity, style: _Style) -> "_Whorl":
        """Return the whorl of a style, moved to where the hair is parted."""
        parted = style.whorl[2] > 0 or style.swirl
        pole = np.array(style.whorl)
        pole[0] += identity.hair_parting * 0.55 * parted
        pole /= np.linalg.norm(pole)
        ahead = np.array([0.0, -pole[2], pole[1]])
        ahead /= np.linalg.norm(ahead)
        return cls(pole, ahead, np.cross(pole, ahead), style.swirl * np.sign(-identity.hair_parting or 1))

    def way(self, polar: np.ndarray, around: np.ndarray) -> np.ndarray:
        """Return directions from the skull's centre, `polar` radians down from the whorl and `around` it."""
        bend = around + self.swirl * np.sin(polar)
        flat = np.cos(bend)[..., None] * self.ahead + np.sin(bend)[..., None] * self.right
        return np.cos(polar)[..., None] * self.pole + np.sin(polar)[..., None] * flat


def _cap(identity: Identity, style: _Style) -> Mesh:
    """Return the locks that cover the head, a grid of columns from the whorl outwards."""
    random = np.random.default_rng(7)
    whorl = _Whorl.of(identity, style)
    around = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    polar = np.radians(np.linspace(0, 175, 120))
    ways = whorl.way(polar[:, None], around)
    end = _first((_inside(ways, identity) < 0) & (polar > 0)[:, None])
    at_end = ways[end, np.arange(_COLUMNS)]
    falls = style.hang is not None
    hangs = falls & ((np.abs(at_end[:, 0]) > 0.6) | (at_end[:, 2] < 0.1))  # the rest is the fringe
    leave = _first(ways[..., 1] < -0.12)  # hanging hair leaves the skull here
    stop = np.where(hangs, np.minimum(end, leave), end)

    lock = _locks(style, random)
    share = np.linspace(0, 1, _ROWS_ON_HEAD if falls else _ROWS)[:, None]
    way = whorl.way(share * (polar[stop] + np.where(hangs, 0, style.ragged * (lock - 0.4))), around)
    up, fore = np.clip(way[..., 1], 0, 1), np.clip(way[..., 2], 0, 1)
    thick = style.side + (style.top - style.side) * up**1.5
    thick = thick + style.front * np.exp(-(((up - 0.62) / 0.4) ** 2)) * fore**1.5
    thick = thick * identity.hair_volume
    depth = style.groove * (0.3 + 0.7 * np.minimum(3 * share, 1)) * np.minimum(thick / 0.6, 1.3)
    thick = thick + depth * lock
    sheer = np.clip((1 - share) / style.taper, 0, 1) ** 0.6  # ends that do not fall lie close to the skin
    thick = np.where(hangs | (style.fringe > 0), thick, thick * sheer - 0.12 * (1 - sheer))
    laid = _centre(identity) + way * (_on_skull(identity, way) + thick)[..., None]
    if falls:
        laid = np.concatenate([laid, _falling(laid[-1], hangs, style, identity, lock, random)])
    return _coloured(identity, laid, lock, falls)


def _first(found: np.ndarray) -> np.ndarray:
    """Return the first row of each column that holds, or the last row."""
    return np.where(found.any(axis=0), found.argmax(axis=0), len(found) - 1)


def _locks(style: _Style, random: np.random.Generator) -> np.ndarray:
    """Return a profile across the columns, −1 in the grooves between locks to 1 on their ridges."""
    widths = random.uniform(0.6, 1.4, style.locks)
    edges = np.concatenate([[0], np.cumsum(widths)]) / widths.sum() * _COLUMNS
    column = np.arange(_COLUMNS)
    number = np.searchsorted(edges, column, side="right") - 1
    within = (column - edges[number]) / np.diff(edges)[number]
    lift = random.uniform(-0.5, 0.5, style.locks)[number]
    return 2 * np.sin(np.pi * np.clip(within + 0.08, 0, 1)) - 1 + lift


def _falling(
    last: np.ndarray,
    hangs: np.ndarray,
    style: _Style,
    identity: Identity,
    lock: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """Return the rows, (rows, columns, 3), of hair that falls from the ends, `last`, of the hair on the head."""
    share = np.linspace(0, 1, _ROWS - _ROWS_ON_HEAD + 1)[1:, None]
    ragged = random.uniform(-0.35, 0.35, _COLUMNS)
    chin = float(warp(np.array([[0.0, -10.6]]), identity)[0, 1]) / -10.6
    floor = style.hang * chin * (0.4 + 0.6 * identity.hair_length)
    end = np.where(hangs, floor + ragged, last[:, 1] - style.fringe * (identity.hair_length + 0.2 * ragged))
    out = last[:, [0, 2]] - [0, _CENTRE[2]]
    unit = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    swell = np.where(hangs, 0.6 * identity.hair_volume, 0.1 * style.fringe) * np.sin(
        np.pi / 2 * np.minimum(1.6 * share, 1)
    )
    swell = swell - np.where(hangs, style.curl_in, 0.0) * share**4
    swell = swell + style.wave * hangs * np.sin(2.2 * np.pi * share + 0.6 * lock) * share
    flat = last[:, [0, 2]] + swell[..., None] * unit
    flat[..., 1] -= np.where(hangs, 0.0, 0.3 * style.fringe) * share**2  # a fringe follows the forehead
    flat[..., 1] -= np.where(hangs & (last[:, 2] > -3), style.sweep, 0.0) * np.sin(np.pi / 2 * share)
    y = last[:, 1] + share * (end - last[:, 1])
    return np.stack([flat[..., 0], y, flat[..., 1]], axis=-1)


def _coloured(identity: Identity, laid: np.ndarray, lock: np.ndarray, falls: bool) -> Mesh:
    rows, columns = laid.shape[:2]
    random = np.random.default_rng(11)
    strand = random.uniform(0.8, 1.2, columns) * (0.86 + 0.2 * lock)
    share = np.linspace(0, 1, rows)[:, None]
    sheen = 1 + 0.35 * np.exp(-(((share - 0.42) / 0.13) ** 2)) + 0.12 * np.exp(-(((share - 0.8) / 0.08) ** 2))
    tone = strand * sheen * (1 - 0.3 * (share > 0.97))
    colours = np.clip(tone[..., None] * linear_rgb(identity.hair), 0, 1).reshape(-1, 3)
    triangles = grid_triangles(rows, columns, closed=True)
    vertices = laid.reshape(-1, 3)
    outside = Mesh(vertices, triangles, colours, np.full(len(vertices), 0.3))
    if not falls:
        return outside
    inside = Mesh(vertices, triangles[:, ::-1], 0.55 * colours, np.zeros(len(vertices)))
    return join([outside, inside])


def _spots(count: int) -> np.ndarray:
    """Return directions spread evenly over the hemisphere above the ears (Fibonacci's lattice): (N, 3)."""
    number = np.arange(count) + 0.5
    y = 1 - 1.25 * number / count
    turn = np.pi * (1 + 5**0.5) * number
    flat = np.sqrt(1 - y**2)
    return np.column_stack([flat * np.cos(turn), y, flat * np.sin(turn)])


_UPRIGHT = np.array([0.0, 0.5, 0.4])  # spikes lean up and forward


def _lock(path: np.ndarray, widths: np.ndarray, colour: np.ndarray, sides: int = 8) -> Mesh:
    """Return a round lock along a path, darker at its root."""
    tone = np.repeat(np.linspace(0.75, 1.15, len(path)), sides)[:, None]
    vertices, triangles = tube(path, widths, sides)
    return Mesh(vertices, triangles, np.clip(tone * colour, 0, 1), np.full(len(vertices), 0.3))


def _spikes(identity: Identity) -> Mesh:
    random = np.random.default_rng(2)
    spots = _spots(84)
    spots = spots[_inside(spots, identity) > 4]
    roots = _centre(identity) + spots * (_on_skull(identity, spots) + 0.2)[:, None]
    colour = linear_rgb(identity.hair)
    meshes = []
    share = np.linspace(0, 1, 6)[:, None]
    for root, spot in zip(roots, spots, strict=True):
        long = identity.hair_volume * (1.2 + 2.2 * np.clip(spot[1], 0, 1)) * random.uniform(0.8, 1.2)
        lean = spot + _UPRIGHT + random.normal(0, 0.12, 3)
        path = root + share * long * (spot * (1 - share) + lean * share)
        widths = (1.25 * (1 - share[:, 0]) ** 0.8 + 0.02) * identity.hair_volume**0.5
        meshes.append(_lock(path, widths, colour * random.uniform(0.8, 1.2), 6))
    return join(meshes)


def _curls(identity: Identity) -> Mesh:
    random = np.random.default_rng(4)
    spots = _spots(170)
    spots = spots[_inside(spots, identity) > 0.5]
    roots = _centre(identity) + spots * (_on_skull(identity, spots) + 1.0 * identity.hair_volume)[:, None]
    colour = linear_rgb(identity.hair)
    meshes = []
    turn = np.linspace(0, 1.75 * np.pi, 10)
    for root, spot in zip(roots, spots, strict=True):
        size = identity.hair_volume * random.uniform(0.75, 1.1)
        one = np.cross(spot, random.normal(size=3))
        one /= np.linalg.norm(one)
        two = np.cross(spot, one) * 0.8 + 0.35 * spot
        path = root + size * (np.cos(turn)[:, None] * one + np.sin(turn)[:, None] * two)
        path = path + (0.5 * size * turn / turn[-1])[:, None] * spot
        widths = size * 0.52 * np.sin(np.linspace(0.5, np.pi - 0.35, len(turn))) ** 0.6
        meshes.append(_lock(path, widths, colour * random.uniform(0.75, 1.3), 6))
    return join(meshes)


def _bun(identity: Identity) -> Mesh:
    """Return a knot on top of the head: a ball of twisted locks."""
    size = 2.9 * identity.hair_volume**0.5
    direction = np.array([[0.0, 0.96, -0.28]])
    centre = _centre(identity) + direction[0] * (_on_skull(identity, direction)[0] + 0.55 * size)
    colour = linear_rgb(identity.hair)
    turn, down = 2 * np.pi * np.arange(40) / 40, np.linspace(0.02, np.pi - 0.02, 18)
    ridge = np.sin(5 * (turn[None] + 1.2 * down[:, None]))
    radius = size * (1 + 0.055 * ridge)
    x = radius * np.sin(down)[:, None] * np.cos(turn)
    z = -radius * np.sin(down)[:, None] * np.sin(turn)
    y = radius * 0.85 * np.cos(down)[:, None]
    vertices = np.stack([x, y, z], axis=-1).reshape(-1, 3) + centre
    tone = (1 + 0.22 * ridge).reshape(-1, 1)
    return Mesh(
        vertices, grid_triangles(18, 40, closed=True), np.clip(tone * colour, 0, 1), np.full(len(vertices), 0.3)
    )


def _tail(identity: Identity) -> Mesh:
    """Return a bundle of locks that swings from the crown over one shoulder."""
    share = np.linspace(0, 1, 16)[:, None]
    side = 1.0 if identity.hair_parting <= 0 else -1.0
    direction = np.array([[0.0, 0.62, -0.78]])
    root = _centre(identity) + direction[0] * (_on_skull(identity, direction)[0] + 0.2)
    knots = np.array([[0, 0, 0], [side * 5, 4.0, -1.5], [side * 11.0, 0.0, 3.0], [side * 10.4, -12.0, 6.0]])
    knots[1:] *= [[1, 1, 1], [1, 1, 1], [1, identity.hair_length, 1]]
    weights = [(1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3]
    path = root + sum(w * knot for w, knot in zip(weights, knots, strict=True))
    colour = linear_rgb(identity.hair)
    random = np.random.default_rng(6)
    meshes = []
    for lock in range(7):
        turn = 2 * np.pi * lock / 7
        apart = np.array([np.cos(turn), 0.3 * np.sin(turn), np.sin(turn)]) * 0.75 * identity.hair_volume
        bulge = np.sin(np.pi * np.clip(share * 0.9 + 0.1, 0, 1)) ** 0.7
        widths = 1.35 * identity.hair_volume * (bulge[:, 0] * (1 - 0.3 * share[:, 0]) + 0.02)
        meshes.append(_lock(path + apart * bulge, widths, colour * random.uniform(0.8, 1.25)))
    return join(meshes)


_EXTRAS = {"spikes": _spikes, "curls": _curls, "bun": _bun, "tail": _tail}
