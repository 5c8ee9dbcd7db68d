"""Which nets a solver trains and tests, what state they are in, and what weights they start from."""

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import FIXED, HEAD, PLAIN, assert_same, data, parameters


@pytest.fixture
def nets(tmp_path, image_lmdb):
    """Two network files, told apart by their names, and what says them within a solver."""
    text = data(image_lmdb) + PLAIN + HEAD
    for name in ("a", "b"):
        (tmp_path / f"{name}.prototxt").write_text(f'name: "{name}" {text}')
    (tmp_path / "old.prototxt").write_text(
        'name: "old" input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 '
        'layers { name: "l" type: RELU bottom: "x" top: "y" }'
    )

    def words(field, name):
        path = tmp_path / f"{name}.prototxt"
        return f"{field} {{ {path.read_text()} }} " if field.endswith("param") else f'{field}: "{path}" '

    return words


@pytest.mark.parametrize("field", ["net", "net_param", "train_net", "train_net_param"])
def test_the_training_net(make_solver, nets, logged, field):
    solver = make_solver(FIXED + nets(field, "a"))
    assert solver.net.name == "a" and solver.test_nets == []
    (line,) = (line.split("] ", 1)[1] for line in logged() if "Creating training net" in line)
    assert line.startswith(f"Creating training net from {field}") and ("file: " in line) == ("param" not in field)


@pytest.mark.parametrize("field", ["net_param", "train_net_param"])
def test_nets_within_a_solver_may_be_old(make_solver, nets, field):
    assert [layer.type for layer in make_solver(FIXED + nets(field, "old")).net.layers] == ["Input", "ReLU"]


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ([("net", "a")], ["a", "a"]),
        ([("net_param", "a")], ["a", "a"]),
        ([("net", "a"), ("test_net", "b")], ["b", "a"]),
        ([("net_param", "a"), ("test_net_param", "b")], ["b", "a"]),
        ([("net", "a"), ("test_net", "a"), ("test_net", "b")], ["a", "b"]),
        ([("train_net", "a"), ("test_net", "b"), ("test_net_param", "a")], ["a", "b"]),  # those within go first
    ],
)
def test_which_nets_are_tested(make_solver, nets, fields, wanted):
    text = "".join(nets(*field) for field in fields)
    solver = make_solver(FIXED + text + "test_iter: 1 test_iter: 2 test_interval: 1")
    assert [net.name for net in solver.test_nets] == wanted
    assert len(solver.test_all()) == 2
    assert [net.place().passes for net in solver.test_nets] == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('train_net: "none.prototxt"', r"cannot read the network none\.prototxt: No such file"),
        ('test_net: "none.prototxt"', r"the solver must name its net once: .* not \[\]"),
        ("train_net_param { } net_param { }", r"once: .* not \['net_param', 'train_net_param'\]"),
        ('net: "a" train_net: "b"', "the solver must name its net once"),
        ("<train> test_iter: 1", r"the solver has 0 test net\(s\) and 1 test_iter; give one test_iter"),
        ("<train> <test>", r"the solver has 1 test net\(s\) and 0 test_iter"),
        ("<net> <test>", r"the solver has 1 test net\(s\) and 0 test_iter"),
        ("<net> test_iter: 1 test_state { } test_state { }", "has 1 test nets and 2 test_state; give none or one"),
        ('train_net_param { layer { name: "x" type: "Y" } }', "layer 'x' has the unknown type 'Y'"),
    ],
)
def test_nets_that_cannot_be(make_solver, nets, text, said):
    for word, field in (("<train>", "train_net"), ("<test>", "test_net"), ("<net>", "net")):
        text = text.replace(word, nets(field, "a"))
    with pytest.raises(UserError, match=said) as error:
        make_solver(FIXED + text)
    assert "\n" not in str(error.value)


# Their states


