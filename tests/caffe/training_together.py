"""What two processes do in the tests of training together. They tell what came of it in files of one folder."""

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch.distributed as dist

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.interrupt import signal_effects
from pydeepexpr.caffe.log import log, log_to
from pydeepexpr.caffe.parallel import Alone, current_group, joined
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import parameters

_LONGEST = 120  # seconds, after which what hangs is ended and the tests fail


def everything(folder: Path, equal: Sequence[str], ports: Sequence[int], uid: bytes) -> None:
    """Train together in many ways, and end in all that there are; the last kills the second process."""
    signal.alarm(_LONGEST)
    ports = iter(ports)
    rank = int(os.environ["RANK"])

    def joined_anew():
        os.environ["MASTER_PORT"] = str(next(ports))  # at the one before, the first process may still be listening
        return joined()

    def train(solver: str, name: str | None = None, **how) -> None:
        _train(folder, solver, f"{name or solver}_{rank}", **how)

    with joined_anew(), open(folder / f"log_{rank}", "w") as file:
        handler = log_to(file)
        for name in (*equal, "unseeded", "masks", "whole"):
            train(name)
        train("whole", "resumed", resume=folder / "out" / "whole_iter_3.solverstate")
        train("hangup", at_gradients=partial(_tell_the_launcher, signal.SIGHUP))
        train("stop", at_gradients=partial(_tell_the_launcher, signal.SIGINT))
        train("stop_in_test", at_test=partial(_tell_the_launcher, signal.SIGINT))
        train("sgd", "by_hand", loop=_by_hand)
        log.removeHandler(handler)
    assert (mode.solver_count(), mode.solver_rank(), type(current_group())) == (1, 0, Alone)

    caffe.set_solver_count(2)
    caffe.set_solver_rank(rank)
    train("sgd", "nccl", loop=partial(_as_pycaffes_example_does, uid))
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)

    try:
        with joined_anew():
            train("broken", at_gradients=_fail_in_the_second)
    except UserError as error:
        (folder / f"error_{rank}").write_text(f"{type(error).__name__}: {error}")
    with joined_anew():
        train("broken", "killed", at_gradients=_kill_the_second)


def _train(
    folder: Path,
    solver: str,
    out: str,
    resume: Path | None = None,
    loop: Callable | None = None,
    at_gradients: Callable | None = None,
    at_test: Callable | None = None,
) -> None:
    """Train, and write the parameters and where the training ended."""
    trained = caffe.get_solver(str(folder / f"{solver}.prototxt"))
    trained.signal_effects = signal_effects()
    if at_gradients:
        trained.add_callback(lambda: None, lambda: trained.iter == 3 and at_gradients())
    if at_test:
        trained.test_nets[0].before_forward(lambda layer: (trained.iter, layer) == (2, 0) and at_test())
    try:
        if loop:
            loop(trained)
        else:
            trained.solve(resume)
        np.savez(
            folder / f"{out}.npz",
            iter=trained.iter,
            seed=trained.seed,
            seen=trained.net.blobs["one"].data,
            **parameters(trained),
        )
    finally:
        trained.close()


def _by_hand(solver: caffe.Solver) -> None:
    for _ in range(solver.param.max_iter):
        solver.net.clear_param_diffs()
        solver.net.forward()
        solver.net.backward()
        solver.apply_update()


def _as_pycaffes_example_does(uid: bytes, solver: caffe.Solver) -> None:
    """Train as `solve` of pycaffe's train.py does."""
    if caffe.solver_rank():
        for blobs in solver.net.params.values():
            blobs[0].data[...] = 7
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)
    dist.destroy_process_group()


def _tell_the_launcher(number: int) -> None:
    """In the first process: send a signal to the process that started this one, and wait until it has come back."""
    if mode.is_root_solver():
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        before = signal.set_wakeup_fd(tell)
        os.kill(os.getppid(), number)
        os.read(told, 1)
        signal.set_wakeup_fd(before)


def _fail_in_the_second() -> None:
    if not mode.is_root_solver():
        raise UserError("this one is broken")


def _kill_the_second() -> None:
    if not mode.is_root_solver():
        os.kill(os.getpid(), signal.SIGKILL)
