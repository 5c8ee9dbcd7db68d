"""Figure 9 of Aneja et al. 2016: how far the order of retrieved faces is the one that people give them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import kendalltau, spearmanr

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.votes import Votes

__all__ = ["ABOVE", "COEFFICIENTS", "Correlation", "chance_deviations", "correlate"]

#: Coefficients of two lists of ranks, each in −1…1, by name. Kendall's is τ-b, which allows for ties.
COEFFICIENTS = {"spearman": spearmanr, "kendall": kendalltau}

#: "Most of them are above 0.8."
ABOVE = 0.8

_DIGITS = 12  # that coefficients are rounded to, so that 0.8 is not above 0.8


@dataclass(frozen=True)
class Correlation:
    """A ranking beside the order that somebody gave the same sets of faces.

    Attributes
    ----------
    ranking : str
        `deepexpr`, `js` or `geometry`.
    by : str
        Whose order it is compared with.
    questions : tuple of str
        Identifiers of the S sets that somebody ordered.
    coefficients : dict of str to (S,) float array
        By name (`COEFFICIENTS`). NaN where one side has all faces tied, so that there is no order.
    first : (S, 2) float array
        Which face the ranking and which the other side puts first, as its number, from 1, in the questionnaire; of
        several tied there the one of the lowest number. NaN where one side has all faces tied.
    """

    ranking: str
    by: str
    questions: tuple[str, ...]
    coefficients: Mapping[str, np.ndarray]
    first: np.ndarray

    @property
    def defined(self) -> np.ndarray:
        """Whether a set has an order on both sides, (S,)."""
        return ~np.isnan(self.first).any(axis=1)

    def among(self, questions: Collection[str]) -> "Correlation":
        """Return the same of some sets alone."""
        taken = np.array([question in questions for question in self.questions], dtype=bool)
        return Correlation(
            self.ranking,
            self.by,
            tuple(question for question in self.questions if question in questions),
            {name: values[taken] for name, values in self.coefficients.items()},
            self.first[taken],
        )

    def mean(self, name: str) -> float:
        """Return the mean over the sets; NaN without sets."""
        values = self.coefficients[name][self.defined]
        return float(values.mean()) if len(values) else np.nan

    def deviation(self, name: str) -> float:
        """Return the sample standard deviation over the sets (by their number less one); NaN below two sets."""
        values = self.coefficients[name][self.defined]
        return float(values.std(ddof=1)) if len(values) > 1 else np.nan

    def first_rank(self, name: str) -> float:
        """Return the correlation of the faces that the two sides put first.

        "The correlation coefficient … between the first rank chosen by the expert and the first rank chosen by
        DeepExpr", .934 by Spearman and .910 by Kendall (Aneja et al. 2016, section 5.2), and no more is said. Here each
        side's choices are a list of one number a set, 1…5, the place that the chosen face has in the questionnaire,
        where faces stand in random order; what is returned is the coefficient of these two lists. No other reading is
        known to us that gives two numbers for the same choices: a share or a table of agreement would give one. And
        the papers' values can be had by it: of 150,000 pairs of random lists that differ in one to six of 30 sets,
        nine had .934 with .910, two had .942 with .927 to three digits, all of them with two or three sets that
        differ. As such a coefficient also depends on how the faces happen to be numbered, `same_first` stands beside.

        Returns
        -------
        float
            −1…1, 0 by chance; NaN where it is undefined, as it is if one side always chose the same number.
        """
        return _coefficient(name, *self.first[self.defined].T)

    @property
    def same_first(self) -> float:
        """The share of sets in which both put the same face first; NaN without sets."""
        chosen = self.first[self.defined]
        return float((chosen[:, 0] == chosen[:, 1]).mean()) if len(chosen) else np.nan

    def share(self, name: str, above: float) -> float:
        """Return the share of sets whose coefficient is above a number; NaN without sets."""
        values = self.coefficients[name][self.defined]
        return float((values > above).mean()) if len(values) else np.nan

    def perfect(self, name: str) -> float:
        """Return the share of sets in which both orders are one, coefficient 1; NaN without sets."""
        values = self.coefficients[name][self.defined]
        return float((values == 1.0).mean()) if len(values) else np.nan

    def negative(self, name: str) -> int:
        """Return the number of sets whose coefficient is below 0."""
        return int((self.coefficients[name][self.defined] < 0).sum())

    def record(self) -> dict[str, Any]:
        """Return everything for JSON; null where something is undefined."""
        measured = {
            name: {
                "mean": _or_none(self.mean(name)),
                "deviation": _or_none(self.deviation(name)),
                "first_rank": _or_none(self.first_rank(name)),
                "above_0.8": _or_none(self.share(name, ABOVE)),
                "perfect": _or_none(self.perfect(name)),
                "negative": self.negative(name),
                "sets": {question: _or_none(value) for question, value in zip(self.questions, values, strict=True)},
            }
            for name, values in self.coefficients.items()
        }
        counts = {"sets": len(self.questions), "undefined": int((~self.defined).sum())}
        return {"ranking": self.ranking, "by": self.by, **counts, "same_first": _or_none(self.same_first), **measured}


def correlate(questionnaire: Questionnaire, votes: Votes, ranking: str = "deepexpr") -> Correlation:
    """Compare a ranking's order of each set of faces with the votes'.

    Parameters
    ----------
    questionnaire : Questionnaire
        A ranking study.
    votes : Votes
        The order that its sets were given. A set without one takes no part.
    ranking : {'deepexpr', 'js', 'geometry'}

    Raises
    ------
    UserError
        If one of the two is of another study or kind, or a set has no such ranking.
    """
    if questionnaire.kind != "ranking":
        raise UserError(f"orders are correlated in a ranking study, and this is a {questionnaire.kind} study")
    if votes.study != questionnaire.identifier:
        raise UserError(
            f"the votes ({votes.by}) are of study {votes.study}, not of this one, {questionnaire.identifier}"
        )
    names, pairs = [], []
    for question in questionnaire.questions:
        theirs = votes.ranks.get(question.identifier)
        if theirs is None:
            continue
        try:
            pairs.append([(picture.ranks[ranking], theirs[picture.identifier]) for picture in question.pictures])
        except KeyError as error:
            raise UserError(f"question {question.identifier} has no rank {error} of each face; make it again") from None
        names.append(question.identifier)
    sides = [np.array(pair).T for pair in pairs]
    coefficients = {name: np.array([_coefficient(name, *pair) for pair in sides]) for name in COEFFICIENTS}
    first = np.array([[_first(side) for side in pair] for pair in sides]).reshape(len(sides), 2)
    first[np.isnan(first).any(axis=1)] = np.nan
    return Correlation(ranking, votes.by, tuple(names), coefficients, first)


def chance_deviations(size: int) -> dict[str, float]:
    """Return the standard deviation of each coefficient over all orders of so many faces, against a fixed one.

    1 / √(n − 1) for Spearman's, √(2 (2n + 5) / (9 n (n − 1))) for Kendall's; the mean is 0.

    Examples
    --------
    >>> chance_deviations(5)
    {'spearman': 0.5, 'kendall': 0.408248290463863}
    """
    return {
        "spearman": 1 / math.sqrt(size - 1),
        "kendall": math.sqrt(2 * (2 * size + 5) / (9 * size * (size - 1))),
    }


def _first(ranks: np.ndarray) -> float:
    return np.nan if np.ptp(ranks) == 0 else float(np.argmin(ranks) + 1)


def _coefficient(name: str, one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:  # SciPy would warn
        return np.nan
    return round(float(COEFFICIENTS[name](one, other).statistic), _DIGITS)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
