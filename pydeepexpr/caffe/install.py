"""The engine under the name `caffe`, for scripts that were written for pycaffe."""

import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from pydeepexpr.caffe.raised import place_of
from pydeepexpr.errors import UserError

__all__ = ["install", "run_script"]

_OWN = "pydeepexpr.caffe"
#: A folder in which other processes find this engine as `caffe`.
_NAMED_CAFFE = os.fspath(Path(__file__).with_name("named_caffe"))


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
    modules = [name for name in sys.modules if f"{name}.".startswith(f"{_OWN}.")]
    sys.modules.update({name.removeprefix("pydeepexpr."): sys.modules[name] for name in modules})


def run_script(path: str | os.PathLike, argv: Sequence[str] = ()) -> None:
    """Run a script as ``python path argv…`` would, with this engine as its `caffe`.

    The Python processes that it starts find the engine under that name too.

    Raises
    ------
    UserError
        If there is no such file, or the script does not catch one, or an OSError: it then says where in the script.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise UserError(f"there is no script {path}")
    install()
    sys.argv = [path, *argv]
    sys.path[:0] = [os.path.dirname(os.path.abspath(path)), _NAMED_CAFFE]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_NAMED_CAFFE, os.environ.get("PYTHONPATH")]))
    try:
        runpy.run_path(path, run_name="__main__")
    except BrokenPipeError:  # the reader of what it prints has gone
        raise
    except (UserError, OSError) as error:
        raise UserError(f"{place_of(error) or path}: {error}") from error
