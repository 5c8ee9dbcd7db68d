"""Who a head is: proportions, colours and hair, as a small set of named numbers."""

import re
from dataclasses import dataclass, fields

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["BEARDS", "GLASSES", "HAIR_STYLES", "RANGES", "Identity", "linear_rgb"]

#: The styles that `hair.py` can cut.
HAIR_STYLES = ("bald", "short", "crop", "quiff", "spiky", "curly", "bob", "long", "bun", "ponytail")

#: The beards that `beard.py` can grow, and the glasses that `glasses.py` has.
BEARDS = ("none", "moustache", "goatee", "full")
GLASSES = ("none", "round", "square")

#: Lowest and highest value of every number of an identity. The default lies within and is an average adult.
RANGES = {
    "head_width": (0.8, 1.3),
    "head_depth": (0.8, 1.2),
    "skull_height": (0.75, 1.3),
    "face_length": (0.75, 1.3),
    "face_width": (0.8, 1.3),
    "cheekbones": (0.0, 2.0),
    "cheeks": (0.0, 2.0),
    "jaw_width": (0.6, 1.35),
    "chin_size": (0.5, 1.7),
    "chin_length": (0.5, 1.7),
    "chin_forward": (-1.0, 1.0),
    "brow_ridge": (0.0, 2.0),
    "eye_size": (0.8, 1.6),
    "eye_height": (0.7, 1.5),
    "eye_spacing": (0.88, 1.25),
    "eye_tilt": (-12.0, 12.0),
    "eye_depth": (-1.0, 1.0),
    "iris_size": (0.8, 1.5),
    "pupil_size": (0.6, 1.6),
    "lashes": (0.0, 1.0),
    "nose_length": (0.65, 1.35),
    "nose_width": (0.6, 1.7),
    "nose_depth": (0.4, 1.6),
    "nose_tip": (0.6, 1.9),
    "nose_turn": (-1.0, 1.0),
    "nose_bridge": (0.5, 1.6),
    "mouth_width": (0.7, 1.35),
    "mouth_height": (-0.7, 0.7),
    "upper_lip": (0.3, 1.8),
    "lower_lip": (0.4, 1.8),
    "ear_size": (0.6, 1.6),
    "ear_angle": (5.0, 55.0),
    "brow_thickness": (0.4, 2.5),
    "brow_length": (0.7, 1.25),
    "brow_height": (-0.6, 1.2),
    "brow_arch": (-0.3, 1.5),
    "brow_slant": (-0.6, 0.6),
    "neck_width": (0.6, 1.4),
    "blush": (0.0, 1.0),
    "stubble": (0.0, 1.0),
    "freckles": (0.0, 1.0),
    "beard_volume": (0.3, 2.0),
    "wrinkles": (0.0, 2.0),
    "motion": (0.5, 1.6),
    "hair_volume": (0.4, 2.0),
    "hair_length": (0.4, 1.6),
    "hairline": (-1.5, 2.0),
    "hair_parting": (-1.0, 1.0),
}

_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class Identity:
    """The named parameters of a head; `RANGES` holds what each may be.

    A value of 1 is an average adult's unless its comment says otherwise; sizes and widths are factors.

    Raises
    ------
    UserError
        If a number lies outside its range, a colour is not "#rrggbb", or a style is unknown.

    Examples
    --------
    >>> Identity(eye_size=1.4, hair="#552211").eye_size
    1.4
    """

    head_width: float = 1.0
    head_depth: float = 1.0
    skull_height: float = 1.0  #: from the brows up
    face_length: float = 1.0  #: from the eyes to the chin
    face_width: float = 1.0  #: from cheek to cheek
    cheekbones: float = 1.0  #: 0 is flat
    cheeks: float = 0.6  #: fat of the cheeks: 0 is gaunt, 2 is chubby
    jaw_width: float = 1.0
    chin_size: float = 1.0
    chin_length: float = 1.0
    chin_forward: float = 0.0  #: centimetres
    brow_ridge: float = 0.8  #: 0 is a smooth forehead
    eye_size: float = 1.0
    eye_height: float = 1.0  #: of the opening between the lids
    eye_spacing: float = 1.0
    eye_tilt: float = 2.0  #: degrees, the outer corner up
    eye_depth: float = 0.0  #: -1 bulges, 1 is deep-set
    iris_size: float = 1.0
    pupil_size: float = 1.0
    lashes: float = 0.3  #: 0 is none
    nose_length: float = 1.0
    nose_width: float = 1.0
    nose_depth: float = 1.0  #: how far it sticks out
    nose_tip: float = 1.0
    nose_turn: float = 0.0  #: -1 hangs, 1 is turned up
    nose_bridge: float = 1.0  #: width of the bridge
    mouth_width: float = 1.0
    mouth_height: float = 0.0  #: centimetres up
    upper_lip: float = 1.0  #: fullness
    lower_lip: float = 1.0
    ear_size: float = 1.0
    ear_angle: float = 32.0  #: degrees off the head
    brow_thickness: float = 1.0
    brow_length: float = 1.0
    brow_height: float = 0.0  #: centimetres up
    brow_arch: float = 0.5  #: 0 is straight
    brow_slant: float = 0.0  #: centimetres that the outer end is higher than the inner one
    neck_width: float = 1.0
    blush: float = 0.35  #: red of cheeks, nose and ears
    stubble: float = 0.0
    freckles: float = 0.0
    wrinkles: float = 1.0  #: how dark the folds of an expression are
    motion: float = 1.0  #: how far the muscles pull
    hair_volume: float = 1.0
    hair_length: float = 1.0
    hairline: float = 0.0  #: centimetres up
    hair_parting: float = 0.4  #: -1 far left, 1 far right (of the viewer)
    skin: str = "#e0ac8c"
    lips: str = "#b8605c"
    iris: str = "#5b7fa0"
    hair: str = "#4a2f20"
    brows: str = "#3a2518"
    shirt: str = "#4d6a80"
    frame: str = "#1d1b1a"  #: of the glasses
    hair_style: str = "short"
    beard: str = "none"
    beard_volume: float = 1.0
    glasses: str = "none"

    def __post_init__(self):
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int | float | np.floating | np.integer)
            if not number or not low <= value <= high:
                raise UserError(f"an identity's {name} is a number from {low} to {high}, got {value!r}")
        for name in ("skin", "lips", "iris", "hair", "brows", "shirt", "frame"):
            linear_rgb(getattr(self, name), name)
        for name, known in (("hair_style", HAIR_STYLES), ("beard", BEARDS), ("glasses", GLASSES)):
            if getattr(self, name) not in known:
                raise UserError(f"there is no {name} {getattr(self, name)!r}; use one of: {', '.join(known)}")


def linear_rgb(colour: str, name: str = "colour") -> np.ndarray:
    """Return a colour as linear light.

    Parameters
    ----------
    colour : str
        "#rrggbb", as screens show it (sRGB, IEC 61966-2-1).
    name : str
        What the error calls it.

    Returns
    -------
    (3,) float32
        Red, green, blue, 0 to 1.

    Raises
    ------
    UserError
        If it is not written so.

    Examples
    --------
    >>> linear_rgb("#ff0000").tolist()
    [1.0, 0.0, 0.0]
    """
    if not isinstance(colour, str) or not _HEX.fullmatch(colour):
        raise UserError(f"{name} is a colour like '#a0522d', got {colour!r}")
    shown = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4).astype(np.float32)


assert {f.name for f in fields(Identity) if f.type is float} == set(RANGES)
