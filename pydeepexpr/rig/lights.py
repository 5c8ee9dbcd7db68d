"""What a head is lit by."""

from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["STUDIO", "Light", "Lights"]

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """A lamp far away.

    Attributes
    ----------
    towards : (float, float, float)
        The direction from the head to the lamp: x to the viewer's right, y up, z to the camera; of any length.
    colour : (float, float, float)
        Linear red, green, blue: what a white, matt surface that faces the lamp sends back; 1 is the image's white.
    wrap : float
        0 is a point of light. Above, up to 1, the lamp is large: light reaches round into the shade.
    shadow : float
        How much of its light a shadow takes, 0 to 1; at 0 the lamp casts none.
    """

    towards: Triple
    colour: Triple
    wrap: float = 0.0
    shadow: float = 0.0


@dataclass(frozen=True)
class Lights:
    """All that lights a head.

    Attributes
    ----------
    lamps : tuple of Light
    sky, ground : (float, float, float)
        Soft light from above and from below, linear red, green, blue; in between they blend (hemisphere lighting).
    occlusion : float
        How much hollows darken, from 0 (not at all).

    Raises
    ------
    UserError
        If a colour, a direction or a strength cannot be used.
    """

    lamps: tuple[Light, ...]
    sky: Triple = (0.0, 0.0, 0.0)
    ground: Triple = (0.0, 0.0, 0.0)
    occlusion: float = 0.0

    def __post_init__(self) -> None:
        colours = [self.sky, self.ground, *(lamp.colour for lamp in self.lamps)]
        if not all(_is_colour(colour) for colour in colours):
            raise UserError("a light's colour must be three finite numbers from 0 (linear red, green, blue)")
        towards = [np.asarray(lamp.towards, np.float64) for lamp in self.lamps]
        if not all(t.shape == (3,) and np.isfinite(t).all() and t.any() for t in towards):
            raise UserError("a light's direction must be three finite numbers, not all zero")
        if not all(0 <= lamp.wrap <= 1 and 0 <= lamp.shadow <= 1 for lamp in self.lamps):
            raise UserError("a light's wrap and shadow must lie between 0 and 1")
        if not 0 <= self.occlusion < np.inf:
            raise UserError(f"occlusion must be a finite number from 0, got {self.occlusion}")

    def as_array(self) -> np.ndarray:
        """Return the lamps as (L, 8) float64, first those that cast shadows: unit direction, colour, wrap, shadow."""
        lamps = sorted(self.lamps, key=lambda lamp: lamp.shadow == 0)
        rows = [[*lamp.towards, *lamp.colour, lamp.wrap, lamp.shadow] for lamp in lamps]
        rows = np.array(rows, np.float64).reshape(-1, 8)
        rows[:, :3] /= np.sqrt((rows[:, :3] ** 2).sum(axis=1, keepdims=True))
        return rows


def _is_colour(value: Triple) -> bool:
    colour = np.asarray(value, np.float64)
    return colour.shape == (3,) and bool(np.isfinite(colour).all() and (colour >= 0).all())


#: A portrait photographer's set: a warm key light from the upper left, a cool fill, a rim light from behind.
STUDIO = Lights(
    lamps=(
        Light((-0.55, 0.60, 0.85), (0.74, 0.70, 0.64), 0.25, 0.7),
        Light((0.80, 0.10, 0.75), (0.20, 0.22, 0.26), 0.5),
        Light((0.65, 0.55, -0.75), (0.45, 0.46, 0.50), 0.0),
    ),
    sky=(0.26, 0.27, 0.29),
    ground=(0.15, 0.13, 0.12),
    occlusion=1.0,
)
