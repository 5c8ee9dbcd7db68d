"""The shape of a head without lids, lips and hair: rounded solids melted into one another, and rays that find it."""

from collections.abc import Callable

import numpy as np
from scipy.interpolate import PchipInterpolator

from pydeepexpr.rig.identity import Identity
from pydeepexpr.rig.template import EYE, LIPS, lip_height

__all__ = ["Solids", "eye_centres", "eye_radius", "march", "rays", "solids", "warp"]

# Heights of an average head: chin's end, chin, mouth, base of the nose, eyes, brows, crown.
_LEVELS = np.array([-13.0, -10.6, LIPS.y, -4.6, 0.0, 2.0, 11.5])


def _level(identity: Identity) -> Callable[[np.ndarray], np.ndarray]:
    """Return the map from an average head's heights to this head's."""
    chin = (LIPS.y + 10.6) * identity.chin_length
    nose = -4.6 * identity.face_length * (0.3 + 0.7 * identity.nose_length)
    mouth = min(LIPS.y * identity.face_length * (0.6 + 0.4 * identity.nose_length) + identity.mouth_height, nose - 1.1)
    low = mouth - chin * identity.face_length
    brow = 2.0 * (0.5 + 0.5 * identity.eye_size)
    heights = [low - 2.4, low, mouth, nose, 0.0, brow, brow + 9.5 * identity.skull_height]
    inner = PchipInterpolator(_LEVELS, heights)
    ends = (_LEVELS[0], _LEVELS[-1])

    def level(y: np.ndarray) -> np.ndarray:
        within = np.clip(y, *ends)
        return inner(within) + (y - within)

    return level


def eye_radius(identity: Identity) -> float:
    """Return the radius of the eyeballs in centimetres."""
    return EYE.radius * identity.eye_size


def eye_centres(identity: Identity) -> np.ndarray:
    """Return the centres of the left (x < 0) and the right eyeball: (2, 3) float64."""
    x = EYE.centre[0] * identity.eye_spacing * (0.6 + 0.4 * identity.eye_size)
    return np.array([[-x, 0.0, 0.0], [x, 0.0, 0.0]])


def warp(points: np.ndarray, identity: Identity) -> np.ndarray:
    """Carry points of the template's plane to where this head has them.

    Parameters
    ----------
    points : (N, 2) float64
        In the plane of `template`.
    identity : Identity

    Returns
    -------
    (N, 2) float64
        In the plane of this head's rays.
    """
    x, y = points.T
    side = np.sign(x)
    level = _level(identity)
    down = level(y) + _fuller_lips(x, y, identity)

    # Widths: the nose, the mouth, the face beside them.
    near = lambda cx, cy, rx, ry: 1 / (1 + (((np.abs(x) - cx) / rx) ** 2 + ((y - cy) / ry) ** 2) ** 2)  # noqa: E731
    nose = near(0, -3.6, 2.1, 1.8)
    mouth = near(0, LIPS.y, 3.6, 1.9)
    across = x * (1 + (identity.nose_width - 1) * nose) * (1 + (identity.mouth_width - 1) * mouth)

    # Around each eye the plane is moved, turned and enlarged as one piece; how far it moves there fades out beyond.
    scale, middle_of_eye = identity.eye_size, eye_centres(identity)[1, 0]
    spread = middle_of_eye / EYE.centre[0] - 1

    def apart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return x * (1 + spread * np.exp(-(((x - EYE.centre[0]) / 3.5) ** 2) - (y / 4) ** 2))

    ex, ey = np.abs(x) - EYE.centre[0], y - EYE.centre[1]
    reach = np.hypot(ex / EYE.half_width, ey)
    within = 1 / np.maximum(reach, 1)
    cx, cy = ex * within, ey * within
    tilt = np.radians(identity.eye_tilt)
    tx = scale * (np.cos(tilt) * cx - np.sin(tilt) * cy * identity.eye_height)
    ty = scale * (np.sin(tilt) * cx + np.cos(tilt) * cy * identity.eye_height)
    fade = 1 - np.clip((reach - 1) / 3, 0, 1)
    fade = fade * fade * (3 - 2 * fade)
    middle = np.clip(np.abs(x) / 0.9, 0, 1)  # the middle line stays where it is
    fade_x = fade * middle * middle * (3 - 2 * middle)
    moved_x = middle_of_eye + tx - apart(EYE.centre[0] + cx, cy)
    return np.column_stack([side * (apart(np.abs(across), y) + fade_x * moved_x), down + fade * (ty - level(cy))])


