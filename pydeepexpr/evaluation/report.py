"""Evaluations from files to files: what `tools/evaluate.py` calls."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.compare import Described
from pydeepexpr.evaluation.figures import confusion_figure
from pydeepexpr.evaluation.recognition import read_rejects, recognition
from pydeepexpr.evaluation.retrieval import RetrievalShares, look_at_queries, pick_queries, retrieval_shares
from pydeepexpr.evaluation.style import check_ending
from pydeepexpr.evaluation.table1 import table1
from pydeepexpr.features import FeatureStore
from pydeepexpr.files import atomic_file, provenance, read_names, write_json
from pydeepexpr.persons import independence, why_persons_mix
from pydeepexpr.retrieval import DEFAULT_NORMALISATION
from pydeepexpr.stores import open_stores

__all__ = [
    "File",
    "open_queries",
    "print_queries",
    "report_recognition",
    "report_retrieval",
    "report_table1",
    "write_results",
]

File = str | os.PathLike


def report_recognition(
    store: File,
    *,
    rejects: File | None = None,
    under: str = "",
    expect: int | None = None,
    json: File | None = None,
    markdown: File | None = None,
    figure: File | None = None,
    title: str = "",
) -> str:
    """Measure recognition of a store's images and write it; return the Markdown.

    Parameters
    ----------
    store : path
    rejects : path, optional
        `rejects.csv`: images that count as wrong.
    under : str
        Only rejects below this folder.
    expect : int, optional
        How many images there are in all; another number is an error.
    json, markdown, figure : path, optional
        What to write.
    title : str
        A line above the figure.
    """
    if figure:
        check_ending(figure)
    opened = FeatureStore.open(store)
    result = recognition(opened.labels, opened.predicted, read_rejects(rejects, under) if rejects else ())
    if expect is not None and result.total != expect:
        raise UserError(
            f"{result.total} images were counted ({result.rejected.sum()} of them rejected), not {expect}; "
            "give the rejects of the same split (--rejects, --under)"
        )
    unnamed = _unnamed_persons(opened)
    record = {**result.record(), "why_persons_mix": unnamed, "models": [model.record() for model in opened.models]}
    text = result.markdown() + (f"\n{independence(unnamed).capitalize()}.\n" if unnamed else "")
    write_results({**record, "store": [part["provenance"] for part in opened.parts]}, text, json, markdown)
    if figure:
        confusion_figure(result, figure, title)
    return text


def _unnamed_persons(store: FeatureStore) -> str:
    """Say which people's images in a store do not name their person, so that they may have been trained on, too."""
    known = set(store.rows.column_names)
    if not {"database", "subject"} <= known:
        return ""
    rows = store.rows.select([name for name in ("database", "subject", "character") if name in known]).to_pylist()
    people = [row for row in rows if not row.get("character")]
    return why_persons_mix(*([row[name] for row in people] for name in ("database", "subject")), [0] * len(people))


def report_retrieval(
    stores: Sequence[File],
    queries: File,
    *,
    root: File | None = None,
    model: File = "models/human.caffemodel",
    deploy: File | None = None,
    top: int = 10,
    normalise: Sequence[str] = ("l1", "softmax", "class-weight"),
    alpha: float = 1.0,
    beta: float = 1.0,
    sort_by: str = "geometric",
    within: str = "label",
    siblings: bool = False,
    device: str = "auto",
    json: File | None = None,
    markdown: File | None = None,
) -> str:
    """Measure how often matches carry the query's label, in one store or several, and write it; return the Markdown.

    Each normalisation is measured by Jensen–Shannon divergence alone and, unless `beta` is 0, with the geometric sort.

    Parameters
    ----------
    stores : sequence of path
        For instance one a character; the means are taken over them.
    queries : path
        A list of photographs, whose folders name the expressions; or a feature store, whose images are the queries.
    root : path, optional
        Where the names of a list start from.
    model, deploy : path
        The network that looks at the photographs of a list.
    top : int
        How many matches are looked at.
    normalise, alpha, beta, sort_by, within, siblings
        As `pipeline.Retriever` has them, with any number of normalisations.
    device : {'auto', 'cpu', 'cuda'}
    json, markdown : path, optional
        What to write.
    """
    opened = open_stores(stores)
    asked, missed = open_queries(queries, root, model, deploy, device)
    settings = []
    for how in normalise:
        for weight in (0.0, beta) if beta else (0.0,):
            options = {"alpha": alpha, "beta": weight, "sort_by": sort_by, "within": within}
            shares = {
                name: retrieval_shares(asked, store, top, how=how, siblings=siblings, **options).with_misses(
                    missed.values()
                )
                for name, store in opened.items()
            }
            settings.append({"normalisation": how, **options, **_means(shares)})
    record = {
        "model": {"name": asked.model.name, "sha256": asked.model.sha256},
        "stores": {
            name: {"rows": len(store), "models": [model.record() for model in store.models]}
            for name, store in opened.items()
        },
        "without_face": list(missed),
        "settings": settings,
    }
    table = _retrieval_table(settings, top, sum(map(len, opened.values())))
    write_results(record, table, json, markdown)
    return table


