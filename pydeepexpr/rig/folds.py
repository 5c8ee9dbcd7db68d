"""Folds that an expression lays into the skin, drawn as shade."""

import itertools
from typing import NamedTuple

import numpy as np

from pydeepexpr.rig.anatomy import MUSCLES

__all__ = ["FOLDS", "darkening", "folds"]


class Fold(NamedTuple):
    """A line in the template's plane that darkens as muscles contract."""

    line: tuple[tuple[float, float], ...]
    width: float  # centimetres
    depth: float  # how much light it takes, 0 to 1
    muscles: dict[str, float]  # weights whose sum with the contractions, cut to 0..1, is how deep the fold is


_SMILE = {"zygomaticus_major": 0.8, "levator_labii": 0.8, "levator_labii_alaeque_nasi": 0.8, "zygomaticus_minor": 0.6}
_FROWN = {"corrugator": 0.9, "procerus": 0.2}
_RAISE = {"frontalis_inner": 0.5, "frontalis_major": 0.4, "frontalis_outer": 0.4}

#: Folds of the right side (x > 0).
FOLDS = (
    Fold(((0.55, 1.0), (0.62, 1.6), (0.75, 2.5)), 0.2, 0.5, _FROWN),
    Fold(((0.0, 0.55), (0.5, 0.6), (0.9, 0.75)), 0.18, 0.4, {"procerus": 0.7, "levator_labii_alaeque_nasi": 0.4}),
    Fold(((0.0, -0.1), (0.55, -0.1)), 0.15, 0.35, {"levator_labii_alaeque_nasi": 0.8, "nasalis": 0.3}),
    Fold(((0.75, -1.0), (1.15, -1.7), (1.35, -2.4)), 0.2, 0.35, {"levator_labii_alaeque_nasi": 0.9}),
    Fold(((1.55, -3.7), (2.25, -4.7), (3.1, -5.7), (3.6, -6.6)), 0.3, 0.32, _SMILE),
    Fold(((0.0, 3.55), (1.8, 3.75), (3.6, 3.75), (5.0, 3.3)), 0.24, 0.25, _RAISE),
    Fold(((0.0, 4.75), (1.8, 4.95), (3.6, 4.8)), 0.26, 0.22, _RAISE),
    Fold(((5.2, 0.35), (6.2, 0.8)), 0.2, 0.25, {"orbicularis_oculi_orbital_lower": 0.9}),
    Fold(((5.2, 0.0), (6.3, -0.1)), 0.2, 0.25, {"orbicularis_oculi_orbital_lower": 0.9}),
    Fold(
        ((1.9, -0.75), (2.6, -1.15), (3.5, -1.25), (4.4, -0.95)),
        0.2,
        0.3,
        {"orbicularis_oculi_orbital_lower": 0.8, "orbicularis_oculi_palpebral_lower": 0.5},
    ),
    Fold(((2.7, -7.1), (3.0, -7.8), (3.05, -8.5)), 0.25, 0.2, {"depressor_anguli_oris": 0.9, "platysma": 0.4}),
    Fold(((3.0, -6.3), (3.2, -6.8), (3.1, -7.3)), 0.24, 0.3, {"buccinator": 1.0, "risorius": 0.2}),
    Fold(((0.0, -8.75), (0.8, -8.8), (1.5, -9.3)), 0.24, 0.3, {"mentalis": 0.9}),
)

_TINT = np.array([0.85, 1.1, 1.15], np.float32)  # a fold is redder than the skin


def folds(points: np.ndarray) -> np.ndarray:
    """Return how much each fold of the left, then of the right side marks some points of the template's plane.

    Parameters
    ----------
    points : (V, 2) float array

    Returns
    -------
    (2·F, V) float64
        0 to the fold's depth.
    """
    marks = []
    for side in (-1, 1):
        mine = points * (side, 1)
        for fold in FOLDS:
            line = np.array(fold.line)
            away = np.min([_distance(mine, a, b) for a, b in itertools.pairwise(line)], axis=0)
            marks.append(fold.depth * np.exp(-((away / fold.width) ** 2)))
    return np.array(marks)


def _distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    along = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)


_WEIGHTS = np.array([[fold.muscles.get(name, 0.0) for name in MUSCLES] for fold in FOLDS], np.float32)


def darkening(marks: np.ndarray, amounts: np.ndarray, strength: float) -> np.ndarray:
    """Return what the colours of the skin are multiplied by: (V, 3) float32.

    Parameters
    ----------
    marks : (2·F, V) float32
        Of `folds`.
    amounts : (2, 27) float32
        `contraction` of the muscles.
    strength : float
        1 is an average adult's.
    """
    drive = np.clip(amounts @ _WEIGHTS.T, 0, 1).reshape(-1)
    dark = np.minimum(strength * (drive @ marks), 0.8)
    return np.maximum(1 - dark[:, None] * _TINT, 0)
