"""Performers: an endless family of human-like people who play the human side."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.camera import Camera
from pydeepexpr.rig.identity import RANGES, Identity
from pydeepexpr.rig.lights import Light, Lights

__all__ = ["Performer", "performer"]


@dataclass(frozen=True, eq=False)
class Performer:
    """Somebody before a camera.

    Attributes
    ----------
    identity : Identity
    camera : Camera
    lights : Lights
    background : (256, 256, 3) uint8
        BGR.
    """

    identity: Identity
    camera: Camera
    lights: Lights
    background: np.ndarray


def performer(seed: int) -> Performer:
    """Return the performer of a number.

    Parameters
    ----------
    seed : int
        From 0. The same number is always the same performer; two numbers are two different ones.

    Raises
    ------
    UserError
        If it is not a whole number from 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise UserError(f"a performer's number is a whole number from 0, got {seed!r}")
    rng = np.random.default_rng((_FAMILY, int(seed)))
    return Performer(_identity(rng), _camera(rng), _lights(rng), _background(rng))


_FAMILY = 1978  # keeps their lots apart from others drawn by the same number
_BACKGROUND = 256  # pixels

# Skin, and the hair and eyes that go with it.
_COMPLEXIONS = (
    ("#f3d3bd", ("#b98a4e", "#7a4f2c", "#a2562b", "#3d2a1d", "#d2ac6a"), ("#6f93b0", "#5f8a72", "#77869a", "#6b5236")),
    ("#e8bd9c", ("#6b4528", "#3a281c", "#9a7040", "#241a14"), ("#5b7fa0", "#5d4a30", "#6f8a5a", "#4a3220")),
    ("#e3b78d", ("#17130f", "#221a14", "#2d2119"), ("#3a2618", "#2b1c12")),
    ("#cf9d70", ("#1b1511", "#2e2119", "#46301f"), ("#3f2a18", "#54391f", "#66603a")),
    ("#b07c52", ("#15110e", "#1f1713"), ("#352113", "#452c18")),
    ("#8a5a3b", ("#120e0c", "#1c1512"), ("#2c1b10", "#3a2415")),
    ("#5f3b27", ("#0f0c0b", "#171210"), ("#24160d", "#301d11")),
)
_GREY = "#b9b7b4"
_STYLES = {
    "male": ("short", "short", "short", "crop", "crop", "quiff", "quiff", "curly", "bald"),
    "female": ("long", "long", "bob", "bob", "bun", "ponytail", "curly", "short"),
}
_SHIRTS = ("#4d6a80", "#7b3b3b", "#3f5a45", "#8c8577", "#2f3340", "#b9b3a5", "#6a4a6b", "#a6683f", "#39708a")

# Standard deviations about an average adult; what women and men differ by, halved; what age adds.
_SPREAD = {
    "head_width": 0.03,
    "head_depth": 0.04,
    "skull_height": 0.05,
    "face_length": 0.05,
    "face_width": 0.04,
    "cheekbones": 0.35,
    "cheeks": 0.3,
    "jaw_width": 0.07,
    "chin_size": 0.12,
    "chin_length": 0.08,
    "chin_forward": 0.2,
    "brow_ridge": 0.25,
    "eye_size": 0.04,
    "eye_height": 0.07,
    "eye_spacing": 0.03,
    "eye_tilt": 2.5,
    "eye_depth": 0.25,
    "iris_size": 0.03,
    "pupil_size": 0.12,
    "nose_length": 0.07,
    "nose_width": 0.12,
    "nose_depth": 0.13,
    "nose_tip": 0.13,
    "nose_turn": 0.25,
    "nose_bridge": 0.12,
    "mouth_width": 0.06,
    "mouth_height": 0.1,
    "upper_lip": 0.2,
    "lower_lip": 0.2,
    "ear_size": 0.1,
    "ear_angle": 6.0,
    "brow_thickness": 0.22,
    "brow_length": 0.07,
    "brow_height": 0.12,
    "brow_arch": 0.22,
    "brow_slant": 0.08,
    "neck_width": 0.06,
    "blush": 0.15,
    "motion": 0.08,
    "hair_volume": 0.15,
    "hair_length": 0.2,
    "hair_parting": 0.4,
}
_MALE = {
    "jaw_width": 0.06,
    "chin_size": 0.12,
    "brow_ridge": 0.35,
    "brow_thickness": 0.3,
    "brow_height": -0.1,
    "brow_arch": -0.15,
    "eye_size": -0.02,
    "nose_width": 0.05,
    "nose_depth": 0.06,
    "upper_lip": -0.15,
    "lower_lip": -0.1,
    "neck_width": 0.13,
    "face_length": 0.02,
    "cheekbones": -0.1,
}
_AGED = {"ear_size": 0.15, "nose_tip": 0.12, "cheeks": -0.15, "upper_lip": -0.2, "wrinkles": 0.8, "eye_height": -0.06}


