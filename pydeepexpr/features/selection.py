"""Which rows of a feature store a filter means."""

from collections.abc import Callable, Mapping, Sequence
from operator import eq
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of

if TYPE_CHECKING:
    from pydeepexpr.features.store import FeatureStore

__all__ = ["CRITERIA", "UNLABELLED_NAME", "Criterion", "named", "select"]

#: The word for images of which no true expression is known.
UNLABELLED_NAME = "unlabelled"

_NAMES = (*EXPRESSIONS, UNLABELLED_NAME)


class Criterion(NamedTuple):
    """What rows can be chosen by.

    Attributes
    ----------
    read : function of a store
        Returns (N,) integers, one a row, and the names that they number.
    fits : function of a word and of a name
        Whether the word means the name.
    """

    read: "Callable[[FeatureStore], tuple[np.ndarray, Sequence[str]]]"
    fits: Callable[[str, str], bool]


def select(store: "FeatureStore", wanted: Mapping[str, str | Sequence[str]]) -> np.ndarray:
    """Return the numbers of the rows that fulfil every criterion, (n,) int64, ascending, n > 0.

    Parameters
    ----------
    store : FeatureStore
    wanted : mapping of str to str or sequence of str
        By the name of one of `CRITERIA`, a word or several of which one fits.

    Raises
    ------
    UserError
        If a word fits no row, the store lacks the column, or no row fulfils all criteria.
    """
    chosen = np.ones(len(store), dtype=bool)
    for what, words in wanted.items():
        numbers, names = CRITERIA[what].read(store)
        there = np.unique(numbers)
        fitting: set[int] = set()
        for word in [words] if isinstance(words, str) else words:
            found = [number for number in there if CRITERIA[what].fits(word, names[number])]
            if not found:
                known = ", ".join(names[number] or "''" for number in there)
                raise UserError(f"no image of {store.path} has the {what} {word!r}; there are: {known}")
            fitting.update(found)
        chosen &= np.isin(numbers, [*fitting])
    if not chosen.any():
        told = ", ".join(
            f"{what} {words if isinstance(words, str) else ' or '.join(words)}" for what, words in wanted.items()
        )
        raise UserError(f"no image of {store.path} has all of: {told}; leave one out")
    return np.flatnonzero(chosen)


def named(store: "FeatureStore", what: str) -> list[str]:
    """Return what each row is by one of `CRITERIA`."""
    numbers, names = CRITERIA[what].read(store)
    return [names[number] for number in numbers]


def _column(name: str) -> "Callable[[FeatureStore], tuple[np.ndarray, Sequence[str]]]":
    def read(store: "FeatureStore") -> tuple[np.ndarray, Sequence[str]]:
        if name not in store.rows.column_names:
            known = ", ".join(store.rows.column_names)
            raise UserError(f"{store.path} cannot be filtered by {name}: it has no such column, but: {known}")
        words = pc.fill_null(store.rows[name], "").combine_chunks().dictionary_encode()
        return words.indices.to_numpy(), words.dictionary.to_pylist()

    return read


def _expression(store: "FeatureStore") -> tuple[np.ndarray, Sequence[str]]:
    known = (store.labels >= 0) & (store.labels < len(EXPRESSIONS))
    return np.where(known, store.labels, len(EXPRESSIONS)), _NAMES


def _model(store: "FeatureStore") -> tuple[np.ndarray, Sequence[str]]:
    return store.model_numbers, [str(model) for model in store.models]


def _is_expression(word: str, name: str) -> bool:
    return word == name if word == UNLABELLED_NAME else EXPRESSIONS[label_of(word)] == name


def _is_model(word: str, name: str) -> bool:
    """Compare with a name such as ``mery.caffemodel (1234abcd)``."""
    file, _, digits = name.rstrip(")").rpartition(" (")
    return word in (file, file.removesuffix(".caffemodel")) or word.lower().startswith(digits)


#: By name: what the rows of a store can be chosen by.
CRITERIA = {
    "character": Criterion(_column("character"), eq),
    "expression": Criterion(_expression, _is_expression),
    "split": Criterion(_column("split"), eq),
    "model": Criterion(_model, _is_model),
    "predicted": Criterion(lambda store: (store.predicted, EXPRESSIONS), _is_expression),
}
