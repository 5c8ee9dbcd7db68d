"""Table 1 of Aneja et al. 2016: the retrieval score of human queries against characters, an expression a row."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.bootstrap import group_numbers, interval, resampled_means
from pydeepexpr.evaluation.compare import Comparison, Described, compare
from pydeepexpr.evaluation.score import mid_ranks, retrieval_score, sorted_ranks
from pydeepexpr.evaluation.table import Table
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import DEFAULT_NORMALISATION

__all__ = ["PAPERS", "RANKINGS", "Table1", "table1"]

#: Ways to rank: by the nine measures alone, by Jensen–Shannon divergence alone (the papers' DeepExpr column), and by
#: the latter with matched images sorted by geometry.
RANKINGS: dict[str, Callable[[Comparison], np.ndarray]] = {
    "geometry": lambda block: mid_ranks(block.geometric),
    "js": lambda block: mid_ranks(block.divergence),
    "js-geometry": lambda block: sorted_ranks(mid_ranks(block.divergence), block.geometric, block.matched),
}

#: What the papers report, by ranking, in label order.
PAPERS = {
    "geometry": (0.384, 0.386, 0.419, 0.276, 0.429, 0.271, 0.322),
    "js": (0.213, 0.171, 0.228, 0.106, 0.314, 0.149, 0.125),
}

_HEADS = {"geometry": "geometry", "js": "DeepExpr", "js-geometry": "DeepExpr, sorted by geometry"}


@dataclasses.dataclass(frozen=True)
class Table1:
    """Mean retrieval scores; 0 is best.

    Attributes
    ----------
    queries : (7,) int array
        Queries an expression.
    images : dict of str to int
        Labelled images of each character.
    scores : dict of str to (S, 7) float array
        By ranking (`RANKINGS`): the mean over an expression's queries, a row a character. NaN without queries or
        without relevant images.
    resampled : dict of str to (R, 7) float array
        By ranking: the mean over characters, with other people for queries (`bootstrap.resampled_means`).
    chance : (7,) float array
        What a ranking without any knowledge scores, on average over the characters.
    without_geometry : int
        Queries and images whose measures are unknown: geometry alone ranks them last, in ties.
    """

    queries: np.ndarray
    images: dict[str, int]
    scores: dict[str, np.ndarray]
    resampled: dict[str, np.ndarray]
    chance: np.ndarray
    without_geometry: int

    def by_expression(self, ranking: str) -> np.ndarray:
        """Return the mean over characters, (7,)."""
        return _mean(self.scores[ranking], axis=0)

    def by_character(self, ranking: str) -> np.ndarray:
        """Return the mean over expressions, (S,)."""
        return _mean(self.scores[ranking], axis=1)

    def spread(self, ranking: str) -> np.ndarray:
        """Return the ends of the 95 % intervals, (2, 8): an expression a column, their average last."""
        return np.stack(interval(_with_average(self.resampled[ranking])))

    def gain(self) -> tuple[float, float, float]:
        """Return how far Jensen–Shannon's average lies below geometry's, and the ends of its 95 % interval."""
        gained = _mean(self.by_expression("geometry") - self.by_expression("js"))
        low, high = interval(_mean(self.resampled["geometry"] - self.resampled["js"], axis=1))
        return float(gained), float(low), float(high)

    def record(self) -> dict[str, Any]:
        """Return everything for JSON; null where there is no score."""
        return {
            "queries": dict(zip(EXPRESSIONS, self.queries.tolist(), strict=True)),
            "images": self.images,
            "without_geometry": self.without_geometry,
            "chance": _named(self.chance),
            "papers": {name: _named(_with_average(np.array(row))) for name, row in PAPERS.items()},
            "scores": {name: _named(_with_average(self.by_expression(name))) for name in self.scores},
            "spread": {
                name: {"lower": _named(low), "upper": _named(high)}
                for name, (low, high) in ((name, self.spread(name)) for name in self.scores)
            },
            "gain": dict(zip(("mean", "lower", "upper"), map(_or_none, self.gain()), strict=True)),
            "characters": {
                character: {name: _named(rows[number]) for name, rows in self.scores.items()}
                for number, character in enumerate(self.images)
            },
        }

    def tables(self) -> list[Table]:
        """Return the table beside the papers' own values, the intervals, and each ranking's scores by character."""
        return [self._by_expression(), self._intervals(), *(self._by_character(name) for name in self.scores)]

    def _by_expression(self) -> Table:
        columns = [_HEADS[name] for name in self.scores] + [f"papers: {_HEADS[name]}" for name in PAPERS]
        numbers = [self.by_expression(name) for name in self.scores] + [np.array(row) for row in PAPERS.values()]
        counts = [*self.queries.tolist(), int(self.queries.sum())]
        cells = (map(float, _with_average(column)) for column in numbers)
        rows = list(zip([*EXPRESSIONS, "average"], counts, *cells, strict=True))
        heads = ("expression", "queries", *columns)
        return Table("Average retrieval score", heads, rows, said=self._said(), last=True)

    def _intervals(self) -> Table:
        said = (
            "Ends of the intervals that hold 95 % of the means over resampled people; the characters stay as they are."
        )
        ends = ([_between(*pair) for pair in self.spread(name).T] for name in self.scores)
        rows = list(zip([*EXPRESSIONS, "average"], *ends, strict=True))
        return Table("Its spread", ("expression", *(_HEADS[name] for name in self.scores)), rows, said=said, last=True)

    def _by_character(self, name: str) -> Table:
        rows = [
            [character, count, *map(float, _with_average(self.scores[name][number]))]
            for number, (character, count) in enumerate(self.images.items())
        ]
        rows.append(
            ["average", sum(self.images.values()), *map(float, _with_average(self.by_expression(name)))],
        )
        columns = ("character", "images", *EXPRESSIONS, "average")
        return Table(f"By character: {_HEADS[name]}", columns, rows, last=True)

    def _said(self) -> str:
        said = f"{self.queries.sum():,} queries against {sum(self.images.values()):,} images of {len(self.images)}"
        said += f" character{'s' if len(self.images) > 1 else ''}; 0 is best, {_mean(self.chance):.3f} is chance."
        if not np.isnan(self.gain()).any():
            gained, low, high = self.gain()
            said += f" DeepExpr lies {gained:.3f} below geometry (95 %: {low:.3f} to {high:.3f})."
        if self.without_geometry:
            said += (
                f" {self.without_geometry:,} queries and images have no landmarks: geometry ranks them last, in ties."
            )
        return said


def table1(
    queries: Described, stores: Mapping[str, FeatureStore], how: str = DEFAULT_NORMALISATION, *, siblings: bool = False
) -> Table1:
    """Score the full ranking of every character's store for every labelled query, in each of `RANKINGS`.

    Parameters
    ----------
    queries : Described
        The human test images: each labelled one is a query.
    stores : mapping of str to FeatureStore
        A character's test images by its name; those without a label are left out.
    how : {'l1', 'softmax', 'class-weight'}
        The normalisation of FC6.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).

    Raises
    ------
    UserError
        If the models do not fit, or there is no labelled query or image.
    """
    labels = np.asarray(queries.labels)
    asks = labels != UNLABELLED
    counts = np.bincount(labels[asks], minlength=len(EXPRESSIONS))
    if not counts.any():
        raise UserError("no query has a label, so no retrieval can be scored; give labelled images")
    scores = {name: np.full((len(stores), len(EXPRESSIONS)), np.nan) for name in RANKINGS}
    each = {name: np.full((asks.sum(), len(stores)), np.nan) for name in RANKINGS}
    chance = np.full((len(stores), len(EXPRESSIONS)), np.nan)
    for number, store in enumerate(stores.values()):
        known = store.labels != UNLABELLED
        if not known.any():
            raise UserError(f"{store.path} holds no labelled image; give a character's test images")
        per_query = _scores(queries, store, known, how, siblings)
        for name in RANKINGS:
            each[name][:, number] = per_query[name][asks]
        for label in np.flatnonzero(counts):
            for name in RANKINGS:
                scores[name][number, label] = each[name][labels[asks] == label, number].mean()
            relevant = (store.labels[known] == label).mean()
            chance[number, label] = (1 - relevant) / 2 if relevant else np.nan
    persons = _persons(queries, asks)
    resampled = {
        name: _mean(resampled_means(values, labels[asks], persons, len(EXPRESSIONS)), axis=2)
        for name, values in each.items()
    }
    unknown = sum(int(np.isnan(its.geometry).any(axis=1).sum()) for its in (queries, *stores.values()))
    images = {name: int((store.labels != UNLABELLED).sum()) for name, store in stores.items()}
    return Table1(counts, images, scores, resampled, _mean(chance, axis=0), unknown)


def _persons(queries: Described, asks: np.ndarray) -> np.ndarray:
    """Number the persons of the queries that ask; each query is one's own where nothing tells persons."""
    rows = queries.rows if isinstance(queries, FeatureStore) else None
    if rows is None or not {"database", "subject"} <= set(rows.column_names):
        return np.arange(asks.sum())
    chosen = rows.select(["database", "subject"]).filter(pa.array(asks)).to_pydict()
    return group_numbers(chosen["database"], chosen["subject"])


