"""pycaffe's stopwatch."""

import time

from pydeepexpr import caffe
from pydeepexpr.caffe import timer


def clock(monkeypatch, *seconds):
    monkeypatch.setattr(timer, "_now", iter(seconds).__next__)


def test_from_start_to_stop(monkeypatch):
    clock(monkeypatch, 10.0, 10.25, 20.0, 20.5)
    watch = caffe.Timer()
    assert watch.ms == 0
    watch.start()
    watch.stop()
    assert watch.ms == 250 and watch.ms == 250
    watch.start()
    watch.stop()
    assert watch.ms == 500


def test_reading_ends_a_measurement_and_starting_again_begins_anew(monkeypatch):
    clock(monkeypatch, 1.0, 2.0, 2.125)
    watch = caffe.Timer()
    watch.start()
    watch.start()
    assert watch.ms == 125 and watch.ms == 125


def test_a_stop_without_a_start():
    watch = caffe.Timer()
    watch.stop()
    assert watch.ms == 0


def test_real_time_is_measured():
    watch = caffe.Timer()
    watch.start()
    time.sleep(0.01)
    assert watch.ms >= 10
