"""The log's lines are glog's: `I0102 03:04:05.678901  2345 solver.py:67] message`."""

import io
import logging
import os
import re
import subprocess
import sys

import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.log import log, log_to


def test_a_line():
    stream = io.StringIO()
    handler = log_to(stream)
    try:
        for level, message in (
            (logging.INFO, "Iteration %d, lr = %g"),
            (logging.WARNING, "%d %g"),
            (logging.ERROR, "%d %g"),
        ):
            record = log.makeRecord(log.name, level, "/somewhere/solver.py", 67, message, (3, 0.01), None)
            record.created = 1704164645.678901
            handler.handle(record)
    finally:
        log.removeHandler(handler)
    lines = stream.getvalue().splitlines()
    stamp = r"\d{4} \d\d:\d\d:05\.67890[01]"  # hour and minute are local ones
    assert re.fullmatch(rf"I{stamp} +{os.getpid()} solver\.py:67\] Iteration 3, lr = 0\.01", lines[0])
    assert [line[0] for line in lines] == ["I", "W", "E"]


def test_nothing_is_shown_until_somebody_asks():
    code = "from pydeepexpr.caffe.log import log, log_to; log.warning('hidden'); log_to(); log.info('shown')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "" and "hidden" not in done.stderr and done.stderr.rstrip().endswith("] shown")


@pytest.fixture
def unset(monkeypatch):
    """The log as nobody has set it up, and afterwards as it was."""
    before = log.level
    monkeypatch.setattr(log, "handlers", [logging.NullHandler()])
    yield
    log.setLevel(before)


@pytest.mark.parametrize(("level", "shown"), [(0, "IWE"), (1, "WE"), (2, "E"), (3, ""), (9, ""), (-1, "IWE")])
def test_pycaffes_init_log(unset, capsys, level, shown):
    caffe.log("hidden")
    caffe.init_log(level)
    caffe.init_log(level)
    caffe.log("100 % shown")
    log.warning("warning")
    log.error("error")
    lines = capsys.readouterr().err.splitlines()
    assert "".join(line[0] for line in lines) == shown
    assert not lines or shown[0] != "I" or lines[0].endswith("] 100 % shown")
