"""What all solvers share: the training loop, with tests and snapshots."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.allocator import keep_freed_memory
from pydeepexpr.caffe.interrupt import DEFAULT_EFFECTS, NONE, SNAPSHOT, STOP, taking_requests
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.nccl import NCCL
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.parallel import current_group
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_solver
from pydeepexpr.caffe.resume import Place, Resume, read_resume, resume_path, write_resume
from pydeepexpr.caffe.snapshots import State, check_prefix, read_state, write_model, write_state
from pydeepexpr.caffe.solver_log import log_outputs
from pydeepexpr.caffe.solver_nets import make_test_nets, make_train_net
from pydeepexpr.caffe.updater import Updater, check_updates
from pydeepexpr.caffe.upgrade import upgrade_solver
from pydeepexpr.errors import UserError

__all__ = ["Solver", "read_param"]

_APART = 0x9E3779B1  # between the seeds of two processes: far within the 32 bits that PyTorch's CPU generator looks at


class Solver:
    """A training; a kind of solver is a subclass that names a row of `updates.METHODS`.

    Made within `parallel.joined`, it trains together with the solvers of other processes.

    Parameters
    ----------
    param : path-like or SolverParameter
        The solver's prototxt, or its parsed form.

    Attributes
    ----------
    net : Net
        The training net.
    test_nets : list of Net
        They share the training net's parameters.
    iter : int
        Updates done.
    param : SolverParameter
    seed : int
        Of all random choices: the solver's `random_seed`, or that of `set_random_seed`, or a fresh one.
    signal_effects : mapping of int to str
        What signals ask for during `solve`: ``stop``, ``snapshot`` or ``none``.

    Raises
    ------
    UserError
        If the solver or one of its nets cannot be read or built, or a setting is out of range.
    """

    kind: str

    def __init__(self, param: str | os.PathLike | pb.SolverParameter):
        self.param = read_param(param)
        _check(self.param)
        check_updates(self.param, self.kind)
        if self.param.random_seed >= 0:
            mode.set_random_seed(self.param.random_seed)
        self._group = current_group()
        self.seed = self._group.first(mode.random_seed())
        keep_freed_memory()
        with mode.seeded(self.seed):
            self.net = make_train_net(self.param)
            self.test_nets = make_test_nets(self.param)
        self._updater = Updater(self.net, self.param, self.kind, self._group)
        for net in (self.net, *self.test_nets):
            net.load(self.param.weights)
        for net in self.test_nets:
            net.debug_info = self.param.debug_info
        self.iter = 0
        self.signal_effects: Mapping[int, str] = DEFAULT_EFFECTS
        self._next_request: Callable[[], str] = lambda: NONE
        self._stopped = False
        self._shares_parameters = False
        self._callbacks: list[tuple[Callable, Callable]] = []
        self._losses: deque[float] = deque(maxlen=self.param.average_loss)
        self._losses_go_on = False
        self._displayed = (0, time.monotonic())
        self._places_before_test: list[Place] | None = None
        log.info("Solver scaffolding done.")

    @property
    def history(self) -> list[torch.Tensor]:
        """The method's memory (momentum and the like), as a `.solverstate` keeps it."""
        return self._updater.history

    def add_callback(
        self, on_start: Callable[[], object] | NCCL, on_gradients_ready: Callable[[], object] | None = None
    ) -> None:
        """Call the functions, or an `NCCL`'s, before each iteration and between its gradients and its update."""
        if isinstance(on_start, NCCL):
            on_start, on_gradients_ready = on_start.on_start, on_start.on_gradients_ready
        self._callbacks.append((on_start, on_gradients_ready))

    def share_weights(self, net: Net) -> None:
        """Let another net use the training net's parameters."""
        net.share_with(self.net)

    def close(self) -> None:
        """Stop the threads of the nets' data layers."""
        for net in (self.net, *self.test_nets):
            net.close()

    # Training

    def solve(self, resume_file: str | os.PathLike | None = None) -> None:
        """Train to `max_iter`, from a `.solverstate` where given, with tests and snapshots as the solver says.

        Ctrl-C ends the training after the iteration or the test batch under way, with a snapshot to resume from unless
        `snapshot_after_train` is false; a second Ctrl-C ends it at once. `signal_effects` can say otherwise.
        """
        p = self.param
        log.info("Solving %s", self.net.name)
        log.info("Learning Rate Policy: %s", p.lr_policy)
        if resume_file is not None:
            log.info("Restoring previous solver status from %s", os.fspath(resume_file))
            self.restore(resume_file)
        with taking_requests(self.signal_effects) as self._next_request:
            self._step_until(p.max_iter)
            if p.snapshot_after_train and not (p.snapshot and self.iter % p.snapshot == 0):
                self.snapshot()
            if not self._stopped:
                self._show_result()
        log.info("Optimization stopped early." if self._stopped else "Optimization Done.")

    def _show_result(self) -> None:
        """Display and test once more, to show where the last update has led."""
        if self._is_due(self.param.display):
            self._seed_iteration()
            self._losses.append(self.net.forward_range(0, len(self.net.layers) - 1))
            log.info("Iteration %d, loss = %g", self.iter, np.mean(self._losses))
        if self._is_due(self.param.test_interval):
            self.test_all()

    def step(self, iterations: int) -> None:
        """Train so many iterations more."""
        self._step_until(self.iter + iterations)

    def _step_until(self, last: int) -> None:
        """Train until iteration `last`, or until a signal asks for a stop."""
        p = self.param
        self._stopped = False
        self._displayed = (self.iter, time.monotonic())
        if not self._losses_go_on:
            self._losses.clear()  # as Caffe: the displayed average is over this call
        self._losses_go_on = False
        if not self._shares_parameters:
            self._group.spread([blob.data_memory for blob, _ in self.net.learnable])
            self._shares_parameters = True
        while self.iter < last and not self._stopped:
            if _is_time(p.test_interval, self.iter) and (self.iter or p.test_initialization):
                if mode.is_root_solver():
                    self.test_all()
                self._stopped = self._group.any(self._stopped)
                if self._stopped:
                    return
            self._seed_iteration()
            self.net.clear_param_diffs()
            for on_start, _ in self._callbacks:
                on_start()
            displays = self._is_due(p.display)
            self.net.debug_info = displays and p.debug_info
            self._losses.append(self._compute_gradients())
            if displays:
                self._display()
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            request = self._next_request()
            self._stopped = self._group.any(request == STOP)
            self.apply_update()
            if self._is_due(p.snapshot) or request == SNAPSHOT:
                self.snapshot()

    def _is_due(self, interval: int) -> bool:
        """Whether what happens every so many iterations, in one process of several, happens now and here."""
        return _is_time(interval, self.iter) and mode.is_root_solver()

    def _seed_iteration(self) -> None:
        """Seed dropout by the iteration, so that a resumed training draws what the uninterrupted one draws."""
        mode.seed_draws(self.seed + 1 + self.iter + mode.solver_rank() * _APART)

    def _compute_gradients(self) -> float:
        last = len(self.net.layers) - 1
        loss = 0.0
        for _ in range(self.param.iter_size):
            self.net.let_blob_diffs_go()
            loss += self.net.forward_range(0, last)
            self.net.backward_range(last, 0)
        return loss / self.param.iter_size

    def apply_update(self) -> None:
        """Change the parameters by the gradients that the net holds: clipped, averaged over `iter_size`, with decay."""
        self._updater.update(self.iter, displays=self._is_due(self.param.display))
        self.iter += 1

    def _display(self) -> None:
        since, then = self._displayed
        now = time.monotonic()
        done, took = self.iter - since, now - then
        speed = done / took if took > 0 else 0.0
        log.info(
            "Iteration %d (%g iter/s, %gs/%d iters), loss = %g",
            *(self.iter, speed, took, self.param.display, np.mean(self._losses)),
        )
        self._displayed = (self.iter, now)
        log_outputs("Train", self.net, self.net.output_values())

    # Tests

    def test_all(self) -> list[dict[str, np.ndarray]]:
        """Run every test net for its `test_iter` batches; log and return the outputs' means.

        A stop that a signal asks for ends it, and leaves the nets where they were in their data.
        """
        self._places_before_test = [net.place() for net in self.test_nets]
        results = []
        try:
            for i in range(len(self.test_nets)):
                results.append(self._test(i))
                if self._stopped:
                    log.info("Test interrupted.")
                    for net, place in zip(self.test_nets, self._places_before_test, strict=True):
                        net.go_to(place, self.seed)
                    return results[:i]
        finally:
            self._places_before_test = None
        return results

    def _test(self, number: int) -> dict[str, np.ndarray]:
        net = self.test_nets[number]
        log.info("Iteration %d, Testing net (#%d)", self.iter, number)
        net.share_with(self.net)
        self._seed_iteration()
        loss, means = net.average(self.param.test_iter[number], self._goes_on)
        if means and not self._stopped:
            if self.param.test_compute_loss:
                log.info("Test loss: %g", loss)
            log_outputs("Test", net, means)
        return means

    def _goes_on(self) -> bool:
        """Do what signals have asked for, and return whether none of them asked for a stop."""
        while (request := self._next_request()) != NONE:
            if request == SNAPSHOT:
                self.snapshot()
            self._stopped |= request == STOP
        return not self._stopped

    # Snapshots

    def _snapshot_name(self, suffix: str) -> str:
        return f"{self.param.snapshot_prefix}_iter_{self.iter}{suffix}"

    def snapshot(self) -> None:
        """Write `PREFIX_iter_N.caffemodel`, `.resume.json` and, last, `.solverstate`, each whole or not at all.

        With `snapshot_format: HDF5` the model and the state are `.caffemodel.h5` and `.solverstate.h5`. Of several
        processes that train together the first alone writes.
        """
        if not mode.is_root_solver():
            return
        check_prefix(self.param.snapshot_prefix)
        ending = ".h5" if self.param.snapshot_format == pb.SolverParameter.HDF5 else ""
        model, state = self._snapshot_name(f".caffemodel{ending}"), self._snapshot_name(f".solverstate{ending}")
        write_model(self.net, model, with_diff=self.param.snapshot_diff)
        places = [self.net.place(), *(self._places_before_test or [net.place() for net in self.test_nets])]
        write_resume(resume_path(state), Resume(self.iter, self.seed, places, list(self._losses)))
        history = [tensor.cpu().numpy() for tensor in self.history]
        write_state(state, State(self.iter, model, self._updater.drops, history))

    def restore(self, state_file: str | os.PathLike) -> None:
        """Go on from a `.solverstate`, this engine's or real Caffe's, in either format.

        Parameters, histories and the iteration come from there. Random choices, the place in the data and the averaged
        losses come from the `.resume.json` beside it; without one, as with real Caffe's, the place in the training data
        follows from the iteration. The solver's own `random_seed` goes before the recorded one.

        Raises
        ------
        UserError
            If the state or the model it names cannot be read, or its history does not fit the net. Nothing is changed
            then.
        """
        state = read_state(state_file)
        resume = read_resume(resume_path(state_file), state.iteration)
        if not self._updater.fits(state.history):
            raise UserError(
                f"the solver state {os.fspath(state_file)} holds {len(state.history)} histories that do not fit this "
                f"net's {len(self.history)}; resume with the solver and the net that made it"
            )
        if state.model:
            self.net.copy_from(_beside(state_file, state.model))
        self._updater.load(state.history, state.drops)
        self.iter = state.iteration
        if resume is None:
            resume = Resume(self.iter, self.seed, [Place(self.iter * self.param.iter_size)], [])
        if self.param.random_seed < 0:
            self.seed = resume.seed
        for net, place in zip((self.net, *self.test_nets), resume.places, strict=False):
            net.go_to(place, self.seed)
        self._losses.clear()
        self._losses.extend(resume.losses)
        self._losses_go_on = True
        self._shares_parameters = False
        log.info("Restored the solver from %s at iteration %d", os.fspath(state_file), self.iter)


def _is_time(interval: int, iteration: int) -> bool:
    """Whether what happens every `interval` iterations (0: never) happens in this one."""
    return bool(interval) and iteration % interval == 0


def read_param(param: str | os.PathLike | pb.SolverParameter) -> pb.SolverParameter:
    """Return a solver's description, of any age, from its prototxt or its parsed form."""
    return upgrade_solver(param) if isinstance(param, pb.SolverParameter) else read_solver(param)


def _check(param: pb.SolverParameter) -> None:
    """Raise a UserError for what is better told now than after the first batch or the first snapshot."""
    for name in ("average_loss", "iter_size"):
        if getattr(param, name) < 1:
            raise UserError(f"{name} must be 1 or more, not {getattr(param, name)}")
    if param.test_iter and param.test_interval <= 0 and param.HasField("test_interval"):
        raise UserError("test_interval must be above 0; leave it out to never test")
    if param.snapshot:
        check_prefix(param.snapshot_prefix)


def _beside(state_file: str | os.PathLike, model: str) -> str:
    """Return the model's path as the state names it, or beside the state where the two were moved together."""
    moved = os.path.join(os.path.dirname(os.fspath(state_file)), os.path.basename(model))
    return moved if not os.path.exists(model) and os.path.exists(moved) else model
