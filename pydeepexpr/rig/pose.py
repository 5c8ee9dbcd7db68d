"""What a head does at one moment: muscles, gaze, turn of the head."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.action_units import PROTOTYPES, activations
from pydeepexpr.rig.anatomy import JAW, MUSCLES, TONE

__all__ = ["Pose", "activation_vector", "blend", "expression_pose"]


def _at_rest() -> np.ndarray:
    return np.stack([TONE, TONE])


@dataclass(frozen=True, eq=False)
class Pose:
    """A pose. All of it blends linearly.

    Attributes
    ----------
    activations : (2, 27) float32
        0 to 1: muscles of the viewer's left and right side, in the order of `MUSCLES`. The jaw opens by the mean of its
        two and slides to the side of the greater.
    gaze : (2,) float32
        Yaw to the viewer's right and pitch up, radians.
    head : (3,) float32
        Yaw to the viewer's right, pitch up, roll (the head's top to the viewer's left), radians.

    Raises
    ------
    UserError
        If a shape, or an activation, is not as described.
    """

    activations: np.ndarray = field(default_factory=_at_rest)
    gaze: np.ndarray = field(default_factory=lambda: np.zeros(2, np.float32))
    head: np.ndarray = field(default_factory=lambda: np.zeros(3, np.float32))

    def __post_init__(self):
        for name, shape in (("activations", (2, len(MUSCLES))), ("gaze", (2,)), ("head", (3,))):
            value = np.array(getattr(self, name), np.float32)
            if value.shape != shape or not np.isfinite(value).all():
                raise UserError(f"a pose's {name} are finite numbers of the shape {shape}, got {value.shape}")
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.activations.min() < 0 or self.activations.max() > 1:
            raise UserError("a pose's activations lie between 0 and 1; some do not")

    @property
    def jaw(self) -> float:
        """How far the jaw is open, 0 to 1."""
        return float(self.activations[:, JAW].mean())


def blend(a: Pose, b: Pose, t: float) -> Pose:
    """Return the pose a share `t` of the way from `a` to `b`; `t` from 0 to 1."""
    if not 0 <= t <= 1:
        raise UserError(f"a blend's share lies between 0 and 1, got {t}")
    mix = lambda name: (1 - t) * getattr(a, name) + t * getattr(b, name)  # noqa: E731
    return Pose(np.clip(mix("activations"), 0, 1), mix("gaze"), mix("head"))


def activation_vector(muscles: Mapping[str, float | tuple[float, float]]) -> np.ndarray:
    """Return activations with the named muscles set and all others at their resting tone.

    Parameters
    ----------
    muscles : mapping from a name of `MUSCLES` to an activation, or to a pair for left and right

    Returns
    -------
    (2, 27) float32

    Raises
    ------
    UserError
        If a muscle is unknown or an activation outside 0 to 1.
    """
    vector = _at_rest()
    for name, value in muscles.items():
        if name not in MUSCLES:
            raise UserError(f"there is no muscle {name!r}; they are: {', '.join(MUSCLES)}")
        pair = np.broadcast_to(np.asarray(value, np.float32), (2,))
        if not ((pair >= 0) & (pair <= 1)).all():
            raise UserError(f"the activation of {name} lies between 0 and 1, got {value}")
        vector[:, MUSCLES.index(name)] = pair
    return vector


def expression_pose(
    expression: str,
    intensity: float = 1.0,
    asymmetry: float = 0.0,
    gaze: tuple[float, float] = (0.0, 0.0),
    head: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Pose:
    """Return the pose of an expression's prototype.

    Parameters
    ----------
    expression : str
        One of `pydeepexpr.expressions.EXPRESSIONS`.
    intensity : float
        0 (rest) to 1.
    asymmetry : float
        −1 to 1: 0.3 weakens the viewer's right side by 30 %, −0.3 the left one.
    gaze, head
        As `Pose` has them.

    Raises
    ------
    UserError
        If the expression is unknown or a number out of range.
    """
    if expression not in PROTOTYPES:
        raise UserError(f"there is no prototype of {expression!r}; use one of: {', '.join(PROTOTYPES)}")
    if not 0 <= intensity <= 1:
        raise UserError(f"an expression's intensity lies between 0 and 1, got {intensity}")
    if not -1 <= asymmetry <= 1:
        raise UserError(f"an expression's asymmetry lies between -1 and 1, got {asymmetry}")
    left, right = intensity * (1 + min(asymmetry, 0)), intensity * (1 - max(asymmetry, 0))
    units = {unit: (left * share, right * share) for unit, share in PROTOTYPES[expression].items()}
    return Pose(activations(units), np.array(gaze), np.array(head))
