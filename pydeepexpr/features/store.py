"""An opened feature store, and a choice of its rows."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pydeepexpr.errors import UserError
from pydeepexpr.features.format import ARRAYS, FC7_FILE, FLOAT, array_file, check_size, raw_sizes, read_meta, read_table
from pydeepexpr.features.selection import select
from pydeepexpr.lineage import ModelIdentity

__all__ = ["Block", "FeatureStore"]

_BLOCK = 4096  # rows

Words = str | Sequence[str]


class Block(NamedTuple):
    """Some rows of a store that stand one behind the other in one part.

    Attributes
    ----------
    part : dict
        The part's entry in `meta.json`.
    model : ModelIdentity
        The part's model.
    fc6, prob, geometry : (n, …) float32 arrays
    rows : pyarrow.Table
    """

    part: dict[str, Any]
    model: ModelIdentity
    fc6: np.ndarray
    prob: np.ndarray
    geometry: np.ndarray
    rows: pa.Table


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FeatureStore:
    """An opened store; its arrays are memory maps, so that opening costs next to nothing whatever its size.

    A store that was opened stays as it is while another process appends to it.

    Attributes
    ----------
    path : Path
    meta : dict
        The contents of `meta.json`: of the whole store, of whose rows these may be a choice.
    fc6 : (N, D) float32 array
        Features, ≥ 0. D is 512 in the papers' network.
    prob : (N, C) float32 array
        Class probabilities.
    geometry : (N, 9) float32 array
        Geometric measures, NaN where unknown.
    fc7 : (M · C, D) float32 array
        FC7 weights of the M models, one below the other.
    places : (N,) int64 array
        The number of each row in the whole store, ascending.
    whole : FeatureStore, optional
        The store that `where` chose these rows of.
    """

    path: Path
    meta: dict[str, Any]
    fc6: np.ndarray
    prob: np.ndarray
    geometry: np.ndarray
    fc7: np.ndarray
    places: np.ndarray
    whole: "FeatureStore | None" = None

    @classmethod
    def open(cls, path: str | os.PathLike) -> "FeatureStore":
        """Open a store and check that its files are as long as they should be (`verify` checks every byte).

        Raises
        ------
        UserError
            If there is no store at `path`, or a file of it is missing or too short.
        """
        path = Path(path)
        meta = read_meta(path)
        sizes = {**raw_sizes(meta), **{part["table"]: part["bytes"] for part in meta["parts"]}}
        for name, size in sizes.items():
            check_size(path / name, size)
        dims, rows = meta["dims"], meta["rows"]
        fc6, prob, geometry = (_map(path / array_file(name), (rows, dims[name])) for name in ARRAYS)
        fc7 = _map(path / FC7_FILE, (len(meta["models"]) * dims["prob"], dims["fc6"]))
        return cls(path, meta, fc6, prob, geometry, fc7, np.arange(rows))

    def __len__(self) -> int:
        return len(self.places)

    def __repr__(self) -> str:
        return f"<FeatureStore {self.path}: {len(self)} images>"

    def where(
        self,
        *,
        character: Words | None = None,
        expression: Words | None = None,
        split: Words | None = None,
        model: Words | None = None,
        predicted: Words | None = None,
    ) -> "FeatureStore":
        """Return the rows that fulfil every criterion: a value, or several of which one fits.

        Rows that stand side by side stay memory-mapped; others are copied into memory.

        Parameters
        ----------
        character, split : str or sequence of str
            What the columns of these names hold.
        expression, predicted : str or sequence of str
            The true and the predicted expression; `unlabelled` where no true one is known.
        model : str or sequence of str
            A model's file name, with or without its suffix, or the first eight or more digits of its SHA-256.

        Raises
        ------
        UserError
            If a value is not in the store, the store lacks the column, or no row fulfils all criteria.

        Examples
        --------
        >>> FeatureStore.open("models/stores/tilda").where(expression=["joy", "surprise"])  # doctest: +SKIP
        """
        given = {
            "character": character,
            "expression": expression,
            "split": split,
            "model": model,
            "predicted": predicted,
        }
        chosen = select(self, {what: words for what, words in given.items() if words is not None})
        # A slice of a memory map is a memory map; an array of row numbers would copy.
        together = chosen[-1] - chosen[0] + 1 == len(chosen)
        taken = slice(chosen[0], chosen[-1] + 1) if together else chosen
        kept = np.isin(self._models_here, np.unique(self._model_of[taken]))
        fc7 = self.fc7 if kept.all() else self.fc7[np.repeat(kept, self.prob.shape[1])]
        return FeatureStore(
            self.path,
            self.meta,
            self.fc6[taken],
            self.prob[taken],
            self.geometry[taken],
            fc7,
            self.places[taken],
            self,
        )

    @cached_property
    def rows(self) -> pa.Table:
        """One row an image: the manifests' columns and `predicted`; null where a part lacks a column."""
        if self.whole is not None:
            return self.whole.rows.take(np.searchsorted(self.whole.places, self.places))
        tables = [read_table(self.path, part) for part in self.meta["parts"]]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted labels, (N,) int8 in 0…C−1."""
        return self.rows["predicted"].to_numpy().astype(np.int8)

    @cached_property
    def labels(self) -> np.ndarray:
        """True labels, (N,) int8, −1 where unknown. For scores and captions; never for a ranking."""
        return self.rows["expression"].to_numpy().astype(np.int8)

    @cached_property
    def models(self) -> tuple[ModelIdentity, ...]:
        """The models that made these rows, in the order of their weights in `fc7`."""
        return tuple(self._identity(number) for number in self._models_here)

    @property
    def model(self) -> ModelIdentity:
        """The one model that made the features.

        Raises
        ------
        UserError
            If several did.
        """
        if len(self.models) > 1:
            names = ", ".join(str(model) for model in self.models)
            raise UserError(
                f"{self.path} holds the features of {len(self.models)} models ({names}), where one is needed: choose "
                "it with FeatureStore.where(model=…), or make a store of it (tools/store.py merge STORE OUT --model …)"
            )
        return self.models[0]

    @cached_property
    def model_numbers(self) -> np.ndarray:
        """Which of `models` made each row, (N,) int64."""
        return np.searchsorted(self._models_here, self._model_of)

    @cached_property
    def fc7_rows(self) -> np.ndarray:
        """The row of `fc7` that weighs each image: of its predicted class, in the model that made it, (N,) int64."""
        return self.predicted + self.prob.shape[1] * self.model_numbers

    def made_by(self, part: dict[str, Any]) -> ModelIdentity:
        """Return the model of a part, given by its entry in `meta.json`."""
        return self._identity(part["model"])

    def place(self, row: int) -> tuple[dict[str, Any], int]:
        """Return the entry of the part that a row stands in, and its number within that part."""
        number = self._part_of[row]
        return self.meta["parts"][number], int(self.places[row] - self._starts[number])

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The entries of the parts in which these rows stand."""
        return [self.meta["parts"][number] for number in np.unique(self._part_of)]

    def blocks(self, size: int = _BLOCK) -> Iterator[Block]:
        """Yield all rows in order, at most `size` at a time, with one part's table in memory."""
        for number in np.unique(self._part_of):
            part = self.meta["parts"][number]
            first, end = np.searchsorted(self._part_of, (number, number + 1))
            table = read_table(self.path, part).take(self.places[first:end] - self._starts[number])
            for start in range(first, end, size):
                block = slice(start, min(start + size, end))
                arrays = (self.fc6[block], self.prob[block], self.geometry[block])
                yield Block(part, self.made_by(part), *arrays, table.slice(start - first, size))

    def weights(self, model: ModelIdentity) -> np.ndarray:
        """Return the FC7 weights of one of `models`, (C, D) float32."""
        classes, number = self.prob.shape[1], self.models.index(model)
        return self.fc7[number * classes : (number + 1) * classes]

    @cached_property
    def _starts(self) -> np.ndarray:
        """The number of each part's first row in the whole store."""
        return np.cumsum([0, *(part["rows"] for part in self.meta["parts"])])[:-1]

    @cached_property
    def _part_of(self) -> np.ndarray:
        return np.searchsorted(self._starts, self.places, side="right") - 1

    @cached_property
    def _model_of(self) -> np.ndarray:
        """The number of each row's model among those of the whole store."""
        return np.array([part["model"] for part in self.meta["parts"]])[self._part_of]

    @cached_property
    def _models_here(self) -> np.ndarray:
        return np.unique(self._model_of)

    def _identity(self, number: int) -> ModelIdentity:
        model = self.meta["models"][number]
        return ModelIdentity(model["name"], model["sha256"], tuple(model["ancestry"]), self.meta["transform"])


def _map(path: Path, shape: tuple[int, int]) -> np.ndarray:
    return np.memmap(path, dtype=FLOAT, mode="r", shape=shape)