def _identity(rng: np.random.Generator) -> Identity:
    average = Identity()
    male, age = rng.random() < 0.5, rng.random()
    values = {}
    for name, (low, high) in RANGES.items():
        drawn = np.clip(rng.standard_normal(), -2, 2) * _SPREAD.get(name, 0.0)
        sex = _MALE.get(name, 0.0) * (1 if male else -1)
        values[name] = getattr(average, name) + drawn + sex + _AGED.get(name, 0.0) * (age - 0.4)
        values[name] = float(np.clip(values[name], low, high))
    values["lashes"] = 0.15 if male else float(rng.uniform(0.4, 0.8))
    values["stubble"] = float(rng.uniform(0, 0.9)) if male and rng.random() < 0.5 else 0.0
    beard = str(rng.choice(("moustache", "goatee", "full", "full"))) if male and rng.random() < 0.25 else "none"
    values["beard_volume"] = float(rng.uniform(0.4, 0.9))
    glasses = str(rng.choice(("round", "square"))) if rng.random() < 0.15 else "none"
    values["freckles"] = float(rng.uniform(0.2, 0.7)) if rng.random() < 0.12 else 0.0
    values["hairline"] = float(1.2 * age * rng.random()) if male else 0.0

    complexion = rng.integers(len(_COMPLEXIONS))
    skin, hairs, irises = _COMPLEXIONS[complexion]
    skin = _mixed(skin, _COMPLEXIONS[min(complexion + 1, len(_COMPLEXIONS) - 1)][0], rng.uniform(0, 0.6))
    hair = _mixed(str(rng.choice(hairs)), _GREY, np.clip(3 * age - 2.1 + 0.2 * rng.standard_normal(), 0, 1))
    red = rng.uniform(0.2, 0.6) * (1.0 if male else 1.5)
    style = str(rng.choice(_STYLES["male" if male else "female"]))
    return Identity(
        **values,
        skin=skin,
        lips=_mixed(_mixed(skin, "#7a3030", 0.35), "#b03a45", 0.45 * red),
        iris=str(rng.choice(irises)),
        hair=hair,
        brows=_mixed(hair, "#15100d", 0.4),
        shirt=str(rng.choice(_SHIRTS)),
        hair_style=style,
        beard=beard,
        glasses=glasses,
    )


def _camera(rng: np.random.Generator) -> Camera:
    """Return a camera at a portrait's distance that shows the head larger or smaller, not quite in the middle."""
    distance = rng.uniform(60, 130)
    shown = rng.uniform(26, 34)  # centimetres across
    field = 2 * np.degrees(np.arctan(0.5 * shown / distance))
    return Camera(float(distance), float(field), (float(rng.uniform(-1.5, 1.5)), float(rng.uniform(-2.5, 0.5))))


def _lights(rng: np.random.Generator) -> Lights:
    """Return a lamp from somewhere before the face, a weaker one from the other side, and the light of a room."""
    side = rng.choice([-1, 1])
    warmth = rng.uniform(-0.12, 0.12)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    strong, weak = rng.uniform(0.5, 0.85), rng.uniform(0.1, 0.35)
    room = rng.uniform(0.18, 0.4)
    key = Light(
        (side * rng.uniform(0.1, 0.9), rng.uniform(0.2, 0.9), 0.9), tuple(strong * tint), 0.3, rng.uniform(0.3, 0.8)
    )
    fill = Light((-side * rng.uniform(0.5, 1.0), rng.uniform(-0.1, 0.4), 0.7), tuple(weak / tint), 0.5)
    return Lights((key, fill), tuple(room / tint), tuple(0.5 * room * tint), 1.0)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return a room out of focus: a wall, darker or lighter things before it, here and there a lamp."""
    x, y = np.meshgrid(*[np.linspace(-1, 1, _BACKGROUND)] * 2)
    wall = rng.uniform(30, 200) + _muted(rng, 12)
    picture = wall + (rng.uniform(-30, 30) * x + rng.uniform(-40, 40) * y)[..., None]
    for _ in range(rng.integers(2, 8)):
        cx, cy = rng.uniform(-1.2, 1.2, 2)
        wide, high = rng.uniform(0.08, 0.6, 2)
        away = np.maximum(np.abs(x - cx) - wide, np.abs(y - cy) - high) / rng.uniform(0.015, 0.08)
        picture += (0.5 - 0.5 * np.tanh(away))[..., None] * (rng.uniform(-60, 60) + _muted(rng, 10))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _muted(rng: np.random.Generator, most: float) -> np.ndarray:
    """Return a deviation from grey, to warm or to cool: BGR."""
    warm, green = rng.uniform(-most, most), rng.uniform(-most, most) / 3
    return np.array([-warm, green, warm])


def _mixed(first: str, second: str, share: float) -> str:
    """Return a colour between two, "#rrggbb"."""
    channels = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + float(share) * (b - a)):02x}" for a, b in channels)
