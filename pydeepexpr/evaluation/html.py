"""Pieces of an HTML page that needs nothing beside itself: text, tables, pictures in the page."""

import base64
import shlex
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import cv2
import numpy as np

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file
from pydeepexpr.images import read_image

__all__ = ["card", "command", "missing", "picture", "section", "table", "write_page"]

_LONG = 26  # letters of a cell that still stand in one line


def write_page(path: Path, title: str, heading: str, lead: str, body: str, *, cards: str = "") -> Path:
    """Write a page of sections in the project's style, and return where it is.

    Parameters
    ----------
    path : path
    title, heading : str
        What the browser calls it, and what stands on top.
    lead, body, cards : str
        HTML: the introduction, the sections, and boxes with the most important numbers between them.
    """
    template = Template((files("pydeepexpr.evaluation") / "report_page.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), heading=escape(heading), lead=lead, cards=cards, body=body)
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def card(number: str, said: str, reached: bool | None = None, goal: str = "") -> str:
    """Return a box with one number; where there is a goal, whether it was reached."""
    kind = "" if reached is None else " good" if reached else " bad"
    verdict = "" if reached is None else f"<i>{'✓' if reached else '✗'} {escape(goal)}</i>"
    return f'<div class="card{kind}"><b>{number}</b><span>{escape(said)}</span>{verdict}</div>\n'


def section(title: str, *parts: str) -> str:
    """Return a section with its heading; `parts` are HTML."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{''.join(parts)}</section>\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], last: bool = False) -> str:
    """Return a table of texts, whose first column says what the row is; `last` sets the last row apart.

    Long texts may break into lines, numbers do not.
    """
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = ""
    for number, row in enumerate(rows):
        kind = ' class="last"' if last and number == len(rows) - 1 else ""
        cells = "".join(f"<td{_long(cell)}>{escape(cell)}</td>" for cell in row[1:])
        body += f"<tr{kind}><th{_long(row[0])}>{escape(row[0])}</th>{cells}</tr>\n"
    return f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'


def _long(text: str) -> str:
    return ' class="long"' if len(text) > _LONG else ""


def picture(image: np.ndarray | Path, said: str, wide: int, kind: str = "") -> str:
    """Return an image element that holds its picture.

    Parameters
    ----------
    image : (H, W, 3) uint8 array or path
        BGR, or a file; a missing or damaged one becomes a line that says so.
    said : str
        What it shows, for those who do not see it.
    wide : int
        The most pixels across.
    kind : str
        Its class in the page's style.
    """
    if isinstance(image, Path):
        try:
            image = read_image(image)
        except (UserError, OSError) as error:
            return missing(said, str(error))
    height, width = image.shape[:2]
    if width > wide:
        height, width = round(height * wide / width), wide
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    data = base64.b64encode(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 88))[1]).decode()
    size = f'width="{width}" height="{height}" alt="{escape(said)}"' + (f' class="{kind}"' if kind else "")
    return f'<img {size} src="data:image/jpeg;base64,{data}">\n'


def missing(what: str, why: str) -> str:
    """Return a line that says what is not on the page, and why."""
    return f'<p class="missing"><b>Missing:</b> {escape(what)} — {escape(why)}.</p>\n'


def command(*words: Sequence[str]) -> str:
    """Return the commands that made what stands above."""
    lines = "".join(f"<code>{escape(shlex.join(one))}</code>" for one in words)
    return f'<p class="by">{lines}</p>\n' if lines else ""
