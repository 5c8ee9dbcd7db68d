"""Where the prototxt and solver files are: in a checkout, or in the installed package."""

import os
from pathlib import Path

from pydeepexpr.errors import UserError

__all__ = ["find"]

_PACKAGE = Path(__file__).parent


def find(path: str | os.PathLike) -> Path:
    """Return a file named as in the repository (`prototxt/human_deploy.prototxt`), from wherever it is.

    Looked for as given (relative to the current folder), in the checkout, and among the installed package's data.

    Raises
    ------
    UserError
        If it is in none of these places.
    """
    for place in (Path(), _PACKAGE.parent, _PACKAGE):
        if (place / path).exists():
            return place / path
    raise UserError(f"there is no {os.fspath(path)} here, in the repository or in the installed package")