def _scores(
    queries: Described, store: FeatureStore, known: np.ndarray, how: str, siblings: bool
) -> dict[str, np.ndarray]:
    """Return each query's score by ranking; what has no label takes no part."""
    labels, found = np.asarray(queries.labels), {name: [] for name in RANKINGS}
    for block in compare(queries, store, how, siblings=siblings):
        relevant = labels[block.queries, None] == store.labels[known][None]
        block = Comparison(
            block.queries, block.divergence[:, known], block.geometric[:, known], block.matched[:, known]
        )
        for name, ranks in RANKINGS.items():
            found[name].append(retrieval_score(ranks(block), relevant))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _mean(values: np.ndarray, axis: int | None = None) -> Any:
    """Return the mean of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)[()]


def _with_average(values: np.ndarray) -> np.ndarray:
    """Append the mean of what is known along the last axis."""
    return np.append(values, _mean(values, axis=-1)[..., None], axis=-1)


def _named(values: np.ndarray) -> dict[str, float | None]:
    """Name an expression's value each, and a further one as their average."""
    return {name: _or_none(value) for name, value in zip((*EXPRESSIONS, "average"), values, strict=False)}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _between(low: float, high: float) -> str | None:
    return None if np.isnan(low) else f"{low:.3f} to {high:.3f}"
