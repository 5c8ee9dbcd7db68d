"""The engine under the name `caffe`, for scripts that were written for pycaffe."""

import importlib
import os
import runpy
import sys
from collections.abc import Sequence

from pydeepexpr.errors import UserError

__all__ = ["install", "run_script"]

_OWN = "pydeepexpr.caffe"
#: What scripts import as `caffe.…`, where it differs from the module's own name.
_ALIASES = {"caffe._caffe": f"{_OWN}.pycaffe"}


def install() -> None:
    """Let ``import caffe``, and ``import caffe.io`` and the like, mean this engine from now on.

    Raises
    ------
    UserError
        If another `caffe` was imported already.
    """
    own = importlib.import_module(_OWN)
    if sys.modules.get("caffe", own) is not own:
        raise UserError("another module named caffe is imported already; install this one before")
    modules = {name.removeprefix("pydeepexpr."): name for name in sys.modules if f"{name}.".startswith(f"{_OWN}.")}
    for alias, name in {**modules, **_ALIASES}.items():
        sys.modules[alias] = sys.modules[name]


def run_script(path: str | os.PathLike, argv: Sequence[str] = ()) -> None:
    """Run a script as ``python path argv…`` would, with this engine as its `caffe`.

    Raises
    ------
    UserError
        If there is no such file.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"there is no script {path}")
    install()
    sys.argv = [path, *argv]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    runpy.run_path(path, run_name="__main__")
