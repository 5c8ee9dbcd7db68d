"""The camera that looks at a head."""

import math
from dataclasses import dataclass

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["NEAR", "Camera"]

#: Nothing nearer to the camera than this is drawn, in centimetres.
NEAR = 1.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera before the face: it looks straight along −z, its image is square.

    The default takes in a whole head with its hair, with a little margin, as the frames of FERG-DB do.

    Attributes
    ----------
    distance : float
        From the camera to the plane z = 0, which holds the eyeballs' centres, in centimetres.
    field : float
        Angle of view over the image's whole width and height, in degrees.
    centre : (float, float)
        x, y in centimetres of the point that the middle of the image shows.

    Raises
    ------
    UserError
        If the distance is not above `NEAR`, the field not between 0 and 180 degrees, or anything not finite.
    """

    distance: float = 70.0
    field: float = 23.5
    centre: tuple[float, float] = (0.0, -1.0)

    def __post_init__(self) -> None:
        if not NEAR < self.distance < math.inf:
            raise UserError(f"a camera's distance must be above {NEAR:g} cm, got {self.distance}")
        if not 0 < self.field < 180:
            raise UserError(f"a camera's field must lie between 0 and 180 degrees, got {self.field}")
        if len(self.centre) != 2 or not all(map(math.isfinite, self.centre)):
            raise UserError(f"a camera's centre must be two finite numbers (cm), got {self.centre}")

    def focal_length(self, size: int = 256) -> float:
        """Return the distance from the pinhole to an image of `size` × `size` pixels, in pixels."""
        return 0.5 * size / math.tan(math.radians(0.5 * self.field))

    def project(self, points: np.ndarray, size: int = 256) -> np.ndarray:
        """Return where points appear.

        Parameters
        ----------
        points : (N, 3) array
            x, y, z in centimetres.
        size : int
            Width and height of the image in pixels.

        Returns
        -------
        (N, 3) float64
            x to the right and y down, in pixels, the centre of the first pixel at (0, 0); depth along the line of
            sight, in centimetres. x and y are NaN for points nearer than `NEAR`, which have no picture.

        Raises
        ------
        UserError
            If `points` are not (N, 3).
        """
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise UserError(f"points must be (N, 3), got {points.shape}")
        depth = self.distance - points[:, 2]
        scale = self.focal_length(size) / np.where(depth >= NEAR, depth, np.nan)
        middle = 0.5 * (size - 1)
        x = middle + scale * (points[:, 0] - self.centre[0])
        y = middle - scale * (points[:, 1] - self.centre[1])
        return np.column_stack([x, y, depth])
