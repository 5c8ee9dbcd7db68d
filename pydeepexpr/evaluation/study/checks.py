"""Attention checks: questions that say what to answer, strewn among the others."""

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import Questionnaire, identifier
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["Check", "checks_of", "with_checks"]


@dataclass(frozen=True)
class Check:
    """A question whose answer is told.

    Attributes
    ----------
    identifier : str
    pictures : tuple of str
        Identifiers of the pictures that it shows, which are of the study.
    wanted : str or tuple of str
        The expression that is to be chosen; or the pictures in the order in which they are to be tapped.
    """

    identifier: str
    pictures: tuple[str, ...]
    wanted: str | tuple[str, ...]


def with_checks(questionnaire: Questionnaire, number: int, seed: int = 2016) -> Questionnaire:
    """Return the questionnaire with attention checks among its settings.

    Expressions and orders are drawn by lot, whatever the pictures show: so a check tells nothing of them.

    Raises
    ------
    UserError
        If there are to be fewer than none, or more than there are questions.
    """
    if not 0 <= number <= len(questionnaire.questions):
        most = len(questionnaire.questions)
        raise UserError(f"there can be no {number} attention checks among {most} questions; give --checks 0 to {most}")
    lot = np.random.default_rng(seed)
    checks = []
    for count, at in enumerate(lot.choice(len(questionnaire.questions), number, replace=False)):
        pictures = [picture.identifier for picture in questionnaire.questions[at].pictures]
        wanted: Any = EXPRESSIONS[lot.integers(len(EXPRESSIONS))]
        if questionnaire.kind == "ranking":
            wanted = tuple(pictures[place] for place in lot.permutation(len(pictures)))
        name = identifier("check", questionnaire.identifier, seed, count)
        checks.append(Check(name, tuple(sorted(pictures)), wanted))
    settings = {**questionnaire.settings, "checks": [asdict(check) for check in checks]}
    return dataclasses.replace(questionnaire, settings=settings)


def checks_of(questionnaire: Questionnaire) -> dict[str, Check]:
    """Return a questionnaire's attention checks by their identifiers.

    Raises
    ------
    UserError
        If they are damaged.
    """
    of_wanted = str if questionnaire.kind == "recognition" else tuple
    try:
        checks = [
            Check(one["identifier"], tuple(one["pictures"]), of_wanted(one["wanted"]))
            for one in questionnaire.settings.get("checks", [])
        ]
    except (KeyError, TypeError):
        raise UserError("the study's attention checks are damaged; make the study again") from None
    return {check.identifier: check for check in checks}
