"""Many small tasks over the cores, their results in order."""

import itertools
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import TypeVar

import cv2

from pydeepexpr.errors import UserError

try:
    import resource
except ImportError:  # not on Windows
    resource = None

__all__ = ["available_cores", "available_memory", "run_all"]

T = TypeVar("T")

_AHEAD = 3  # chunks a worker, so that none waits and the tasks are not all made at once

#: Every core has a worker: threads of their libraries would only get in each other's way.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Return how many bytes this process may still take: what is free, and no more than its own limit.

    Where the system does not say what is free, there is only the limit.
    """
    bounds = [sys.maxsize]
    if os.path.exists("/proc/meminfo"):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        bounds += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    if resource:
        limits = (resource.getrlimit(which)[0] for which in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
        bounds += [limit for limit in limits if limit != resource.RLIM_INFINITY]
    return min(bounds)


def run_all(tasks: Iterable[Callable[[], T]], workers: int, chunk: int = 16) -> Iterator[T]:
    """Call the tasks in `workers` processes and yield what they return, in their order.

    A worker takes `chunk` tasks at a time, and no more are made than the workers need, so their number does not matter.
    They and their results must be picklable. With one worker they run in this process.

    Raises
    ------
    UserError
        If a worker process dies. What a task raises is raised here.
    """
    if workers == 1:
        yield from (task() for task in tasks)
        return
    chunks = _chunks(tasks, chunk)
    # Spawned, not forked: the threads of OpenCV do not survive a fork.
    with _environment(_ONE_THREAD), ProcessPoolExecutor(workers, get_context("spawn"), _start) as pool:
        waiting = deque(pool.submit(_run, chunk) for chunk in itertools.islice(chunks, _AHEAD * workers))
        try:
            while waiting:
                yield from waiting.popleft().result()
                waiting.extend(pool.submit(_run, chunk) for chunk in itertools.islice(chunks, 1))
        except BrokenProcessPool:
            raise UserError("a worker process died (out of memory?); run the same command again to go on") from None
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile: libraries read them as they are loaded."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _chunks(tasks: Iterable[T], size: int) -> Iterator[list[T]]:
    tasks = iter(tasks)
    while chunk := list(itertools.islice(tasks, size)):
        yield chunk


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent_process().join()  # a parent that is killed cannot end its workers, and they would wait for ever
    os._exit(1)


def _run(tasks: list[Callable[[], T]]) -> list[T]:
    return [task() for task in tasks]
