"""Reading Caffe's text and binary messages from files, with errors that name the place."""

import os
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["read_bytes", "read_message", "read_net", "read_solver", "read_text"]

M = TypeVar("M", bound=Message)

#: `SolverParameter.solver_type`'s enum, from before solvers had names.
_SOLVER_NAMES = {
    pb.SolverParameter.SGD: "SGD",
    pb.SolverParameter.NESTEROV: "Nesterov",
    pb.SolverParameter.ADAGRAD: "AdaGrad",
    pb.SolverParameter.RMSPROP: "RMSProp",
    pb.SolverParameter.ADADELTA: "AdaDelta",
    pb.SolverParameter.ADAM: "Adam",
}


def read_bytes(path: str | os.PathLike, what: str) -> bytes:
    """Return a file's content; `what` names its role in the error when it cannot be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the {what} {os.fspath(path)}: {error.strerror}") from None


def read_text(path: str | os.PathLike, message: M, what: str) -> M:
    """Parse a text file (prototxt) into `message` and return it.

    Raises
    ------
    UserError
        If the file cannot be read or does not parse; the line, the column and the unknown word are named.
    """
    try:
        text = read_bytes(path, what).decode("utf-8")
        return text_format.Parse(text, message)
    except UnicodeDecodeError:
        raise UserError(f"the {what} {os.fspath(path)} is no text file; give a prototxt") from None
    except text_format.ParseError as error:
        raise UserError(f"the {what} {os.fspath(path)} does not parse at line:column {error}") from None


def read_message(path: str | os.PathLike, message: M, what: str) -> M:
    """Parse a binary file (caffemodel, solverstate, binaryproto) into `message` and return it."""
    try:
        message.ParseFromString(read_bytes(path, what))
    except DecodeError:
        raise UserError(f"the {what} {os.fspath(path)} is truncated or no {type(message).__name__} file") from None
    return message


def read_net(path: str | os.PathLike) -> pb.NetParameter:
    """Read a network's prototxt."""
    net = read_text(path, pb.NetParameter(), "network")
    if net.layers:
        raise UserError(f"the network {os.fspath(path)} has old `layers {{ }}`; only `layer {{ }}` is read so far")
    return net


def read_solver(path: str | os.PathLike) -> pb.SolverParameter:
    """Read a solver's prototxt.

    As in Caffe, the deprecated `solver_type` becomes `type`, and a `snapshot_prefix` that is missing or a folder is
    completed with the solver's own name.
    """
    solver = read_text(path, pb.SolverParameter(), "solver")
    if solver.HasField("solver_type"):
        solver.type = _SOLVER_NAMES[solver.solver_type]
        solver.ClearField("solver_type")
    name = Path(path).with_suffix("")
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(name)
    elif Path(solver.snapshot_prefix).is_dir():
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / name.name)
    return solver
