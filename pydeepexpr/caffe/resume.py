"""What a `.solverstate` lacks: the small file beside it that lets a training go on exactly as if it had not stopped.

`PREFIX_iter_N.resume.json` holds the seed of all random choices, how often each net was run, which is where it is in
its data, what recurrent layers carry from batch to batch, and the losses that the log averages. Real Caffe neither
writes nor reads it.
"""

import base64
import json
import os
import re
from dataclasses import dataclass, field

import numpy as np

from pydeepexpr.caffe.readers import read_bytes
from pydeepexpr.errors import UserError
from pydeepexpr.files import write_json

__all__ = ["Place", "Resume", "read_resume", "resume_path", "write_resume"]


@dataclass(frozen=True)
class Place:
    """Where a net is.

    Attributes
    ----------
    passes : int
        Runs so far from the first layer on, each of which took a batch from each data layer.
    states : list of list of numpy.ndarray
        What each recurrent layer hands to the next batch, float32.
    """

    passes: int
    states: list[list[np.ndarray]] = field(default_factory=list)


@dataclass(frozen=True)
class Resume:
    """What goes on beside parameters, histories and the iteration.

    Attributes
    ----------
    iteration : int
        Of the snapshot.
    seed : int
        Of the data layers' and dropout's random choices.
    places : list of Place
        The training net's, then the test nets'.
    losses : list of float
        The last ones, for the average that is displayed.
    """

    iteration: int
    seed: int
    places: list[Place]
    losses: list[float]


def resume_path(state_file: str | os.PathLike) -> str:
    """Return the path beside a `.solverstate` or `.solverstate.h5`."""
    return re.sub(r"\.solverstate(\.h5)?$", "", os.fspath(state_file)) + ".resume.json"


def write_resume(path: str | os.PathLike, resume: Resume) -> None:
    """Write the file, whole or not at all."""
    places = [
        {"passes": place.passes, "states": [[_encoded(array) for array in layer] for layer in place.states]}
        for place in resume.places
    ]
    write_json(path, {"iter": resume.iteration, "seed": resume.seed, "nets": places, "losses": resume.losses})


def read_resume(path: str | os.PathLike, iteration: int) -> Resume | None:
    """Read the file of a snapshot at `iteration`; None where there is none.

    Raises
    ------
    UserError
        If it cannot be read, or is of another iteration.
    """
    if not os.path.exists(path):
        return None
    try:
        held = json.loads(read_bytes(path, "resume file"))
        places = [
            Place(_count(net["passes"]), [[_decoded(array) for array in layer] for layer in net["states"]])
            for net in held["nets"]
        ]
        resume = Resume(int(held["iter"]), _count(held["seed"]), places, [float(loss) for loss in held["losses"]])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged ({error!r}); take it away to resume without it") from None
    if resume.iteration != iteration:
        raise UserError(f"{path} is of iteration {resume.iteration}, its state of {iteration}; take it away")
    return resume


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _encoded(array: np.ndarray) -> dict:
    return {"shape": list(array.shape), "float32": base64.b64encode(array.astype("<f4").tobytes()).decode()}


def _decoded(array: dict) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(array["float32"], validate=True), "<f4")
    return values.reshape([_count(size) for size in array["shape"]])
