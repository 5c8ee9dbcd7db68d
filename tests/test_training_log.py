"""Reading Caffe's log. The lines below have the form that BVLC Caffe 1.0 writes."""

import csv

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.training_log import COLUMNS, parse_log, read_run, write_csv

LOG = """\
I0713 10:11:12.345678  4321 solver.cpp:279] Solving human
I0713 10:11:12.345699  4321 solver.cpp:280] Learning Rate Policy: step
I0713 10:11:12.347000  4321 solver.cpp:337] Iteration 0, Testing net (#0)
I0713 10:11:14.447000  4321 solver.cpp:404]     Test net output #0: accuracy = 0.125
I0713 10:11:14.447021  4321 solver.cpp:404]     Test net output #1: loss = 1.95 (* 1 = 1.95 loss)
I0713 10:11:14.557000  4321 solver.cpp:228] Iteration 0 (0 iter/s, 2.2s/20 iters), loss = 2.25
I0713 10:11:14.557100  4321 solver.cpp:244]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I0713 10:11:14.557200  4321 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I0713 10:11:24.557000  4321 solver.cpp:228] Iteration 20 (2 iter/s, 10s/20 iters), loss = 1.5e-01
I0713 10:11:24.557200  4321 sgd_solver.cpp:106] Iteration 20, lr = 1e-05
I0713 10:11:34.000000  4321 solver.cpp:454] Snapshotting to binary proto file human_iter_40.caffemodel
I0713 10:11:34.557000  4321 solver.cpp:317] Iteration 40, loss = nan
I0713 10:11:35.347000  4321 solver.cpp:337] Iteration 40, Testing net (#0)
I0713 10:11:36.447000  4321 solver.cpp:404]     Test net output #0: accuracy = 0.5
I0713 10:11:36.500000  4321 solver.cpp:322] Optimization Done.
"""


def test_rows():
    first, second, third = parse_log(LOG)
    assert first == {"iteration": 0, "lr": 0.01, "train_loss": 2.25, "test_loss": 1.95, "test_accuracy": 0.125}
    assert second == {"iteration": 20, "lr": 1e-05, "train_loss": 0.15}
    assert third["iteration"] == 40 and third["test_accuracy"] == 0.5 and third["train_loss"] != third["train_loss"]


def test_what_a_resumed_run_repeats_counts_last():
    again = LOG + "I0713 11:00:00.000000  9 solver.cpp:228] Iteration 20 (2 iter/s, 10s/20 iters), loss = 7\n"
    assert [row.get("train_loss") for row in parse_log(again)][:2] == [2.25, 7.0]


def test_an_empty_log_has_no_rows():
    assert parse_log("") == []


def test_csv(tmp_path):
    write_csv(tmp_path / "log.csv", parse_log(LOG))
    rows = list(csv.reader((tmp_path / "log.csv").open()))
    assert tuple(rows[0]) == COLUMNS
    assert rows[2] == ["20", "1e-05", "0.15", "", ""]


def test_a_run_is_read_from_its_log_else_from_its_table(tmp_path):
    """The log knows what the table of a run that goes on does not yet."""
    rows = parse_log(LOG)
    write_csv(tmp_path / "log.csv", rows[:2])
    assert read_run(tmp_path) == read_run(tmp_path / "log.csv") == rows[:2]
    (tmp_path / "train.log").write_text(LOG.replace("loss = nan", "loss = 1"))
    assert read_run(tmp_path) == read_run(tmp_path / "train.log") == [*rows[:2], {**rows[2], "train_loss": 1.0}]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.log", "", "train.log says nothing about iterations"),
        ("train.log", "I0713 solver.cpp] Solving human\n", "says nothing about iterations"),
        ("log.csv", "", "is no table of a training: its columns are not iteration, lr"),
        ("log.csv", "iteration,loss\n1,2\n", "is no table of a training"),
        ("log.csv", ",".join(COLUMNS) + "\n", "log.csv says nothing about iterations"),
        ("log.csv", ",".join(COLUMNS) + "\n1,2,three,,\n", "log.csv is damaged: not every row"),
        ("log.csv", ",".join(COLUMNS) + "\n1,2,3,4,5,6\n", "log.csv is damaged"),
        ("log.csv", ",".join(COLUMNS) + "\n,2,3,4,5\n", "log.csv is damaged"),
        ("other.txt", "Iteration", "holds no training: neither train.log nor log.csv"),
    ],
)
def test_runs_that_cannot_be_read(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        read_run(tmp_path)
