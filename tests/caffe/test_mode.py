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


@pytest.mark.parametrize("name", ["Five", "10", "", "corners"])
def test_crops(name):
    assert mode.crops() == "random"
    caffe.set_crops("five")
    with pytest.raises(UserError, match=f"crops '{name}' are unknown; use one of: random, centre, mirrored, five"):
        caffe.set_crops(name)
    assert mode.crops() == "five"


def test_a_seed_is_fresh_until_it_is_set():
    assert mode.random_seed() != mode.random_seed()
    caffe.set_random_seed(5)
    one = torch.rand(3)
    caffe.set_random_seed(5)
    assert mode.random_seed() == 5 and (torch.rand(3) == one).all()


def test_a_seed_for_a_while():
    caffe.set_random_seed(5)
    drawn = torch.rand(2)
    caffe.set_random_seed(5)
    with mode.seeded(8):
        assert mode.random_seed() == 8
        with mode.seeded(9):
            assert mode.random_seed() == 9
        assert mode.random_seed() == 8
    assert mode.random_seed() == 5
    assert torch.equal(torch.rand(2), drawn)  # PyTorch's generator went on
    with pytest.raises(ValueError, match="mine"), mode.seeded(8):
        raise ValueError("mine")
    assert mode.random_seed() == 5


def test_the_place_among_several_solvers():
    assert (caffe.solver_count(), caffe.solver_rank(), mode.is_root_solver()) == (1, 0, True)
    caffe.set_solver_count(4)
    caffe.set_solver_rank(3)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank(), mode.is_root_solver()) == (4, 3, False)
    assert caffe.has_nccl() is True
