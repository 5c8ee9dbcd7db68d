"""The muscles of the face, as data: where each is fixed, where it pulls, how far it reaches.

One row a muscle of the right side of the picture (x > 0); the left one is its mirror image. Coordinates are centimetres
of an average head (`pydeepexpr.rig.mesh`), on the template; other heads carry them over with the template's warp. The
rows are data because more than one mechanism shall read them: here the geometry of Waters (`muscles.py`).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["JAW", "MUSCLES", "ROWS", "SIDES", "TONE", "Muscle", "muscle_index"]

#: The rows of a pose's activations: the viewer's left and right.
SIDES = ("left", "right")


@dataclass(frozen=True)
class Muscle:
    """One muscle of the right side.

    Attributes
    ----------
    name : str
    kind : {"linear", "sheet", "sphincter", "lid", "hinge"}
        How it pulls: towards its bone, along parallel fibres, towards its centre, a lid over the eyeball, the jaw about
        its hinge.
    bone : (float, float, float)
        Where it is fixed to the skull; a sphincter's centre; the jaw's hinge.
    skin : (float, float, float)
        Where it inserts into the skin.
    angle : float
        Linear: half the angle of its cone, in degrees. Sheet: centimetres from its middle fibre at which its pull has
        fallen to a half.
    start, finish : float
        Centimetres from `bone` at which its pull is greatest and at which it has faded. A sphincter's half axes.
    strength : float
        The greatest displacement at full contraction, in centimetres; of a sphincter, the share of the way to the
        centre; of a lid, the share of the opening; of the jaw, degrees.
    tone : float
        Its activation at rest; less is relaxation.
    part : {"", "above", "below"}
        The lip it is confined to, if any: tissue above or below the slit of the mouth.
    forward : float
        Centimetres that skin within bulges forward at full contraction.
    """

    name: str
    kind: str
    bone: tuple[float, float, float]
    skin: tuple[float, float, float]
    angle: float
    start: float
    finish: float
    strength: float
    tone: float = 0.0
    part: str = ""
    forward: float = 0.0


#: The 26 pairs and the jaw, in the order of a pose's activations.
# fmt: off
ROWS = (
    Muscle("frontalis_inner", "sheet", (1.0, 6.2, 2.2), (1.0, 2.0, 2.5), 1.7, 4.3, 6.4, 1.0, tone=0.05),
    Muscle("frontalis_major", "sheet", (2.5, 6.2, 1.9), (2.5, 2.1, 2.3), 1.5, 4.2, 6.2, 0.6, tone=0.05),
    Muscle("frontalis_outer", "sheet", (4.2, 6.2, 0.9), (4.2, 2.2, 1.5), 1.9, 4.2, 6.2, 1.0, tone=0.05),
    Muscle("frontalis_secondary", "sheet", (5.4, 5.8, -0.3), (5.2, 1.9, 0.3), 1.6, 4.0, 6.0, 0.6, tone=0.05),
    Muscle("corrugator", "linear", (0.2, 1.3, 2.2), (2.4, 2.2, 2.3), 50, 1.7, 4.6, 0.75),
    Muscle("procerus", "linear", (0.3, -0.9, 2.4), (0.9, 2.0, 2.4), 42, 2.9, 5.2, 0.8),
    Muscle("orbicularis_oculi_orbital_upper", "sphincter", (3.15, 0.2, 1.2), (3.2, 1.9, 2.0), 0, 3.3, 3.4, 0.45),
    Muscle("orbicularis_oculi_orbital_lower", "sphincter", (3.2, 0.2, 1.2), (3.4, -2.2, 1.9), 0, 3.4, 4.2, 0.55),
    Muscle("orbicularis_oculi_palpebral_upper", "lid", (1.7, 0.0, 1.0), (3.15, 0.6, 1.6), 0, 1.5, 1.5, 0.6),
    Muscle("orbicularis_oculi_palpebral_lower", "lid", (1.7, 0.0, 1.0), (3.15, -0.4, 1.6), 0, 1.5, 1.5, 0.38),
    Muscle("levator_palpebrae", "lid", (3.15, 0.8, -2.5), (3.15, 0.6, 1.6), 0, 1.5, 1.5, 0.5, tone=0.4),
    Muscle("levator_labii_alaeque_nasi", "linear", (0.9, -0.6, 2.2), (1.2, -5, 2.8), 30, 5.2, 8.2, 0.52, part="above"),
    Muscle("levator_labii", "linear", (2.6, -1.4, 1.7), (1.4, -6.2, 2.8), 30, 5.2, 8.0, 0.7, part="above"),
    Muscle("zygomaticus_minor", "linear", (4.1, -2.0, 1.1), (1.9, -6.3, 2.6), 28, 4.9, 7.2, 0.65, part="above"),
    Muscle("zygomaticus_major", "linear", (6.2, -2.7, -1.0), (2.45, -6.75, 2.4), 33, 6.4, 9.2, 1.4),
    Muscle("levator_anguli_oris", "linear", (2.7, -2.6, 1.6), (2.4, -6.7, 2.4), 30, 4.2, 6.2, 0.75),
    Muscle("nasalis", "linear", (0.4, -1.6, 2.6), (1.2, -3.9, 2.9), 40, 2.4, 3.6, 0.16),
    Muscle("risorius", "linear", (6.2, -6.3, -2.0), (2.45, -6.75, 2.4), 34, 5.6, 8.6, 0.95),
    Muscle("buccinator", "linear", (4.9, -6.2, -1.2), (2.45, -6.75, 2.4), 36, 4.4, 6.6, 0.65),
    Muscle("platysma", "linear", (5.0, -10.4, -0.6), (2.6, -7.4, 2.3), 33, 4.9, 6.9, 0.75),
    Muscle("depressor_anguli_oris", "linear", (3.0, -10.1, 1.5), (2.45, -6.75, 2.4), 34, 3.4, 5.6, 1.0),
    Muscle("depressor_labii", "linear", (1.5, -10.8, 1.8), (0.9, -7.4, 2.9), 34, 3.8, 6.4, 0.8, part="below"),
    Muscle("mentalis", "linear", (0.5, -5.2, 2.5), (0.7, -9.8, 2.7), 50, 2.4, 7.0, 0.6, 0.15, "below", 0.25),
    Muscle("orbicularis_oris_upper", "sphincter", (0, -6.75, 2.6), (0, -6.3, 3.0), 0, 4.3, 2.4, 0.34, 0.05, "above"),
    Muscle("orbicularis_oris_lower", "sphincter", (0, -6.75, 2.6), (0, -7.3, 3.0), 0, 4.3, 2.6, 0.34, 0.05, "below"),
    Muscle("incisivus", "linear", (0.5, -6.75, 2.4), (2.45, -6.75, 2.4), 75, 1.9, 4.0, 0.95, forward=0.8),
    Muscle("jaw", "hinge", (0.0, -1.6, -7.0), (0.0, -10.8, 2.6), 0, 0, 0, 24.0),
)
# fmt: on

MUSCLES = tuple(row.name for row in ROWS)

#: The jaw's column of the activations.
JAW = MUSCLES.index("jaw")

#: (27,) float32: every muscle's activation at rest.
TONE = np.array([row.tone for row in ROWS], np.float32)


def muscle_index(name: str) -> int:
    """Return the column of a muscle; `ValueError` if there is none of that name."""
    return MUSCLES.index(name)
