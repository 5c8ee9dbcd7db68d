"""How Caffe's six methods make updates from gradients (the ComputeUpdateValue of its solvers)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from pydeepexpr.caffe.blob import Memory
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["METHODS", "Method", "Step", "UpdateMemory"]

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class Step:
    """What parameters w that learn at one rate are updated by.

    Attributes
    ----------
    param : SolverParameter
    rate : float
        η, the parameters' own.
    decay : float
        λ, the parameters' own. g ← g + λ·w comes before all else, or g ← g + λ·sign(w) where `regularization_type` is
        L1.
    number : int
        The number of this update, from 1.
    """

    param: pb.SolverParameter
    rate: float
    decay: float
    number: int


class Method(NamedTuple):
    """How a kind of solver updates.

    Attributes
    ----------
    update : callable
        ``update(step, w, g, *histories)`` of lists of float32 tensors changes w and the histories in place, and may
        spoil g. It returns a function from a place in the lists to what was taken off w there, which is right until
        the next update; what can be found from a history is computed only if somebody asks.
    histories : int
        Tensors of memory that each parameter has. A `.solverstate` keeps the first of all parameters, then the
        second of all.
    check : callable
        Raises a UserError if a SolverParameter does not suit the method, of this name.
    """

    update: Callable[..., Callable[[int], Tensor]]
    histories: int
    check: Callable[[pb.SolverParameter, str], None] = lambda param, kind: None


class UpdateMemory(Memory):
    """A parameter's gradient, which after an update is what was taken off the parameter: as soon as somebody looks."""

    def __init__(self, shape: Sequence[int]):
        super().__init__(shape)
        self._make: Callable[[], Tensor] | None = None

    def put_later(self, make: Callable[[], Tensor]) -> None:
        """Hold what `make` returns, which is called when it is read, or now if the user has a view of this memory."""
        if self.is_shown():
            self.put(make())
        else:
            self.clear()
            self._make = make

    def tensor(self) -> Tensor:
        if self._make is not None:
            self.put(self._make())
        return super().tensor()

    def put(self, tensor: Tensor) -> None:
        self._make = None
        super().put(tensor)

    def is_zero(self) -> bool:
        return self._make is None and super().is_zero()

    def clear(self) -> None:
        self._make = None
        super().clear()


def _add_decay(step: Step, w: Tensors, g: Tensors) -> None:
    if step.decay:
        for data, diff in zip(w, g, strict=True):
            diff.add_(data.sign() if step.param.regularization_type == "L1" else data, alpha=step.decay)


def _l2_decay(step: Step, w: Tensors, g: Tensors) -> float:
    """Return λ for a kernel that adds the L2 decay itself; add an L1 decay now."""
    if step.param.regularization_type == "L2":
        return step.decay
    _add_decay(step, w, g)
    return 0.0


def _sgd(step: Step, w: Tensors, g: Tensors, v: Tensors) -> Callable[[int], Tensor]:
    """v ← μ·v + η·g, w ← w − v."""
    if momentum := step.param.momentum:  # one pass over memory: PyTorch's v ← μ·v + (1 − dampening)·g, w ← w − lr·v
        sgd(
            w, g, v, fused=True, lr=1.0, momentum=momentum, dampening=1 - step.rate,
            weight_decay=_l2_decay(step, w, g), nesterov=False, maximize=False,
        )  # fmt: skip
    else:
        _add_decay(step, w, g)
        for data, diff, velocity in zip(w, g, v, strict=True):
            data.sub_(torch.mul(diff, step.rate, out=velocity))
    return lambda i: v[i].clone()


def _nesterov(step: Step, w: Tensors, g: Tensors, v: Tensors) -> Callable[[int], Tensor]:
    """v' ← μ·v + η·g, w ← w − (1 + μ)·v' + μ·v, which is w − μ·v' − η·g."""
    momentum = step.param.momentum
    if not momentum:
        return _sgd(step, w, g, v)
    _add_decay(step, w, g)
    for diff in g:
        diff.mul_(step.rate)
    sgd(w, g, v, fused=True, lr=1.0, momentum=momentum, dampening=0.0, weight_decay=0.0, nesterov=True, maximize=False)
    return lambda i: torch.add(g[i], v[i], alpha=momentum)


