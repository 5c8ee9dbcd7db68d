"""Solvers: the training loop, tests, snapshots (pycaffe's `SGDSolver`, `get_solver`)."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from torch.optim.sgd import sgd as sgd_step

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.allocator import keep_freed_memory
from pydeepexpr.caffe.datum import array_to_blobproto, blobproto_to_array
from pydeepexpr.caffe.interrupt import stop_on_interrupt
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.lr_policy import learning_rate
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message, read_net, read_solver
from pydeepexpr.caffe.weights import save_weights
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["SOLVERS", "NesterovSolver", "SGDSolver", "get_solver"]


class Solver:
    """What all solvers share; a kind of solver is a subclass that says how gradients become updates.

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
        Iterations done.
    param : SolverParameter
    history : list of torch.Tensor
        The method's memory (momentum), as a `.solverstate` keeps it.
    """

    def __init__(self, param: str | os.PathLike | pb.SolverParameter):
        self.param = param if isinstance(param, pb.SolverParameter) else read_solver(param)
        self.iter = 0
        learning_rate(self.param, 0)  # an unknown policy is better told now than after the first batch
        if self.param.regularization_type not in ("L1", "L2"):
            raise UserError(f"regularization_type {self.param.regularization_type!r} is unknown; use L1 or L2")
        if self.param.snapshot:  # and so are a missing prefix and a format that is not written
            self._snapshot_name("")
        if self.param.snapshot or self.param.snapshot_after_train:
            self._check_snapshot_format()
        if self.param.random_seed >= 0:
            mode.set_random_seed(self.param.random_seed)
        keep_freed_memory()
        self.net = Net(*_train_net(self.param))
        self.test_nets = [Net(net, mode.TEST, level, stages) for net, level, stages in _test_nets(self.param)]
        if len(self.test_nets) != len(self.param.test_iter):
            raise UserError(
                f"the solver has {len(self.test_nets)} test net(s) and {len(self.param.test_iter)} test_iter; "
                "give one test_iter for each"
            )
        if self.test_nets and self.param.test_interval <= 0 and self.param.HasField("test_interval"):
            raise UserError("test_interval must be above 0; leave it out to never test")
        self.history = self._empty_history()
        self._callbacks: list[tuple[Callable, Callable]] = []
        self._losses: deque[float] = deque(maxlen=max(self.param.average_loss, 1))
        self._displayed = (0, time.monotonic())

    def _empty_history(self) -> list[torch.Tensor]:
        return [torch.zeros_like(blob.data_memory.tensor()) for blob, _ in self.net.learnable]

    def update(self, data: torch.Tensor, diff: torch.Tensor, history: torch.Tensor, rate: float) -> torch.Tensor:
        """Change a parameter and its history in place, by its regularised gradient; return what was taken off."""
        raise NotImplementedError

    def add_callback(self, on_start: Callable[[], None], on_gradients_ready: Callable[[], None]) -> None:
        """Call the functions before each iteration and between its gradients and its update."""
        self._callbacks.append((on_start, on_gradients_ready))

    # Training

    def solve(self, resume_file: str | os.PathLike | None = None) -> None:
        """Train to `max_iter`, from a `.solverstate` where given, with tests and snapshots as the solver says.

        Ctrl-C ends the training after the iteration under way, with a snapshot to resume from; a second Ctrl-C ends
        it at once.
        """
        p = self.param
        log.info("Solving %s", self.net.name)
        log.info("Learning Rate Policy: %s", p.lr_policy)
        if resume_file is not None:
            self.restore(resume_file)
        with stop_on_interrupt() as stop:
            self._step_until(p.max_iter, stop)
        if stop.is_set():
            self.snapshot()
            log.info("Optimization stopped early.")
            return
        if p.snapshot_after_train and not (p.snapshot and self.iter % p.snapshot == 0 and self.iter):
            self.snapshot()
        if p.display and self.iter % p.display == 0:
            loss = self.net.forward_range(0, len(self.net.layers) - 1)
            self._losses.append(loss)
            log.info("Iteration %d, loss = %g", self.iter, np.mean(self._losses))
        if self._tests_now():
            self.test_all()
        log.info("Optimization Done.")

    def step(self, iterations: int) -> None:
        """Train so many iterations more."""
        self._step_until(self.iter + iterations)

    def _step_until(self, last: int, stop: threading.Event | None = None) -> None:
        """Train until iteration `last`, or until `stop` is set."""
        p = self.param
        self._displayed = (self.iter, time.monotonic())
        self._losses.clear()  # as Caffe: the displayed average is over this call
        while self.iter < last:
            if stop is not None and stop.is_set():
                return
            if self._tests_now() and (self.iter or p.test_initialization):
                self.test_all()
            self._seed_iteration()
            for on_start, _ in self._callbacks:
                on_start()
            self._losses.append(self._compute_gradients())
            displays = bool(p.display) and self.iter % p.display == 0
            if displays:
                self._display()
            for _, on_gradients_ready in self._callbacks:
                on_gradients_ready()
            self.apply_update(displays)
            self.iter += 1
            if p.snapshot and self.iter % p.snapshot == 0:
                self.snapshot()

    def _tests_now(self) -> bool:
        return bool(self.test_nets) and self.param.test_interval > 0 and self.iter % self.param.test_interval == 0

    def _seed_iteration(self) -> None:
        """Seed dropout by the iteration, so that a resumed training draws what the uninterrupted one draws."""
        if self.param.random_seed >= 0:
            torch.manual_seed(self.param.random_seed + 1 + self.iter)

    def _compute_gradients(self) -> float:
        self.net.clear_param_diffs()
        last = len(self.net.layers) - 1
        loss = 0.0
        for _ in range(self.param.iter_size):
            loss += self.net.forward_range(0, last)
            self.net.backward_range(last, 0)
        return loss / self.param.iter_size

    def apply_update(self, displays: bool = False) -> None:
        """Clip, normalise and regularise the gradients and change the parameters (Caffe's ApplyUpdate)."""
        p = self.param
        rate = learning_rate(p, self.iter)
        if displays:
            log.info("Iteration %d, lr = %g", self.iter, rate)
        self._clip_gradients()
        for (blob, spec), history in zip(self.net.learnable, self.history, strict=True):
            if spec.lr_mult == 0:
                continue
            data, diff = blob.data_memory.tensor(), blob.diff_memory.tensor()
            if p.iter_size > 1:
                diff.mul_(1 / p.iter_size)
            if decay := p.weight_decay * spec.decay_mult:
                diff.add_(data if p.regularization_type == "L2" else data.sign(), alpha=decay)
            blob.diff_memory.put(self.update(data, diff, history, rate * spec.lr_mult))

    def _clip_gradients(self) -> None:
        """Scale all gradients together so that their L2 norm is at most `clip_gradients`."""
        limit = self.param.clip_gradients
        if limit < 0:
            return
        diffs = [blob.diff_memory.tensor() for blob, _ in self.net.learnable]
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(diff) for diff in diffs])))
        if norm > limit:
            for diff in diffs:
                diff.mul_(limit / norm)

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
        outputs = {name: self.net.blobs[name].data for name in self.net.outputs}
        _log_outputs("Train", self.net, outputs)

    def test_all(self) -> list[dict[str, np.ndarray]]:
        """Run every test net for its `test_iter` batches; log and return the outputs' means."""
        results = []
        for i, (net, batches) in enumerate(zip(self.test_nets, self.param.test_iter, strict=True)):
            log.info("Iteration %d, Testing net (#%d)", self.iter, i)
            net.share_with(self.net)
            sums: dict[str, np.ndarray] = {}
            loss = 0.0
            for _ in range(batches):
                loss += net.forward_range(0, len(net.layers) - 1)
                for name in net.outputs:
                    sums[name] = sums.get(name, 0) + net.blobs[name].data.astype(np.float64)
            means = {name: total / batches for name, total in sums.items()}
            if self.param.test_compute_loss and batches:
                log.info("Test loss: %g", loss / batches)
            _log_outputs("Test", net, means)
            results.append(means)
        return results

    # Snapshots

    def _snapshot_name(self, suffix: str) -> str:
        if not self.param.snapshot_prefix:
            raise UserError("the solver takes snapshots but has no snapshot_prefix; add one")
        return f"{self.param.snapshot_prefix}_iter_{self.iter}{suffix}"

    def _check_snapshot_format(self) -> None:
        if self.param.snapshot_format != pb.SolverParameter.BINARYPROTO:
            raise UserError("snapshot_format HDF5 is not written so far; use BINARYPROTO")

    def snapshot(self) -> None:
        """Write `PREFIX_iter_N.caffemodel` and `.solverstate`, each whole or not at all, the state last."""
        self._check_snapshot_format()
        model, state = self._snapshot_name(".caffemodel"), self._snapshot_name(".solverstate")
        log.info("Snapshotting to binary proto file %s", model)
        save_weights(self.net, model, with_diff=self.param.snapshot_diff)
        log.info("Snapshotting solver state to binary proto file %s", state)
        proto = pb.SolverState(iter=self.iter, learned_net=model, current_step=self._current_step())
        proto.history.extend(array_to_blobproto(history.cpu().numpy()) for history in self.history)
        with atomic_file(state) as partial:
            partial.write_bytes(proto.SerializeToString())

    def _current_step(self) -> int:
        p = self.param
        if p.lr_policy == "multistep":
            return sum(self.iter >= value for value in p.stepvalue)
        return self.iter // p.stepsize if p.lr_policy == "step" else 0

    def restore(self, state_file: str | os.PathLike) -> None:
        """Go on from a `.solverstate`: parameters, history, iteration, and the place in the training data.

        Raises
        ------
        UserError
            If the state or the model it names cannot be read, or its history does not fit the net.
        """
        state = read_message(state_file, pb.SolverState(), "solver state")
        if not state.history and not state.learned_net:
            raise UserError(f"{os.fspath(state_file)} is no solver state")
        arrays = [blobproto_to_array(proto, what=f"{os.fspath(state_file)}: a history") for proto in state.history]
        expected = [tuple(history.shape) for history in self.history]
        found = [array.shape for array in arrays]
        if len(found) != len(expected) or any(np.prod(a) != np.prod(b) for a, b in zip(found, expected, strict=True)):
            raise UserError(
                f"the solver state {os.fspath(state_file)} holds {len(found)} histories that do not fit this net's "
                f"{len(expected)} parameters; resume with the solver and the net that made it"
            )
        if state.learned_net:
            self.net.copy_from(_beside(state_file, state.learned_net))
        for history, array in zip(self.history, arrays, strict=True):
            history.copy_(torch.from_numpy(array.reshape(history.shape)))
        self.iter = state.iter
        for layer in self.net.layers:
            layer.skip_to(self.iter * self.param.iter_size)
        log.info("Restored the solver from %s at iteration %d", os.fspath(state_file), self.iter)

    def close(self) -> None:
        """Stop the threads of the nets' data layers."""
        for net in (self.net, *self.test_nets):
            net.close()