def _fuller_lips(x: np.ndarray, y: np.ndarray, identity: Identity) -> np.ndarray:
    """Return how much higher fuller lips bring a point; it fades out over a centimetre and a half beyond them."""
    along = np.minimum(np.abs(x) / LIPS.half_width, 1)
    up = y > LIPS.y
    red = np.where(up, LIPS.upper * lip_height(along, True), LIPS.lower * lip_height(along, False))
    fuller = np.where(up, identity.upper_lip, identity.lower_lip) - 1
    away = np.abs(y - LIPS.y)
    fade = np.clip(1 - (away - red) / 1.5, 0, 1)
    return np.where(up, 1, -1) * fuller * np.minimum(away, red) * fade


class Solids:
    """Ellipsoids and cones with round ends, melted together: a signed distance, negative inside."""

    def __init__(self, forward: float = 0.0):
        self.forward = forward
        self._origin = np.array([0, 0, forward], np.float32)
        self._parts: list[tuple[Callable[[np.ndarray], np.ndarray], float]] = []

    def ellipsoid(self, centre: tuple, radii: tuple, melt: float, *, both: bool = False) -> None:
        """Add one, or (`both`) one to either side; `melt` is how far it flows into the rest, in centimetres.

        A negative `melt` cuts it out instead.
        """
        centre, radii = np.asarray(centre, np.float32), np.asarray(radii, np.float32)

        def distance(p: np.ndarray) -> np.ndarray:
            q = p.copy()
            if both:
                q[:, 0] = np.abs(q[:, 0])
            q -= centre
            q /= radii
            k0 = np.sqrt(np.einsum("ni,ni->n", q, q))
            q /= radii
            k1 = np.sqrt(np.einsum("ni,ni->n", q, q))
            return k0 * (k0 - 1) / np.maximum(k1, 1e-6)

        self._parts.append((distance, melt))

    def cone(self, start: tuple, end: tuple, radii: tuple[float, float], melt: float, *, both: bool = False) -> None:
        """Add a round-ended cone between two balls."""
        start, end = np.asarray(start, np.float32), np.asarray(end, np.float32)
        axis = end - start
        square = float(axis @ axis)

        def distance(p: np.ndarray) -> np.ndarray:
            q = p.copy()
            if both:
                q[:, 0] = np.abs(q[:, 0])
            q -= start
            t = np.clip(q @ axis / square, 0, 1)
            q -= t[:, None] * axis
            return np.sqrt(np.einsum("ni,ni->n", q, q)) - (radii[0] + t * (radii[1] - radii[0]))

        self._parts.append((distance, melt))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the distance of (N, 3) points to the surface: (N,) float32."""
        points = np.asarray(points, np.float32) - self._origin
        total = None
        for part, melt in self._parts:
            d = part(points)
            if total is None:
                total = d
                continue
            sign = 1 if melt > 0 else -1
            a, b = total, d * sign
            k = abs(melt)
            h = np.maximum(k - np.abs(a - b), 0) / k  # the polynomial smooth minimum
            total = sign * (np.minimum(sign * a, sign * b) - h * h * h * (k / 6))
        return total


def solids(identity: Identity) -> Solids:
    """Return the bulk of a head: skull, jaw, cheeks, nose."""
    i = identity
    level = _level(i)
    fw, wide = i.face_width, i.head_width
    y = lambda value: float(level(np.array(value)))  # noqa: E731
    tall = lambda top, bottom: (y(top) - y(bottom)) / 2  # noqa: E731
    eye = i.eye_size
    head = Solids(forward=0.8 * EYE.radius * (eye - 1) + 0.3 * i.eye_depth)  # large eyeballs lie deeper in the skull
    skull = tall(11.6, -4.2)
    front = 2.7
    head.ellipsoid((0, y(11.6) - skull, front - 8.6 * i.head_depth), (7.35 * wide, skull, 8.6 * i.head_depth), 1)
    head.ellipsoid((0, y(-2.4), -3.0), (6.3 * fw, tall(5.6, -10.2), 5.5), 3.0)
    jaw = 4.7 * i.jaw_width * (0.5 + 0.5 * fw)
    head.ellipsoid((0, y(-7.3), -2.3), (jaw, tall(-3.7, -10.8), 4.9), 2.0)
    chin = i.chin_size
    head.ellipsoid((0, y(-10.6) + 0.75 * chin, 1.35 + i.chin_forward), (2.0 * chin, 1.25 * chin, 1.6), 3.2)
    bones = i.cheekbones
    head.ellipsoid((4.35 * fw, y(-2.0), -0.75), (1.9, 1.35, 1.6 + 0.45 * bones), 2.4, both=True)
    fat = i.cheeks
    head.ellipsoid((3.05 * fw, y(-5.0), -0.5), (1.6 + 0.75 * fat, tall(-2.9, -7.4), 1.7 + 0.85 * fat), 2.2, both=True)
    ridge = i.brow_ridge
    head.cone(
        (1.1, y(1.75), 1.55 + 0.35 * ridge), (4.0 * eye**0.4, y(1.5), 0.75 + 0.15 * ridge), (0.75, 0.55), 1.8, both=True
    )
    head.ellipsoid((0, y(-6.6), 0.55), (2.9 * i.mouth_width, tall(-4.5, -8.9), 2.25), 3.0)  # the teeth's arch
    centre = eye_centres(i)[1]
    head.ellipsoid(  # the socket is cut out; the lids span it
        (centre[0] - 0.1, -0.1, 3.3 * eye), (1.75 * eye, 1.15 * eye, 1.75 * eye), -1.4, both=True
    )
    head.ellipsoid((centre[0], 0, -head.forward), (0.97 * eye_radius(i),) * 3, 0.7, both=True)
    _nose(head, i, y)
    return head


def _nose(head: Solids, i: Identity, y: Callable[[float], float]) -> None:
    tip, depth, width = i.nose_tip, i.nose_depth, i.nose_width
    base = 2.35
    end = y(-3.75) + 0.35 * i.nose_turn
    z = base + 1.75 * depth
    head.cone(
        (0, y(0.55), 1.35 + 0.35 * depth),
        (0, end + 0.15, z),
        (0.62 * i.nose_bridge, (0.45 * i.nose_bridge + 0.15) * (0.5 + 0.5 * tip)),
        0.9,
    )
    head.ellipsoid((0, end, z), (0.82 * tip, 0.66 * tip, 0.72 * tip), 0.55)
    head.ellipsoid((1.12 * width, y(-3.98), base + 0.38 * depth), (0.6 * width**0.7, 0.52, 0.95), 0.75, both=True)
    head.cone((0, end - 0.3, z - 0.3), (0, y(-4.75), base), (0.3, 0.32), 0.45)


def rays(points: np.ndarray, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines on which the surface over some points of the plane lies.

    Within the core the lines run straight from the viewer; beyond it they turn, by an angle that grows with the
    distance from the core, around to the back.

    Parameters
    ----------
    points : (N, 2) float64
        In the plane of this head (`warp`).
    identity : Identity

    Returns
    -------
    (N, 3) float32, (N, 3) float32
        Points within the head and unit directions outwards.
    """
    level = _level(identity)
    half = max(4.9, float(eye_centres(identity)[1, 0]) + 1.75)  # takes in the lids
    low, high = float(level(np.array(-8.5))), float(level(np.array(3.6)))
    y = np.clip(points[:, 1], low, high)
    half = half * (1 - 0.45 * np.clip((y / low - 0.3) / 0.7, 0, 1))  # narrower towards the chin, as the jaw is
    core = np.column_stack([np.clip(points[:, 0], -half, half), y])
    offset = points - core
    distance = np.hypot(*offset.T)
    angle = np.minimum(distance / 8.0, np.pi)
    outward = offset / np.maximum(distance, 1e-9)[:, None]
    direction = np.column_stack([outward * np.sin(angle)[:, None], np.cos(angle)])
    middle = np.array([0.0, 2.0])
    gather = np.where(angle > np.pi / 2, 1 - 0.5 * np.sin(angle), 0.5 - 0.5 * np.cos(angle))[:, None]
    start = np.column_stack([core + (middle - core) * gather, np.full(len(points), -5.5)])
    return start.astype(np.float32), direction.astype(np.float32)


def march(head: Solids, start: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Return where lines from outside first meet the surface.

    Sphere tracing (Hart 1996) inwards from 16 cm, then two secant steps.

    Parameters
    ----------
    head : Solids
    start, direction : (N, 3) float32
        As `rays` gives them.

    Returns
    -------
    (N,) float32
        Centimetres from `start` along `direction`.
    """
    t = np.full(len(start), 16.0, np.float32)
    for _ in range(14):
        t = np.maximum(t - 0.95 * head(start + t[:, None] * direction), -3.0)
    for _ in range(2):
        d = head(start + t[:, None] * direction)
        slope = (head(start + (t + 0.02)[:, None] * direction) - d) / 0.02
        t = t - np.clip(d / np.maximum(slope, 0.15), -0.2, 0.2)
    return t
