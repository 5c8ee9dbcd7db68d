"""`device_query`: what the GPUs are."""

from types import SimpleNamespace

import torch

from pydeepexpr.caffe.commands.caffe_flags import CAFFE_FLAGS
from pydeepexpr.caffe.commands.devices import gpus_named
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.log import log
from pydeepexpr.errors import UserError

__all__ = ["device_query"]

#: Caffe's lines, and PyTorch's names for what they tell. Some of these an older PyTorch does not know.
_PROPERTIES = (
    ("Major revision number", "major"),
    ("Minor revision number", "minor"),
    ("Name", "name"),
    ("Total global memory", "total_memory"),
    ("Total shared memory per block", "shared_memory_per_block"),
    ("Total registers per multiprocessor", "regs_per_multiprocessor"),
    ("Warp size", "warp_size"),
    ("Maximum threads per block", "max_threads_per_block"),
    ("Maximum threads per multiprocessor", "max_threads_per_multi_processor"),
    ("Clock rate", "clock_rate"),
    ("Number of multiprocessors", "multi_processor_count"),
)


@command(**CAFFE_FLAGS)
def device_query(flags: SimpleNamespace) -> None:
    """Tell the properties of the GPUs that -gpu names, or of all of them."""
    if not torch.cuda.is_available():
        raise UserError("PyTorch sees no CUDA device: there is none, its driver is missing, or PyTorch is the CPU's")
    gpus = gpus_named(flags.gpu or "all")
    log.info("Querying GPUs %s", flags.gpu or "all")
    for gpu in gpus:
        _tell("Device id", gpu)
        properties = torch.cuda.get_device_properties(gpu)
        for what, name in _PROPERTIES:
            if hasattr(properties, name):
                _tell(what, getattr(properties, name))


def _tell(what: str, value: object) -> None:
    log.info("%-37s%s", f"{what}:", value)
