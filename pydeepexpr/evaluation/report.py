"""Evaluations from files to files: what `tools/evaluate.py` calls."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.accuracy import DIVISIONS, accuracy_of, accuracy_tables, read_accuracies
from pydeepexpr.evaluation.compare import Described
from pydeepexpr.evaluation.figures import confusion_figure
from pydeepexpr.evaluation.origin import origin_of
from pydeepexpr.evaluation.recognition import read_rejects, recognition
from pydeepexpr.evaluation.retrieval import RetrievalShares, look_at_queries, pick_queries, retrieval_shares
from pydeepexpr.evaluation.style import Paths, check_ending
from pydeepexpr.evaluation.table import Table
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
    "report_accuracy",
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
    figure: Paths | None = None,
    title: str = "",
    **written: File | None,
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
    figure : path or sequence of path, optional
        The confusion matrix.
    title : str
        A line above the figure.
    **written
        What to write, as `write_results` has it.
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
    record = {
        "origin": origin_of(opened),
        **result.record(),
        "why_persons_mix": unnamed,
        "models": [model.record() for model in opened.models],
        "store": [part["provenance"] for part in opened.parts],
    }
    if figure:
        confusion_figure(result, figure, title)
    return write_results(record, [result.table(independence(unnamed) if unnamed else "")], **written)


def report_accuracy(
    divisions: Mapping[str, Sequence[File]],
    *,
    trained: Mapping[str, str] | None = None,
    earlier: File | None = None,
    figures: File | None = None,
    **written: File | None,
) -> str:
    """Gather the accuracies of all divisions (`accuracy.DIVISIONS`) and write them; return the Markdown.

    Parameters
    ----------
    divisions : mapping of str to sequence of path
        The stores of a division's test images: one, or one a fold or character.
    trained : mapping of str to str, optional
        How long a division's networks were trained, in words.
    earlier : path, optional
        The JSON of an earlier call, for divisions without stores: they are shown with its date and command.
    figures : path, optional
        A folder for each division's confusion matrix, PNG and PDF.
    **written
        What to write, as `write_results` has it.
    """
    opened = {name: _opened(stores) for name, stores in divisions.items() if stores}
    found = read_accuracies(earlier) if earlier else {}
    found |= {name: accuracy_of(stores, (trained or {}).get(name, "")) for name, stores in opened.items()}
    if not found:
        raise UserError("no store was given whose accuracy could be counted; name one, for instance --people STORE")
    if figures:
        for name, its in found.items():
            title, place = DIVISIONS[name].about, Path(figures)
            confusion_figure(its.result, [place / f"confusion-{name}.{ending}" for ending in ("png", "pdf")], title)
    every = [store for stores in opened.values() for store in stores.values()]
    record = {"origin": origin_of("", every), "divisions": {name: its.record() for name, its in found.items()}}
    return write_results(record, accuracy_tables(found), **written)


def _opened(stores: Sequence[File]) -> dict[str, FeatureStore]:
    """Open stores under the names of the characters that they hold, else under their folders'."""
    opened = open_stores(stores)
    named = {_whose(store) or name: store for name, store in opened.items()}
    return named if len(named) == len(opened) else opened


def _whose(store: FeatureStore) -> str:
    """Return the character whose images a store holds; nothing if there is none, or several."""
    names = store.rows["character"].unique().to_pylist() if "character" in store.rows.column_names else []
    return names[0] or "" if len(names) == 1 else ""


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
    **written: File | None,
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
    **written
        What to write, as `write_results` has it.
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
        "origin": origin_of(asked if isinstance(asked, FeatureStore) else Path(queries).name, opened.values()),
        "model": {"name": asked.model.name, "sha256": asked.model.sha256},
        "stores": {
            name: {"rows": len(store), "models": [model.record() for model in store.models]}
            for name, store in opened.items()
        },
        "without_face": list(missed),
        "settings": settings,
    }
    return write_results(record, _retrieval_tables(settings, sum(map(len, opened.values()))), **written)


