"""A table of results: once for people, once for spreadsheets, once for programs."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Cell", "Missing", "Table"]


@dataclass(frozen=True)
class Missing:
    """A number that could not be made, and why."""

    why: str


#: A word, a number, a number that could not be made, or nothing where none belongs.
Cell = str | float | int | Missing | None


@dataclass(frozen=True)
class Table:
    """Rows of cells under headings.

    Attributes
    ----------
    title : str
        A line.
    columns : tuple of str
        Headings; the first names what the rows are.
    rows : sequence of sequence of Cell
        NaN counts as nothing.
    formats : dict of str to str
        How the numbers of a column are printed, as `format` takes it; by default whole numbers with commas, others with
        three digits.
    said : str
        What stands above the table: the data, what counts as good.
    last : bool
        Whether the last row sums the others up.
    """

    title: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]
    formats: Mapping[str, str] = field(default_factory=dict)
    said: str = ""
    last: bool = False

    def texts(self) -> list[list[str]]:
        """Return the cells as people read them; `–` where there is nothing, `missing` and a number for its reason."""
        reasons = self.reasons()
        return [
            [self._text(column, cell, reasons) for column, cell in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    def reasons(self) -> list[str]:
        """Return why cells are missing, each reason once, in the order of the cells."""
        return list(dict.fromkeys(cell.why for row in self.rows for cell in row if isinstance(cell, Missing)))

    def markdown(self) -> str:
        """Return it as Markdown: what is said, the table, and the reasons of what is missing."""
        lines = [f"| {' | '.join(row)} |" for row in (self.columns, *self.texts())]
        lines.insert(1, f"| --- |{' ---: |' * (len(self.columns) - 1)}")
        parts = [self.said, "\n".join(lines)]
        parts += [f"missing ({number}): {why}." for number, why in enumerate(self.reasons(), 1)]
        return "\n\n".join(filter(None, parts)) + "\n"

    def csv(self) -> str:
        """Return it as CSV with numbers in full; a missing one is an empty cell, with the reasons in a last column."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        gaps = bool(self.reasons())
        writer.writerow([*self.columns, "missing"] if gaps else self.columns)
        for row in self.rows:
            why = "; ".join(dict.fromkeys(cell.why for cell in row if isinstance(cell, Missing)))
            cells = ["" if isinstance(cell, Missing) or _is_nothing(cell) else cell for cell in row]
            writer.writerow([*cells, why] if gaps else cells)
        return text.getvalue()

    def record(self) -> dict[str, Any]:
        """Return it for JSON: numbers as they are, null for nothing, ``{"missing": why}`` for what is missing."""
        return {
            "title": self.title,
            "said": self.said,
            "columns": list(self.columns),
            "rows": [[_plain(cell) for cell in row] for row in self.rows],
            "formats": dict(self.formats),
            "last": self.last,
        }

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> "Table":
        """Return the table that `record` described."""
        rows = [
            [Missing(cell["missing"]) if isinstance(cell, dict) else cell for cell in row] for row in record["rows"]
        ]
        formats, said, last = record["formats"], record["said"], record["last"]
        return Table(record["title"], tuple(record["columns"]), rows, formats, said, last)

    def _text(self, column: str, cell: Cell, reasons: Sequence[str]) -> str:
        if isinstance(cell, Missing):
            return f"missing ({reasons.index(cell.why) + 1})"
        if _is_nothing(cell):
            return "–"
        if isinstance(cell, str):
            return cell
        return format(cell, self.formats.get(column, ",d" if isinstance(cell, int) else ".3f"))


def _is_nothing(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, float) and math.isnan(cell))


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Missing):
        return {"missing": cell.why}
    return None if _is_nothing(cell) else cell
