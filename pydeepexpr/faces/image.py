"""What this package takes for an image."""

import numpy as np

from pydeepexpr.errors import UserError

__all__ = ["check_image"]


def check_image(image: np.ndarray) -> np.ndarray:
    """Return `image` if it is (H, W, 3) or (H, W) uint8 and not empty; raise `UserError` otherwise."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = getattr(image, "dtype", type(image).__name__)
        raise UserError(f"an image must be an array of uint8, got {kind}")
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise UserError(f"an image must have the shape (H, W, 3) or (H, W), not empty; got {image.shape}")
    return image
