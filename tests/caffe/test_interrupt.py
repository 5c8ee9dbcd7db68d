"""Ctrl-C between two iterations."""

import os
import signal
import threading

import pytest

from pydeepexpr.caffe.interrupt import stop_on_interrupt


@pytest.fixture(autouse=True)
def handlers():
    """The handlers before the test, which must be those after it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    assert {number: signal.getsignal(number) for number in before} == before


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_the_event(number):
    with stop_on_interrupt() as stop:
        assert not stop.is_set()
        send(number)
        assert stop.is_set()


def test_the_second_interrupt_is_the_usual_one():
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as stop:
        send(signal.SIGINT)
        assert stop.is_set()
        send(signal.SIGINT)


def test_an_error_inside_restores_the_handlers():
    with pytest.raises(ValueError, match="mine"), stop_on_interrupt():
        raise ValueError("mine")


def test_one_inside_another(handlers):
    with stop_on_interrupt() as outer:
        with stop_on_interrupt() as inner:
            send(signal.SIGINT)
        assert inner.is_set() and not outer.is_set()
        send(signal.SIGINT)
        assert outer.is_set()


def test_outside_the_main_thread_nothing_is_caught():
    seen = []

    def run():
        with stop_on_interrupt() as stop:
            seen.append((signal.getsignal(signal.SIGINT), stop.is_set()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGINT), False)]
