"""Images drawn by lot, an expression at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["draw_of_each"]


def draw_of_each(rows: Sequence[Mapping[str, Any]], each: int, seed: int) -> dict[str, list[int]]:
    """Draw images of every expression, no person twice in one.

    Parameters
    ----------
    rows : sequence of mapping
        `expression`, a label, and `subject`, the person. Where the latter is empty or not there, each image counts as
        another person's.
    each : int
        How many an expression, at most.
    seed : int
        The same seed and rows give the same images.

    Returns
    -------
    dict of str to list of int
        Numbers of rows by expression, in label order; an expression without images is left out.
    """
    generator = np.random.default_rng(seed)
    drawn = {}
    for label, name in enumerate(EXPRESSIONS):
        by_person: dict[object, int] = {}
        numbers = [number for number, row in enumerate(rows) if row["expression"] == label]
        for number in generator.permutation(numbers).astype(int).tolist():
            by_person.setdefault(rows[number].get("subject") or number, number)
        if by_person:
            drawn[name] = list(by_person.values())[:each]
    return drawn
