"""A function over many items in threads, its results in order and in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pydeepexpr.workers import available_cores

__all__ = ["in_order"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 4  # items a thread


def in_order(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yield `function(item)` for each item, computed by threads that never run far ahead of the reader."""
    threads = available_cores()
    with ThreadPoolExecutor(threads) as pool:
        coming: deque[Future] = deque()
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > _AHEAD * threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
