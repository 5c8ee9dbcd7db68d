"""Reading Caffe's text and binary messages from files, old ones upgraded, with errors that name the place."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import DecodeError, Message

from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.upgrade import upgrade
from pydeepexpr.errors import UserError

__all__ = ["read_bytes", "read_message", "read_model", "read_net", "read_solver", "read_text", "reading"]

M = TypeVar("M", bound=Message)


@contextlib.contextmanager
def reading(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Say in one line, within this block, why a file cannot be read; `what` names its role."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read the {what} {os.fspath(path)}: {error.strerror}") from None
    except ValueError:  # a zero byte, as a damaged file may name another
        raise UserError(f"cannot read the {what} {os.fspath(path)!r}: that is no path") from None


def read_bytes(path: str | os.PathLike, what: str) -> bytes:
    """Return a file's content; `what` names its role in the error when it cannot be read."""
    with reading(path, what):
        return Path(path).read_bytes()


def read_text(path: str | os.PathLike, message: M, what: str) -> M:
    """Parse a text file (prototxt) into `message` and return it.

    Raises
    ------
    UserError
        If the file cannot be read or does not parse; the line, the column and the unknown word are named.
    """
    content = read_bytes(path, what)
    try:
        text, is_utf8 = content.decode("utf-8"), True
    except UnicodeDecodeError:  # comments may be in any encoding
        text, is_utf8 = content.decode("latin-1"), False
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        if not is_utf8:
            raise UserError(f"the {what} {os.fspath(path)} is no text file; give a prototxt") from None
        raise UserError(f"the {what} {os.fspath(path)} does not parse at line:column {error}") from None
    if missing := message.FindInitializationErrors():
        raise UserError(f"the {what} {os.fspath(path)} lacks {', '.join(missing)}")
    return message


def read_message(path: str | os.PathLike, message: M, what: str) -> M:
    """Parse a binary file (caffemodel, solverstate, binaryproto) into `message` and return it."""
    try:
        message.ParseFromString(read_bytes(path, what))
    except (DecodeError, UnicodeDecodeError):
        raise UserError(f"the {what} {os.fspath(path)} is truncated or no {type(message).__name__} file") from None
    return message


def read_net(path: str | os.PathLike) -> pb.NetParameter:
    """Read a network's prototxt, of any age."""
    net = read_text(path, pb.NetParameter(), "network")
    if net.input and not net.input_shape and not net.input_dim:  # right for old weights only, where they are dropped
        raise UserError(f"the network {os.fspath(path)} has inputs without shapes; give each an input_shape")
    upgrade(net, f"the network {os.fspath(path)}")
    return net


def read_model(path: str | os.PathLike) -> pb.NetParameter:
    """Read a network with its weights (`.caffemodel`), of any age."""
    model = read_message(path, pb.NetParameter(), "model")
    try:
        upgrade(model, f"the model {os.fspath(path)}")
    except UnicodeDecodeError:
        raise UserError(f"the model {os.fspath(path)} is damaged: a layer's name or blob is no text") from None
    return model


def read_solver(path: str | os.PathLike) -> pb.SolverParameter:
    """Read a solver's prototxt, of any age.

    As in Caffe, a `snapshot_prefix` that is missing or a folder is completed with the solver's own name.
    """
    solver = read_text(path, pb.SolverParameter(), "solver")
    upgrade(solver, f"the solver {os.fspath(path)}")
    name = Path(path).with_suffix("")
    prefix = solver.snapshot_prefix
    if not prefix or Path(prefix).is_dir():
        solver.snapshot_prefix = str(Path(prefix) / name.name if prefix else name)
        log.info("Completed the snapshot_prefix of the solver %s: %s", os.fspath(path), solver.snapshot_prefix)
    return solver