def report_table1(
    human: File,
    characters: Sequence[File],
    *,
    normalise: str = DEFAULT_NORMALISATION,
    siblings: bool = False,
    **written: File | None,
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
    **written
        What to write, as `write_results` has it.
    """
    queries, stores = FeatureStore.open(human), open_stores(characters)
    result = table1(queries, stores, normalise, siblings=siblings)
    record = {
        "origin": origin_of(queries, stores.values()),
        "normalisation": normalise,
        "model": queries.model.record(),
        "stores": {name: [model.record() for model in store.models] for name, store in stores.items()},
        **result.record(),
    }
    return write_results(record, result.tables(), **written)


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


def _retrieval_tables(settings: Sequence[dict[str, Any]], rows: int) -> list[Table]:
    """Return the means of each setting, and, of several stores, the share of right first matches of each."""
    first = settings[0]
    several = len(first["stores"]) > 1
    said = f"{first['queries']:,} queries against {rows:,} images"
    said += f" of {len(first['stores'])} stores, the mean over these;" if several else ";"
    said += f" the classifier names {first['classifier_accuracy']:.1%} of the queries rightly."
    shares = [name.replace("_", " ") for name in first["ratio_to_classifier"]]  # of the first and of the first `top`
    ratios = [f"{name} ÷ classifier" for name in shares]
    heads = ["normalisation", "geometric sort", *(head for pair in zip(shares, ratios, strict=True) for head in pair)]
    lines = []
    for setting in settings:
        pairs = ((setting[name], ratio) for name, ratio in setting["ratio_to_classifier"].items())
        sort = "yes" if setting["beta"] else "no"
        lines.append([setting["normalisation"], sort, *(cell for pair in pairs for cell in pair)])
    formats = {**dict.fromkeys(shares, ".1%"), **dict.fromkeys(ratios, ".2f")}
    tables = [Table("How often matches carry the query's expression", tuple(heads), lines, formats, said)]
    if several:
        columns = tuple(f"{one['normalisation']}{', sorted' if one['beta'] else ''}" for one in settings)
        lines = [[name, *(one["stores"][name]["top_1"] for one in settings)] for name in first["stores"]]
        lines.append(["mean", *(one["top_1"] for one in settings)])
        by_store = Table("The first match", ("top 1", *columns), lines, dict.fromkeys(columns, ".1%"), last=True)
        tables.append(by_store)
    return tables


def write_results(
    record: dict[str, Any],
    tables: Sequence[Table],
    *,
    json: File | None = None,
    markdown: File | None = None,
    csv: File | None = None,
) -> str:
    """Write an evaluation's tables and numbers, with what they were made from; return the Markdown.

    Parameters
    ----------
    record : dict
        Everything for JSON. Under `origin`, words on the data, split and models, which stand in every file.
    tables : sequence of Table
    json, markdown, csv : path, optional
        What to write; the command and versions stand beside. Several tables in a CSV are set apart by an empty line.
    """
    made = provenance()
    origin = {**record.get("origin", {}), "command": shlex.join(made["command"]), "made": made["made"]}
    origin = {name: words for name, words in origin.items() if words}
    shown = "\n".join(table.markdown() for table in tables)
    if json:
        write_json(json, {**record, "tables": [table.record() for table in tables], "provenance": made})
    text = f"{shown}\n{_listed(origin, '- **{}**: {}')}\n"
    if markdown:
        _write(markdown, text)
    if csv:
        _write(csv, f"{_listed(origin, '# {}: {}')}\n" + "\n".join(f"# {one.title}\n{one.csv()}" for one in tables))
    return text


def _listed(origin: Mapping[str, str], line: str) -> str:
    return "\n".join(line.format(name, words) for name, words in origin.items())


def _write(path: File, text: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
