"""The one place that knows which Caffe runs the networks: the package's own, or an installed pycaffe.

Everything else says ``from pydeepexpr.engine import caffe`` inside the function that needs it, and uses pycaffe's
public interface alone. `DEEPEXPR_CAFFE` chooses: `own` (the default) or `bvlc`. Where the two differ (a free device,
precision, fixed crops, the log, the end of a solver), there is a function here.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pydeepexpr.errors import UserError

__all__ = ["DEVICES", "PRECISIONS", "logging_to", "opened_solver", "use_crops", "use_device", "use_precision"]

_MODULES = {"own": "pydeepexpr.caffe", "bvlc": "caffe"}
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("fp32", "bf16")


def __getattr__(name: str) -> ModuleType:
    """Import the chosen Caffe when `engine.caffe` is first asked for."""
    if name != "caffe":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    choice = _choice()
    try:
        return importlib.import_module(_MODULES[choice])
    except Exception as error:  # pycaffe's fail in many ways: code of an old protoc is a TypeError, for instance
        if choice == "own":
            raise
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"DEEPEXPR_CAFFE=bvlc, but pycaffe cannot be imported ({reason}); put its python folder on PYTHONPATH"
        ) from None


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


def use_precision(precision: str = "fp32") -> None:
    """Compute in float32 or, by the package's own engine alone, in bfloat16 where that is safe."""
    if precision not in PRECISIONS:
        raise UserError(f"precision {precision!r} is unknown; use one of: {', '.join(PRECISIONS)}")
    if _is_own():
        from pydeepexpr.engine import caffe

        caffe.set_precision(precision)
    elif precision != "fp32":
        raise UserError(f"real Caffe computes in fp32 alone; leave --precision {precision} or DEEPEXPR_CAFFE=bvlc out")


def use_crops(rule: str = "random") -> None:
    """Crop training images at random or, by the package's own engine alone, to the fixed views of a rule."""
    if _is_own():
        from pydeepexpr.engine import caffe

        caffe.set_crops(rule)
    elif rule != "random":
        raise UserError(
            "real Caffe crops at random alone; let the LMDB hold the crops (tools/build_lmdb.py --crops five) and "
            f"leave --crops {rule} out, or DEEPEXPR_CAFFE=bvlc"
        )


@contextlib.contextmanager
def opened_solver(path: str | os.PathLike) -> Iterator[Any]:
    """Yield the solver that a prototxt describes; stop the threads that read its data at the end.

    Real Caffe stops them when nothing refers to the solver any more.
    """
    from pydeepexpr.engine import caffe

    solver = caffe.get_solver(os.fspath(path))
    try:
        yield solver
    finally:
        if _is_own():
            solver.close()


def logging_to(path: str | os.PathLike) -> contextlib.AbstractContextManager[None]:
    """Append Caffe's log to a file within the block, and show it unless a progress bar is shown in its place.

    Whether `sys.stderr` is a terminal within the block says whether there is to be a bar. Real Caffe's log cannot be
    told from what else goes to standard error, so that there is none.
    """
    return _own_log_to(Path(path)) if _is_own() else _stderr_to(Path(path))


@contextlib.contextmanager
def _own_log_to(path: Path) -> Iterator[None]:
    from pydeepexpr.caffe.log import log, log_to

    with open(path, "a", encoding="utf-8") as file:
        handlers = [log_to(file)] + ([] if sys.stderr.isatty() else [log_to(sys.stderr)])
        try:
            yield
        finally:
            for handler in handlers:
                log.removeHandler(handler)


@contextlib.contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    """Append the process's standard error to a file, and go on showing it.

    glog writes to the file descriptor. A process of its own copies it, so that the last words of a Caffe that aborts
    arrive in both places; `-i` lets it survive Ctrl-C, to which it belongs as well.
    """
    sys.stderr.flush()
    shown = os.dup(2)
    with subprocess.Popen(["tee", "-a", "-i", path], stdin=subprocess.PIPE, stdout=shown) as tee:
        os.dup2(tee.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)


def _choice() -> str:
    choice = os.environ.get("DEEPEXPR_CAFFE") or "own"
    if choice not in _MODULES:
        raise UserError(f"DEEPEXPR_CAFFE={choice} is not known; use one of: {', '.join(_MODULES)}")
    return choice


def _is_own() -> bool:
    return _choice() == "own"


def _sees_gpu() -> bool:
    if not _is_own():
        return False
    import torch

    return torch.cuda.is_available()
