"""Device, precision and seed."""

import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.errors import UserError


def test_phases_have_caffes_numbers():
    assert (caffe.TRAIN, caffe.TEST) == (0, 1)


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no CUDA device is visible to PyTorch; use the CPU"):
        caffe.set_mode_gpu()
    assert mode.device() == torch.device("cpu")


def test_the_device_is_the_one_chosen(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    caffe.set_device(1)
    assert mode.device() == torch.device("cpu")  # set_device alone chooses no GPU
    caffe.set_mode_gpu()
    assert mode.device() == torch.device("cuda", 1)
    caffe.set_mode_cpu()
    assert mode.device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["FP32", "float32", "", "fp16"])
def test_precisions(name):
    caffe.set_precision("bf16")
    with pytest.raises(UserError, match=f"precision '{name}' is unknown; use one of: fp32, bf16"):
        caffe.set_precision(name)
    assert mode.precision() == "bf16"


def test_a_seed_is_fresh_until_it_is_set():
    assert mode.random_seed() != mode.random_seed()
    caffe.set_random_seed(5)
    one = torch.rand(3)
    caffe.set_random_seed(5)
    assert mode.random_seed() == 5 and (torch.rand(3) == one).all()
