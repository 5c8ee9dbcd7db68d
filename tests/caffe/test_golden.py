"""The engine against BVLC Caffe 1.0.

tests/golden/caffe holds what a CPU build of BVLC Caffe 1.0 (OpenBLAS, float32) computed on small random inputs.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pydeepexpr import caffe

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe"
TOLERANCE = 1e-4  # of the largest expected value, or of 1 where that is smaller


def cases(folder: str, pattern: str = "*.npz") -> list[str]:
    return sorted(path.stem for path in (GOLDEN / folder).glob(pattern))


def assert_close(got, want, what: str) -> None:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.size == want.size, what
    np.testing.assert_allclose(
        got.ravel(), want.ravel(), rtol=0, atol=TOLERANCE * max(1.0, np.abs(want).max(initial=0)), err_msg=what
    )


def entries(golden, kind: str) -> dict[str, np.ndarray]:
    """Return the arrays named `kind/…`, by the rest of their names."""
    return {name[len(kind) + 1 :]: golden[name] for name in golden.files if name.startswith(kind + "/")}


def parameter(net, name: str):
    layer, index = name.split("/")
    return net.params[layer][int(index)]


@pytest.mark.parametrize("case", cases("layers"))
def test_layer(case):
    golden = np.load(GOLDEN / "layers" / f"{case}.npz")
    prototxt = GOLDEN / "layers" / f"{case}.prototxt"
    net = caffe.Net(str(prototxt), caffe.TEST if "phase: TEST" in prototxt.read_text() else caffe.TRAIN)
    for name, values in entries(golden, "in").items():
        net.blobs[name].data[...] = values
    for name, values in entries(golden, "param").items():
        parameter(net, name).data[...] = values
    net.forward()
    for name, values in entries(golden, "out").items():
        assert net.blobs[name].shape == values.shape
        assert_close(net.blobs[name].data, values, name)
    for name, values in entries(golden, "param_after").items():
        assert_close(parameter(net, name).data, values, f"parameter {name} after forward")
    net.clear_param_diffs()
    net.backward(**entries(golden, "topdiff"))
    for name, values in entries(golden, "diff").items():
        assert_close(net.blobs[name].diff, values, f"gradient of {name}")
    for name, values in entries(golden, "pdiff").items():
        assert_close(parameter(net, name).diff, values, f"gradient of parameter {name}")


def solver_with_inputs(folder: Path, case: str, golden):
    solver = caffe.get_solver(str(folder / f"{case}.prototxt"))
    for name, values in entries(golden, "in").items():
        solver.net.blobs[name].data[...] = values
    return solver


@pytest.fixture
def solvers(tmp_path, monkeypatch):
    """The golden solvers in a folder of their own, as the current one: their nets are named relative to it."""
    shutil.copytree(GOLDEN / "solvers", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", cases("solvers"))
def test_solver(case, solvers):
    golden = np.load(solvers / f"{case}.npz")
    solver = solver_with_inputs(solvers, case, golden)
    for name, values in entries(golden, "param0").items():
        parameter(solver.net, name).data[...] = values
    for iteration, loss in enumerate(golden["loss"], 1):
        solver.step(1)
        assert_close(solver.net.blobs["loss"].data, loss, f"loss of iteration {iteration}")
        for name, values in entries(golden, f"param/{iteration}").items():
            assert_close(parameter(solver.net, name).data, values, f"parameter {name} after {iteration}")


def test_resume_from_the_snapshot_that_caffe_wrote(solvers):
    golden = np.load(solvers / "sgd_momentum_decay.npz")
    solver = solver_with_inputs(solvers, "sgd_momentum_decay", golden)
    solver.restore("sgd_momentum_decay_iter_6.solverstate")
    assert solver.iter == 6
    for name, values in entries(golden, "param/6").items():
        np.testing.assert_array_equal(parameter(solver.net, name).data, values)
    solver.step(6)
    for name, values in entries(golden, "param/12").items():
        assert_close(parameter(solver.net, name).data, values, name)


@pytest.mark.parametrize("case", [case for case in cases("data") if not case.startswith(("train", "images"))])
def test_data_layer(case, monkeypatch):
    monkeypatch.chdir(GOLDEN / "data")
    golden = np.load(f"{case}.npz")
    net = caffe.Net(f"{case}.prototxt", caffe.TEST)
    for batch in range(len(entries(golden, "data"))):
        net.forward()
        assert_close(net.blobs["data"].data, golden[f"data/{batch}"], f"images of batch {batch}")
        np.testing.assert_array_equal(net.blobs["label"].data, golden[f"label/{batch}"])


@pytest.mark.parametrize("case", cases("data", "train_*.npz"))
def test_solver_fed_by_an_lmdb(case, monkeypatch):
    monkeypatch.chdir(GOLDEN / "data")
    golden = np.load(f"{case}.npz")
    solver = caffe.get_solver(f"{case}.prototxt")
    for name, values in entries(golden, "param0").items():
        parameter(solver.net, name).data[...] = values
    for iteration in range(1, 9):
        solver.step(1)
        for name, values in entries(golden, f"param/{iteration}").items():
            assert_close(parameter(solver.net, name).data, values, f"parameter {name} after {iteration}")
