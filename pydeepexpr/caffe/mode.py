"""How the engine computes: device, precision, crops, seed, place among solvers. Process-wide, as in pycaffe."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from pydeepexpr.caffe.crops import RULES
from pydeepexpr.errors import UserError

__all__ = [
    "TEST",
    "TRAIN",
    "crops",
    "device",
    "has_nccl",
    "is_root_solver",
    "precision",
    "random_seed",
    "seeded",
    "set_crops",
    "set_device",
    "set_mode_cpu",
    "set_mode_gpu",
    "set_multiprocess",
    "set_precision",
    "set_random_seed",
    "set_solver_count",
    "set_solver_rank",
    "solver_count",
    "solver_rank",
]

#: The two phases, with the numbers of Caffe's `Phase` enum.
TRAIN, TEST = 0, 1

_PRECISIONS = ("fp32", "bf16")
_state = {
    "gpu": False,
    "device_id": 0,
    "precision": "fp32",
    "crops": "random",
    "seed": None,
    "solvers": 1,
    "rank": 0,
}


def set_mode_cpu() -> None:
    """Compute on the CPU."""
    _state["gpu"] = False


def set_mode_gpu() -> None:
    """Compute on the CUDA device chosen by `set_device` (0 unless told).

    Raises
    ------
    UserError
        If PyTorch sees no CUDA device.
    """
    if not torch.cuda.is_available():
        raise UserError("no CUDA device is visible to PyTorch; use the CPU (set_mode_cpu, --device cpu)")
    _state["gpu"] = True


def set_device(device_id: int) -> None:
    """Choose the CUDA device that `set_mode_gpu` computes on, counted from 0."""
    _state["device_id"] = int(device_id)


def set_precision(name: str) -> None:
    """Choose the arithmetic of convolutions and inner products: ``fp32``, or ``bf16`` (autocast).

    Parameters, gradients and the solver's history stay float32 in both. Caffe itself has float32 only.
    """
    if name not in _PRECISIONS:
        raise UserError(f"precision {name!r} is unknown; use one of: {', '.join(_PRECISIONS)}")
    _state["precision"] = name


def set_crops(rule: str) -> None:
    """Choose how layers built from now on crop images when training, where their `transform_param` has a `crop_size`.

    ``random``: anywhere, and mirrored if it says so, as Caffe does. Or fixed views (`crops.CROPS`), another in every
    pass until each was shown: ``centre``; ``mirrored``, it and its mirror image; ``five``, centre, corners and theirs.
    """
    if rule not in RULES:
        raise UserError(f"crops {rule!r} are unknown; use one of: {', '.join(RULES)}")
    _state["crops"] = rule


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout and the data layers' random crops and mirrors of everything built from now on."""
    _state["seed"] = int(seed)
    torch.manual_seed(seed)


def seed_draws(seed: int) -> None:
    """Seed what PyTorch draws from now on: `torch.manual_seed`, which takes a tenth of a tiny net's iteration."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def device() -> torch.device:
    """Return the device of blobs made now."""
    return torch.device("cuda", _state["device_id"]) if _state["gpu"] else torch.device("cpu")


def precision() -> str:
    """Return ``fp32`` or ``bf16``."""
    return _state["precision"]


def crops() -> str:
    """Return the rule by which training images are cropped (`crops.RULES`)."""
    return _state["crops"]


def random_seed() -> int:
    """Return the seed that was set, or a fresh one from the operating system."""
    seed = _state["seed"]
    return int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let what is built within this block be seeded by `seed`; PyTorch's own generator goes on as it was."""
    before, _state["seed"] = _state["seed"], seed
    try:
        yield
    finally:
        _state["seed"] = before


def solver_count() -> int:
    """Return how many solvers train together (1 unless told)."""
    return _state["solvers"]


def set_solver_count(count: int) -> None:
    """Say how many solvers train together."""
    _state["solvers"] = int(count)


def solver_rank() -> int:
    """Return this process's number among the solvers that train together, counted from 0."""
    return _state["rank"]


def set_solver_rank(rank: int) -> None:
    """Say this process's number among the solvers that train together."""
    _state["rank"] = int(rank)


def is_root_solver() -> bool:
    """Whether this process is the one that tests, logs and takes snapshots."""
    return _state["rank"] == 0


def set_multiprocess(multiprocess: bool) -> None:
    """Say whether the solvers run in a process each; here they always do, so that nothing depends on it."""


def has_nccl() -> bool:
    """Whether pycaffe's `NCCL` class is there. It is, on torch.distributed, and without a GPU too."""
    return True
