"""What every command-line front shares: errors as one line, and progress that suits a terminal or a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from pydeepexpr.errors import ToldError, UserError

__all__ = ["progress", "read_pairs", "run"]

T = TypeVar("T")


def run(main: Callable[[], int | None]) -> None:
    """Call `main` and exit: 0 or its return value, 2 after one line for a user's mistake, 130 for Ctrl-C."""
    try:
        status = main() or 0
    except ToldError:
        status = 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:  # the reader (head, less) has gone
        sys.stderr.close()
        status = 0
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error.strerror or error}: {error.filename or 'see above'}", file=sys.stderr)
        status = 2
    sys.exit(status)


def read_pairs(texts: Iterable[str], flag: str) -> dict[str, str]:
    """Return what arguments such as ``name=value`` say; `flag` is where they were given, for the error.

    Raises
    ------
    UserError
        If one has no ``=``, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UserError(f"{flag} {text} is no NAME=VALUE")
        if name in pairs:
            raise UserError(f"{flag} {name} is given twice")
        pairs[name] = value
    return pairs


def progress(items: Iterable[T], total: int, what: str, every_s: float = 15.0) -> Iterator[T]:
    """Yield from `items`, showing a bar on a terminal and a plain line every `every_s` seconds elsewhere."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, unit="img", dynamic_ncols=True)
        return
    started = said = time.monotonic()
    done = 0
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= every_s:
            said = now
            print(f"{what}: {done}/{total} ({done / (now - started):.0f}/s)", file=sys.stderr, flush=True)
    took = time.monotonic() - started
    print(f"{what}: {done} in {took:.1f} s", file=sys.stderr, flush=True)
