"""Studies from files to files: what `tools/study.py` calls."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.report import write_results
from pydeepexpr.evaluation.study.checks import checks_of, with_checks
from pydeepexpr.evaluation.study.counting import count_votes
from pydeepexpr.evaluation.study.drawing import Drawn
from pydeepexpr.evaluation.study.key_poses import AGREEMENT, filter_key_poses
from pydeepexpr.evaluation.study.page import jpeg, shown_pictures, study_page
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.reading import read_answers
from pydeepexpr.evaluation.study.summary import summary
from pydeepexpr.evaluation.study.turk import hits_of
from pydeepexpr.evaluation.study.votes import Votes
from pydeepexpr.evaluation.study.voting import DEFAULT_VOTING
from pydeepexpr.files import atomic_file

__all__ = ["LICENCES", "report_answers", "report_filter", "write_study"]

File = str | os.PathLike

LICENCES = (
    "The page holds pictures of the databases that were drawn from: show it only where their licences allow that. "
    "FERG-DB, CK+, DISFA, KDEF, MMI and FER2013 have terms of their own; rendered people and characters have none."
)


def write_study(
    drawn: Drawn,
    out: File,
    *,
    checks: int = 2,
    seed: int = 2016,
    title: str = "",
    contact: str = "",
    per_rater: int | None = None,
    hits: bool = False,
) -> str:
    """Write a study's key and page into a folder; return what to do next.

    Parameters
    ----------
    drawn : Drawn
    out : path
        The folder: ``study.json``, ``page.html``; with `hits`, ``pictures/`` and ``hits.csv``, too.
    checks : int
        Attention checks (`checks.with_checks`).
    seed : int
        Fixes what these ask.
    title, contact, per_rater
        As `page.study_page` has them.
    hits : bool
        Write what Mechanical Turk needs for one question a HIT.

    Raises
    ------
    UserError
        If the folder holds another study, to which answers may come in; or the page cannot be made.
    """
    folder = Path(out)
    questionnaire = with_checks(drawn.questionnaire, checks, seed)
    if (folder / "study.json").exists() and _differs(folder / "study.json", questionnaire):
        raise UserError(f"{folder} holds another study, whose answers need its key; choose another --out")
    pictures = {name: cache(load) for name, load in drawn.pictures.items()}
    page = study_page(questionnaire, pictures, title=title, contact=contact, per_rater=per_rater)
    questionnaire.write(folder / "study.json")
    _write(folder / "page.html", page.encode())
    if hits:
        _write(folder / "hits.csv", hits_of(questionnaire).encode())
        for name in shown_pictures(questionnaire):
            _write(folder / "pictures" / f"{name}.jpg", jpeg(pictures[name]()))
    said = f"{len(questionnaire.questions)} questions, {checks} attention checks, {len(page) / 1e6:.1f} MB"
    return (
        f"{folder / 'page.html'}: {said}. Give it to people as a file, or put it on a web server.\n"
        f"{folder / 'study.json'}: the key, which tells what is right. Keep it, and do not give it to raters.\n"
        f"Then: tools/study.py read {folder / 'study.json'} ANSWERS… --json {folder / 'votes.json'}\n"
        f"{LICENCES}"
    )


def report_answers(
    study: File,
    answers: Sequence[File],
    *,
    voting: str = DEFAULT_VOTING,
    keep_inattentive: bool = False,
    **written: File | None,
) -> str:
    """Read answers, sum them up and write the votes; return what was left out, and the tables as Markdown.

    Parameters
    ----------
    study : path
        The study's key, ``study.json``.
    answers : sequence of path
        Files of the page, in either format, and batch results of Mechanical Turk.
    voting : {'borda', 'kemeny'}
    keep_inattentive : bool
        Count raters who failed an attention check, too.
    **written
        What to write, as `report.write_results` has it: the votes for `tools/study.py filter` and `tools/evaluate.py`,
        and their tables.
    """
    questionnaire = Questionnaire.read(study)
    sessions = read_answers(answers, questionnaire)
    votes = count_votes(questionnaire, sessions, voting, keep_inattentive=keep_inattentive)
    record = {"origin": questionnaire.settings.get("origin", {}), **votes.record()}
    text = write_results(record, summary(votes), **written)
    reasons = Counter(one["why"] for one in votes.left_out)
    lines = [f"{len(sessions)} sessions read, {votes.raters} counted."]
    lines += [f"left out, {why}: {count}" for why, count in reasons.items()]
    return "\n".join(lines) + f"\n\n{text}"


def report_filter(votes: File, out: File, *, agreement: float = AGREEMENT, kept: File | None = None) -> str:
    """Write the key poses that too few recognised (`key_poses.filter_key_poses`); return the counts as Markdown."""
    return filter_key_poses(Votes.read(votes), out, kept, agreement).markdown()


def _differs(path: Path, questionnaire: Questionnaire) -> bool:
    there = Questionnaire.read(path)
    return there.identifier != questionnaire.identifier or checks_of(there) != checks_of(questionnaire)


def _write(path: Path, content: bytes) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(content)
