"""Several processes that train one net together, through torch.distributed, as the GPUs of Caffe's `-gpu all` do.

Each takes the prototxt's batch: in the phase TRAIN, number r of n reads every n-th record from the r-th on. The
gradients are averaged before each update, so that n processes do, up to rounding, what one does with a batch n times
larger. Crops and mirrors are those of the larger batch too. Otherwise than there, each process draws dropout's masks,
`WindowData`'s windows and `DummyData`'s values for itself, normalises by its own batch in `BatchNorm` and by its own
count of labels in a loss that ignores some, and what goes over a whole batch sees its own. The first process tests,
logs, takes snapshots and shows its own batch's loss.
"""

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator, Sequence
from datetime import timedelta

import torch
import torch.distributed as dist

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.blob import Memory
from pydeepexpr.caffe.log import log
from pydeepexpr.errors import UserError

__all__ = ["Alone", "Ended", "Group", "current_group", "free_port", "gpus_here", "is_one_of_several", "join", "joined"]

_PATIENCE = timedelta(days=1)  # while the first process tests or takes a snapshot, the others wait to agree with it


class Ended(UserError):
    """Another process has ended, and this one cannot go on alone."""


class Alone:
    """The only process of a training, which has nobody to agree with."""

    def first(self, number: int) -> int:
        """Return the first process's number."""
        return number

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process. All wait here for each other."""
        return flag

    def spread(self, memories: Sequence[Memory]) -> None:
        """Take over what the first process's arrays hold."""

    def average(self, memories: Sequence[Memory]) -> None:
        """Replace arrays, float32, by their means over the processes."""


class Group(Alone):
    """Several processes, of which this is one.

    Arrays travel by NCCL between GPUs. What the processes agree on travels by gloo between their CPUs, which neither
    waits for a GPU nor outlives a process that dies.

    Raises
    ------
    Ended
        By each method, if another process has ended or cannot be reached.
    """

    def __init__(self):
        self._control = dist.new_group(backend="gloo", timeout=_PATIENCE)

    def first(self, number: int) -> int:
        told = torch.tensor([number])
        with _meeting():
            dist.broadcast(told, 0, self._control)
        return int(told)

    def any(self, flag: bool) -> bool:
        told = torch.tensor([int(flag)])
        with _meeting():
            dist.all_reduce(told, dist.ReduceOp.MAX, self._control)
        return bool(told)

    def spread(self, memories: Sequence[Memory]) -> None:
        with _meeting():
            for memory in memories:
                dist.broadcast(memory.tensor(), 0)

    def average(self, memories: Sequence[Memory]) -> None:
        if not memories:
            return
        flat = torch.cat([memory.tensor().reshape(-1) for memory in memories])
        with _meeting():
            dist.all_reduce(flat)
        flat.div_(dist.get_world_size())
        parts = flat.split([memory.tensor().numel() for memory in memories])
        for memory, part in zip(memories, parts, strict=True):
            memory.put(part.view(memory.shape))

    def close(self, together: bool) -> None:
        """Leave. When all leave together NCCL's communicators end too; else that would wait for the others."""
        dist.destroy_process_group(self._control)
        del self._control  # only then gloo closes its connections, by which the others learn of it
        if together or dist.get_backend() != "nccl":
            dist.destroy_process_group()


@contextlib.contextmanager
def _meeting() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise Ended(
            f"another process of this training has ended or cannot be reached ({_reason(error)}); see its error"
        ) from None


def _reason(error: Exception) -> str:
    """Return the first sentence of PyTorch's message, without the place in its sources."""
    return re.sub(r"^\[\S+:\d+\] ", "", str(error)).splitlines()[0].split(". ")[0]


_groups: list[Alone] = [Alone()]


def current_group() -> Alone:
    """Return the group of the solvers made now."""
    return _groups[-1]


def is_one_of_several() -> bool:
    """Whether torchrun or `launch` started this process, as their environment variables say."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def free_port() -> int:
    """Return a port of this machine on which nobody listens, for processes to meet at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def gpus_here(gpus: Sequence[int]) -> list[int]:
    """Return those of some GPUs that this process computes on: all where it is alone, else its own, by `LOCAL_RANK`.

    Raises
    ------
    UserError
        If there are fewer GPUs than processes on this machine. None at all stands for the CPU.
    """
    if not gpus or not is_one_of_several():
        return list(gpus)
    place = int(os.environ.get("LOCAL_RANK", "0"))
    if place >= len(gpus):
        raise UserError(
            f"{place + 1} processes or more on this machine share {len(gpus)} GPU(s); "
            "name one for each (-gpu all), or start fewer"
        )
    return [gpus[place]]


@contextlib.contextmanager
def joined() -> Iterator[Alone]:
    """Let the solvers made within train together with those of the processes that were started beside this one.

    On the device that was chosen before. Processes but the first log warnings and errors only. All leave together: one
    that ends with an error ends the others with an error. A process that was started alone stays alone.

    Raises
    ------
    UserError
        If the others cannot be reached.
    """
    if not is_one_of_several():
        yield current_group()
        return
    group = join()
    before, level = (mode.solver_count(), mode.solver_rank()), log.level
    _place(dist.get_world_size(), dist.get_rank())
    if not mode.is_root_solver():
        log.setLevel(max(level, logging.WARNING))
    _groups.append(group)
    together = False
    try:
        yield group
        group.any(False)
        together = True
    finally:
        _groups.pop()
        log.setLevel(level)
        _place(*before)
        group.close(together)


def join(address: str | None = None, count: int = -1, rank: int = -1) -> Group:
    """Meet the other processes, as the environment says or as number `rank` of `count` at a ``tcp://`` address.

    Raises
    ------
    UserError
        If they cannot be reached.
    """
    on_gpu = mode.device().type == "cuda"
    if on_gpu:
        torch.cuda.set_device(mode.device())
    try:
        dist.init_process_group("nccl" if on_gpu else "gloo", address, world_size=count, rank=rank)
        return Group()
    except (RuntimeError, ValueError) as error:
        raise UserError(f"cannot join the other processes of this training: {_reason(error)}") from None


def _place(count: int, rank: int) -> None:
    mode.set_solver_count(count)
    mode.set_solver_rank(rank)