def report_table1(
    human: File,
    characters: Sequence[File],
    *,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
    json: File | None = None,
    markdown: File | None = None,
) -> str:
    """Score retrieval as the papers' Table 1 does and write it; return the Markdown.

    Parameters
    ----------
    human : path
        The store of the human test images, each of which is a query.
    characters : sequence of path
        The store of each character's test images.
    normalise : {'l1', 'softmax', 'class-weight'}
    siblings : bool
        Accept models that were both fine-tuned from a third (`lineage.check_kin`).
    json, markdown : path, optional
        What to write.
    """
    queries, stores = FeatureStore.open(human), open_stores(characters)
    result = table1(queries, stores, normalise, siblings=siblings)
    record = {
        "normalisation": normalise,
        "model": queries.model.record(),
        "stores": {name: [model.record() for model in store.models] for name, store in stores.items()},
        **result.record(),
    }
    write_results(record, result.markdown(), json, markdown)
    return result.markdown()


def print_queries(
    manifest: File, each: int = 10, seed: int = 2016, exclude: File | None = None, fewer: bool = False
) -> str:
    """Return a list of queries chosen by lot, with a header that says how."""
    names = pick_queries(manifest, each, seed, exclude=read_names(exclude) if exclude else (), fewer=fewer)
    options = (f" --exclude {os.fspath(exclude)}" if exclude else "") + (" --fewer" if fewer else "")
    count = f"At most {each}" if fewer else f"{each}"
    header = (
        f"# {count} photographs an expression, drawn by lot among those in which a face is detected.\n"
        "# Queries of an evaluation: never train on them.\n"
        f"# Made by: tools/evaluate.py pick-queries MANIFEST --each {each} --seed {seed}{options}\n"
    )
    return header + "\n".join(names)


def open_queries(
    queries: File, root: File | None, model: File, deploy: File | None, device: str
) -> tuple[Described, dict[str, int]]:
    """Return the queries, and the labels of those in which no face was found, by name.

    Parameters
    ----------
    queries : path
        A list of photographs, whose folders name the expressions; or a feature store.
    root : path, optional
        Where the names of a list start from.
    model, deploy : path
        The network that looks at the photographs of a list.
    device : {'auto', 'cpu', 'cuda'}

    Raises
    ------
    UserError
        If a list has no root, or a photograph is missing.
    """
    if (Path(queries) / "meta.json").is_file():
        return FeatureStore.open(queries), {}
    if root is None:
        raise UserError(f"{os.fspath(queries)} is a list of names; say with --root in which folder they are")
    from pydeepexpr.pipeline import Recogniser

    names = read_names(queries)
    seen = look_at_queries(Recogniser(model, deploy, device=device), names, root)
    return seen, seen.missed


def _means(shares: Mapping[str, RetrievalShares]) -> dict[str, Any]:
    """Return the means over stores as one store's record has them, and each store's record by its name."""
    records = {name: share.record() for name, share in shares.items()}
    first = next(iter(records.values()))
    accuracy = first["classifier_accuracy"]
    top = {name: float(np.mean([record[name] for record in records.values()])) for name in first["ratio_to_classifier"]}
    return {
        "queries": first["queries"],
        "classifier_accuracy": accuracy,
        **top,
        "ratio_to_classifier": {name: value / accuracy if accuracy else None for name, value in top.items()},
        "stores": records,
    }


def _retrieval_table(settings: Sequence[dict[str, Any]], top: int, rows: int) -> str:
    first = settings[0]
    several = len(first["stores"]) > 1
    lines = [
        f"{first['queries']:,} queries against {rows:,} images"
        + (f" of {len(first['stores'])} stores, the mean over these;" if several else ";")
        + f" the classifier names {first['classifier_accuracy']:.1%} of the queries rightly.",
        "",
        f"| normalisation | geometric sort | top 1 | of classifier | top {top} | of classifier |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for setting in settings:
        cells = [setting["normalisation"], "yes" if setting["beta"] else "no"]
        for name, ratio in setting["ratio_to_classifier"].items():
            cells += [f"{setting[name]:.1%}", "–" if ratio is None else f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if several:
        heads = [f"{setting['normalisation']}{', sorted' if setting['beta'] else ''}" for setting in settings]
        lines += ["", f"| top 1 | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
        for store in first["stores"]:
            cells = [f"{setting['stores'][store]['top_1']:.1%}" for setting in settings]
            lines.append(f"| {store} | {' | '.join(cells)} |")
        lines.append(f"| mean | {' | '.join(format(setting['top_1'], '.1%') for setting in settings)} |")
    return "\n".join(lines) + "\n"


def write_results(record: dict[str, Any], table: str, json: File | None, markdown: File | None) -> None:
    """Write an evaluation's numbers, with their provenance, and its table, where files for them were named."""
    if json:
        write_json(json, {**record, "provenance": provenance()})
    if markdown:
        with atomic_file(markdown) as partial:
            partial.write_text(table, encoding="utf-8")
