"""Table 2 of Aneja et al. 2016: how often people recognise the expression of the best matches."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.report import File, write_results
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.votes import Recognised, Votes
from pydeepexpr.evaluation.table import Missing, Table
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["NO_VOTES", "PAPERS", "report_table2", "table2"]

#: What the papers report, percent, in label order (theirs has neutral before joy): of their own system, and of Adobe
#: Character Animator, which does not retrieve and cannot be measured here.
PAPERS = {
    "DeepExpr": (85, 86, 81, 97, 88, 89, 95),
    "Character Animator": (60, 47, 42, 95, 87, 43, 93),
}

NO_VOTES = Missing(
    "no answers of people were collected; make the study with tools/study.py recognition, read them with "
    "tools/study.py read and give votes.json to tools/evaluate.py table2"
)


def table2(votes: Votes | None) -> list[Table]:
    """Return the share of votes for the intended expression, an expression a row, and again a character a row.

    A question is one best match. Each counts alike, however many votes it got; one without votes is left out. The
    deviation is that of a sample, over the questions.

    Parameters
    ----------
    votes : Votes, optional
        Of a recognition study; without them every own number is missing.

    Returns
    -------
    list of Table

    Raises
    ------
    UserError
        If the votes are of a ranking study.
    """
    if votes and votes.kind != "recognition":
        raise UserError("Table 2 is of a recognition study, and these votes are of a ranking study; give the others")
    found = [its for its in votes.questions.values() if its.share is not None] if votes else []
    columns = ("DeepExpr", "±", "matches", "votes")
    rows = [
        [name, *_cells([its for its in found if its.intended == name], votes), *papers]
        for name, papers in zip(EXPRESSIONS, zip(*PAPERS.values(), strict=True), strict=True)
    ]
    averages = [float(np.mean(values)) for values in PAPERS.values()]
    rows.append(["average", *_average(rows, found, votes), *averages])
    formats = dict.fromkeys(("DeepExpr", "±", *map(_papers, PAPERS)), ".1f")
    heads = ("expression", *columns, *map(_papers, PAPERS))
    tables = [Table("Recognition by people (Table 2)", heads, rows, formats, _said(votes), last=True)]
    if found:
        characters = sorted({its.character for its in found})
        rows = [[name, *_cells([its for its in found if its.character == name], votes)] for name in characters]
        said = "Percent, over all expressions."
        tables.append(Table("Recognition by people, each character", ("character", *columns), rows, formats, said))
    return tables


def report_table2(votes: File | None = None, *, study: File | None = None, **written: File | None) -> str:
    """Write Table 2; return the Markdown.

    Parameters
    ----------
    votes : path, optional
        `votes.json` of a recognition study.
    study : path, optional
        Its `study.json`: then what is written says which data and models the matches came from.
    **written
        What to write, as `report.write_results` has it.

    Raises
    ------
    UserError
        If a file cannot be read, the votes are of a ranking study, or they are of another study than `study`.
    """
    collected = Votes.read(votes) if votes else None
    questionnaire = Questionnaire.read(study) if study else None
    if questionnaire and collected and questionnaire.identifier != collected.study:
        raise UserError(f"{os.fspath(votes)} holds votes of study {collected.study}, which {os.fspath(study)} is not")
    settings = dict(questionnaire.settings) if questionnaire else {}
    record: dict[str, Any] = {"origin": settings.get("origin", {}), "settings": settings}
    record["papers"] = {name: dict(zip(EXPRESSIONS, values, strict=True)) for name, values in PAPERS.items()}
    if collected:
        record["origin"] = {"votes": f"{os.fspath(votes)}, {collected.by}", **record["origin"]}
        record |= {name: getattr(collected, name) for name in ("study", "raters", "agreement")}
    return write_results(record, table2(collected), **written)


def _cells(matches: Sequence[Recognised], votes: Votes | None) -> list[Any]:
    """Return the mean share in percent, its deviation, and the numbers of matches and of votes."""
    if not votes:
        return [NO_VOTES] * 4
    shares = 100 * np.array([its.share for its in matches])
    mean = float(shares.mean()) if len(shares) else None
    deviation = float(shares.std(ddof=1)) if len(shares) > 1 else None
    return [mean, deviation, len(shares), sum(sum(its.votes.values()) for its in matches)]


def _average(rows: Sequence[Sequence[Any]], matches: Sequence[Recognised], votes: Votes | None) -> list[Any]:
    """Return the same of all expressions, each counting alike."""
    cells = _cells(matches, votes)
    means = [row[1] for row in rows if isinstance(row[1], float)]
    return [float(np.mean(means)), *cells[1:]] if means else cells


def _papers(name: str) -> str:
    return f"papers: {name}"


def _said(votes: Votes | None) -> str:
    said = "Percent of votes for the query's expression, the mean over best matches ± their sample standard deviation."
    if not votes:
        return said
    said += f" {votes.by}."
    if not votes.agreement:
        return said
    alpha = votes.agreement.get("alpha")
    measure = votes.agreement.get("measure", "agreement")
    if alpha is None:
        return f"{said} {measure} is undefined: {votes.agreement.get('why', 'no reason is given')}."
    return f"{said} {measure} between raters is {alpha:.3f} (1: they always agree, 0: as by chance)."
