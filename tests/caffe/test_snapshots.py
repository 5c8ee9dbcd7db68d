"""Snapshots: names and times, what the files hold, both formats, real Caffe's, and those that are damaged."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.snapshots import State, read_state, write_state
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import (
    FIXED,
    HEAD,
    KINDS,
    PLAIN,
    SETTINGS,
    assert_same,
    data,
    files,
    histories,
    parameters,
    snapshot_files,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe" / "solvers"


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("snapshot: 2", [2, 4, 5]),
        ("snapshot: 5", [5]),
        ("snapshot: 2 snapshot_after_train: false", [2, 4]),
        ("", [5]),
        ("snapshot_after_train: false", []),
    ],
)
@pytest.mark.parametrize("hdf5", [False, True])
def test_names_and_times_of_snapshots(make_solver, tmp_path, logged, more, wanted, hdf5):
    make_solver(FIXED + f"max_iter: 5 {more} {'snapshot_format: HDF5' * hdf5}").solve()
    assert files(tmp_path / "out") == snapshot_files("s", *wanted, hdf5=hdf5)
    for words in (("Snapshotting to", "caffemodel"), ("Snapshotting solver state to", "solverstate")):
        ending = ".h5" if hdf5 else ""
        names = [str(tmp_path / "out" / f"s_iter_{n}.{words[1]}{ending}") for n in wanted]
        kind = "HDF5" if hdf5 else "binary proto"
        lines = [line.split("] ", 1)[1] for line in logged() if words[0] in line]
        assert lines == [f"{words[0]} {kind} file {name}" for name in names]


def test_solve_goes_on_from_a_state_to_max_iter(make_solver, tmp_path):
    text = FIXED + "momentum: 0.9 snapshot: 3 random_seed: 1 max_iter: 7"
    whole = make_solver(text, prefix="whole")
    whole.solve()
    resumed = make_solver(text, prefix="resumed")
    resumed.solve(str(tmp_path / "out" / "whole_iter_3.solverstate"))
    assert_same(parameters(whole), parameters(resumed))
    assert files(tmp_path / "out") == snapshot_files("resumed", 6, 7) + snapshot_files("whole", 3, 6, 7)


def test_a_snapshot_with_gradients(make_solver, tmp_path):
    make_solver(FIXED + "max_iter: 1 snapshot_diff: true").solve()
    model = pb.NetParameter.FromString((tmp_path / "out" / "s_iter_1.caffemodel").read_bytes())
    assert all(any(blob.diff) for layer in model.layer for blob in layer.blobs)
    make_solver(FIXED + "max_iter: 1 snapshot_diff: true snapshot_format: HDF5").solve()
    with h5py.File(tmp_path / "out" / "s_iter_1.caffemodel.h5") as file:
        assert file["diff/one/0"][()].any() and file["diff/two/1"].shape == (13,)


def test_a_solver_without_a_prefix_takes_its_own_name(make_solver, tmp_path):
    make_solver(f'{FIXED} max_iter: 1 snapshot_prefix: "{tmp_path / "lmdb"}"').solve()
    assert {"solver_iter_1.caffemodel", "solver_iter_1.solverstate"} <= set(files(tmp_path / "lmdb"))


@pytest.mark.parametrize("which", ["caffemodel", "solverstate"])
def test_a_snapshot_that_breaks_off_leaves_no_file(make_solver, tmp_path, monkeypatch, which):
    solver = make_solver(FIXED + "max_iter: 3")
    solver.step(1)
    write = Path.write_bytes

    def break_off(self, content):
        if which in self.name:
            write(self, content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", break_off)
    with pytest.raises(OSError, match="No space left"):
        solver.snapshot()
    assert files(tmp_path / "out") == ([] if which == "caffemodel" else snapshot_files("s", 1)[:2])


def test_a_state_finds_its_model_beside_it_after_both_were_moved(make_solver, tmp_path):
    solver = make_solver(FIXED + "max_iter: 2 random_seed: 1")
    solver.solve()
    wanted = parameters(solver)
    (tmp_path / "out").rename(tmp_path / "moved")
    other = make_solver(FIXED + "max_iter: 2 random_seed: 2")
    other.restore(tmp_path / "moved" / "s_iter_2.solverstate")
    assert_same(parameters(other), wanted)


# What the files hold


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_holds_what_caffe_puts_there(make_solver, tmp_path, kind):
    text = f'{SETTINGS[kind]} type: "{kind}" lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 5'
    solver = make_solver(text)
    solver.solve()
    state = pb.SolverState.FromString((tmp_path / "out" / "s_iter_5.solverstate").read_bytes())
    assert state.iter == 5 and state.current_step == 2
    assert state.learned_net == str(tmp_path / "out" / "s_iter_5.caffemodel")
    times = 2 if kind in ("AdaDelta", "Adam") else 1
    assert [tuple(blob.shape.dim) for blob in state.history] == [(8, 360), (8,), (13, 8), (13,)] * times
    for blob, history in zip(state.history, histories(solver), strict=True):
        np.testing.assert_array_equal(blob.data, history.ravel())
        assert any(blob.data)


def test_an_hdf5_state_holds_what_caffe_puts_there(make_solver, tmp_path):
    # hdf5_save_int: one int32; hdf5_save_string: fixed length with its zero; hdf5_save_nd_dataset: float32 of the shape
    text = f'{SETTINGS["Adam"]} type: "Adam" lr_policy: "step" gamma: 0.5 stepsize: 2 max_iter: 5 snapshot_format: HDF5'
    solver = make_solver(text)
    solver.solve()
    model = str(tmp_path / "out" / "s_iter_5.caffemodel.h5")
    with h5py.File(tmp_path / "out" / "s_iter_5.solverstate.h5") as file:
        assert set(file) == {"iter", "learned_net", "current_step", "history"}
        for name, value in (("iter", 5), ("current_step", 2)):
            assert file[name].shape == (1,) and file[name].dtype == np.int32 and file[name][0] == value
        text = file["learned_net"].id.get_type()
        assert (text.get_size(), text.get_strpad(), text.is_variable_str()) == (
            len(model) + 1,
            h5py.h5t.STR_NULLTERM,
            False,
        )
        assert file["learned_net"].shape == () and file["learned_net"][()] == model.encode()
        assert sorted(file["history"], key=int) == [str(i) for i in range(8)]
        for i, history in enumerate(histories(solver)):
            assert file[f"history/{i}"].dtype == np.float32
            np.testing.assert_array_equal(file[f"history/{i}"][()], history)


@pytest.mark.parametrize("ending", ["", ".h5"])
@pytest.mark.parametrize("shapes", [[], [()], [(3,), (2, 1, 2), (0,)]])
def test_states_come_back_as_they_were(tmp_path, ending, shapes):
    history = [np.random.default_rng(1).normal(size=shape).astype(np.float32) for shape in shapes]
    path = str(tmp_path / f"s.solverstate{ending}")
    write_state(path, State(7, "a/müde.caffemodel", 3, history))
    back = read_state(path)
    assert (back.iteration, back.model, back.drops) == (7, "a/müde.caffemodel", 3)
    for one, other in zip(back.history, history, strict=True):
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)


# Real Caffe's


@pytest.mark.parametrize("case", ["sgd_momentum_decay", "adam"])
def test_a_snapshot_of_real_caffes_resumed_in_either_format(case, tmp_path, monkeypatch):
    """The state that real Caffe wrote at step 6, once as it is and once rewritten as HDF5, leads to its step 12."""
    monkeypatch.chdir(GOLDEN)
    golden = np.load(f"{case}.npz")
    real = read_state(f"{case}_iter_6.solverstate")
    assert real.iteration == 6 and len(real.history) == (8 if case == "adam" else 4)
    assert real.model == f"{case}_iter_6.caffemodel"
    hdf5 = str(tmp_path / "rewritten.solverstate.h5")
    write_state(hdf5, real)
    for state in (f"{case}_iter_6.solverstate", hdf5):
        solver = caffe.get_solver(f"{case}.prototxt")
        for name in ("data", "label"):
            solver.net.blobs[name].data[...] = golden[f"in/{name}"]
        solver.restore(state)
        solver.step(6)
        for name in golden.files:
            if name.startswith("param/12/"):
                layer, i = name.split("/")[2:]
                np.testing.assert_allclose(solver.net.params[layer][int(i)].data, golden[name], atol=1e-5)


@pytest.mark.parametrize("case", ["sgd_momentum_decay", "adam"])
def test_a_state_is_written_as_real_caffe_wrote_it(case, tmp_path, monkeypatch):
    """Byte by byte, but for the last digits of the numbers: six steps from where real Caffe began."""
    monkeypatch.chdir(GOLDEN)
    golden = np.load(f"{case}.npz")
    solver = caffe.get_solver(f"{case}.prototxt")
    for name in golden.files:
        if name.startswith("param0/"):
            solver.net.params[name.split("/")[1]][int(name.split("/")[2])].data[...] = golden[name]
    for name in ("data", "label"):
        solver.net.blobs[name].data[...] = golden[f"in/{name}"]
    solver.step(6)
    solver.param.snapshot_prefix = str(tmp_path / case)
    solver.snapshot()
    ours = pb.SolverState.FromString((tmp_path / f"{case}_iter_6.solverstate").read_bytes())
    real = pb.SolverState.FromString((GOLDEN / f"{case}_iter_6.solverstate").read_bytes())
    assert ours.learned_net == str(tmp_path / real.learned_net)
    for one, other in zip(ours.history, real.history, strict=True):
        np.testing.assert_allclose(one.data, other.data, atol=1e-5)
        assert one.shape == other.shape
        one.ClearField("data")
        other.ClearField("data")
    ours.learned_net = real.learned_net
    assert ours == real


# Damaged ones


def hdf5_without(*names, **instead):
    def make(path):
        path = path.with_suffix(".solverstate.h5")
        with h5py.File(path, "w") as file:
            for name, value in {"iter": [2], "current_step": [0], "learned_net": np.bytes_("m"), **instead}.items():
                if name not in names:
                    file[name] = value
            if "history" not in names and "history" not in instead:
                file.create_group("history")["0"] = np.zeros(3)
        return path

    return make


def written(content):
    def make(path):
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path, "cannot read the solver state .*: No such file"),
        (lambda path: path.parent, "cannot read the solver state .*: Is a directory"),
        (written(b""), "is no solver state"),
        (written(b"\xff\xff"), "is truncated or no SolverState file"),
        (written(b"iter: 4"), "is truncated or no SolverState file|is no solver state"),
        (written(pb.NetParameter(name="n").SerializeToString()), "is no solver state"),
        (written(pb.SolverState(iter=-1, learned_net="m").SerializeToString()), "is no solver state"),
        (
            written(pb.SolverState(iter=1, history=[pb.BlobProto()]).SerializeToString()),
            r"a history says \(\) but holds 0 values",
        ),
        (
            written(
                pb.SolverState(history=[pb.BlobProto(shape=pb.BlobShape(dim=[2]), data=[1, 2])]).SerializeToString()
            ),
            "holds 1 histories that do not fit this net's 4; resume with the solver and the net that made",
        ),
        (lambda path: path.with_suffix(".h5"), "cannot read the solver state .*: No such file"),
        (lambda path: written(b"")(path.with_suffix(".h5")), "is damaged or no solver state"),
        (lambda path: written(b"\x89HDF\r\n\x1a\n")(path.with_suffix(".h5")), "is damaged or no solver state"),
        (hdf5_without("iter"), "is damaged or no solver state"),
        (hdf5_without("current_step"), "is damaged or no solver state"),
        (hdf5_without("history"), "is damaged or no solver state"),
        (hdf5_without(iter=[]), "is damaged or no solver state"),
        (hdf5_without(iter=np.bytes_("x")), "is damaged or no solver state"),
        (hdf5_without(history=[1.0, 2.0]), "is damaged or no solver state"),
        (hdf5_without(learned_net=np.bytes_(b"\xff")), "is damaged or no solver state"),
        (hdf5_without(iter=[-2]), "is no solver state"),
        (hdf5_without(), "holds 1 histories that do not fit this net's 4"),
    ],
)
def test_restore_refuses_what_is_no_state_of_this_net(make_solver, tmp_path, make, said):
    solver = make_solver(FIXED)
    before, path = parameters(solver), make(tmp_path / "bad.solverstate")
    with pytest.raises(UserError, match=said) as error:
        solver.restore(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert solver.iter == 0
    assert_same(parameters(solver), before)


@pytest.mark.parametrize("ending", ["", ".h5"])
def test_states_cut_short_or_changed_are_read_or_refused_but_break_nothing(make_solver, tmp_path, ending):
    solver = make_solver(FIXED + f"max_iter: 1 {'snapshot_format: HDF5' * bool(ending)}")
    solver.solve()
    path = tmp_path / "out" / f"s_iter_1.solverstate{ending}"
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        content = bytearray(whole)
        if rng.integers(2):
            del content[rng.integers(len(content)) :]
        else:
            for at in rng.integers(0, min(len(content), 3000), 3):
                content[at] = rng.integers(256)
        path.write_bytes(content)
        try:
            read_state(path)
        except UserError as error:
            assert "\n" not in str(error)


def test_restore_refuses_the_state_of_another_net_and_one_without_its_model(make_solver, image_lmdb, tmp_path):
    make_solver(FIXED + "max_iter: 1").solve()
    state = tmp_path / "out" / "s_iter_1.solverstate"
    other = make_solver(FIXED, data(image_lmdb) + PLAIN.replace("num_output: 8", "num_output: 9") + HEAD)
    with pytest.raises(UserError, match="holds 4 histories that do not fit this net's 4"):
        other.restore(state)
    with pytest.raises(UserError, match="holds 4 histories that do not fit this net's 8"):
        make_solver(FIXED + 'type: "Adam"').restore(state)
    state.with_suffix(".caffemodel").unlink()
    with pytest.raises(UserError, match=r"cannot read the model .*s_iter_1\.caffemodel: No such file"):
        make_solver(FIXED).restore(state)


# Where they go


def test_snapshots_need_a_prefix_from_the_start():
    # a message has no file whose name could serve; Caffe checks this in Solver::Init
    param = pb.SolverParameter(lr_policy="fixed", base_lr=0.1, snapshot=1000, net_param=pb.NetParameter())
    with pytest.raises(UserError, match="the solver takes snapshots but has no snapshot_prefix; add one"):
        caffe.get_solver(param)


def test_snapshots_need_a_place_from_the_start(make_solver, tmp_path):
    (tmp_path / "file").write_text("")
    for prefix in ("file/s", "file/deeper/s"):
        with pytest.raises(UserError, match=r"cannot write to its snapshot_prefix .*/s: .*/file is no folder"):
            make_solver(FIXED + f'snapshot: 5 snapshot_prefix: "{tmp_path / prefix}"')
    solver = make_solver(FIXED + f'snapshot_prefix: "{tmp_path / "file" / "s"}"')
    with pytest.raises(UserError, match="cannot write to its snapshot_prefix"):
        solver.snapshot()
    make_solver(FIXED + f'snapshot: 1 max_iter: 1 snapshot_prefix: "{tmp_path / "new" / "deeper" / "s"}"').solve()
    assert files(tmp_path / "new" / "deeper") == snapshot_files("s", 1)
