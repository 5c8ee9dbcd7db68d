"""Who sits for a frame: characters of the cast and performers, by name."""

import functools
import re
from dataclasses import dataclass

import cv2
import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.camera import Camera
from pydeepexpr.rig.cast import CAST, performer
from pydeepexpr.rig.head import Head
from pydeepexpr.rig.lights import Lights
from pydeepexpr.rig.pose import Pose
from pydeepexpr.rig.rasteriser import over, render, visible

__all__ = ["PERFORMERS_A_SEED", "Sitter", "performer_name", "performer_number", "sitter"]

#: Seeds of performers are numbered through: those of the seed 1 begin here.
PERFORMERS_A_SEED = 1_000_000


@dataclass(frozen=True, eq=False)
class Sitter:
    """A head before a camera.

    Attributes
    ----------
    head : Head
    camera : Camera
    lights : Lights
    background : (H, W, 3) uint8, optional
        BGR; a performer's. Characters stand before nothing.
    """

    head: Head
    camera: Camera
    lights: Lights
    background: np.ndarray | None = None

    def render(self, pose: Pose, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Take a picture.

        Returns
        -------
        rgba : (size, size, 4) uint8
            Opaque if there is a background.
        landmarks : (49, 2) float32
            x, y in pixels of the picture.
        visible : (49,) bool
        """
        mesh = self.head.pose(pose)
        points = self.head.landmarks(mesh)
        frame = render(mesh, self.camera, self.lights, size)
        rgba = frame.rgba
        if self.background is not None:
            how = cv2.INTER_AREA if size < len(self.background) else cv2.INTER_LINEAR
            photograph = over(frame, cv2.resize(self.background, (size, size), interpolation=how))
            rgba = np.dstack([photograph[..., ::-1], np.full((size, size), 255, np.uint8)])
        landmarks = self.camera.project(points, size)[:, :2].astype(np.float32)
        return rgba, landmarks, visible(points, self.camera, frame)


@functools.lru_cache(maxsize=16)
def sitter(name: str) -> Sitter:
    """Return a character of the cast, or the performer of a number: p0, p1, and so on.

    Raises
    ------
    UserError
        If there is nobody of that name.
    """
    if name in CAST:
        character = CAST[name]
        return Sitter(Head(character.identity), character.camera, character.lights)
    person = performer(performer_number(name))
    return Sitter(Head(person.identity), person.camera, person.lights, person.background)


def performer_name(number: int) -> str:
    """Return the name of a performer."""
    return f"p{number}"


def performer_number(name: str) -> int:
    """Return the number in a performer's name.

    Raises
    ------
    UserError
        If it is none.
    """
    if not (match := re.fullmatch("p(0|[1-9][0-9]*)", name)):
        raise UserError(f"nobody here is called {name!r}; performers are p0, p1, …, the cast is: {', '.join(CAST)}")
    return int(match[1])
