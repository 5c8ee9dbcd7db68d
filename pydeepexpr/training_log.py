"""Caffe's training log as a table and as a curve. Reads the logs of this engine and of real Caffe alike."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from pydeepexpr.files import atomic_file

__all__ = ["COLUMNS", "draw_curve", "parse_log", "write_csv"]

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


def write_csv(path: Path, rows: Iterable[dict[str, float]]) -> None:
    """Write rows as CSV with a header."""
    with atomic_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def draw_curve(path: Path, rows: list[dict[str, float]], title: str) -> None:
    """Draw training and test loss, and test accuracy, over iterations as PNG (or PDF, by the name's ending)."""
    from matplotlib.figure import Figure  # slow to import, and most callers draw nothing

    def series(column: str) -> tuple[list[float], list[float]]:
        pairs = [(row["iteration"], row[column]) for row in rows if column in row]
        return [x for x, _ in pairs], [y for _, y in pairs]

    figure = Figure(figsize=(7.2, 4.0), dpi=150, layout="constrained")
    loss = figure.add_subplot()
    loss.plot(*series("train_loss"), color="#9db4c8", linewidth=1, label="training loss")
    loss.plot(*series("test_loss"), color="#1f5a8a", marker="o", markersize=3, label="test loss")
    loss.set(xlabel="iteration", ylabel="loss", title=title)
    loss.set_ylim(bottom=0)
    accuracy = loss.twinx()
    xs, ys = series("test_accuracy")
    accuracy.plot(xs, [100 * y for y in ys], color="#c8553d", marker="o", markersize=3, label="test accuracy")
    accuracy.set_ylabel("accuracy, %")
    accuracy.set_ylim(0, 100)
    for axes in (loss, accuracy):
        axes.spines["top"].set_visible(False)
    loss.grid(alpha=0.25)
    handles = loss.get_legend_handles_labels()[0] + accuracy.get_legend_handles_labels()[0]
    loss.legend(handles=handles, loc="center right", framealpha=0.85, edgecolor="none")
    with atomic_file(path) as partial:
        figure.savefig(partial, format=path.suffix[1:])
