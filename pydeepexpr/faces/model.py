"""Where the landmark model lies.

The 68-point model of dlib comes with the PyPI package ``face_recognition_models``. Its training data (iBUG 300-W)
**bars commercial use**: a company that uses DeepExpr commercially must train its own model, or license one, and name
it in the environment variable ``DEEPEXPR_LANDMARKS``.
"""

import functools
import importlib.util
import os
from pathlib import Path

from pydeepexpr.errors import UserError

__all__ = ["LANDMARK_LICENCE", "landmark_model_path"]

#: Said wherever a person meets the landmarks.
LANDMARK_LICENCE = "landmarks: dlib's 68-point model; its training data (iBUG 300-W) bars commercial use"

_VARIABLE = "DEEPEXPR_LANDMARKS"
_PACKAGE = "face_recognition_models"
_FILE = "shape_predictor_68_face_landmarks.dat"
_REMEDY = (
    f"install it with `pip install {_PACKAGE}` (its training data bars commercial use), "
    f"or name another 68-point dlib model in the environment variable {_VARIABLE}"
)


def landmark_model_path() -> Path:
    """Return the path of the 68-point model: ``DEEPEXPR_LANDMARKS``, else the installed package's file.

    The package is located but never imported: it needs ``pkg_resources``, which setuptools has removed.

    Raises
    ------
    UserError
        If the variable names no file, or if it is not set and the package is not installed.
    """
    return _model_path(os.environ.get(_VARIABLE))


@functools.cache  # asked for with every face
def _model_path(named: str | None) -> Path:
    if named:
        if not os.path.isfile(named):
            raise UserError(f"{_VARIABLE} names {named}, which is not a file")
        return Path(named)
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "models", _FILE)
        if path.is_file():
            return path
    raise UserError(f"the landmark model {_FILE} is missing: {_REMEDY}")
