"""The study of the papers' distance from files to files: what `tools/evaluate.py distance` calls."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr.evaluation.compare import Described
from pydeepexpr.evaluation.distance_figure import distance_figure
from pydeepexpr.evaluation.distance_study import RATIOS, DistanceStudy, distance_study, weights_of
from pydeepexpr.evaluation.origin import origin_of
from pydeepexpr.evaluation.report import File, open_queries, write_results
from pydeepexpr.evaluation.style import Paths, check_ending
from pydeepexpr.evaluation.table import Table
from pydeepexpr.features import FeatureStore
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS
from pydeepexpr.retrieval.geometry import WITHIN
from pydeepexpr.stores import open_stores

__all__ = ["distance_tables", "report_distance"]

_REACH = {"label": "within the label", "store": "over the store"}


def report_distance(
    queries: File,
    stores: Sequence[File],
    *,
    root: File | None = None,
    model: File = "models/human.caffemodel",
    deploy: File | None = None,
    top: int = 10,
    normalise: Sequence[str] = tuple(NORMALISATIONS),
    ratios: Sequence[float] = RATIOS,
    siblings: bool = False,
    device: str = "auto",
    figure: Paths | None = None,
    title: str = "",
    **written: File | None,
) -> str:
    """Measure every reading of the distance and write it; return the Markdown.

    Parameters
    ----------
    queries : path
        A list of photographs, whose folders name the expressions; or a feature store, whose images are the queries.
    stores : sequence of path
        For instance one a character; the means are taken over them.
    root : path, optional
        Where the names of a list start from.
    model, deploy : path
        The network that looks at the photographs of a list.
    top : int
        How many matches are looked at.
    normalise : sequence of {'l1', 'softmax', 'class-weight'}
    ratios : sequence of float
        Values of β/α besides 0 and infinity.
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).
    device : {'auto', 'cpu', 'cuda'}
    figure : path or sequence of path, optional
    title : str
        A line above the figure.
    **written
        What to write, as `report.write_results` has it.
    """
    if figure:
        check_ending(figure)
    opened = open_stores(stores)
    asked, missed = open_queries(queries, root, model, deploy, device)
    study = distance_study(
        asked,
        opened,
        top,
        normalisations=normalise,
        ratios=ratios,
        missed=missed.values(),
        siblings=siblings,
    )
    record = {
        "origin": origin_of(asked if isinstance(asked, FeatureStore) else Path(queries).name, opened.values()),
        "queries": len(study.labels),
        "classifier_accuracy": float(study.classified.mean()),
        "model": asked.model.record(),
        "stores": {
            name: {"rows": len(store), "models": [model.record() for model in store.models]}
            for name, store in opened.items()
        },
        "without_face": list(missed),
        "without_geometry": study.without_geometry,
        "settings": _settings(study),
    }
    if figure:
        distance_figure(study, figure, title)
    return write_results(record, distance_tables(study, _headline(study, queries, asked, opened)), **written)


def distance_tables(study: DistanceStudy, headline: str = "") -> list[Table]:
    """Return the study as tables: Jensen–Shannon alone, then each measure by ratio and reach."""
    ratios = [
        _ratios_table(study, measure, "" if number else _explanation(study))
        for number, measure in enumerate(study.values)
    ]
    return [_normalisations_table(study, headline), *ratios]


def _headline(study: DistanceStudy, queries: File, asked: Described, stores: Mapping[str, FeatureStore]) -> str:
    images = sum(map(len, stores.values()))
    said = f"{len(study.labels):,} queries ({Path(queries).name}, {asked.model.name}) against {images:,} images of "
    said += f"{len(stores)} stores, the mean over these" if len(stores) > 1 else f"the store {next(iter(stores))}"
    said += f"; the classifier names {study.classified.mean():.1%} of the queries rightly."
    if study.without_geometry:
        said += f" {study.without_geometry:,} of all these have no landmarks and keep the ranks of Jensen–Shannon."
    return said


def _normalisations_table(study: DistanceStudy, said: str) -> Table:
    """Return the table of Jensen–Shannon alone: each normalisation, and how it differs from the default."""
    default = DEFAULT_NORMALISATION if DEFAULT_NORMALISATION in study.normalisations else study.normalisations[0]
    base = study.normalisations.index(default)
    heads = ["Jensen–Shannon alone"]
    columns = []
    for measure, values in study.values.items():
        heads += [_name(measure), f"against {default}"]
        means, _ = study.mean(measure)
        changes, errors = study.change(measure, values[base, :1, :1])
        columns.append([_value(measure, mean) for mean in means[:, 0, 0]])
        columns.append([_change(measure, *pair) for pair in zip(changes[:, 0, 0], errors[:, 0, 0], strict=True)])
        columns[-1][base] = "–"
    rows = [[how, *cells] for how, *cells in zip(study.normalisations, *columns, strict=True)]
    return Table("Jensen–Shannon alone", tuple(heads), rows, said=said)


def _explanation(study: DistanceStudy) -> str:
    return (
        "Below, the change from Jensen–Shannon alone (β/α = 0) ± its standard error, paired, over the "
        f"{len(study.labels):,} queries; bold where it is more than twice that. Shares in percentage points; of the "
        "score, less is better. β/α = ∞ is the papers' geometric sort within the label, or geometry alone over the "
        "store."
    )


def _ratios_table(study: DistanceStudy, measure: str, said: str) -> Table:
    means, errors = study.mean(measure)
    changes, paired = study.change_by_geometry(measure)
    heads = [f"{_name(measure)}: β/α"]
    columns = []
    for number, how in enumerate(study.normalisations):
        for reach, within in enumerate(WITHIN):
            heads.append(f"{how}, {_REACH[within]}")
            at = number, reach
            first = f"{_value(measure, means[at][0])} ± {_number(measure, errors[at][0])}"
            columns.append(
                [first, *(_change(measure, *pair) for pair in zip(changes[at][1:], paired[at][1:], strict=True))]
            )
    rows = [[_ratio(ratio), *cells] for ratio, *cells in zip(study.ratios, *columns, strict=True)]
    return Table(f"{_name(measure)} by β/α", tuple(heads), rows, said=said)


def _settings(study: DistanceStudy) -> list[dict[str, Any]]:
    """Return a record a reading: its mean, the change from Jensen–Shannon alone, and the standard errors of both."""
    numbers = {measure: (*study.mean(measure), *study.change_by_geometry(measure)) for measure in study.values}
    names = ("mean", "standard_error", "change", "standard_error_of_change")
    records = []
    for at in np.ndindex(len(study.normalisations), len(WITHIN), len(study.ratios)):
        alpha, beta = weights_of(study.ratios[at[2]])
        record = {"normalisation": study.normalisations[at[0]], "within": WITHIN[at[1]], "alpha": alpha, "beta": beta}
        for measure, arrays in numbers.items():
            record[measure] = {
                name: None if np.isnan(array[at]) else float(array[at])
                for name, array in zip(names, arrays, strict=True)
            }
        records.append(record)
    return records


def _name(measure: str) -> str:
    return measure.replace("_", " ")


def _ratio(ratio: float) -> str:
    return "∞" if np.isinf(ratio) else f"{ratio:g}"


def _value(measure: str, value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}" if measure == "score" else f"{value:.1%}"


def _number(measure: str, value: float, sign: str = "") -> str:
    if np.isnan(value):
        return "–"
    text = f"{value:{sign}.3f}" if measure == "score" else f"{100 * value:{sign}.1f}"
    return text.replace("-", "−")


def _change(measure: str, change: float, error: float) -> str:
    size = _number(measure, change, "+")
    text = f"{size} ± {_number(measure, error)}"
    return f"**{text}**" if abs(change) > 2 * error and size.strip("+−0.") else text
