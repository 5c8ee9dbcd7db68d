"""Where a command computes: `-gpu`, and the solver's own wish."""

from collections.abc import Sequence

import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.commands.flags import whole_number
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["gpus_named", "gpus_of_solver", "use"]


def gpus_named(gpu: str) -> list[int]:
    """Return the CUDA devices that `-gpu` names: ``all``, or numbers with commas between; none for an empty text.

    Raises
    ------
    UserError
        If one of them is not there, or named twice.
    """
    if not gpu:
        return []
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise UserError(f"GPU {gpu} is asked for, but PyTorch sees no CUDA device; ask for none to compute on the CPU")
    if gpu == "all":
        return list(range(count))
    devices = [whole_number(number, f"each GPU in {gpu!r}", least=0) for number in gpu.split(",")]
    if len(set(devices)) < len(devices):
        raise UserError(f"the GPUs {gpu} name one twice")
    if max(devices) >= count:
        raise UserError(f"there is no GPU {max(devices)}; PyTorch sees {count}, numbered from 0")
    return devices


def gpus_of_solver(param: pb.SolverParameter) -> list[int]:
    """Return the CUDA device that a solver asks for; none, with a line in the log, where there is no CUDA device."""
    if param.solver_mode == pb.SolverParameter.CPU:
        return []
    if not torch.cuda.is_available():
        log.warning("The solver's mode is GPU, but PyTorch sees no CUDA device.")
        return []
    return gpus_named(str(param.device_id))


def use(gpus: Sequence[int]) -> None:
    """Compute on the first of these devices from now on, or on the CPU if there is none."""
    if not gpus:
        log.info("Use CPU.")
        mode.set_mode_cpu()
        return
    log.info("Use GPU with device ID %d", gpus[0])
    log.info("GPU device name: %s", torch.cuda.get_device_name(gpus[0]))
    mode.set_device(gpus[0])
    mode.set_mode_gpu()