def _beside(state_file: str | os.PathLike, model: str) -> str:
    """Return the model's path as the state names it, or beside the state where the two were moved together."""
    moved = os.path.join(os.path.dirname(os.fspath(state_file)), os.path.basename(model))
    return moved if not os.path.exists(model) and os.path.exists(moved) else model


def _log_outputs(phase: str, net: Net, outputs: dict[str, np.ndarray]) -> None:
    """Log each value of each output, with its share in the loss, as Caffe does."""
    number = 0
    for name, values in outputs.items():
        weight = net.blob_loss_weights[name]
        for value in np.ravel(values):
            share = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log.info("    %s net output #%d: %s = %g%s", phase, number, name, value, share)
            number += 1


def _train_net(param: pb.SolverParameter) -> tuple:
    """Return (description, phase, level, stages) of the one training net that the solver names."""
    named = [param.HasField(field) for field in ("train_net_param", "train_net", "net_param", "net")]
    if sum(named) != 1:
        raise UserError("the solver must name its net once: net, net_param, train_net or train_net_param")
    if named[0]:
        net = param.train_net_param
    elif named[2]:
        net = param.net_param
    else:
        net = read_net(param.train_net if named[1] else param.net)
    return net, mode.TRAIN, param.train_state.level, list(param.train_state.stage)


