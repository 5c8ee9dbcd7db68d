"""Finding prototxts from anywhere."""

import pytest

from pydeepexpr import paths
from pydeepexpr.caffe.readers import read_net, read_solver
from pydeepexpr.errors import UserError


def test_the_repository_is_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_net(paths.find("prototxt/human_deploy.prototxt")).name == "human"
    (tmp_path / "prototxt").mkdir()
    (tmp_path / "prototxt" / "human_deploy.prototxt").write_text('name: "mine"')
    assert read_net(paths.find("prototxt/human_deploy.prototxt")).name == "mine"  # one's own comes first


def test_absent():
    with pytest.raises(UserError, match=r"no prototxt/inhuman\.prototxt"):
        paths.find("prototxt/inhuman.prototxt")


def test_the_human_solver_has_the_papers_hyperparameters():
    solver = read_solver(paths.find("solvers/human.prototxt"))
    # Aneja et al., ACCV 2016, section 3.2: 50 epochs of 56 K images in batches of 50, divided by 10 every 10 epochs.
    assert (solver.base_lr, solver.momentum, solver.weight_decay) == pytest.approx((0.01, 0.9, 0.0005))
    assert (solver.max_iter, solver.stepsize) == (50 * 56_000 // 50, 10 * 56_000 // 50)
    assert (solver.lr_policy, solver.gamma) == ("step", pytest.approx(0.1))
    assert read_net(paths.find(solver.net)).layer[0].data_param.batch_size == 50


def test_the_two_human_networks_are_one():
    train, deploy = (read_net(paths.find(f"prototxt/human_{kind}.prototxt")) for kind in ("train_val", "deploy"))
    body = [layer for layer in train.layer if layer.type not in ("Data", "Accuracy", "SoftmaxWithLoss")]
    assert body == [layer for layer in deploy.layer if layer.type not in ("Input", "Softmax")]
