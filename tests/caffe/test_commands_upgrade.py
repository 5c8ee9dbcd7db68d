"""`upgrade_net_proto_text`, `upgrade_net_proto_binary`, `upgrade_solver_proto_text`, on the old nets of old_nets/."""

import os
from pathlib import Path

import pytest
from google.protobuf import text_format

from pydeepexpr.caffe.__main__ import main
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_text
from pydeepexpr.errors import UserError

OLD_NETS = Path(__file__).parent / "old_nets"
NAMES = ("lenet_v0", "lenet_v1", "caffenet_v0", "caffenet_v1")


@pytest.fixture
def said(capsys):
    """A function that returns severities and messages in the log since it was last called."""
    return lambda: [line[0] + " " + line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]


def net_of(path):
    return read_text(path, pb.NetParameter(), "network")


@pytest.mark.parametrize("name", NAMES)
def test_a_net_as_text(name, tmp_path, said):
    old, new = OLD_NETS / f"{name}.prototxt", tmp_path / "new.prototxt"
    main(["upgrade_net_proto_text", str(old), str(new)])
    assert net_of(new) == net_of(OLD_NETS / f"{name}_upgraded.prototxt")
    lines = said()
    assert f"I Upgraded the network {old} from deprecated " in lines[0]
    assert lines[-1] == f"I Wrote upgraded NetParameter text proto to {new}"
    again = tmp_path / "again.prototxt"
    main(["upgrade_net_proto_text", str(new), str(again)])
    assert said()[0] == f"W the network {new} is in the latest format already"
    assert again.read_bytes() == new.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_net_with_its_weights(name, tmp_path, said):
    net = net_of(OLD_NETS / f"{name}.prototxt")
    layer = next(it for it in net.layers if it.layer.type == "conv" or it.type == pb.V1LayerParameter.CONVOLUTION)
    (layer.layer if layer.HasField("layer") else layer).blobs.add(num=1, channels=1, height=1, width=2, data=[1.5, 2])
    old, new = tmp_path / "old.caffemodel", tmp_path / "new.caffemodel"
    old.write_bytes(net.SerializeToString())
    main(["upgrade_net_proto_binary", str(old), str(new)])
    found = pb.NetParameter.FromString(new.read_bytes())
    (stored,) = [it for it in found.layer if it.blobs]
    assert stored.type == "Convolution" and list(stored.blobs[0].data) == [1.5, 2]
    stored.ClearField("blobs")
    assert found == net_of(OLD_NETS / f"{name}_upgraded.prototxt")
    assert said()[-1] == f"I Wrote upgraded NetParameter binary proto to {new}"
    main(["upgrade_net_proto_binary", str(new), str(new)])  # over itself
    assert said()[0] == f"W the model {new} is in the latest format already"


def test_a_solver(tmp_path, said):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text('net: "n" base_lr: 0.01 solver_type: ADAGRAD lr_policy: "fixed"')
    main(["upgrade_solver_proto_text", str(old), str(new)])
    wanted = text_format.Parse('net: "n" base_lr: 0.01 type: "AdaGrad" lr_policy: "fixed"', pb.SolverParameter())
    assert read_text(new, pb.SolverParameter(), "solver") == wanted
    assert "base_lr: 0.01\n" in new.read_text()
    assert said() == [
        f"I Upgraded the solver {old} from deprecated solver_type (a number)",
        f"I Wrote upgraded SolverParameter text proto to {new}",
    ]


def test_names_in_any_language(tmp_path):
    old, new = tmp_path / "old.prototxt", tmp_path / "new.prototxt"
    old.write_text('layers { name: "größe" type: RELU bottom: "x" top: "y" }', encoding="utf-8")
    main(["upgrade_net_proto_text", str(old), str(new)])
    assert net_of(new).layer[0].name == "größe"


@pytest.mark.parametrize(
    ("command", "content", "error"),
    [
        ("upgrade_net_proto_text", b"layers { type: CONVOLUTIN }", "does not parse at line:column 1:16"),
        ("upgrade_net_proto_text", b"\xff\xfe\x00", "is no text file; give a prototxt"),
        ("upgrade_net_proto_text", b'layers { type: RELU } layer { type: "ReLU" }', "it has `layer` and `layers`"),
        ("upgrade_net_proto_text", b'layers { layer { name: "a" type: "nonsense" } }', "unknown type 'nonsense'"),
        ("upgrade_net_proto_binary", b"layers { type: RELU }", "is truncated or no NetParameter file"),
        ("upgrade_net_proto_binary", b'\xa2\x06\x06\n\x01a\x12\x01b' + b"\xa2", "is truncated or no NetParameter"),
        ("upgrade_solver_proto_text", b"solver_type: FAST", "does not parse at line:column 1:14"),
        ("upgrade_solver_proto_text", b'solver_type: SGD type: "Adam"', "it has a type, 'Adam', beside"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_upgraded(command, content, error, tmp_path):
    (tmp_path / "old").write_bytes(content)
    with pytest.raises(UserError, match=error) as raised:
        main([command, str(tmp_path / "old"), str(tmp_path / "new")])
    assert os.listdir(tmp_path) == ["old"] and "\n" not in str(raised.value)


def test_a_folder_that_may_not_be_written(tmp_path):
    (tmp_path / "old").write_text("layers { type: RELU }")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):  # one line by cli.run
        main(["upgrade_net_proto_text", str(tmp_path / "old"), str(tmp_path / "file" / "new")])
