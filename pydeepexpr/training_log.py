"""Caffe's training log as a table. Reads the logs of this engine and of real Caffe alike."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["COLUMNS", "parse_log", "read_run", "write_csv"]

#: The table's columns: a row an iteration that the log speaks of; empty where it says nothing.
COLUMNS = ("iteration", "lr", "train_loss", "test_loss", "test_accuracy")

_ITERATION = re.compile(r"\] Iteration (\d+)")
_VALUES = {
    "train_loss": re.compile(r"\] Iteration \d+(?: \(.*\))?, loss = ([-+\deE.naif]+)"),
    "lr": re.compile(r"\] Iteration \d+, lr = ([-+\deE.]+)"),
    "test_loss": re.compile(r"Test net output #\d+: loss = ([-+\deE.naif]+)"),
    "test_accuracy": re.compile(r"Test net output #\d+: accuracy = ([-+\deE.]+)"),
}


def parse_log(text: str) -> list[dict[str, float]]:
    """Return the log's rows in the order of their iterations, keys from `COLUMNS`.

    Where a training was resumed and repeats iterations, what was logged last counts.
    """
    rows: dict[int, dict[str, float]] = {}
    iteration = None
    for line in text.splitlines():
        if found := _ITERATION.search(line):
            iteration = int(found[1])
        if iteration is None:
            continue
        for column, pattern in _VALUES.items():
            if found := pattern.search(line):
                rows.setdefault(iteration, {"iteration": iteration})[column] = float(found[1])
    return [rows[i] for i in sorted(rows)]


def read_run(path: Path) -> list[dict[str, float]]:
    """Return the rows of a training: of its folder (`train.log`, else `log.csv`), of a log, or of a `.csv`.

    Raises
    ------
    UserError
        If there is none of them, or it holds nothing about iterations.
    """
    candidates = [path / "train.log", path / "log.csv"] if path.is_dir() else [path]
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        raise UserError(f"{path} holds no training: neither train.log nor log.csv of tools/train.py")
    text = file.read_text(encoding="utf-8", errors="replace")
    rows = _parse_csv(text, file) if file.suffix == ".csv" else parse_log(text)
    if not rows:
        raise UserError(f"{file} says nothing about iterations; give a run that has begun to train")
    return rows


def _parse_csv(text: str, file: Path) -> list[dict[str, float]]:
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise UserError(f"{file} is no table of a training: its columns are not {', '.join(COLUMNS)}")
    try:
        rows = [{column: float(cell) for column, cell in row.items() if cell} for row in reader]
    except (TypeError, ValueError):
        rows = [{}]
    if not all("iteration" in row for row in rows):
        raise UserError(f"{file} is damaged: not every row says numbers and their iteration; give the training's log")
    return rows


def write_csv(path: Path, rows: Iterable[dict[str, float]]) -> None:
    """Write rows as CSV with a header."""
    with atomic_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
