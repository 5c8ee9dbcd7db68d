"""The log, in the line format of Caffe's glog: `I0102 03:04:05.678901  2345 solver.py:67] message`."""

import logging
import os
import sys
import time
from typing import TextIO

__all__ = ["init_log", "log", "log_message", "log_to"]

#: Python's levels in the order of glog's: INFO, WARNING, ERROR, FATAL.
_LEVELS = (logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)

#: The engine's logger. Nothing is shown before a handler is added, by `log_to` or by the user.
log = logging.getLogger("pydeepexpr.caffe")
log.setLevel(logging.INFO)
log.addHandler(logging.NullHandler())
log.propagate = False


class _GlogFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        microseconds = int(record.created % 1 * 1e6)
        head = f"{record.levelname[0]}{stamp}.{microseconds:06d} {os.getpid():5d} {record.filename}:{record.lineno}]"
        return f"{head} {record.getMessage()}"


def log_to(stream: TextIO | None = None) -> logging.Handler:
    """Write the log to a stream (standard error unless told) from now on; return the handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_GlogFormatter())
    log.addHandler(handler)
    return handler


def init_log(level: int = 0) -> None:
    """Show the log on standard error, from a level up: 0 all, 1 warnings, 2 errors (pycaffe's `init_log`)."""
    log.setLevel(_LEVELS[min(max(level, 0), len(_LEVELS) - 1)])
    if not any(type(handler) is logging.StreamHandler for handler in log.handlers):
        log_to()


def log_message(message: str) -> None:
    """Write a line to the log (pycaffe's `log`)."""
    log.info("%s", message)
