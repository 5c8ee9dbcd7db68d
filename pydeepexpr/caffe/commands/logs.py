"""Where a command's log goes."""

import contextlib
import getpass
import os
import platform
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

from pydeepexpr.caffe.log import init_log, log, log_to

__all__ = ["shown"]


@contextlib.contextmanager
def shown(flags: SimpleNamespace, name: str) -> Iterator[None]:
    """Show the log on standard error, from `-minloglevel` up, and write it to a file in `-log_dir` where given."""
    level = log.level
    with contextlib.ExitStack() as files:
        streams = [sys.stderr]
        if flags.log_dir:
            stamp = f"{time.strftime('%Y%m%d-%H%M%S')}.{os.getpid()}"
            file = f"{name}.{platform.node()}.{getpass.getuser()}.log.INFO.{stamp}"  # as glog calls it
            streams.append(files.enter_context(open(os.path.join(flags.log_dir, file), "w", encoding="utf-8")))
        handlers = [log_to(stream) for stream in streams]
        init_log(flags.minloglevel)
        try:
            yield
        finally:
            for handler in handlers:
                log.removeHandler(handler)
            log.setLevel(level)
