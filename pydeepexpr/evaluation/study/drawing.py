"""Studies drawn by lot: questions, and the pictures that are shown with them.

Table 2 and figure 9 of Aneja et al. 2016, and the recognition of key poses that chose the papers' training images.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.lot import draw_of_each
from pydeepexpr.evaluation.score import mid_ranks
from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire, identifier
from pydeepexpr.evaluation.study.recorded import from_results
from pydeepexpr.evaluation.study.retrieved import Retrieved, Source, from_stores
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED
from pydeepexpr.images import read_image

__all__ = ["Drawn", "draw_key_poses", "draw_ranking", "draw_recognition", "from_results", "from_stores"]

T = TypeVar("T")

_TRIES = 500  # draws in a row that fill no set


@dataclass(frozen=True)
class Drawn:
    """A study that is ready to be shown.

    Attributes
    ----------
    questionnaire : Questionnaire
        Its `settings` say what was drawn from what. `Picture.expression` is what a picture should show, the query's
        expression; `labelled_otherwise` in the settings is what its own label says, by the picture's identifier, for
        those of which that is another.
    pictures : mapping of str to callable
        Loads a picture, (H, W, 3) uint8 BGR, by its identifier.
    """

    questionnaire: Questionnaire
    pictures: Mapping[str, Callable[[], np.ndarray]]


def draw_recognition(source: Source, each: int = 3, seed: int = 2016) -> Drawn:
    """Draw a study of what people see in the best matches: Table 2 of Aneja et al. 2016 (section 6).

    "We queried three human expression images for each of the seven expressions." They are drawn by lot among the
    queries whose expression is known, an expression's of different persons, and every character shows its first match
    (ranking `deepexpr`). A match should show the query's expression; the query itself is not shown.

    Parameters
    ----------
    source : Source
        What was retrieved (`retrieved.from_stores`, `recorded.from_results`).
    each : int
        Queries an expression; fewer where there are fewer persons.
    seed : int
        Fixes what is drawn.

    Returns
    -------
    Drawn
        A question a query and character, in random order.

    Raises
    ------
    UserError
        If no query's expression is known, or a character returned nothing.
    """
    _check_at_least(1, each=each)
    _check_labelled(source)
    rows = [{"expression": query.label, "subject": query.subject} for query in source.queries]
    asked = []
    for query in (query for queries in draw_of_each(rows, each, seed).values() for query in queries):
        intended = source.queries[query].label
        for character in source.characters:
            found = source.retrieve(query, character)
            if not found.sources:
                raise UserError(
                    f"{character} returned nothing for {source.queries[query].source}; retrieve more (--top)"
                )
            best = int(np.argmin(found.ranks["deepexpr"]))
            asked.append(_Draft((_frame(found, best, character, intended),), _query(source, query)))
    return _drawn("recognition", asked, {"each": each, "seed": seed, **source.settings})


def draw_ranking(source: Source, sets: int = 30, size: int = 5, among: int | None = None, seed: int = 2016) -> Drawn:
    """Draw a study of similarity: figure 9 of Aneja et al. 2016 (section 5.2).

    "5 random samples from the retrieved results with the same label", thirty times. Expressions and characters take
    turns, each in random order, so that one comes as often as another; queries are drawn by lot, none twice for the
    same character. A set whose character returned too few frames of the query's label is drawn again.

    Parameters
    ----------
    source : Source
        What was retrieved (`retrieved.from_stores`, `recorded.from_results`).
    sets : int
        How many sets.
    size : int
        Frames a set.
    among : int, optional
        Only the first so many of a ranking are drawn from; by default all that were retrieved.
    seed : int
        Fixes what is drawn.

    Returns
    -------
    Drawn
        A question a set: its pictures in random order, each with its place among them by every ranking
        (`stored_queries.RANKINGS`).

    Raises
    ------
    UserError
        If no query's expression is known, or there are too few frames to fill the sets.
    """
    _check_at_least(1, sets=sets, among=1 if among is None else among)
    _check_at_least(2, size=size)
    _check_labelled(source)
    lot = np.random.default_rng(seed)
    labels = np.array([query.label for query in source.queries])
    known = np.unique(labels[labels != UNLABELLED]).tolist()
    turns = zip(_in_turn(known, lot), _in_turn(source.characters, lot), strict=True)
    queries = {
        (label, character): _in_turn(np.flatnonzero(labels == label).tolist(), lot)
        for label in known
        for character in source.characters
    }
    asked: dict[tuple[int, str], _Draft] = {}
    tries = 0
    while len(asked) < sets and tries < _TRIES:
        tries += 1
        label, character = next(turns)
        query = next(queries[label, character])
        if (query, character) not in asked and (frames := _draw_frames(source, query, character, size, among, lot)):
            asked[query, character] = _Draft(frames, _query(source, query))
            tries = 0
    if len(asked) < sets:
        raise UserError(
            f"only {len(asked)} of {sets} sets of {size} frames can be filled: no other query has so many matches "
            "of its expression; ask for fewer sets or frames, or retrieve more (tools/retrieve.py --top)"
        )
    settings = {"sets": sets, "size": size, "among": among, "seed": seed}
    return _drawn("ranking", list(asked.values()), {**settings, **source.settings})


def draw_key_poses(folder: str | os.PathLike, names: Sequence[str] | None = None, seed: int = 2016) -> Drawn:
    """Ask what people see in the images of a registered folder: the papers' 70 % filter of key poses (section 3.1).

    Parameters
    ----------
    folder : path
        A folder of `tools/register.py`, with its `manifest.parquet`.
    names : sequence of str, optional
        Names of images in their database (`source`), by default those of all labelled images.
    seed : int
        Fixes the order.

    Raises
    ------
    UserError
        If there is no manifest, an image is not in it or has no expression, or there is none at all.
    """
    folder = Path(folder)
    by_name = {row["source"]: row for row in _read_manifest(folder) if row["expression"] != UNLABELLED}
    if unknown := [name for name in names or () if name not in by_name]:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UserError(f"{folder} has no labelled image {unknown[0]}{more}; name images as its manifest does (source)")
    asked = []
    for name in dict.fromkeys(by_name if names is None else names):
        row = by_name[name]
        load, label = partial(_read_face, folder / row["path"]), row["expression"]
        asked.append(_Draft((_Shown(name, row.get("character") or "", label, label, load, {}),)))
    if not asked:
        raise UserError(f"{folder} holds no labelled image; nobody could be right about one")
    return _drawn("recognition", asked, {"origin": {"data": os.fspath(folder)}, "seed": seed})


class _Shown(NamedTuple):
    """A picture: what it should show, and what its own database says it shows."""

    source: str
    character: str
    intended: int
    label: int
    load: Callable[[], np.ndarray]
    ranks: Mapping[str, float]


class _Draft(NamedTuple):
    """A question whose parts have no names yet."""

    pictures: Sequence[_Shown]
    query: _Shown | None = None


def _in_turn(items: Sequence[T], lot: np.random.Generator) -> Iterator[T]:
    """Yield items for ever: all of them in random order, then all of them in another."""
    while True:
        yield from (items[number] for number in lot.permutation(len(items)))


def _draw_frames(
    source: Source, query: int, character: str, size: int, among: int | None, lot: np.random.Generator
) -> list[_Shown]:
    """Return frames of the query's label, by lot, and their places among each other; none if there are too few."""
    found, label = source.retrieve(query, character), source.queries[query].label
    reached = found.ranks["deepexpr"] <= (among or len(found.sources))
    candidates = np.flatnonzero(reached & (found.labels == label))
    if len(candidates) < size:
        return []
    chosen = lot.choice(candidates, size, replace=False)
    places = {name: mid_ranks(ranks[chosen][None])[0].tolist() for name, ranks in found.ranks.items()}
    return [
        _frame(found, row, character, label, {name: ranks[number] for name, ranks in places.items()})
        for number, row in enumerate(chosen.tolist())
    ]


