"""The choice of Caffe is made in one place."""

import sys
from types import ModuleType

import pytest

from pydeepexpr import engine
from pydeepexpr.errors import UserError


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
