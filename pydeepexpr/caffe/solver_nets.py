"""The nets that a solver trains and tests, and where in their data they are."""

from collections.abc import Callable

import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.layers.reading import Reader
from pydeepexpr.caffe.layers.recurrent import Recurrent
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.caffe.resume import Place
from pydeepexpr.caffe.upgrade import upgrade_net
from pydeepexpr.errors import UserError

__all__ = ["SolverNet", "make_test_nets", "make_train_net"]


class SolverNet(Net):
    """A net of a solver's: its state comes from the solver, and it knows where in its data it is."""

    def __init__(self, described: pb.NetParameter, phase: int, own: pb.NetState | None = None):
        param = pb.NetParameter()
        param.CopyFrom(described)
        param.state.CopyFrom(pb.NetState(phase=phase))
        param.state.MergeFrom(described.state)
        if own is not None:
            param.state.MergeFrom(own)
        super().__init__(param, param.state.phase)
        self._passes = 0

    def forward_range(self, first: int, last: int) -> float:
        loss = super().forward_range(first, last)
        self._passes += first == 0
        return loss

    _forward = forward_range

    def load(self, weights: list[str]) -> None:
        """Copy parameters from a solver's `weights`: files, or lists of files with commas between."""
        for name in (name.strip() for names in weights for name in names.split(",")):
            log.info("Finetuning from %s", name)
            self.copy_from(name)

    def output_values(self) -> dict[str, np.ndarray]:
        """Return the outputs, without making them the user's."""
        return {name: _values(self, name).cpu().numpy() for name in self.outputs}

    def average(self, batches: int, goes_on: Callable[[], bool]) -> tuple[float, dict[str, np.ndarray]]:
        """Return the mean loss and outputs of so many batches, or of fewer where `goes_on` says no before one."""
        loss, sums = 0.0, {}
        count = 0
        while count < batches and goes_on():
            loss += self.forward_range(0, len(self.layers) - 1)
            sums = {name: sums.get(name, 0) + _values(self, name) for name in self.outputs}
            count += 1
        return loss / max(count, 1), {name: (total / count).cpu().numpy() for name, total in sums.items()}

    def place(self) -> Place:
        """Return where the net is."""
        layers = (step.layer for step in self.steps if isinstance(step.layer, Recurrent))
        return Place(
            self._passes, [[state.detach().float().cpu().numpy() for state in layer.state] for layer in layers]
        )

    def go_to(self, place: Place, seed: int) -> None:
        """Go on from a place, as a net whose data layers were seeded by `seed`."""
        states = iter(place.states)
        with mode.seeded(seed):
            for layer in (step.layer for step in self.steps):
                if isinstance(layer, Reader) and layer.seed != seed:
                    layer.close()
                    layer.setup()
                elif isinstance(layer, Recurrent):
                    layer.state = [torch.tensor(state, device=mode.device()) for state in next(states, ())]
                layer.skip_to(place.passes)
        self._passes = place.passes


def _values(net: Net, name: str) -> torch.Tensor:
    return net.blobs[name].data_memory.tensor().to(torch.float64)


def make_train_net(param: pb.SolverParameter) -> SolverNet:
    """Return the one training net that a solver names.

    Raises
    ------
    UserError
        If it names none or several, or the net cannot be built.
    """
    fields = ("net", "net_param", "train_net", "train_net_param")
    named = [field for field in fields if param.HasField(field)]
    if len(named) != 1:
        raise UserError(f"the solver must name its net once: net, net_param, train_net or train_net_param, not {named}")
    described, source = _described(getattr(param, named[0]), named[0])
    log.info("Creating training net from %s", source)
    return SolverNet(described, mode.TRAIN, param.train_state)


def make_test_nets(param: pb.SolverParameter) -> list[SolverNet]:
    """Return the test nets: those that a solver names, then as many of `net` or `net_param` as `test_iter` has left.

    Raises
    ------
    UserError
        If their number does not fit those of `test_iter` and `test_state`, or a net cannot be built.
    """
    named = [("test_net_param", net) for net in param.test_net_param] + [("test_net", net) for net in param.test_net]
    for field in ("net_param", "net"):
        if param.HasField(field):
            named += [(field, getattr(param, field))] * (len(param.test_iter) - len(named))
    states = list(param.test_state) or [None] * len(named)
    if len(states) != len(named):
        raise UserError(
            f"the solver has {len(named)} test nets and {len(states)} test_state; give none or one for each"
        )
    if len(named) != len(param.test_iter):
        raise UserError(
            f"the solver has {len(named)} test net(s) and {len(param.test_iter)} test_iter; give one test_iter for each"
        )
    nets = []
    for i, ((field, net), state) in enumerate(zip(named, states, strict=True)):
        described, source = _described(net, field)
        log.info("Creating test net (#%d) specified by %s", i, source)
        nets.append(SolverNet(described, mode.TEST, state))
    return nets


def _described(net: str | pb.NetParameter, field: str) -> tuple[pb.NetParameter, str]:
    """Return a net's description and, for the log, where the solver has it from."""
    return (read_net(net), f"{field} file: {net}") if isinstance(net, str) else (upgrade_net(net, field), field)
