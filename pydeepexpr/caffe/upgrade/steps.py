"""The steps of an upgrade, in the order in which each leaves what the next one reads."""

from google.protobuf.message import Message

from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.upgrade import solver, v0, v1, v2
from pydeepexpr.errors import UserError

__all__ = ["needs_upgrade", "upgrade", "upgrade_net", "upgrade_solver"]

#: For each kind of message: what is deprecated in it, whether a message uses it, and what replaces it in place.
_STEPS = {
    "NetParameter": (
        ("V0LayerParameter (layers { layer { } })", v0.has_v0_layers, v0.upgrade_layers),
        ("data transformation fields outside transform_param", v1.has_data_fields, v1.move_data_fields),
        ("V1LayerParameter (layers { })", v1.has_v1_layers, v1.upgrade_layers),
        ("input fields in the place of an Input layer", v2.has_input_fields, v2.move_input_fields),
        ("rates for BatchNorm's statistics", v2.has_batch_norm_rates, v2.clear_batch_norm_rates),
    ),
    "SolverParameter": (("solver_type (a number)", solver.has_solver_type, solver.name_solver_type),),
}


def needs_upgrade(message: Message) -> list[str]:
    """Return what is deprecated in a NetParameter or SolverParameter; nothing if it is up to date."""
    return [reason for reason, applies, _ in _STEPS[message.DESCRIPTOR.name] if applies(message)]


def upgrade(message: Message, where: str) -> None:
    """Bring a NetParameter or SolverParameter into the format of Caffe 1.0, in place.

    Each kind of upgrade leaves a line in the log, where `where` names the message.

    Raises
    ------
    UserError
        If the message mixes formats, or says in the old one what cannot be said in the new one.
    """
    for reason, applies, replace in _STEPS[message.DESCRIPTOR.name]:
        if not applies(message):
            continue
        try:
            replace(message)
        except UserError as error:
            raise UserError(f"{where} cannot be upgraded from deprecated {reason}: {error}") from None
        log.info("Upgraded %s from deprecated %s", where, reason)


def _upgraded(message: Message, where: str) -> Message:
    if not needs_upgrade(message):
        return message
    new = type(message)()
    new.CopyFrom(message)
    upgrade(new, where)
    return new


def upgrade_net(net: pb.NetParameter, where: str = "the network") -> pb.NetParameter:
    """Return a network, with or without weights, in the format of Caffe 1.0; the very one if it is up to date.

    Log and errors are `upgrade`'s.
    """
    return _upgraded(net, where)


def upgrade_solver(param: pb.SolverParameter, where: str = "the solver") -> pb.SolverParameter:
    """Return a solver in the format of Caffe 1.0; the very one if it is up to date.

    Log and errors are `upgrade`'s.
    """
    return _upgraded(param, where)
