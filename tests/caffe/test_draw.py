"""Networks as graphs. Graphviz itself need not be installed: a stand-in prints the graph that it was given."""

import builtins
import os

import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe import draw
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

NET = text_format.Parse(
    """
    name: "a net"
    layer { name: "data" type: "Data" top: "data" top: "label" data_param { batch_size: 50 } include { phase: TRAIN } }
    layer { name: "data" type: "Input" top: "data" include { phase: TEST stage: "deploy" } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
      convolution_param { num_output: 20 kernel_size: 5 stride: 2 dilation: 3 } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
      pooling_param { pool: AVE kernel_h: 3 kernel_w: 3 pad_h: 1 pad_w: 1 } }
    layer { name: "all" type: "Pooling" bottom: "pool" top: "all" pooling_param { global_pooling: true } }
    layer { name: "Level>=0 \\"x\\"" type: "InnerProduct" bottom: "all" top: "ip"
      inner_product_param { num_output: 10 } }
    layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" exclude { phase: TRAIN } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" include { } }
    """,
    pb.NetParameter(),
)


@pytest.fixture
def graphviz(tmp_path, monkeypatch):
    """A program `dot` that prints its format and the graph, and knows PNG and SVG only."""
    pytest.importorskip("pydot")
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "dot"
    program.write_text('#!/bin/sh\ncase "$1" in -Tpng|-Tsvg) echo "$1"; cat "$2";; *) exit 1;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.defpath}")


def graph(**options):
    pytest.importorskip("pydot")
    return draw.get_pydot_graph(NET, "LR", **options)


def edges(graph):
    named = {node.get_name(): node.get_label().strip('"') for node in graph.get_nodes()}
    return {
        (named[edge.get_source()].split(r"\n")[0], named[edge.get_destination()].split(r"\n")[0])
        for edge in graph.get_edges()
    }


def labels(graph):
    return [node.get_label().strip('"') for node in graph.get_nodes()]


def test_layers_and_blobs_are_joined_as_data_flows():
    got = edges(graph())
    assert {("data", "conv"), ("conv", "relu"), ("relu", "conv"), ("conv", "pool"), ("pool", "all")} <= got
    assert {("ip", "loss"), ("label", "loss"), ("loss", "loss"), ("ip", "acc")} <= got


@pytest.mark.parametrize(
    ("phase", "layers"),
    [
        (None, {"Data", "Input", "Accuracy", "SoftmaxWithLoss"}),
        (caffe.TRAIN, {"Data", "SoftmaxWithLoss"}),
        (caffe.TEST, {"Input", "Accuracy", "SoftmaxWithLoss"}),
    ],
)
def test_a_phase_has_its_layers(phase, layers):
    said = " ".join(labels(graph(phase=phase)))
    assert {kind for kind in ("Data", "Input", "Accuracy", "SoftmaxWithLoss") if f"({kind})" in said} == layers


def test_layers_say_what_they_do():
    said = labels(graph(display_lrm=True))
    assert r"conv\n(Convolution)\nkernel size: 5\nstride: 2\npad: 0\ndilation: 3\nlr mult: 1, 2" in said
    assert r"pool\n(AVE Pooling)\nkernel size: 3\nstride: 1\npad: 1" in said
    assert r"all\n(global MAX Pooling)" in said
    assert any(label.startswith(r"Level>=0 \"x") and label.endswith(r"(InnerProduct)\nlr mult: 1") for label in said)
    assert draw.get_layer_label(NET.layer[2], "TB").startswith("conv (Convolution) kernel size: 5")


def test_edges_say_how_much_leaves_a_layer():
    for shown in (True, False):
        said = {edge.get_label().strip('"') for edge in graph(label_edges=shown).get_edges()}
        assert said == ({"", "Batch 50", "20", "10"} if shown else {""})


def test_kinds_of_layers_have_their_colours():
    colours = {draw.choose_color_by_layertype(kind) for kind in ("Convolution", "Pooling", "InnerProduct", "ReLU")}
    assert len(colours) == 4 and draw.choose_color_by_layertype("Deconvolution") in colours


def test_old_networks_are_drawn_too():
    pytest.importorskip("pydot")
    old = text_format.Parse(
        'layers { name: "r" type: RELU bottom: "a" top: "b" } input: "a" input_dim: [1, 1, 1, 1]', pb.NetParameter()
    )
    assert ("a", "r") in edges(draw.get_pydot_graph(old, "LR"))


def test_pictures_come_from_graphviz(graphviz, tmp_path):
    assert draw.draw_net(NET, "LR").startswith(b"-Tpng\ndigraph")
    draw.draw_net_to_file(NET, tmp_path / "net.svg", "TB")
    assert "rankdir=TB" in (tmp_path / "net.svg").read_text()
    draw.draw_net_to_file(NET, tmp_path / "net.PNG".lower(), phase=caffe.TEST)
    assert b"Batch 50" not in (tmp_path / "net.png").read_bytes()


def test_a_graphs_own_text_needs_no_graphviz(monkeypatch, tmp_path):
    # draw_net_to_file of pycaffe: "Use '.raw' to output raw text that you can manually feed to graphviz"
    pytest.importorskip("pydot")
    monkeypatch.setenv("PATH", str(tmp_path))
    draw.draw_net_to_file(NET, tmp_path / "net.raw", "TB")
    assert (tmp_path / "net.raw").read_text() == draw.get_pydot_graph(NET, "TB").to_string()


def test_kinds_of_pooling_by_number():
    assert draw.get_pooling_types_dict() == {0: "MAX", 1: "AVE", 2: "STOCHASTIC"}  # PoolMethod of caffe.proto


def test_a_format_that_graphviz_does_not_know(graphviz, tmp_path):
    with pytest.raises(UserError, match="Graphviz cannot draw the network; does it write 'xyz'"):
        draw.draw_net(NET, "LR", "xyz")
    with pytest.raises(UserError, match="needs a name with a format"):
        draw.draw_net_to_file(NET, tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_without_graphviz(monkeypatch, tmp_path):
    pytest.importorskip("pydot")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="drawing needs Graphviz: its program `dot` is not found"):
        draw.draw_net(NET, "LR")


def test_without_pydot(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "pydot":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"drawing needs pydot and Graphviz: pip install pydeepexpr\[draw\]"):
        draw.draw_net(NET, "LR")
