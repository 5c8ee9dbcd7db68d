"""`upgrade_net_proto_text`, `upgrade_net_proto_binary`, `upgrade_solver_proto_text`: old files in today's format."""

from types import SimpleNamespace

from google.protobuf import text_format
from google.protobuf.message import Message

from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message, read_text
from pydeepexpr.caffe.upgrade import needs_upgrade, upgrade
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["upgrade_net_proto_binary", "upgrade_net_proto_text", "upgrade_solver_proto_text"]


@command("OLD_NET_PROTOTXT NEW_NET_PROTOTXT")
def upgrade_net_proto_text(flags: SimpleNamespace, old: str, new: str) -> None:
    """Write a network's prototxt, of any age, in the format of Caffe 1.0."""
    net = read_text(old, pb.NetParameter(), "network")
    _write_text(_upgraded(net, f"the network {old}"), new)
    log.info("Wrote upgraded NetParameter text proto to %s", new)


@command("OLD_CAFFEMODEL NEW_CAFFEMODEL")
def upgrade_net_proto_binary(flags: SimpleNamespace, old: str, new: str) -> None:
    """Write a .caffemodel, of any age, in the format of Caffe 1.0."""
    net = _upgraded(read_message(old, pb.NetParameter(), "model"), f"the model {old}")
    with atomic_file(new) as partial:
        partial.write_bytes(net.SerializeToString())
    log.info("Wrote upgraded NetParameter binary proto to %s", new)


@command("OLD_SOLVER_PROTOTXT NEW_SOLVER_PROTOTXT")
def upgrade_solver_proto_text(flags: SimpleNamespace, old: str, new: str) -> None:
    """Write a solver's prototxt, of any age, in the format of Caffe 1.0."""
    solver = read_text(old, pb.SolverParameter(), "solver")
    _write_text(_upgraded(solver, f"the solver {old}"), new)
    log.info("Wrote upgraded SolverParameter text proto to %s", new)


def _upgraded(message: Message, where: str) -> Message:
    try:
        if not needs_upgrade(message):
            log.warning("%s is in the latest format already", where)
        upgrade(message, where)
    except UnicodeDecodeError:
        raise UserError(f"{where} is damaged: a name in it is no text") from None
    return message


def _write_text(message: Message, path: str) -> None:
    with atomic_file(path) as partial:
        partial.write_text(text_format.MessageToString(message), encoding="utf-8")
