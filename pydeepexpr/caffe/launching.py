"""Starting the processes that train together on this machine, one for each GPU."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing.process import BaseProcess

import torch

from pydeepexpr.caffe.parallel import Ended, free_port
from pydeepexpr.errors import UserError
from pydeepexpr.workers import available_cores

__all__ = ["launch"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE = 10.0  # seconds that the others have to end by themselves after one has failed
_TOLD = 75  # exit status of a process that has told its error


def launch(work: Callable[[], int | None], count: int) -> int:
    """Call `work` in so many new processes, as torchrun would start them; return 0, or the status of one that failed.

    Within it `parallel.joined` makes a group of them. Signals that this process gets (Ctrl-C, SIGTERM, SIGHUP) go to
    the first of them, and a stop from there to all. When one fails the others end too, and all end with this process.

    Parameters
    ----------
    work : callable
        Picklable; called without arguments. It returns the process's exit status, None for 0.
    count : int

    Raises
    ------
    UserError, OSError, KeyboardInterrupt
        What the first of them that failed raised. If one was killed, a UserError says by what.
    """
    spawn = get_context("spawn")  # CUDA does not survive a fork
    inboxes, outboxes = zip(*(spawn.Pipe(duplex=False) for _ in range(count)), strict=True)
    port = free_port()
    processes = [
        spawn.Process(target=_run, args=(work, rank, count, port, outbox)) for rank, outbox in enumerate(outboxes)
    ]
    try:
        with contextlib.ExitStack() as forwarding:
            with _blocked():
                for process in processes:
                    process.start()
                forwarding.enter_context(_forwarding_to(processes[0]))
            _wait(processes)
        return _outcome(processes, inboxes)
    finally:
        for process in processes:
            process.kill()


@contextlib.contextmanager
def _blocked() -> Iterator[None]:
    """Let the signals wait, in what is started here too, until it is ready for them."""
    resource_tracker.ensure_running()  # it unblocks signals when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _forwarding_to(process: BaseProcess) -> Iterator[None]:
    """Send signals on to a process. Outside the main thread, where they cannot be caught, nothing is sent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number, frame):
        if process.is_alive():
            os.kill(process.pid, number)

    before = {number: signal.signal(number, forward) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: Sequence[BaseProcess]) -> None:
    """Wait until all have ended or, some time after the first that failed, none will by itself."""
    deadline = None
    while waiting := [process.sentinel for process in processes if process.exitcode is None]:
        if deadline is None and any(process.exitcode for process in processes):
            deadline = time.monotonic() + _GRACE
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return
        connection.wait(waiting, left)


def _outcome(processes: Sequence[BaseProcess], inboxes: Sequence[connection.Connection]) -> int:
    """Return the exit status of the whole, or raise why it failed: what one told that did not end after another."""
    told = [inbox.recv() for inbox in inboxes if inbox.poll()]
    causes = [error for error in told if not isinstance(error, Ended)]
    for rank, process in enumerate(processes):
        if (process.exitcode or 0) < 0:
            name = signal.Signals(-process.exitcode).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            causes.append(UserError(f"process {rank} of the {len(processes)} was ended by {name}{hint}"))
    silent = [process.exitcode for process in processes if process.exitcode not in (None, 0, _TOLD)]
    if causes or (told and not silent):
        raise (causes or told)[0]
    return silent[0] if silent else 0


def _run(work: Callable[[], int | None], rank: int, count: int, port: int, outbox: connection.Connection) -> None:
    os.setpgid(0, 0)  # a terminal's Ctrl-C comes by way of the parent, once
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count))
    torch.set_num_threads(min(torch.get_num_threads(), max(available_cores() // count, 1)))
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        status = work()
    except (UserError, OSError, KeyboardInterrupt) as error:
        outbox.send(error)
        status = _TOLD
    sys.exit(status)


def _end_with_parent() -> None:
    parent_process().join()
    os._exit(1)
