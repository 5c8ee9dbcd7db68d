"""The page that people answer on: one HTML file that needs nothing beside itself, not even a network.

It holds pictures and opaque identifiers in the order of these, and nothing of what the faces should show.
"""

import base64
import json
from collections.abc import Callable, Mapping
from html import escape
from importlib.resources import files
from string import Template

import cv2
import numpy as np

from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of
from pydeepexpr.evaluation.study.questionnaire import Questionnaire, identifier
from pydeepexpr.evaluation.study.reading import CSV_COLUMNS
from pydeepexpr.expressions import EXPRESSIONS

__all__ = ["TITLES", "jpeg", "shown_pictures", "study_page"]

#: What a page is called, by the kind of its study.
TITLES = {"recognition": "What does this face express?", "ranking": "Which faces express the same?"}

_WIDEST = 320  # pixels of a picture
_QUALITY = 88


def study_page(
    questionnaire: Questionnaire,
    pictures: Mapping[str, Callable[[], np.ndarray]],
    *,
    title: str = "",
    contact: str = "",
    per_rater: int | None = None,
) -> str:
    """Return a study's page as HTML.

    Parameters
    ----------
    questionnaire : Questionnaire
        With its attention checks (`checks.with_checks`).
    pictures : dict of str to function
        Each picture that is shown, by its identifier: (H, W, 3) uint8 BGR, loaded when called.
    title : str
        By default one of `TITLES`.
    contact : str
        Whom raters may ask, and send their answers to.
    per_rater : int, optional
        How many questions a session has, drawn by lot; by default all.

    Raises
    ------
    UserError
        If there is no question, or a rater is to see fewer than one.
    """
    if not questionnaire.questions:
        raise UserError("the study has no question; give results or faces to ask about")
    if per_rater is not None and per_rater < 1:
        raise UserError(f"--per-rater {per_rater}: a session needs a question; give 1 or more")
    ranking = questionnaire.kind == "ranking"
    questions = []
    for question in sorted(questionnaire.questions, key=lambda one: one.identifier):
        shown = {"id": question.identifier, "pictures": sorted(one.identifier for one in question.pictures)}
        if ranking and question.query:
            shown["query"] = question.query.identifier
        questions.append(shown)
    checks = [
        {"id": name, "pictures": list(check.pictures), "wanted": check.wanted}
        for name, check in checks_of(questionnaire).items()
    ]
    names = shown_pictures(questionnaire)
    study = {
        "study": questionnaire.identifier,
        "page": identifier(questionnaire.identifier, checks, per_rater),
        "kind": questionnaire.kind,
        "contact": contact,
        "most": per_rater,
        "expressions": EXPRESSIONS,
        "columns": CSV_COLUMNS,
        "questions": questions,
        "checks": checks,
        "pictures": {name: _data_uri(pictures[name]()) for name in progress(names, len(names), "pictures")},
    }
    return Template(_part("page.html")).substitute(
        title=escape(title or TITLES[questionnaire.kind]),
        contact=escape(contact),
        style=_part("page.css"),
        session=_part("session.js"),
        script=_part("page.js"),
        study=json.dumps(study, ensure_ascii=False).replace("<", "\\u003c"),
    )


def shown_pictures(questionnaire: Questionnaire) -> list[str]:
    """Return the identifiers of the pictures that raters see, sorted; a query that is to be recognised is not shown."""
    names = {picture.identifier for question in questionnaire.questions for picture in question.pictures}
    if questionnaire.kind == "ranking":
        names |= {question.query.identifier for question in questionnaire.questions if question.query}
    return sorted(names)


def jpeg(picture: np.ndarray) -> bytes:
    """Return a (H, W, 3) uint8 BGR picture as raters see it: a JPEG of at most 320 pixels across."""
    height, width = picture.shape[:2]
    if max(height, width) > _WIDEST:
        scale = _WIDEST / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1].tobytes()


def _data_uri(picture: np.ndarray) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture)).decode()


def _part(name: str) -> str:
    return (files("pydeepexpr.evaluation.study") / name).read_text(encoding="utf-8")
