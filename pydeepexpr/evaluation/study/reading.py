"""Read answer files: the page's JSON and CSV, and batch results of Mechanical Turk.

Damage is an error that says where; what only looks different (a byte order mark, line ends, semicolons) is read.
"""

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.answers import Session, check_study, session_of_page, session_of_rows
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.turk import is_batch, sessions_of_batch

__all__ = ["CSV_COLUMNS", "read_answers"]

#: Headings of the page's CSV file: a row an answer.
CSV_COLUMNS = ("study", "rater", "session", "question", "position", "choice", "order", "seconds")

_LONGEST_CELL = 1 << 26  # characters: a whole session is one cell of a batch


def read_answers(paths: Iterable[str | os.PathLike], questionnaire: Questionnaire) -> list[Session]:
    """Read any number of answer files, of any kind, in mixture.

    Returns
    -------
    list of Session
        In the order of the files; the same one twice if it is in two files.

    Raises
    ------
    UserError
        If a file cannot be read, is damaged, or answers another study.
    """
    sessions: list[Session] = []
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8-sig").strip()
        except OSError as error:
            raise UserError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"{os.fspath(path)} is no UTF-8 text; give it as the page saved it") from None
        if not text:
            raise UserError(f"{os.fspath(path)} is empty; ask its rater to save the answers again")
        read = _read_json if text[0] in "{[" else _read_csv
        sessions += read(text, questionnaire, os.fspath(path))
    return sessions


def _read_json(text: str, questionnaire: Questionnaire, name: str) -> list[Session]:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise UserError(f"{name} is damaged or cut short: {error}") from None
    records = record if isinstance(record, list) else [record]
    return [session_of_page(one, questionnaire, name) for one in records]


def _read_csv(text: str, questionnaire: Questionnaire, name: str) -> list[Session]:
    head = text.splitlines()[0]
    separator = max(",;\t", key=head.count)
    csv.field_size_limit(_LONGEST_CELL)
    try:
        heads, *lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    except csv.Error as error:
        raise UserError(f"{name} is no CSV file, or cut short: {error}") from None
    rows = []
    for number, line in enumerate(filter(None, lines), 2):
        if len(line) != len(heads):
            raise UserError(f"{name}, row {number}: {len(line)} cells under {len(heads)} headings; the file is damaged")
        rows.append(dict(zip(heads, line, strict=True)))
    if is_batch(heads):
        return sessions_of_batch(rows, questionnaire, name)
    if not {*CSV_COLUMNS} <= {*heads}:
        raise UserError(f"{name} has neither the headings of the page's CSV nor those of a batch of Mechanical Turk")
    sittings: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        check_study(row["study"], questionnaire, name)
        sittings.setdefault((row["session"], row["rater"]), []).append({**row, "order": row["order"].split()})
    return [session_of_rows(found, questionnaire, *whose, name) for whose, found in sittings.items()]
