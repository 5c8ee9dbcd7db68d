"""What a feature store holds, in words and counts."""

from collections import Counter
from typing import Any

import numpy as np

from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features.format import raw_sizes
from pydeepexpr.features.selection import UNLABELLED_NAME, named
from pydeepexpr.features.store import FeatureStore
from pydeepexpr.lineage import ModelIdentity

__all__ = ["describe"]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def describe(store: FeatureStore) -> str:
    """Return how many images a store holds, of whom, made how, when and by which models.

    Of a choice of its rows, what these are; the size is that of the whole store.
    """
    meta, size = store.meta, sum(_sizes(store).values())
    chosen = f"{len(store):,} of its {meta['rows']:,} images" if store.whole else f"{len(store):,} images"
    dims = meta["dims"]
    pixels = ", ".join(f"{name} {_words(value)}" for name, value in meta["transform"].items())
    facts = [
        (
            "features",
            f"{meta['layer']} of {dims['fc6']}, {dims['prob']} classes, {dims['geometry']} geometric measures",
        ),
        ("pixels", pixels),
        *((f"model {number}", _model(model)) for number, model in enumerate(store.models, 1)),
        *(fact for number, part in enumerate(meta["parts"], 1) if part in store.parts for fact in _part(store, number)),
    ]
    if "merged" in meta:
        facts.append(("merged", _made(meta["merged"])))
    lines = [f"{store.path}: {chosen}, {_bytes(size)}", *(f"  {name:<10}{fact}" for name, fact in facts)]
    return "\n".join([*lines, "", *(f"  {line}" for line in _counts(store))])


def _sizes(store: FeatureStore) -> dict[str, int]:
    return {**raw_sizes(store.meta), **{part["table"]: part["bytes"] for part in store.meta["parts"]}}


def _model(model: ModelIdentity) -> str:
    ancestors = ", ".join(sha256[:8] for sha256 in model.ancestry)
    return f"{model}, fine-tuned from {ancestors}" if ancestors else str(model)


def _part(store: FeatureStore, number: int) -> list[tuple[str, str]]:
    part = store.meta["parts"][number - 1]
    facts = [(f"part {number}", f"{part['rows']:,} images by {store.made_by(part)}, {_made(part['provenance'])}")]
    return [*facts, ("", f"from the LMDB {part['lmdb']}")] if "lmdb" in part else facts


def _made(provenance: dict[str, Any]) -> str:
    """Return when something was made, and by which command, as `files.provenance` recorded it."""
    return f"{provenance.get('made', 'at an unknown time')}: {' '.join(provenance.get('command', ['unknown']))}"


def _counts(store: FeatureStore) -> list[str]:
    """Return the lines of a table: images by character and split, and by expression, with sums."""
    columns = [name for name in ("character", "split") if name in store.rows.column_names]
    counts = Counter(zip(*(named(store, what) for what in (*columns, "expression")), strict=True))
    expressions = [*EXPRESSIONS, *{UNLABELLED_NAME}.intersection(name for *_, name in counts)]
    groups = sorted({tuple(group) for *group, _ in counts})
    numbers = np.array([[counts[(*group, name)] for name in expressions] for group in groups])
    if columns and len(groups) > 1:
        numbers = np.vstack([numbers, numbers.sum(axis=0)])
        groups.append(("all", *[""] * (len(columns) - 1)))
    numbers = np.column_stack([numbers, numbers.sum(axis=1)])
    table = [(*columns, *expressions, "images")]
    table += [(*group, *map(str, line)) for group, line in zip(groups, numbers, strict=True)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    sides = ["<"] * len(columns) + [">"] * (len(table[0]) - len(columns))
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return [form.format(*line) for line in table]


def _words(value: object) -> str:
    return " ".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)


def _bytes(size: float) -> str:
    """Return a size as people read it.

    Examples
    --------
    >>> _bytes(239842)
    '239.8 kB'
    """
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == _UNITS[0] else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"
