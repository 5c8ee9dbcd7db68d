"""The ranking correlation from files to files: what `tools/evaluate.py ranking` calls."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.ranking import ABOVE, Correlation, chance_deviations, correlate
from pydeepexpr.evaluation.ranking_figure import ranking_figure
from pydeepexpr.evaluation.report import File, write_results
from pydeepexpr.evaluation.stored_queries import RANKINGS
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.true_order import order_by_action_units
from pydeepexpr.evaluation.study.votes import Votes
from pydeepexpr.evaluation.style import Paths, check_ending
from pydeepexpr.evaluation.table import Cell, Missing, Table
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["NO_CROWD", "NO_EXPERT", "PAPERS", "expression_tables", "ranking_table", "report_ranking"]

NO_EXPERT = Missing(
    "no expert ranked the sets; make the study with tools/study.py ranking, let an expert answer its page and read the "
    "answers with tools/study.py read; for rendered faces --true-order stands in"
)
NO_CROWD = Missing(
    "no answers of people were collected; make the study with tools/study.py ranking and read them with tools/study.py "
    "read"
)

#: Aneja et al. 2016, section 5.2: mean, deviation and first rank's correlation, by side and coefficient.
PAPERS = {
    "expert": {"spearman": (0.773, 0.336, 0.934), "kendall": (0.706, 0.355, 0.910)},
    "crowd": {"spearman": (0.793, 0.3561, 0.942), "kendall": (0.716, 0.343, 0.927)},
}

#: "High correlation score of more than 0.8 for 93% of the experiments" (Aneja et al. 2019, section 4).
PAPERS_ABOVE = 0.93
_PAPERS_SETS, _PAPERS_NEGATIVE = 30, 2  # "only two of the rankings had (small) negative correlations"

_HEADS = {"deepexpr": "DeepExpr", "js": "JS alone", "geometry": "geometry alone"}

_COLUMNS = (
    "ranking",
    "against",
    "ρ",
    "± ρ",
    "first ρ",
    "τ",
    "± τ",
    "first τ",
    "same first",
    f"ρ > {ABOVE}",
    "ρ = 1",
    "ρ < 0",
    "sets",
    "no order",
)

Sides = Mapping[str, Mapping[str, Correlation] | Missing]


def report_ranking(
    study: File,
    *,
    expert: File | None = None,
    crowd: File | None = None,
    true_order: Sequence[File] = (),
    figure: Paths | None = None,
    **written: File | None,
) -> str:
    """Correlate the rankings of a study's sets with an expert's and with people's and write it; return the Markdown.

    Parameters
    ----------
    study : path
        `study.json` of a ranking study.
    expert, crowd : path, optional
        `votes.json` of an expert's answers, and of many people's.
    true_order : sequence of path
        `frames.parquet` of rendered people and characters, whose action units then stand in for the expert.
    figure : path or several, optional
        Figure 9.
    **written
        What else to write, as `report.write_results` has it.

    Raises
    ------
    UserError
        If a file cannot be read or is of another study, or both an expert and the true order are given.
    """
    if figure:
        check_ending(figure)
    if expert and true_order:
        raise UserError("--true-order stands in for an expert; give it or --expert")
    questionnaire = Questionnaire.read(study)
    votes = {"expert": Votes.read(expert) if expert else NO_EXPERT, "crowd": Votes.read(crowd) if crowd else NO_CROWD}
    if true_order:
        votes["expert"] = order_by_action_units(questionnaire, true_order)
    sides: Sides = {
        side: its if isinstance(its, Missing) else {name: correlate(questionnaire, its, name) for name in RANKINGS}
        for side, its in votes.items()
    }
    record = {
        "origin": {"study": os.fspath(study), **questionnaire.settings.get("origin", {})},
        "study": questionnaire.identifier,
        "settings": dict(questionnaire.settings),
        "agreement": {side: dict(its.agreement) for side, its in votes.items() if isinstance(its, Votes)},
        "correlations": {
            side: {"missing": its.why} if isinstance(its, Missing) else {name: its[name].record() for name in its}
            for side, its in sides.items()
        },
    }
    tables = [ranking_table(questionnaire, sides), *expression_tables(questionnaire, sides)]
    text = write_results(record, tables, **written)
    if figure:
        ranking_figure({side: _of_deepexpr(its) for side, its in sides.items()}, figure)
    return text


def ranking_table(questionnaire: Questionnaire, sides: Sides) -> Table:
    """Return all correlations beside the papers'.

    Parameters
    ----------
    questionnaire : Questionnaire
    sides : mapping of str to mapping of str to Correlation, or Missing
        `expert` and `crowd`: each by ranking, or why there is none.
    """
    rows: list[list[Cell]] = []
    for side, its in sides.items():
        if isinstance(its, Missing):
            rows.append(["all", side, *[its] * (len(_COLUMNS) - 2)])
        else:
            rows += [[_HEADS[name], f"{side}: {one.by}", *_cells(one)] for name, one in its.items()]
    for side, published in PAPERS.items():
        values = [*published["spearman"], *published["kendall"]]
        rows.append(["papers", side, *values, None, None, "over half", _PAPERS_NEGATIVE, _PAPERS_SETS, None])
    rows.append(["papers, 2019", "expert and crowd", *[None] * 7, PAPERS_ABOVE, None, None, _PAPERS_SETS, None])
    formats = {"same first": ".0%", f"ρ > {ABOVE}": ".0%", "ρ = 1": ".0%"}
    return Table("Ranking correlation (figure 9)", _COLUMNS, rows, formats, _said(questionnaire))


def expression_tables(questionnaire: Questionnaire, sides: Sides) -> list[Table]:
    """Return the mean ρ over the sets of each expression, a table a side that is there."""
    tables = []
    for side, its in sides.items():
        if isinstance(its, Missing):
            continue
        rows: list[list[Cell]] = []
        for name in EXPRESSIONS:
            these = {one.identifier for one in questionnaire.questions if one.pictures[0].expression == name}
            among = [one.among(these) for one in its.values()]
            rows.append([name, len(among[0].questions), *(one.mean("spearman") for one in among)])
        heads = ("expression", "sets", *(f"{_HEADS[name]}, ρ" for name in its))
        said = f"Against {its['deepexpr'].by}."
        tables.append(Table(f"Ranking correlation by expression: {side}", heads, rows, said=said))
    return tables


def _of_deepexpr(side: Mapping[str, Correlation] | Missing) -> Correlation | Missing:
    return side if isinstance(side, Missing) else side["deepexpr"]


def _cells(its: Correlation) -> list[Any]:
    coefficients = [
        number for name in its.coefficients for number in (its.mean(name), its.deviation(name), its.first_rank(name))
    ]
    shares = [its.same_first, its.share("spearman", ABOVE), its.perfect("spearman"), its.negative("spearman")]
    return [*coefficients, *shares, int(its.defined.sum()), int((~its.defined).sum())]


def _said(questionnaire: Questionnaire) -> str:
    sizes = sorted({len(question.pictures) for question in questionnaire.questions})
    characters = {picture.character for question in questionnaire.questions for picture in question.pictures}
    count = len(questionnaire.questions)
    said = (
        f"{count} sets of {' or '.join(map(str, sizes))} frames of {len(characters)} characters, "
        "drawn by lot among those retrieved with the query's label. Spearman's ρ and Kendall's τ-b between the places "
        "that a set's frames hold in a ranking and those that others give them: mean and sample standard deviation "
        "over sets; first: the coefficient of the two lists of frames put first; same first: how often that is one "
        "frame; no order: sets in which one side has all frames tied, which are counted nowhere else."
    )
    if len(sizes) == 1:
        spearman, kendall = chance_deviations(sizes[0]).values()
        said += f" By chance ρ and τ are 0 on average and deviate by {spearman:.3f} and {kendall:.3f}"
        said += f", and the same face comes first in {1 / sizes[0]:.0%} of the sets."
    if questionnaire.settings.get("query_labels") == "predicted":
        said += " The label of a query is the one that the network predicted."
    return said
