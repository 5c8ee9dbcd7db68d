"""Layers that users write in Python, as classes derived from `caffe.Layer`."""

import importlib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from pydeepexpr.caffe.blob import Blob, BlobVec
from pydeepexpr.caffe.install import install
from pydeepexpr.caffe.layers import base
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.raised import place_of
from pydeepexpr.errors import UserError

__all__ = ["Layer", "PythonLayer"]


class Layer:
    """What a user's layer derives from (pycaffe's `caffe.Layer`).

    A net names the class in ``python_param { module: "…" layer: "…" param_str: "…" }``, and shows its one instance in
    `Net.layers`. `bottom` and `top` are lists of Blob, `propagate_down` says which bottoms want a gradient.

    Attributes
    ----------
    param_str : str
        The text of the prototxt, for the class to read as it likes.
    phase : int
        `caffe.TRAIN` or `caffe.TEST`.
    blobs : BlobVec
        The learned parameters; ``self.blobs.add_blob(2, 3)`` in `setup` adds one.
    name : str
    type : str
    """

    type = "Python"
    param_str = ""
    phase = pb.TRAIN

    def __init__(self, param: pb.LayerParameter):
        self.blobs = BlobVec()
        self.name = param.name

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check the blobs, read `param_str`, add parameters. Called once."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the tops their shapes. Called before every forward."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Fill the tops' `data`."""
        raise UserError(f"the class {type(self).__name__} has no method forward(bottom, top)")

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Fill the bottoms' `diff` from the tops', and add to that of the parameters."""
        raise UserError(f"the class {type(self).__name__} has no method backward(top, propagate_down, bottom)")

    def skip_to(self, batch: int) -> None:
        """Make batch number `batch`, counted from 0, the next one: a resumed training asks classes that read data."""

    def close(self, wait: bool = True) -> None:
        """Let go of threads and files."""


@base.layer("Python")
class PythonLayer(base.Layer):
    """The net's side of a user's layer: it works on blobs, and its gradient is what the user's `backward` says.

    An exception of the user's goes on as it is, its traceback whole; a note and the log name the layer.
    """

    bottoms, tops = (0, None), (0, None)

    def __init__(self, param: pb.LayerParameter):
        super().__init__(param)
        cls = _class_of(param)
        with _naming(self.param):
            self._user = cls(param)
            self._user.param_str = param.python_param.param_str
            self._user.phase = param.phase
            self.blobs = self._user.blobs

    @property
    def exposed(self) -> Layer:
        return self._user

    def build(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        with _naming(self.param):
            self._user.setup(list(bottoms), list(tops))

    def reshape(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        with _naming(self.param):
            self._user.reshape(list(bottoms), list(tops))

    def run(self, bottoms: Sequence[Blob], tops: Sequence[Blob]) -> None:
        """Fill the tops."""
        with _naming(self.param):
            self._user.reshape(list(bottoms), list(tops))
            self._user.forward(list(bottoms), list(tops))

    def run_backward(self, tops: Sequence[Blob], needs: Sequence[bool], bottoms: Sequence[Blob]) -> None:
        """Fill the gradients of the bottoms that need one."""
        with _naming(self.param):
            self._user.backward(list(tops), list(needs), list(bottoms))

    def skip_to(self, batch: int) -> None:
        self._user.skip_to(batch)

    def close(self, wait: bool = True) -> None:
        self._user.close(wait)


@contextmanager
def _naming(param: pb.LayerParameter) -> Iterator[None]:
    """Let what a user's code raises name its layer."""
    place = param.python_param
    named = f"layer {param.name!r} (Python, {place.module}.{place.layer})"
    try:
        yield
    except UserError as error:
        raise UserError(f"{named}: {error}") from error
    except Exception as error:
        log.error("%s raised in %s: %s", type(error).__name__, named, error)
        if hasattr(error, "add_note"):  # Python 3.11 and later
            error.add_note(f"raised in {named}")
        raise


def _class_of(param: pb.LayerParameter) -> type[Layer]:
    place = param.python_param
    where = f"layer {param.name!r} (Python)"
    if not place.module or not place.layer:
        raise UserError(f"{where} needs python_param {{ module: … layer: … }}")
    if "caffe" not in sys.modules:
        install()  # for a module that says `import caffe`
    with _naming(param):
        module = _imported(place.module)
    cls = getattr(module, place.layer, None)
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise UserError(
            f"{where}: the module {place.module!r} has no class {place.layer!r} derived from caffe.Layer of this engine"
        )
    return cls


def _imported(name: str) -> ModuleType:
    """Return a user's module. What its own code raises, but for a failing import, is the user's to see."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UserError(f"there is no module {name!r}; put its folder on PYTHONPATH") from error
        is_of_import = "importlib" in traceback.extract_tb(error.__traceback__)[-1].filename  # a bad name, bad syntax
        if not (is_of_import or isinstance(error, ImportError)):
            raise
        place = place_of(error)
        said = " ".join(str(error).split())  # NumPy's and the like have many lines
        raise UserError(f"cannot import the module {name!r}: {f'{place}: ' if place else ''}{said}") from error
