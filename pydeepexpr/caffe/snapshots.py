"""Snapshots of a training: the model and the solver's state, in Caffe's two formats."""

import os
from dataclasses import dataclass

import h5py
import numpy as np

from pydeepexpr.caffe.datum import array_to_blobproto, blobproto_to_array
from pydeepexpr.caffe.hdf5_weights import save_hdf5
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message, reading
from pydeepexpr.caffe.weights import save_weights
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["State", "check_prefix", "read_state", "write_model", "write_state"]


@dataclass(frozen=True)
class State:
    """What a `.solverstate` holds.

    Attributes
    ----------
    iteration : int
        Iterations done.
    model : str
        Path of the parameters' file, as given when it was written; empty if there is none.
    drops : int
        How often the rate was multiplied by `gamma` (`current_step`).
    history : list of numpy.ndarray
        float32; the first memory of each parameter, then the second of each where the method has two.
    """

    iteration: int
    model: str
    drops: int
    history: list[np.ndarray]


def check_prefix(prefix: str) -> None:
    """Raise a UserError unless files can be written whose names begin with `prefix`."""
    if not prefix:
        raise UserError("the solver takes snapshots but has no snapshot_prefix; add one")
    folder = os.path.dirname(os.path.abspath(prefix))
    while not os.path.exists(folder):  # it will be made
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"the solver cannot write to its snapshot_prefix {prefix}: {folder} is no folder to write to")


def _is_hdf5(path: str) -> bool:
    return path.endswith(".h5")


def write_model(net: Net, path: str, with_diff: bool) -> None:
    """Write a net's parameters, and their gradients if told, as HDF5 if the path ends in `.h5`."""
    log.info("Snapshotting to %s file %s", "HDF5" if _is_hdf5(path) else "binary proto", path)
    (save_hdf5 if _is_hdf5(path) else save_weights)(net, path, with_diff=with_diff)


def write_state(path: str, state: State) -> None:
    """Write a solver's state, whole or not at all, as HDF5 if the path ends in `.h5`."""
    log.info("Snapshotting solver state to %s file %s", "HDF5" if _is_hdf5(path) else "binary proto", path)
    with atomic_file(path) as partial:
        if _is_hdf5(path):
            with h5py.File(partial, "w") as file:
                _write_hdf5(file, state)
        else:
            proto = pb.SolverState(iter=state.iteration, learned_net=state.model, current_step=state.drops)
            proto.history.extend(array_to_blobproto(array) for array in state.history)
            partial.write_bytes(proto.SerializeToString())


def _write_hdf5(file: h5py.File, state: State) -> None:
    """Write the datasets of Caffe's SnapshotSolverStateToHDF5, in the types that its reader asks for."""
    file.create_dataset("iter", data=np.array([state.iteration], np.int32))
    name = state.model.encode() + b"\0"  # Caffe reads up to the zero
    text = h5py.h5t.C_S1.copy()
    text.set_size(len(name))
    space = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5d.create(file.id, b"learned_net", text, space).write(space, space, np.array(name, f"S{len(name)}"), text)
    file.create_dataset("current_step", data=np.array([state.drops], np.int32))
    history = file.create_group("history")
    for i, array in enumerate(state.history):
        history.create_dataset(str(i), data=array.astype(np.float32, copy=False))


def read_state(path: str | os.PathLike) -> State:
    """Read a solver's state, from HDF5 if the path ends in `.h5`.

    Raises
    ------
    UserError
        If it cannot be read or is no solver state.
    """
    path = os.fspath(path)
    state = _read_hdf5(path) if _is_hdf5(path) else _read_binary(path)
    if state.iteration < 0 or not (state.history or state.model):
        raise UserError(f"{path} is no solver state")
    return state


def _read_binary(path: str) -> State:
    proto = read_message(path, pb.SolverState(), "solver state")
    history = [blobproto_to_array(blob, what=f"{path}: a history") for blob in proto.history]
    # A name that is no text comes as bytes.
    return State(proto.iter, os.fsdecode(proto.learned_net), proto.current_step, history)


def _read_hdf5(path: str) -> State:
    with reading(path, "solver state"):
        open(path, "rb").close()
    try:
        with h5py.File(path, "r") as file:
            history = file["history"]
            return State(
                int(np.ravel(file["iter"][()])[0]),
                np.asarray(file["learned_net"][()]).item().decode() if "learned_net" in file else "",
                int(np.ravel(file["current_step"][()])[0]),
                [np.asarray(history[str(i)][()], np.float32) for i in range(len(history))],
            )
    except (OSError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, MemoryError) as error:
        raise UserError(f"{path} is damaged or no solver state ({' '.join(str(error).split())})") from None
