"""Signals between two iterations."""

import os
import signal
import threading

import pytest

from pydeepexpr.caffe.interrupt import DEFAULT_EFFECTS, NONE, SNAPSHOT, STOP, signal_effects, taking_requests
from pydeepexpr.errors import UserError

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """The handlers before the test, which must be those after it."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield before
    assert {number: signal.getsignal(number) for number in before} == before


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop(number):
    with taking_requests() as next_request:
        assert next_request() == NONE
        send(number)
        assert next_request() == STOP
        assert next_request() == NONE


def test_the_second_interrupt_is_the_usual_one():
    with pytest.raises(KeyboardInterrupt), taking_requests() as next_request:
        send(signal.SIGINT)
        assert next_request() == STOP
        send(signal.SIGINT)


def test_an_interrupt_after_another_signal_to_stop_is_the_usual_one():
    with pytest.raises(KeyboardInterrupt), taking_requests():
        send(signal.SIGTERM)
        send(signal.SIGINT)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("effect", [STOP, SNAPSHOT, NONE])
def test_every_effect_of_every_signal(number, effect):
    with taking_requests({number: effect}) as next_request:
        send(number)
        assert next_request() == effect
        assert next_request() == NONE


def test_what_was_asked_for_comes_in_its_order_and_once():
    with taking_requests({signal.SIGHUP: SNAPSHOT, signal.SIGTERM: STOP}) as next_request:
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            send(number)
        assert [next_request() for _ in range(3)] == [SNAPSHOT, STOP, NONE]
        send(signal.SIGHUP)
        assert next_request() == SNAPSHOT


def test_snapshots_may_be_asked_for_again_and_again_by_ctrl_c():
    with taking_requests({signal.SIGINT: SNAPSHOT}) as next_request:
        for _ in range(3):
            send(signal.SIGINT)
            assert next_request() == SNAPSHOT


def test_an_error_inside_restores_the_handlers():
    with pytest.raises(ValueError, match="mine"), taking_requests():
        raise ValueError("mine")


def test_one_inside_another(handlers):
    with taking_requests() as outer:
        with taking_requests() as inner:
            send(signal.SIGINT)
            assert inner() == STOP and outer() == NONE
        send(signal.SIGINT)
        assert outer() == STOP


def test_what_was_not_asked_about_is_forgotten_at_the_end():
    with taking_requests() as next_request:
        send(signal.SIGTERM)
    assert next_request() == NONE


def test_outside_the_main_thread_nothing_is_caught():
    seen = []

    def run():
        with taking_requests() as next_request:
            seen.append((signal.getsignal(signal.SIGINT), next_request()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(signal.getsignal(signal.SIGINT), NONE)]


# As `caffe train` says them


def test_caffes_defaults():
    assert signal_effects() == {signal.SIGINT: STOP, signal.SIGTERM: STOP, signal.SIGHUP: SNAPSHOT}
    assert DEFAULT_EFFECTS == {signal.SIGINT: STOP, signal.SIGTERM: STOP}  # SIGHUP as it was


@pytest.mark.parametrize("sigint", [STOP, SNAPSHOT, NONE])
@pytest.mark.parametrize("sighup", [STOP, SNAPSHOT, NONE])
def test_flags(sigint, sighup):
    effects = signal_effects(sigint, sighup)
    assert (effects[signal.SIGINT], effects[signal.SIGHUP]) == (sigint, sighup)


@pytest.mark.parametrize("word", ["", "Stop", "kill", "snapshots"])
def test_unknown_effects(word):
    with pytest.raises(UserError, match=f"sigint_effect '{word}' is unknown; use one of: stop, snapshot, none"):
        signal_effects(sigint=word)
    with pytest.raises(UserError, match=f"sighup_effect '{word}' is unknown"):
        signal_effects(sighup=word)
