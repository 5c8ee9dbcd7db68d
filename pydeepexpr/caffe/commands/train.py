"""`train`: training or fine-tuning a model."""

import contextlib
from functools import partial
from types import SimpleNamespace

from google.protobuf import text_format

from pydeepexpr.caffe.commands.caffe_flags import CAFFE_FLAGS, stages
from pydeepexpr.caffe.commands.devices import gpus_named, gpus_of_solver, use
from pydeepexpr.caffe.commands.logs import shown
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.interrupt import signal_effects
from pydeepexpr.caffe.launching import launch
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.parallel import gpus_here, is_one_of_several, joined
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_solver
from pydeepexpr.caffe.solvers import get_solver
from pydeepexpr.errors import UserError

__all__ = ["train"]


@command(**CAFFE_FLAGS)
def train(flags: SimpleNamespace) -> int | None:
    """Train or fine-tune a model.

    Needs -solver. Without -gpu the solver's solver_mode and device_id choose the device; without any it is the CPU.
    Ctrl-C ends the iteration under way and takes a snapshot, a second one ends at once. On several GPUs each takes
    the prototxt's batch; `torchrun --nproc-per-node N -m pydeepexpr.caffe train …` does the same on several machines,
    or on the CPU.
    """
    param = _resolved(flags)
    gpus = gpus_named(flags.gpu) or gpus_of_solver(param)
    if len(gpus) > 1 and not is_one_of_several():
        log.info("Using GPUs %s", ", ".join(map(str, gpus)))
        return launch(partial(_beside_others, flags), len(gpus))
    use(gpus_here(gpus))
    with joined():
        log.info("Initializing solver from parameters:\n%s", text_format.MessageToString(param))
        with contextlib.closing(get_solver(param)) as solver:
            solver.signal_effects = signal_effects(flags.sigint_effect, flags.sighup_effect)
            if flags.snapshot:
                log.info("Resuming from %s", flags.snapshot)
            log.info("Starting Optimization")
            solver.solve(flags.snapshot or None)
        log.info("Optimization Done.")  # once more after the solver's, as Caffe's command does, and after a stop too
    return None


def _beside_others(flags: SimpleNamespace) -> int | None:
    with shown(flags, "train"):
        return train(flags)


def _resolved(flags: SimpleNamespace) -> pb.SolverParameter:
    """Return the solver with what the flags say about it."""
    if not flags.solver:
        raise UserError("a solver definition is needed to train: -solver solver.prototxt")
    if flags.snapshot and flags.weights:
        raise UserError("give -snapshot to resume a training or -weights to fine-tune, not both")
    param = read_solver(flags.solver)
    if flags.level:
        param.train_state.level = flags.level
    param.train_state.stage.extend(stages(flags))
    if flags.snapshot or flags.weights:
        param.ClearField("weights")
    if flags.weights:
        param.weights.append(flags.weights)
    return param
