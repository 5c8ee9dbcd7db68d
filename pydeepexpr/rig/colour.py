"""Linear light and its sRGB encoding (IEC 61966-2-1)."""

import numpy as np

__all__ = ["LINEAR", "SRGB", "decode", "encode"]

_STEPS = 1 << 14  # fine enough that the darkest tones, where sRGB is steepest, are met to half a level


def _encoded(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _decoded(srgb: np.ndarray) -> np.ndarray:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


#: The sRGB level of ``i / (len(SRGB) - 1)``: uint8.
SRGB = np.rint(255 * _encoded(np.arange(_STEPS + 1) / _STEPS)).astype(np.uint8)

#: The linear intensity of each of the 256 sRGB levels: float64, 0 to 1.
LINEAR = _decoded(np.arange(256) / 255)


def encode(linear: np.ndarray) -> np.ndarray:
    """Return the sRGB levels (uint8) of linear intensities; what lies outside of 0 to 1 is cut.

    >>> encode(np.array([0, 0.5, 1])).tolist()
    [0, 188, 255]
    """
    return SRGB[np.rint(np.clip(linear, 0, 1) * _STEPS).astype(np.intp)]


def decode(levels: np.ndarray) -> np.ndarray:
    """Return the linear intensities (float64, 0 to 1) of sRGB levels (uint8).

    >>> decode(np.array([0, 188, 255], np.uint8)).round(2).tolist()
    [0.0, 0.5, 1.0]
    """
    return LINEAR[levels]
