"""Signals as requests to a solver between two iterations: to stop, or to take a snapshot."""

import contextlib
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from threading import current_thread, main_thread

from pydeepexpr.errors import UserError

__all__ = ["DEFAULT_EFFECTS", "EFFECTS", "NONE", "SNAPSHOT", "STOP", "signal_effects", "taking_requests"]

STOP, SNAPSHOT, NONE = "stop", "snapshot", "none"

#: What a signal may ask for, as `caffe train` names it.
EFFECTS = (STOP, SNAPSHOT, NONE)

#: Effects by signal unless told. Other signals do what they did before.
DEFAULT_EFFECTS = {signal.SIGINT: STOP, signal.SIGTERM: STOP}


def signal_effects(sigint: str = STOP, sighup: str = SNAPSHOT) -> dict[int, str]:
    """Return the effects by signal that `caffe train -sigint_effect … -sighup_effect …` asks for, by its defaults.

    Raises
    ------
    UserError
        If an effect is none of `EFFECTS`.
    """
    for flag, effect in (("sigint_effect", sigint), ("sighup_effect", sighup)):
        if effect not in EFFECTS:
            raise UserError(f"{flag} {effect!r} is unknown; use one of: {', '.join(EFFECTS)}")
    return {**DEFAULT_EFFECTS, signal.SIGINT: sigint, signal.SIGHUP: sighup}


@contextlib.contextmanager
def taking_requests(effects: Mapping[int, str] = DEFAULT_EFFECTS) -> Iterator[Callable[[], str]]:
    """Yield a function that returns what was asked for since it was last called, one effect at a time, or `NONE`.

    The first signal that means `STOP` gives Ctrl-C its usual meaning back, so that a second one ends a long iteration.
    Outside the block, and outside the main thread, where signals cannot be caught, nothing is ever asked for.
    """
    pending: deque[str] = deque()

    def next_request() -> str:
        return pending.popleft() if pending else NONE

    if current_thread() is not main_thread():
        yield next_request
        return
    before = {number: signal.getsignal(number) for number in effects}

    def handle(number, frame):
        effect = effects[number]
        if effect != NONE and effect not in pending:
            pending.append(effect)
        if effect == STOP and signal.SIGINT in before:
            signal.signal(signal.SIGINT, before[signal.SIGINT])

    for number in effects:
        signal.signal(number, handle)
    try:
        yield next_request
    finally:
        pending.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
