"""From a net's gradients to its new parameters: rate, clipping, averaging, decay, and the solver's method."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.lr_policy import check_policy, drops_at, learning_rate
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.parallel import Alone
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.solver_log import log_updates, mean_data
from pydeepexpr.caffe.updates import METHODS, Step, UpdateMemory
from pydeepexpr.errors import UserError

__all__ = ["Updater", "check_updates"]


def check_updates(param: pb.SolverParameter, kind: str) -> None:
    """Raise a UserError if a solver's rate, decay or settings of its method (a row of `METHODS`) cannot be.

    A solver without an `lr_policy` may be made, as in Caffe; its first update raises the error.
    """
    if param.lr_policy:
        check_policy(param)
    if param.regularization_type not in ("L1", "L2"):
        raise UserError(f"regularization_type {param.regularization_type!r} is unknown; use L1 or L2")
    METHODS[kind].check(param, kind)


class Updater:
    """Caffe's ApplyUpdate.

    Parameters
    ----------
    net : Net
        What learns.
    param : SolverParameter
    kind : str
        The name of a row of `METHODS`.
    group : Alone
        The processes that train together.

    Attributes
    ----------
    history : list of torch.Tensor
        The method's memory, as a `.solverstate` keeps it.
    drops : int
        How often the rate was multiplied by `gamma` so far.
    """

    def __init__(self, net: Net, param: pb.SolverParameter, kind: str, group: Alone):
        self._net, self._param, self._method, self._group = net, param, METHODS[kind], group
        self.drops = 0
        self.history = [
            torch.zeros_like(blob.data_memory.tensor())
            for _ in range(self._method.histories)
            for blob, _ in net.learnable
        ]
        self._groups: dict[tuple[float, float], list[int]] = defaultdict(list)  # what learns at one rate
        for i, (blob, spec) in enumerate(net.learnable):
            blob.diff_memory = UpdateMemory(blob.shape)
            if spec.lr_mult:
                self._groups[spec.lr_mult, spec.decay_mult].append(i)

    def fits(self, history: Sequence[np.ndarray]) -> bool:
        """Whether stored histories, of any shapes, have the sizes of this net's."""
        return [array.size for array in history] == [tensor.numel() for tensor in self.history]

    def load(self, history: Sequence[np.ndarray], drops: int) -> None:
        """Go on from stored histories that fit."""
        for tensor, array in zip(self.history, history, strict=True):
            tensor.copy_(torch.from_numpy(array.reshape(tensor.shape)))
        self.drops = drops

    def update(self, iteration: int, displays: bool) -> None:
        """Change the parameters by their gradients, and let the gradients be what was taken off, as Caffe does."""
        rate = self._rate(iteration)
        if displays:
            log.info("Iteration %d, lr = %g", iteration, rate)
        debugs = displays and self._param.debug_info
        before = mean_data(self._net) if debugs else {}
        self._group.average([blob.diff_memory for blob, spec in self._net.learnable if spec.lr_mult])
        self._clip()
        for (lr_mult, decay_mult), members in self._groups.items():
            step = Step(self._param, rate * lr_mult, self._param.weight_decay * decay_mult, iteration + 1)
            self._update_group(step, members)
        if debugs:
            log_updates(self._net, before)

    def _rate(self, iteration: int) -> float:
        p, before = self._param, self.drops
        check_policy(p)
        self.drops = drops_at(p, iteration, before)
        if p.lr_policy == "multistep" and self.drops > before:
            log.info("MultiStep Status: Iteration %d, step = %d", iteration, self.drops)
        return learning_rate(p, iteration, self.drops)

    def _clip(self) -> None:
        """Scale all gradients together so that their L2 norm is at most `clip_gradients`."""
        limit = self._param.clip_gradients
        if limit < 0 or not self._net.learnable:
            return
        diffs = [blob.diff_memory.tensor() for blob, _ in self._net.learnable]
        norm = float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(diff) for diff in diffs])))
        if norm > limit:
            log.info(
                "Gradient clipping: scaling down gradients (L2 norm %g > %g) by scale factor %g",
                *(norm, limit, limit / norm),
            )
            for diff in diffs:
                diff.mul_(limit / norm)

    def _update_group(self, step: Step, members: Sequence[int]) -> None:
        learnable = self._net.learnable
        blobs = [learnable[i][0] for i in members]
        data = [blob.data_memory.tensor() for blob in blobs]
        diff = [blob.diff_memory.tensor() for blob in blobs]
        histories = [[self.history[n * len(learnable) + i] for i in members] for n in range(self._method.histories)]
        if self._param.iter_size > 1:
            for g in diff:
                g.mul_(1 / self._param.iter_size)
        taken = self._method.update(step, data, diff, *histories)
        for i, blob in enumerate(blobs):
            blob.diff_memory.put_later(partial(taken, i))
