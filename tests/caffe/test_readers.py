"""Reading files: what is wrong with one is said in one line that names it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_bytes, read_message, read_net, read_solver
from pydeepexpr.errors import UserError


def said_of(reader, path, *arguments):
    with pytest.raises(UserError) as error:
        reader(path, *arguments)
    text = str(error.value)
    assert str(path) in text and "\n" not in text
    return text


def test_a_net_in_text(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text('name: "né" # a comment\nlayer { name: "a" relu_param: { negative_slope: .5 } }')
    net = read_net(path)
    assert net.name == "né" and net.layer[0].relu_param.negative_slope == 0.5
    assert read_net(os.fspath(path)) == net


@pytest.mark.parametrize("reader", [read_net, read_solver])
def test_files_that_cannot_be_read(tmp_path, reader):
    assert "No such file or directory" in said_of(reader, tmp_path / "none.prototxt")
    assert "Is a directory" in said_of(reader, tmp_path)


def test_a_name_that_no_file_can_have():
    with pytest.raises(UserError, match="cannot read the model 'a\\\\x00b': that is no path"):
        read_bytes("a\0b", "model")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80abc", bytes(range(128, 256))])
def test_a_binary_file_where_text_is_due(tmp_path, content):
    path = tmp_path / "net.prototxt"
    path.write_bytes(content)
    assert "is no text file; give a prototxt" in said_of(read_net, path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base_lr 0.1", "1:9"),
        ("base_lr: fast", "1:10"),
        ("base_lr: 0.1\nlr_polcy: 'fixed'", "2:1"),
        ("max_iter: 1.5", "1:11"),
        ("test_initialization: maybe", "maybe"),
        ("solver_mode: TPU", "TPU"),
        ("max_iter: 3 max_iter: 4", "max_iter"),
        ("net: 'unfinished", "1:6"),
        ("<<<<<<< HEAD", "1:1"),
        ("net_param {", "1:11"),
    ],
)
def test_typos_in_a_solver(tmp_path, text, words):
    path = tmp_path / "solver.prototxt"
    path.write_text(text)
    told = said_of(read_solver, path)
    assert f"the solver {path} does not parse at line:column" in told and words in told


@pytest.mark.parametrize(
    ("reader", "text", "lacking"),
    [
        (read_net, "layer { } layer { clip_param { min: 1 } }", "layer[1].clip_param.max"),
        (
            read_solver,
            "net_param { layer { clip_param { } } }",
            "net_param.layer[0].clip_param.min, net_param.layer[0]",
        ),
    ],
)
def test_a_field_that_must_be_there(tmp_path, reader, text, lacking):
    path = tmp_path / "net.prototxt"
    path.write_text(text)
    assert f"{path} lacks {lacking}" in said_of(reader, path)


def test_comments_in_another_encoding(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_bytes('name: "n" # größe'.encode("latin-1") + b"\n# \xcd\xf8\n")
    assert read_net(path).name == "n"
    path.write_bytes('name: "größe"'.encode("latin-1"))
    assert read_net(path).name == "größe"


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("SGD", "SGD"),
        ("NESTEROV", "Nesterov"),
        ("1", "Nesterov"),
    ],
)
def test_the_deprecated_solver_type(tmp_path, logged, number, name):
    # UpgradeSolverType
    path = tmp_path / "solver.prototxt"
    path.write_text(f"solver_type: {number} snapshot_prefix: 'p'")
    solver = read_solver(path)
    assert solver.type == name and not solver.HasField("solver_type")
    assert [line.split("] ")[1] for line in logged()] == [
        f"Upgraded the solver {path} from deprecated solver_type (a number)"
    ]
    path.write_text("solver_type: ADAM type: 'Adam'")
    assert "beside its solver_type; keep the type" in said_of(read_solver, path)


def test_a_missing_snapshot_prefix_is_the_solvers_own_path(tmp_path, logged):
    # UpgradeSnapshotPrefixProperty
    path = tmp_path / "my.solver.prototxt"
    for text in ("", 'snapshot_prefix: ""'):
        path.write_text(text)
        assert read_solver(path).snapshot_prefix == str(tmp_path / "my.solver")
    assert f"Completed the snapshot_prefix of the solver {path}: {tmp_path / 'my.solver'}" in logged()[0]
    path.write_text(f'snapshot_prefix: "{tmp_path}"')
    assert read_solver(path).snapshot_prefix == str(tmp_path / "my.solver")
    path.write_text('snapshot_prefix: "some/where"')
    assert read_solver(path).snapshot_prefix == "some/where"


MODEL = pb.NetParameter(
    name="n", layer=[pb.LayerParameter(name="a", blobs=[pb.BlobProto(data=[1, 2, 3], shape=pb.BlobShape(dim=[3]))])]
).SerializeToString()


def test_a_binary_message(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(MODEL)
    assert list(read_message(path, pb.NetParameter(), "model").layer[0].blobs[0].data) == [1, 2, 3]


@given(st.integers(1, len(MODEL) - 1), st.binary(max_size=40))
def test_a_truncated_or_foreign_message_never_gives_another_error(tmp_path_factory, length, garbage):
    path = tmp_path_factory.getbasetemp() / "model"
    for content in (MODEL[:length], garbage):
        path.write_bytes(content)
        try:
            read_message(path, pb.NetParameter(), "model")
        except UserError as error:
            assert f"the model {path} is truncated or no NetParameter file" in str(error)


def test_a_model_cut_within_its_layer_is_refused(tmp_path):
    path = tmp_path / "model"
    for length in range(4, len(MODEL)):  # after the name
        path.write_bytes(MODEL[:length])
        assert "is truncated or no NetParameter file" in said_of(read_message, path, pb.NetParameter(), "model")
