"""The one place that knows which Caffe runs the networks: the package's own, or an installed pycaffe.

Everything else says ``from pydeepexpr.engine import caffe`` inside the function that needs it, and uses pycaffe's
public interface alone. `DEEPEXPR_CAFFE` chooses: `own` (the default) or `bvlc`.
"""

import importlib
import os
from types import ModuleType

from pydeepexpr.errors import UserError

__all__ = ["DEVICES", "use_device"]

_MODULES = {"own": "pydeepexpr.caffe", "bvlc": "caffe"}
DEVICES = ("auto", "cpu", "cuda")


def __getattr__(name: str) -> ModuleType:
    """Import the chosen Caffe when `engine.caffe` is first asked for."""
    if name != "caffe":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    choice = _choice()
    try:
        return importlib.import_module(_MODULES[choice])
    except ImportError as error:
        if choice == "bvlc":
            raise UserError(
                f"DEEPEXPR_CAFFE=bvlc, but pycaffe cannot be imported ({error}); put its python folder on PYTHONPATH"
            ) from None
        raise


def use_device(device: str = "auto") -> None:
    """Compute on the CPU or on the first GPU from here on.

    `auto` takes a GPU where the package's own engine sees one. Real pycaffe offers no way to ask: there it is the CPU.
    """
    from pydeepexpr.engine import caffe

    if device not in DEVICES:
        raise UserError(f"no device is called {device!r}; use one of: {', '.join(DEVICES)}")
    if device == "cuda" or (device == "auto" and _sees_gpu()):
        caffe.set_device(0)
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()


def _choice() -> str:
    choice = os.environ.get("DEEPEXPR_CAFFE") or "own"
    if choice not in _MODULES:
        raise UserError(f"DEEPEXPR_CAFFE={choice} is not known; use one of: {', '.join(_MODULES)}")
    return choice


def _sees_gpu() -> bool:
    if _choice() != "own":
        return False
    import torch

    return torch.cuda.is_available()
