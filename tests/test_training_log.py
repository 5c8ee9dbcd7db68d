"""Reading Caffe's log. The lines below have the form that BVLC Caffe 1.0 writes."""

import csv

from pydeepexpr.training_log import COLUMNS, draw_curve, parse_log, write_csv

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


def test_an_empty_log_has_no_rows_and_still_a_curve(tmp_path):
    assert parse_log("") == []
    draw_curve(tmp_path / "curve.png", [], "nothing")
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_csv(tmp_path):
    write_csv(tmp_path / "log.csv", parse_log(LOG))
    rows = list(csv.reader((tmp_path / "log.csv").open()))
    assert tuple(rows[0]) == COLUMNS
    assert rows[2] == ["20", "1e-05", "0.15", "", ""]
