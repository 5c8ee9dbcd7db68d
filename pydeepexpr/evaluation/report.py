"""Evaluations from files to files: what `tools/evaluate.py` calls."""

import os
from collections.abc import Sequence
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.figures import confusion_figure
from pydeepexpr.evaluation.recognition import read_rejects, recognition
from pydeepexpr.evaluation.retrieval import look_at_queries, pick_queries, read_queries, retrieval_shares
from pydeepexpr.evaluation.style import check_ending
from pydeepexpr.features import FeatureStore
from pydeepexpr.files import atomic_file, provenance, write_json

__all__ = ["print_queries", "report_recognition", "report_retrieval"]

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
    record = {**result.record(), "model": opened.meta["model"], "store": opened.meta["provenance"]}
    _write(record, result.markdown(), json, markdown)
    if figure:
        confusion_figure(result, figure, title)
    return result.markdown()


def report_retrieval(
    store: File,
    queries: File,
    *,
    root: File,
    model: File,
    deploy: File | None = None,
    top: int = 10,
    normalise: Sequence[str] = ("l1", "softmax", "class-weight"),
    alpha: float = 1.0,
    beta: float = 1.0,
    sort_by: str = "geometric",
    device: str = "auto",
    json: File | None = None,
    markdown: File | None = None,
) -> str:
    """Measure retrieval for a list of labelled photographs and write it; return the Markdown.

    Each normalisation is measured by Jensen–Shannon divergence alone and, unless `beta` is 0, with the geometric sort.
    """
    from pydeepexpr.pipeline import Recogniser, Retriever

    opened, names = FeatureStore.open(store), read_queries(queries)
    recogniser = Recogniser(model, deploy, device=device)
    weights = [0.0, beta] if beta else [0.0]
    retrievers = [
        Retriever(recogniser, opened, how=how, alpha=alpha, beta=weight, sort_by=sort_by)
        for how in normalise
        for weight in weights
    ]
    seen = look_at_queries(recogniser, names, root)
    shares = [(retriever, retrieval_shares(seen, retriever, top)) for retriever in retrievers]
    settings = [
        {"normalisation": retriever.how, "alpha": alpha, "beta": retriever.beta, **share.record()}
        for retriever, share in shares
    ]
    record = {
        "model": opened.meta["model"],
        "rows": len(opened),
        "without_face": [query.name for query in seen if query.query is None],
        "settings": settings,
    }
    table = _retrieval_table(settings, top, len(opened))
    _write(record, table, json, markdown)
    return table


def print_queries(
    manifest: File, each: int = 10, seed: int = 2016, exclude: File | None = None, fewer: bool = False
) -> str:
    """Return a list of queries chosen by lot, with a header that says how."""
    names = pick_queries(manifest, each, seed, exclude=read_queries(exclude) if exclude else (), fewer=fewer)
    options = (f" --exclude {os.fspath(exclude)}" if exclude else "") + (" --fewer" if fewer else "")
    count = f"At most {each}" if fewer else f"{each}"
    header = (
        f"# {count} photographs an expression, drawn by lot among those in which a face is detected.\n"
        "# Queries of an evaluation: never train on them.\n"
        f"# Made by: tools/evaluate.py pick-queries MANIFEST --each {each} --seed {seed}{options}\n"
    )
    return header + "\n".join(names)


def _retrieval_table(settings: Sequence[dict[str, Any]], top: int, rows: int) -> str:
    first = settings[0]
    lines = [
        f"{first['queries']} photographs against {rows:,} images;"
        f" the classifier names {first['classifier_accuracy']:.1%} of the photographs rightly.",
        "",
        f"| normalisation | geometric sort | top 1 | of classifier | top {top} | of classifier |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for setting in settings:
        cells = [setting["normalisation"], "yes" if setting["beta"] else "no"]
        for name, ratio in setting["ratio_to_classifier"].items():
            cells += [f"{setting[name]:.1%}", "–" if ratio is None else f"{ratio:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _write(record: dict[str, Any], table: str, json: File | None, markdown: File | None) -> None:
    if json:
        write_json(json, {**record, "provenance": provenance()})
    if markdown:
        with atomic_file(markdown) as partial:
            partial.write_text(table, encoding="utf-8")