def _test_nets(param: pb.SolverParameter) -> list[tuple]:
    """Return (description, level, stages) of the test nets: those named, then as many of `net` as test_iter wants."""
    nets = [*param.test_net_param, *(read_net(path) for path in param.test_net)]
    missing = len(param.test_iter) - len(nets)
    if missing > 0 and (param.HasField("net") or param.HasField("net_param")):
        own = param.net_param if param.HasField("net_param") else read_net(param.net)
        nets += [own] * missing
    states = list(param.test_state) or [pb.NetState()] * len(nets)
    if len(states) != len(nets):
        raise UserError(f"the solver has {len(nets)} test nets and {len(states)} test_state; give none or one for each")
    return [(net, state.level, list(state.stage)) for net, state in zip(nets, states, strict=True)]


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum: v ← μ·v + η·g, w ← w − v."""

    def update(self, data, diff, history, rate):
        momentum = self.param.momentum
        if momentum:  # one pass over memory: PyTorch's v ← μ·v + (1 − dampening)·g, w ← w − lr·v
            sgd_step(
                [data], [diff], [history], fused=True, lr=1.0, momentum=momentum, dampening=1 - rate,
                weight_decay=0.0, nesterov=False, maximize=False,
            )  # fmt: skip
        else:
            data.sub_(torch.mul(diff, rate, out=history))
        return history


class NesterovSolver(Solver):
    """Nesterov's accelerated gradient: v ← μ·v + η·g, w ← w − (1 + μ)·v + μ·v of the step before."""

    def update(self, data, diff, history, rate):
        momentum = self.param.momentum
        taken = history * -momentum
        history.mul_(momentum).add_(diff, alpha=rate)
        taken.add_(history, alpha=1 + momentum)
        data.sub_(taken)
        return taken


#: Solver classes by the name in `SolverParameter.type`.
SOLVERS: dict[str, type[Solver]] = {"SGD": SGDSolver, "Nesterov": NesterovSolver}


def get_solver(path: str | os.PathLike) -> Solver:
    """Return the solver that a prototxt describes, of the kind its `type` names."""
    param = path if isinstance(path, pb.SolverParameter) else read_solver(path)
    if param.type not in SOLVERS:
        raise UserError(f"solver type {param.type!r} is unknown; use one of: {', '.join(SOLVERS)}")
    return SOLVERS[param.type](param)
