"""Errors of a user that are also what pycaffe raises in their place, for scripts that catch it there."""

from pydeepexpr.errors import UserError

__all__ = ["BadCrop", "BadType", "BadValue", "UnknownField", "UnknownName"]


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