def _frame(
    found: Retrieved, row: int, character: str, intended: int, ranks: Mapping[str, float] | None = None
) -> _Shown:
    load = partial(found.picture, row)
    return _Shown(found.sources[row], character, intended, int(found.labels[row]), load, ranks or {})


def _query(source: Source, query: int) -> _Shown:
    asked = source.queries[query]
    return _Shown(asked.source, "", asked.label, asked.label, asked.picture, {})


def _drawn(kind: str, asked: Sequence[_Draft], settings: Mapping[str, Any]) -> Drawn:
    """Put questions in random order and give names to them and their pictures that tell nothing."""
    loaders, otherwise, questions = {}, {}, []

    def named(shown: _Shown, question: str) -> Picture:
        name, intended = identifier(question, shown.source, shown.character), EXPRESSIONS[shown.intended]
        loaders[name] = shown.load
        if shown.label != shown.intended:
            otherwise[name] = EXPRESSIONS[shown.label]
        return Picture(name, shown.source, shown.character, intended, shown.ranks)

    for number in np.random.default_rng(settings["seed"]).permutation(len(asked)).tolist():
        pictures, query = asked[number]
        question = identifier(settings["seed"], number, [(one.source, one.character) for one in pictures])
        known = named(query, question) if query else None
        questions.append(Question(question, tuple(named(one, question) for one in pictures), known))
        if known and kind == "recognition":
            del loaders[known.identifier]  # it is not shown
    return Drawn(Questionnaire(kind, tuple(questions), {**settings, "labelled_otherwise": otherwise}), loaders)


def _read_manifest(folder: Path) -> list[dict[str, Any]]:
    file = folder / "manifest.parquet"
    try:
        known = set(pq.read_schema(file).names) & {"path", "source", "expression", "character"}
        return pq.read_table(file, columns=sorted(known), partitioning=None).to_pylist()
    except (OSError, pa.ArrowException):
        raise UserError(
            f"{folder} holds no manifest.parquet that can be read; register it with tools/register.py"
        ) from None


def _read_face(path: Path) -> np.ndarray:
    try:
        return read_image(path)
    except UserError as error:
        raise UserError(f"{path}: {error}; register its folder again") from None


def _check_labelled(source: Source) -> None:
    if all(query.label == UNLABELLED for query in source.queries):
        raise UserError("no query has a known expression, so nothing can be drawn; give labelled images")


def _check_at_least(least: int, **numbers: int) -> None:
    for name, number in numbers.items():
        if number < least:
            raise UserError(f"--{name} {number}: the least there can be is {least}")
