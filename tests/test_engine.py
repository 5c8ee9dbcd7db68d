"""The choice of Caffe is made in one place."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pydeepexpr import engine
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore

#: A `caffe` with what the real one has and the tools need, strict about arguments as Boost.Python is, and nothing more.
STAND_IN = """
from pydeepexpr.caffe import Net as Own

TRAIN, TEST = 0, 1

def set_mode_cpu():
    print("stand-in: cpu")

class Net:
    def __init__(self, network_file, phase, level=0, stages=None, weights=None):
        assert type(network_file) is str and type(phase) is int and type(level) is int
        assert weights is None or type(weights) is str
        print("stand-in: net")
        own = Own(network_file, phase, level=level, stages=stages, weights=weights)
        for name in ("blobs", "params", "top_names", "forward", "reshape"):
            setattr(self, name, getattr(own, name))
        self._own = own

    def copy_from(self, weights):
        assert type(weights) is str
        self._own.copy_from(weights)
"""
TOOLS = Path(__file__).parents[1] / "tools"


def test_own_engine_is_the_default(monkeypatch):
    monkeypatch.delenv("DEEPEXPR_CAFFE", raising=False)
    assert engine.caffe.__name__ == "pydeepexpr.caffe"


def test_bvlc_takes_the_installed_pycaffe(monkeypatch):
    module = ModuleType("caffe")
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    assert engine.caffe is module


def test_bvlc_without_pycaffe(monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", None)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    with pytest.raises(UserError, match="pycaffe cannot be imported"):
        _ = engine.caffe


def test_bvlc_with_a_pycaffe_that_was_not_built(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "caffe", raising=False)
    (tmp_path / "caffe.py").write_text("from _caffe_that_was_not_built import Net")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    with pytest.raises(UserError, match=r"cannot be imported \(No module named '_caffe_that_was_not_built'\)"):
        _ = engine.caffe


def test_a_tool_runs_on_the_installed_pycaffe(tiny, tmp_path):
    (tmp_path / "caffe.py").write_text(STAND_IN)
    environment = {**os.environ, "DEEPEXPR_CAFFE": "bvlc", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, TOOLS / "extract_features.py", tiny.weights, tiny.lmdb, tmp_path / "store"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["stand-in: cpu", "stand-in: net"]
    store = FeatureStore.open(tmp_path / "store")
    np.testing.assert_allclose(store.fc6, tiny.store.fc6, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(store.prob, tiny.store.prob, rtol=1e-5, atol=1e-6)


def test_unknown_choice(monkeypatch):
    monkeypatch.setenv("DEEPEXPR_CAFFE", "caffe2")
    with pytest.raises(UserError, match="DEEPEXPR_CAFFE=caffe2 is not known; use one of: own, bvlc"):
        _ = engine.caffe


def test_unknown_device():
    with pytest.raises(UserError, match="use one of: auto, cpu, cuda"):
        engine.use_device("tpu")


@pytest.mark.parametrize(("device", "calls"), [("cpu", ["cpu"]), ("auto", ["cpu"]), ("cuda", [0, "gpu"])])
def test_devices_of_pycaffe(monkeypatch, device, calls):
    module, made = ModuleType("caffe"), []
    module.set_device = made.append
    module.set_mode_cpu = lambda: made.append("cpu")
    module.set_mode_gpu = lambda: made.append("gpu")
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    engine.use_device(device)
    assert made == calls
