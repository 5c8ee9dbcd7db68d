"""Action units: which muscles each one uses, and which of them make up an expression.

P. Ekman, W. Friesen, J. Hager, "Facial Action Coding System", 2002; the prototypes follow its EMFACS.
"""

from collections.abc import Mapping

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.rig.anatomy import MUSCLES, TONE

__all__ = ["AU_NAMES", "AU_TO_MUSCLES", "PROTOTYPES", "activations"]

AU_NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    11: "nasolabial deepener",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    18: "lip pucker",
    20: "lip stretcher",
    22: "lip funneler",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
    27: "mouth stretch",
    28: "lip suck",
    45: "blink",
}

#: What an action unit at full intensity does to muscles: 1 makes one fully active, −1 relaxes it below its tone.
AU_TO_MUSCLES = {
    1: {"frontalis_inner": 1.0, "frontalis_major": 0.25},
    2: {"frontalis_outer": 1.0, "frontalis_major": 0.45, "frontalis_secondary": 0.8},
    4: {"corrugator": 1.0, "procerus": 0.75, "orbicularis_oculi_orbital_upper": 0.35},
    5: {"levator_palpebrae": 1.0},
    6: {
        "orbicularis_oculi_orbital_lower": 1.0,
        "orbicularis_oculi_orbital_upper": 0.2,
        "orbicularis_oculi_palpebral_lower": 0.75,
    },
    7: {"orbicularis_oculi_palpebral_lower": 1.0, "orbicularis_oculi_palpebral_upper": 0.3},
    9: {"levator_labii_alaeque_nasi": 1.0, "procerus": 0.5, "nasalis": 1.0, "orbicularis_oculi_orbital_lower": 0.3},
    10: {"levator_labii": 1.0, "levator_labii_alaeque_nasi": 0.15},
    11: {"zygomaticus_minor": 1.0},
    12: {"zygomaticus_major": 1.0, "levator_anguli_oris": 0.15},
    14: {"buccinator": 1.0},
    15: {"depressor_anguli_oris": 1.0},
    16: {"depressor_labii": 1.0},
    17: {"mentalis": 1.0},
    18: {"incisivus": 1.0, "orbicularis_oris_upper": 0.3, "orbicularis_oris_lower": 0.3},
    20: {"risorius": 1.0, "platysma": 0.6},
    22: {"incisivus": 0.7, "levator_labii": 0.35, "depressor_labii": 0.55},
    23: {"orbicularis_oris_upper": 0.7, "orbicularis_oris_lower": 0.7},
    24: {"orbicularis_oris_upper": 0.8, "orbicularis_oris_lower": 0.8, "mentalis": 0.35},
    25: {"depressor_labii": 0.4, "levator_labii": 0.12, "mentalis": -1.0},
    26: {"jaw": 0.5, "incisivus": 0.15, "mentalis": -1.0},
    27: {"jaw": 1.0, "incisivus": 0.2, "mentalis": -1.0},
    28: {"orbicularis_oris_upper": 1.0, "orbicularis_oris_lower": 1.0, "buccinator": 0.3, "jaw": 0.03},
    45: {"levator_palpebrae": -1.0, "orbicularis_oculi_palpebral_upper": 1.0, "orbicularis_oculi_palpebral_lower": 0.3},
}

#: The action units of each expression, and how strong each is when the expression is at its fullest.
PROTOTYPES = {
    "anger": {4: 1.0, 5: 0.5, 7: 0.7, 17: 0.4, 23: 0.7, 24: 0.3},
    "disgust": {4: 0.5, 7: 0.5, 9: 1.0, 10: 0.5, 15: 0.5, 16: 0.2, 17: 0.4},
    "fear": {1: 1.0, 2: 0.6, 4: 0.6, 5: 1.0, 20: 0.9, 25: 0.7, 26: 0.45},
    "joy": {6: 1.0, 12: 1.0, 25: 0.8, 26: 0.1},
    "neutral": {},
    "sadness": {1: 1.0, 4: 0.55, 7: 0.2, 15: 1.0, 17: 0.5},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.9, 25: 0.5, 26: 1.0},
}


def activations(units: Mapping[int, float | tuple[float, float]]) -> np.ndarray:
    """Return the muscles' activations for action units.

    Contributions of several units to one muscle add up, from its resting tone to at most full activation.

    Parameters
    ----------
    units : mapping from a number of `AU_TO_MUSCLES` to an intensity from 0 to 1, or to a pair for left and right
        Left and right are the viewer's.

    Returns
    -------
    (2, 27) float32
        In the order of `MUSCLES`; of no units, the resting tone.

    Raises
    ------
    UserError
        If a unit is unknown or an intensity outside 0 to 1.

    Examples
    --------
    >>> rest = activations({})
    >>> wink = activations({45: (1, 0)})
    >>> bool((wink[1] == rest[1]).all() and (wink[0] != rest[0]).any())
    True
    """
    amount = np.zeros((2, len(MUSCLES)))
    for unit, intensity in units.items():
        if unit not in AU_TO_MUSCLES:
            raise UserError(f"there is no action unit {unit!r}; there are: {', '.join(map(str, AU_TO_MUSCLES))}")
        try:
            pair = np.broadcast_to(np.asarray(intensity, np.float64), (2,))
        except ValueError:
            pair = np.array([np.nan, np.nan])
        if not ((pair >= 0) & (pair <= 1)).all():
            raise UserError(f"the intensity of action unit {unit} lies between 0 and 1, got {intensity}")
        for muscle, weight in AU_TO_MUSCLES[unit].items():
            amount[:, MUSCLES.index(muscle)] += weight * pair
    amount = np.clip(amount, -1, 1)
    return np.where(amount > 0, TONE + amount * (1 - TONE), TONE * (1 + amount)).astype(np.float32)
