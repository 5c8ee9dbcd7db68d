"""The flags of Caffe's main binary, which all of its four commands take, and what they make."""

from types import SimpleNamespace

from pydeepexpr.caffe.commands.flags import Flag
from pydeepexpr.caffe.interrupt import EFFECTS
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.errors import UserError

__all__ = ["CAFFE_FLAGS", "make_net", "read_model_flag", "stages"]

CAFFE_FLAGS = {
    "gpu": Flag("", "compute on this GPU (0), train on these (0,1), or use all of them (all)"),
    "solver": Flag("", "train: the solver's prototxt"),
    "model": Flag("", "test, time: the network's prototxt"),
    "phase": Flag("TRAIN", "time: the network's phase", choices=("TRAIN", "TEST")),
    "level": Flag(0, "the network's level"),
    "stage": Flag("", "the network's stages, with commas between"),
    "snapshot": Flag("", "train: a .solverstate to resume from"),
    "weights": Flag("", "train, test: .caffemodel files to begin with, with commas between; not with -snapshot"),
    "iterations": Flag(50, "test, time: how many batches"),
    "sigint_effect": Flag("stop", "train: what Ctrl-C asks for", choices=EFFECTS),
    "sighup_effect": Flag("snapshot", "train: what a hangup signal asks for", choices=EFFECTS),
}


def stages(flags: SimpleNamespace) -> list[str]:
    """Return the stages that `-stage` names."""
    return flags.stage.split(",") if flags.stage else []


def read_model_flag(flags: SimpleNamespace) -> pb.NetParameter:
    """Return the network's description that `-model` names.

    Raises
    ------
    UserError
        If there is no `-model`, it cannot be read, or `-iterations` is below 1.
    """
    if not flags.model:
        raise UserError("a model definition is needed: -model net.prototxt")
    if flags.iterations < 1:
        raise UserError(f"-iterations is 1 or more, not {flags.iterations}")
    return read_net(flags.model)


def make_net(flags: SimpleNamespace, param: pb.NetParameter, phase: int) -> Net:
    """Return the network with the layers that `-level` and `-stage` choose."""
    return Net(param, phase, level=flags.level, stages=stages(flags))
