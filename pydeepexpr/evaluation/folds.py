"""What cross-validation found: accuracy, its spread over the folds, and what was mistaken for what."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pydeepexpr.evaluation.figures import confusion_figure
from pydeepexpr.evaluation.recognition import Recognition, read_rejects, recognition
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore
from pydeepexpr.files import atomic_file, provenance, write_json
from pydeepexpr.persons import independence, why_persons_mix

__all__ = ["PAPER_ACCURACY", "spread", "write_report"]

#: Human expression recognition, subject-independent five-fold cross-validation (ACCV 2016, section 4).
PAPER_ACCURACY = 0.8527


def write_report(out: Path, registered: Sequence[Path], folds: int) -> str:
    """Write `out`/report.json, report.md and confusion.png from the folds' stores; return the Markdown.

    Parameters
    ----------
    out : path
        With ``fold1/store`` … as `cross_validation` makes them.
    registered : sequence of path
        The registered folders, whose rejected images count as wrong in the whole.
    folds : int
    """
    stores = [FeatureStore.open(out / f"fold{fold + 1}/store") for fold in range(folds)]
    each = [recognition(store.labels, store.predicted) for store in stores]
    rejected = [label for folder in registered for label in read_rejects(folder / "rejects.csv")]
    labels, predicted = (np.concatenate([getattr(store, name) for store in stores]) for name in ("labels", "predicted"))
    whole = recognition(labels, predicted, rejected)
    persons = independence(_why_mixed(stores))
    cards = [_read_json(out / f"fold{fold + 1}/human/human.json") for fold in range(folds)]
    record = {
        "folds": [one.record() for one in each],
        "accuracy": _over(one.accuracy for one in each),
        "classes": {name: _over(one.per_class[label] for one in each) for label, name in enumerate(EXPRESSIONS)},
        "whole": whole.record(),
        "persons": persons,
        "iterations": [card.get("iterations") for card in cards],
        "seconds": _seconds(out),
        "models": [store.model.record() for store in stores],
        "registered": [folder.resolve().name for folder in registered],
        "provenance": provenance(),
    }
    title = f"{', '.join(record['registered'])}: {folds}-fold cross-validation, {persons}"
    confusion_figure(whole, out / "confusion.png", title)
    text = _markdown(record, each, whole)
    with atomic_file(out / "report.md") as partial:
        partial.write_text(text, encoding="utf-8")
    write_json(out / "report.json", record)
    return text


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation of a sample (n - 1), NaN left out; NaN where there are too few.

    Examples
    --------
    >>> spread([0.5, 0.7, float("nan")])
    (0.6, 0.14142135623730948)
    """
    known = np.array([value for value in values if not np.isnan(value)])
    mean = float(known.mean()) if len(known) else float("nan")
    return mean, float(known.std(ddof=1)) if len(known) > 1 else float("nan")


def _over(values: Iterable[float]) -> dict[str, float | None]:
    """Return `spread` for JSON, which knows no NaN."""
    told = zip(("mean", "deviation"), spread([*values]), strict=True)
    return {name: None if np.isnan(value) else value for name, value in told}


def _why_mixed(stores: Sequence[FeatureStore]) -> str:
    """Say why persons may stand in several folds: all images are tested once, so the stores tell all."""
    rows = pa.concat_tables(store.rows.select(["database", "subject", "fold"]) for store in stores)
    return why_persons_mix(*(rows[name].to_pylist() for name in ("database", "subject", "fold")))


def _seconds(out: Path) -> float:
    return round(sum(step["seconds"] for step in _read_json(out / "stages.json").get("steps", {}).values()), 1)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _markdown(record: dict[str, Any], each: Sequence[Recognition], whole: Recognition) -> str:
    accuracy = record["accuracy"]
    lines = [
        f"Accuracy {accuracy['mean']:.2%} ± {accuracy['deviation']:.2%}"
        f" (mean and standard deviation of {len(each)} folds; {record['persons']}).",
        f"Of all {whole.total:,} images {whole.accuracy:.2%} were recognised;"
        f" {whole.rejected.sum():,} of them were rejected before and count as wrong.",
        f"The paper reports {PAPER_ACCURACY:.2%}, subject-independent, on CK+, DISFA, KDEF and MMI.",
        "",
        f"| expression | images | {' | '.join(f'fold {fold + 1}' for fold in range(len(each)))} | mean ± deviation |",
        f"| --- | ---: |{' ---: |' * len(each)} ---: |",
    ]
    for label, name in enumerate(EXPRESSIONS):
        cells = [_percent(one.per_class[label]) for one in each]
        lines.append(_row(name, whole.confusion[label].sum(), cells, record["classes"][name]))
    lines.append(_row("all", whole.confusion.sum(), [_percent(one.accuracy) for one in each], accuracy))
    lines += ["", f"| is ↓, taken for → | {' | '.join(EXPRESSIONS)} |", f"| --- |{' ---: |' * len(EXPRESSIONS)}"]
    for name, counts in zip(EXPRESSIONS, whole.confusion.tolist(), strict=True):
        lines.append(f"| {name} | {' | '.join(f'{count:,}' for count in counts)} |")
    return "\n".join(lines) + "\n"


def _row(name: str, images: int, cells: list[str], over: dict[str, float | None]) -> str:
    return f"| {name} | {images:,} | {' | '.join(cells)} | {_percent(over['mean'])} ± {_percent(over['deviation'])} |"


def _percent(share: float | None) -> str:
    return "–" if share is None or np.isnan(share) else f"{share:.1%}"
