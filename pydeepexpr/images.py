"""Read an image file of any kind as the BGR array that everything here works on."""

import os
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from pydeepexpr.errors import UserError

__all__ = ["IMAGE_SUFFIXES", "is_image_name", "read_image"]

#: Endings of the names of image files, in lower case.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})


def is_image_name(name: str | os.PathLike) -> bool:
    """Return whether a file is called like an image; hidden files (``.DS_Store``, ``._a.jpg``) are not."""
    path = Path(name)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_image(path: str | os.PathLike, *, keep_grey: bool = False) -> np.ndarray:
    """Return an image file's pixels, upright and without transparency.

    The camera's orientation (EXIF) is applied, transparent pixels show black, 16-bit values are reduced to their high
    byte, CMYK becomes BGR; of several pages or frames the first is read.

    Parameters
    ----------
    path : path
    keep_grey : bool
        Return a grey image as (H, W), which is faster to work on.

    Returns
    -------
    (H, W, 3) uint8
        BGR, as OpenCV has it.

    Raises
    ------
    UserError
        If the file is missing, empty, cut short, damaged or no image. The message does not repeat the path.
    """
    try:
        if os.path.getsize(path) == 0:
            raise UserError("the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large photographs and odd EXIF blocks are not the user's concern
            with Image.open(path) as image:
                image.load()
                ImageOps.exif_transpose(image, in_place=True)
                return _pixels(image, keep_grey)
    except UserError:
        raise
    except Exception as error:  # Pillow's decoders raise what they like on damaged files
        raise UserError(_reason(error)) from None


def _pixels(image: Image.Image, keep_grey: bool) -> np.ndarray:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion would clip it at 255
        image = Image.fromarray((np.asarray(image, np.int64).clip(0, 65535) >> 8).astype(np.uint8))
    if image.mode == "F":
        raise UserError("the pixels are floating-point numbers, whose range is not known")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), colour)
    if keep_grey and image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return "the file may not be read"
    if isinstance(error, Image.UnidentifiedImageError):
        return "the file is no image, or damaged at its beginning"
    return " ".join(str(error).split()) or type(error).__name__
