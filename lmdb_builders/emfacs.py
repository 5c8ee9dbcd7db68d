"""Which expression the action units of a face show: a table in the manner of EMFACS.

EMFACS (Friesen & Ekman 1983) interprets FACS codes by a dictionary that was never published. What is published is the
table of prototypes and major variants in the FACS Investigator's Guide (Ekman, Friesen & Hager 2002, table 10-1; table
11-1 of the manual of 1978): joy 6+12, sadness 1+4+15, surprise 1+2+5+26, fear 1+2+4+5+20+26, anger 4+5+7+23, disgust
9+15+16 and so on. `RULES` follows it for the units that DISFA codes: 1 2 4 5 6 9 12 15 17 20 25 26. Units 7, 10, 16, 23
and 24 are not coded there, so anger and disgust, whose prototypes need them, have rows of their own.

Spontaneous faces seldom show a whole prototype, so each row asks for the part of it that tells the expression from the
others, and forbids the units that would make it another's. No two expressions share a combination of units: no order
of precedence is needed, and a combination that no row knows is left without a label.
"""

from collections.abc import Set
from dataclasses import dataclass

from pydeepexpr.expressions import UNLABELLED, label_of

__all__ = ["RULES", "Rule", "expression_of"]


@dataclass(frozen=True)
class Rule:
    """Combinations of action units that show one expression."""

    expression: str
    required: frozenset[int]  #: all of them are there
    any_of: frozenset[int]  #: at least one of them is there; if empty, any or none
    forbidden: frozenset[int]  #: none of them is there
    why: str

    def fits(self, units: Set[int]) -> bool:
        """Return whether the units show this rule's expression."""
        some = not self.any_of or self.any_of & units
        return self.required <= units and bool(some) and not self.forbidden & units


def _rule(
    expression: str, required: set[int], *, any_of: Set[int] = frozenset(), forbidden: set[int], why: str
) -> Rule:
    return Rule(expression, frozenset(required), frozenset(any_of), frozenset(forbidden), why)


RULES = (
    _rule(
        "joy",
        {6, 12},
        forbidden={4, 9, 15, 20},
        why="the prototype, a smile that reaches the eyes; a smile under a lowered brow or a wrinkled nose, or with "
        "lip corners that are drawn down or aside, is masked or mixed",
    ),
    _rule(
        "sadness",
        {1, 4, 15},
        forbidden={2, 5, 9, 12, 20},
        why="the prototype; brows raised all along, wide eyes or stretched lips are fear's",
    ),
    _rule(
        "sadness",
        {6, 15},
        forbidden={2, 5, 9, 12, 20},
        why="the prototype without the brows: cheeks raised over lip corners drawn down, and no smile that raises them",
    ),
    _rule(
        "surprise",
        {1, 2},
        any_of={5, 26},
        forbidden={4, 9, 12, 15, 20},
        why="the prototype and its variants that lack either the wide eyes or the dropped jaw; with 4 or 20 it is "
        "fear, with 12 a greeting or amusement",
    ),
    _rule(
        "surprise",
        {5, 26},
        forbidden={4, 6, 9, 12, 15, 20},
        why="the variant without the brows: wide eyes and a dropped jaw",
    ),
    _rule(
        "fear",
        {1, 2, 4},
        any_of={5, 20},
        forbidden={9, 12},
        why="brows raised and drawn together are fear's alone; wide eyes or stretched lips tell it from puzzlement",
    ),
    _rule(
        "fear",
        {5, 20},
        forbidden={9, 12},
        why="the variant without the brows: wide eyes over stretched lips",
    ),
    _rule(
        "anger",
        {4},
        any_of={5, 17},
        forbidden={1, 2, 9, 12, 15, 20},
        why="of 4+5+7+23 only 4 and 5 are coded, of the variant 4+7+17+24 only 4 and 17; 4 alone is a frown of "
        "thought, raised brows or lip corners drawn down are fear's or sadness's, 9 is disgust's",
    ),
    _rule(
        "disgust",
        {9},
        forbidden={1, 2, 5, 12, 20},
        why="a wrinkled nose is disgust with or without 15, 16, 17 (and brings 4 and 6 along); 10, which may stand for "
        "it, is not coded; raised brows or wide eyes make it startled, 12 amused",
    ),
)


def expression_of(units: Set[int]) -> int:
    """Return the label of the expression that action units show, or `UNLABELLED`.

    Examples
    --------
    >>> expression_of({6, 12, 25}) == label_of("joy"), expression_of(set()) == label_of("neutral")
    (True, True)
    """
    if not units:
        return label_of("neutral")
    return next((label_of(rule.expression) for rule in RULES if rule.fits(units)), UNLABELLED)