def _take_scaled(step: Step, w: Tensors, g: Tensors, squares: Tensors) -> Callable[[int], Tensor]:
    """w ← w − η·g / (√h + δ)."""
    for data, diff, square in zip(w, g, squares, strict=True):
        data.sub_(diff.div_(square.sqrt().add_(step.param.delta)).mul_(step.rate))
    return lambda i: g[i]


def _adagrad(step: Step, w: Tensors, g: Tensors, h: Tensors) -> Callable[[int], Tensor]:
    """h ← h + g², w ← w − η·g / (√h + δ)."""
    _add_decay(step, w, g)
    for diff, square in zip(g, h, strict=True):
        square.addcmul_(diff, diff)
    return _take_scaled(step, w, g, h)


def _add_square(h: Tensor, x: Tensor, share: float) -> None:
    """h ← share·h + (1 − share)·x²."""
    h.mul_(share).addcmul_(x, x, value=1 - share)


def _rmsprop(step: Step, w: Tensors, g: Tensors, h: Tensors) -> Callable[[int], Tensor]:
    """h ← ρ·h + (1 − ρ)·g², w ← w − η·g / (√h + δ); ρ is rms_decay."""
    _add_decay(step, w, g)
    for diff, square in zip(g, h, strict=True):
        _add_square(square, diff, step.param.rms_decay)
    return _take_scaled(step, w, g, h)


def _adadelta(step: Step, w: Tensors, g: Tensors, h: Tensors, u: Tensors) -> Callable[[int], Tensor]:
    """h ← μ·h + (1 − μ)·g², x = g·√((u + δ) / (h + δ)), u ← μ·u + (1 − μ)·x², w ← w − η·x."""
    momentum, delta = step.param.momentum, step.param.delta
    _add_decay(step, w, g)
    for data, diff, square, taken in zip(w, g, h, u, strict=True):
        _add_square(square, diff, momentum)
        diff.mul_(torch.add(taken, delta).div_(square + delta).sqrt_())
        _add_square(taken, diff, momentum)
        data.sub_(diff.mul_(step.rate))
    return lambda i: g[i]


def _adam(step: Step, w: Tensors, g: Tensors, m: Tensors, v: Tensors) -> Callable[[int], Tensor]:
    """m ← β₁·m + (1 − β₁)·g, v ← β₂·v + (1 − β₂)·g², w ← w − η·√(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + δ)."""
    p, t = step.param, step.number
    shrunk = math.sqrt(1 - p.momentum2**t)
    # PyTorch divides √v by `shrunk` before it adds its eps; it counts the updates itself, in a tensor for each w.
    counts = list(torch.full((len(w),), t - 1.0, device=w[0].device).unbind())
    adam(
        w, g, m, v, [], counts, fused=True, amsgrad=False, beta1=p.momentum, beta2=p.momentum2, lr=step.rate,
        weight_decay=_l2_decay(step, w, g), eps=p.delta / shrunk, maximize=False,
    )  # fmt: skip
    rate = step.rate * shrunk / (1 - p.momentum**t)
    return lambda i: (m[i] * rate).div_(v[i].sqrt().add_(p.delta))


def _check_share(param: pb.SolverParameter, name: str, kind: str) -> None:
    if not 0 <= (value := getattr(param, name)) < 1:
        raise UserError(f"a solver of type {kind!r} needs {name} from 0 to below 1, not {value:g}")


def _check_adagrad(param: pb.SolverParameter, kind: str) -> None:
    if param.momentum:
        raise UserError(f"a solver of type {kind!r} takes no momentum; leave it out")


def _check_rmsprop(param: pb.SolverParameter, kind: str) -> None:
    _check_adagrad(param, kind)
    _check_share(param, "rms_decay", kind)


def _check_adam(param: pb.SolverParameter, kind: str) -> None:
    _check_share(param, "momentum", kind)
    _check_share(param, "momentum2", kind)


#: The methods by the name in `SolverParameter.type`.
METHODS = {
    "SGD": Method(_sgd, 1),
    "Nesterov": Method(_nesterov, 1),
    "AdaGrad": Method(_adagrad, 1, _check_adagrad),
    "RMSProp": Method(_rmsprop, 1, _check_rmsprop),
    "AdaDelta": Method(_adadelta, 2),
    "Adam": Method(_adam, 2, _check_adam),
}