def test_several_test_nets_with_their_stages(make_solver, image_lmdb, logged):
    rules = data(image_lmdb, more='include { not_stage: "two" }') + data(image_lmdb, 2, more='include { stage: "two" }')
    solver = make_solver(
        FIXED + 'test_iter: 1 test_iter: 2 test_interval: 1 test_state { } test_state { stage: "two" }',
        rules + PLAIN + HEAD,
    )
    assert [net.blobs["data"].shape[0] for net in solver.test_nets] == [4, 2]
    assert len(solver.test_all()) == 2
    assert sum("Testing net (#1)" in line for line in logged()) == 1


@pytest.mark.parametrize(
    ("own", "of_solver", "wanted"),
    [
        ("", "", 1),
        ("", "train_state { level: 2 }", 2),
        ("level: 2", "", 2),
        ("level: 2", "train_state { level: 0 }", 1),  # the solver's state goes before the net's
        ("level: 1", "train_state { level: 2 }", 2),
        ("", 'train_state { stage: "three" }', 3),
        ('stage: "three"', "", 3),
        ('stage: "three"', "train_state { level: 2 }", 4),  # stages add up
        ("phase: TEST", "", 5),
        ("", "train_state { phase: TEST }", 5),
    ],
)
def test_the_state_of_the_solver_goes_over_that_of_the_net(make_solver, own, of_solver, wanted):
    # Solver::InitTrainNet merges: the phase, then the net's own state, then the solver's
    rules = (
        'phase: TRAIN max_level: 1 not_stage: "three"',
        'phase: TRAIN min_level: 2 not_stage: "three"',
        'phase: TRAIN max_level: 1 stage: "three"',
        'phase: TRAIN min_level: 2 stage: "three"',
        "phase: TEST",
    )
    layers = "".join(
        f'layer {{ name: "in{n}" type: "Input" top: "x" include {{ {rule} }} input_param {{ shape {{ dim: {n} }} }} }}'
        for n, rule in enumerate(rules, 1)
    )
    solver = make_solver(FIXED + of_solver, f"state {{ {own} }} {layers}")
    assert solver.net.blobs["x"].shape == (wanted,)


# What they start from


@pytest.mark.parametrize("ending", ["", ".h5"])
def test_weights_are_copied_one_file_after_another(make_solver, tmp_path, logged, ending):
    wanted = {}
    for n, layer in enumerate(("one", "two")):
        net = make_solver(FIXED + f"random_seed: {n}").net
        wanted[f"{layer}/0"] = net.params[layer][0].data.copy()
        if ending:
            net.save_hdf5(tmp_path / f"{n}.caffemodel.h5")
        else:
            net.save(tmp_path / f"{n}.caffemodel")
    for path in (path for path in tmp_path.glob("*.caffemodel") if path.name == "1.caffemodel"):
        model = pb.NetParameter.FromString(path.read_bytes())
        model.layer.remove(next(layer for layer in model.layer if layer.name == "one"))
        path.write_bytes(model.SerializeToString())
    files = [f"{tmp_path}/{n}.caffemodel{ending}" for n in range(2)]
    for said in (f'weights: "{files[0]}" weights: "{files[1]}"', f'weights: "{files[0]}, {files[1]}"'):
        before = len(logged())
        solver = make_solver(FIXED + "random_seed: 9 test_iter: 1 test_interval: 1 " + said)
        for net in (solver.net, *solver.test_nets):
            np.testing.assert_array_equal(net.params["two"][0].data, wanted["two/0"])
            if not ending:
                np.testing.assert_array_equal(net.params["one"][0].data, wanted["one/0"])
        lines = [line.split("] ", 1)[1] for line in logged()[before:] if "Finetuning" in line]
        assert lines == [f"Finetuning from {file}" for file in files] * 2


def test_a_message_is_not_changed(make_solver, tmp_path):
    make_solver(FIXED)
    net = text_format.Parse((tmp_path / "net.prototxt").read_text(), pb.NetParameter())
    message = pb.SolverParameter(net_param=net, lr_policy="fixed", base_lr=0.1, test_iter=[1], test_interval=1)
    before = message.SerializeToString()
    trained = []
    for _ in range(2):
        caffe.set_random_seed(4)
        solver = caffe.get_solver(message)
        solver.step(2)
        trained.append(parameters(solver))
        solver.close()
    assert message.SerializeToString() == before
    assert_same(*trained)
