"""Errors of a user that are also what pycaffe raises in their place, for scripts that catch it there."""

import os
import sysconfig
import traceback

import pydeepexpr
from pydeepexpr.errors import UserError

__all__ = ["BadCrop", "BadType", "BadValue", "UnknownField", "UnknownName", "place_of"]

_INSTALLED = [os.path.dirname(pydeepexpr.__file__), *map(sysconfig.get_path, ("stdlib", "purelib", "platlib"))]
_NOT_THE_USERS = ("<frozen ", *(os.path.join(folder, "") for folder in _INSTALLED))


class BadValue(UserError, ValueError):
    """Values or a shape that do not fit."""


class BadType(UserError, TypeError):
    """An argument of another kind than asked for."""


class BadCrop(UserError, AssertionError):
    """A crop that no Crop layer can make."""


class _Unknown(UserError):
    def __str__(self) -> str:  # a KeyError would quote its message
        return str(self.args[0])


class UnknownName(_Unknown, KeyError, ValueError):
    """A layer or blob that the net has not: pycaffe meets the one in a list and the other in a dict."""


class UnknownField(_Unknown, AttributeError, KeyError):
    """A field that a message has not, or a blob that a `NetSpec` has not."""


def place_of(error: BaseException) -> str | None:
    """Return ``file.py:line`` of the innermost place in a user's code that an error came through, None if none."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_NOT_THE_USERS):
            return f"{frame.filename}:{frame.lineno}"
    return None
