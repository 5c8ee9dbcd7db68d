"""The colours of the skin at rest."""

import numpy as np

from pydeepexpr.rig.identity import Identity, linear_rgb
from pydeepexpr.rig.template import EYE, LIPS, template

__all__ = ["complexion"]


def complexion(identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return albedo, (V, 3) float32 in linear light, and gloss, (V,) float32, of the skin."""
    colours = np.tile(linear_rgb(identity.skin).astype(np.float64), (len(template().points), 1))
    for amount, factor in (*_marks(identity), *_eyes_and_nose()):
        colours *= 1 + amount[:, None] * (np.asarray(factor) - 1)
    colours, gloss = _lips(colours, identity)
    return np.clip(colours, 0, 1).astype(np.float32), gloss.astype(np.float32)


def _spot(x: float, y: float, width: float, height: float) -> np.ndarray:
    """Return a soft spot on either side of the template, (V,): 1 in its middle."""
    points = template().points
    return np.exp(-(((np.abs(points[:, 0]) - x) / width) ** 2) - ((points[:, 1] - y) / height) ** 2)


def _marks(identity: Identity) -> list[tuple[np.ndarray, object]]:
    """Return what sets one person's skin apart: where it is, and what the colour is multiplied by there."""
    net = template()
    x, y = np.abs(net.points[:, 0]), net.points[:, 1]
    skin, hair = linear_rgb(identity.skin), linear_rgb(identity.brows)
    beard = np.clip(1.2 - np.hypot(x / 5.2, (y + 8.8) / 3.6), 0, 0.4) / 0.4
    beard = np.where(y < -5.2, beard, 0) * (1 - 0.7 * _spot(0, -8.3, 0.9, 0.4))
    noise = np.random.default_rng(5).random(len(x))
    dots = np.minimum(noise, noise[net.mirror]) < 0.2
    freckled = np.minimum(_spot(2.6, -2.7, 2.0, 1.0) + _spot(0, -2.0, 1.2, 1.2), 1)
    return [
        (identity.blush * _spot(4.0, -3.4, 1.7, 1.3), (1.02, 0.66, 0.66)),
        (identity.blush * _spot(0.0, -3.8, 1.0, 0.8), (1.02, 0.74, 0.74)),
        (identity.stubble * beard, 0.35 + 0.25 * hair / skin.mean()),
        (identity.freckles * freckled * dots, (0.72, 0.5, 0.4)),
    ]


def _eyes_and_nose() -> list[tuple[np.ndarray, object]]:
    """Return what all skins have: shade around the eyes, red lids, the crease above them, dark nostrils."""
    net = template()
    near = np.isfinite(net.lid_ring)
    ring = np.where(near, net.lid_ring, 1)
    crease = np.exp(-(((ring - 0.44) / 0.08) ** 2)) * (net.points[:, 1] > EYE.centre[1] + 0.1)
    return [
        (0.3 * (1 - ring), (0.86, 0.72, 0.72)),
        (np.minimum(1.15 * _spot(0.58, -4.42, 0.27, 0.14), 1), (0.16, 0.08, 0.07)),
        (np.clip(1 - ring / 0.1, 0, 1), (0.75, 0.55, 0.55)),
        (0.4 * crease * near, (0.6, 0.45, 0.42)),
    ]


def _lips(colours: np.ndarray, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours with the red of the lips, darker towards the slit and above it, and the gloss."""
    net = template()
    red = np.isfinite(net.lip)
    t = np.where(red, net.lip, 2)
    share = np.clip((1.04 - t) / 0.1, 0, 1)[:, None]
    shade = (0.35 + 0.65 * np.clip(t / 0.25, 0, 1)) * np.where(net.upper, 0.86, 1.0)
    painted = colours * (1 - share) + linear_rgb(identity.lips) * share * shade[:, None]
    tip_of_the_nose = _spot(0, -3.4, 0.6, 0.8) * (net.points[:, 1] > LIPS.y)
    return painted, np.where(red, 0.35, 0.12) + 0.1 * tip_of_the_nose
