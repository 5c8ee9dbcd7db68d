"""What a pycaffe script may do with a solver and its nets."""

import gc

import numpy as np
import pytest

from pydeepexpr import caffe

NET = """
force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 2 dim: 3 dim: 4 } shape { dim: 5 } data_filler { type: "gaussian" std: 1 }
  data_filler { type: "constant" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 7 kernel_size: 2 pad: 3 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "scores" type: "InnerProduct" bottom: "conv" top: "scores" inner_product_param {
  num_output: 6 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" test_iter: 3 test_interval: 10 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "inv" gamma: 0.0001 power: 0.75 max_iter: 25 snapshot_after_train: false snapshot_prefix: "model"
"""


@pytest.fixture
def solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    solver = caffe.get_solver("solver.prototxt")
    for net in (solver.net, *solver.test_nets):
        net.blobs["label"].data[...] = np.random.default_rng(0).integers(6, size=5)
    return solver


def test_solving_counts_to_the_end(solver):
    assert type(solver) is caffe.SGDSolver and solver.iter == 0
    solver.solve()
    assert solver.iter == 25
    solver.step(2)
    assert solver.iter == 27


def test_an_update_is_seen_in_views_that_the_user_holds(solver):
    blob = solver.net.layers[1].blobs[0]
    weights = blob.data[...]
    weights[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    # v = 0.01 · (1 + 0.0005 · 0), w = 0 − v
    np.testing.assert_allclose(weights, -0.01, atol=1e-7)


def test_the_label_that_the_user_wrote_stays(solver):
    solver.step(3)
    np.testing.assert_array_equal(solver.net.blobs["label"].data, np.random.default_rng(0).integers(6, size=5))


def test_its_nets_outlive_it(solver):
    nets = [solver.net, *solver.test_nets]
    assert len(nets) == 2
    solver.step(1)
    del solver
    gc.collect()
    for net in nets:
        blobs = [*net.blobs.values(), *(blob for blobs in net.params.values() for blob in blobs)]
        assert np.isfinite(sum(float(blob.data.sum() + blob.diff.sum()) for blob in blobs))


def test_a_snapshot_has_caffes_names(solver, tmp_path):
    solver.snapshot()
    assert {"model_iter_0.caffemodel", "model_iter_0.solverstate"} <= {path.name for path in tmp_path.iterdir()}


def test_training_by_hand_is_training(solver):
    """A loop of forward, backward and updates in NumPy, as tutorials have it, against the solver's own step."""
    net = solver.net
    start = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    net.blobs["data"].data[...] = np.random.default_rng(1).normal(size=net.blobs["data"].shape)
    net.clear_param_diffs()
    net.forward(start="conv")
    net.backward()
    for blobs in net.params.values():
        for blob in blobs:
            blob.diff[...] = 0.01 * (blob.diff + 0.0005 * blob.data)
            blob.data[...] -= blob.diff
    by_hand = {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}
    for name, blobs in net.params.items():
        for blob, values in zip(blobs, start[name], strict=True):
            blob.data[...] = values
    net.clear_param_diffs()
    net.forward(start="conv")
    net.backward()
    solver.apply_update()
    for name, blobs in net.params.items():
        for blob, values in zip(blobs, by_hand[name], strict=True):
            np.testing.assert_allclose(blob.data, values, rtol=1e-5, atol=1e-7)
