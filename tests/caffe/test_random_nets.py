"""Random nets and damaged ones: each works, with the shapes of its layers' rules, or one line says what is wrong."""

import re
import resource
from contextlib import contextmanager

import numpy as np
import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr import caffe
from pydeepexpr.caffe.layers import LAYERS
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.layer_rules import ROWS
from tests.caffe.random_nets import Chance, RandomNet, change_field, change_words, values_of, write_sources

INFINITE = ("Exp", "Log", "Power")  # may give what no float32 holds
SEEDS = st.integers(0, 2**32)
OFTEN = settings(deadline=None, derandomize=True, max_examples=500)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A folder to work in, with the files that data layers of random nets read."""
    folder = tmp_path_factory.mktemp("random")
    write_sources(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def check_shapes(net, shapes):
    for name, shape in shapes.items():
        got = net.blobs[name].shape
        assert len(got) == len(shape) and all(n in (size, None) for n, size in zip(shape, got, strict=True)), name
    for blob in net.blobs.values():
        assert blob.data.shape == blob.diff.shape == blob.shape and blob.data.dtype == np.float32


def forward(net, kinds, seed):
    """Fill the inputs with values of the kinds that they are for, and run the net."""
    rng = np.random.default_rng(seed)
    for name in net.inputs:
        if net.blobs[name].count < 1e6:
            net.blobs[name].data[...] = values_of(kinds.get(name, "numbers"), net.blobs[name].shape, rng)
    for layer in net.layers:
        if layer.type == "MemoryData":
            layer.reset(np.ones((4, 1, 2, 3), np.float32), np.ones(4, np.float32))
    net.forward()


def backward(net, seed):
    rng = np.random.default_rng(seed)
    net.backward(**{name: rng.normal(size=net.blobs[name].shape) for name in net.outputs})


def check_works_or_says(drawn, seed):
    """Assert that a net does what its layers' rules say; return whether it works."""
    if drawn.refused:
        with pytest.raises(UserError, match=f"layer '{drawn.refused}'"):
            caffe.Net(drawn.param, drawn.phase)
        return False
    net = caffe.Net(drawn.param, drawn.phase)
    try:
        check_shapes(net, drawn.shapes)
        forward(net, drawn.inputs, seed)
        check_shapes(net, drawn.shapes)
        try:
            backward(net, seed)
        except UserError as error:
            assert re.match(r"layer '.*' \(.*\) has no gradient for its bottom '.*', which", str(error)), error
        else:
            check_shapes(net, drawn.shapes)
            check_finite(net)
        check_grown(net, drawn, seed)
    finally:
        net.close()
    return True


def check_finite(net):
    """Assert that no layer makes infinite numbers of moderate ones, neither forward nor backward."""
    changed = {blob for step in net.steps for blob in step.tops if blob in step.bottoms}
    for step in net.steps:
        read, made = [*step.bottoms, *step.layer.blobs], step.tops
        if step.layer.type in INFINITE or not changed.isdisjoint(read + made):
            continue
        if all(np.abs(blob.data).max(initial=0) < 1e3 for blob in read):
            assert all(np.isfinite(top.data).all() for top in made), step.layer.name
            if all(np.abs(top.diff).max(initial=0) < 1e3 for top in made):
                assert all(np.isfinite(blob.diff).all() for blob in step.bottoms), step.layer.name


def check_grown(net, drawn, seed):
    """Assert that a net whose batch grows has the shapes of one built so, or is refused where that one is."""
    batch = next((drawn.shapes[name][:1] for name in drawn.inputs), ())
    grown = pb.NetParameter()
    grown.CopyFrom(drawn.param)
    for layer in grown.layer:
        for shape in layer.input_param.shape:
            if layer.name in drawn.inputs and tuple(shape.dim[:1]) == batch != ():
                shape.dim[0] += 1
                net.blobs[layer.name].reshape(*shape.dim)
    try:
        other = caffe.Net(grown, drawn.phase)
    except UserError:
        with pytest.raises(UserError):
            net.reshape()
            forward(net, drawn.inputs, seed)
        return
    try:
        net.reshape()
    except UserError:  # the parameters would have other shapes
        assert [blob.shape for blob, _ in net.learnable] != [blob.shape for blob, _ in other.learnable]
    else:
        for name, blob in net.blobs.items():
            assert blob.shape == other.blobs[name].shape or None in drawn.shapes[name], name
    finally:
        other.close()


@OFTEN
@given(SEEDS, st.integers(1, 5), st.sampled_from(["fp32", "fp32", "bf16"]))
def test_a_random_net(seed, layers, precision):
    caffe.set_precision(precision)
    check_works_or_says(RandomNet(seed, layers), seed)


@pytest.mark.parametrize("kind", sorted({*LAYERS, *ROWS}))
def test_random_layers_of_each_type(kind):
    worked = [check_works_or_says(RandomNet(seed, 1, [kind]), seed) for seed in range(10)]
    assert any(worked)


@contextmanager
def little_memory():
    """Let nobody have more than another half gigabyte: what a damaged net asks for is to be refused, not waited for."""
    least, most = resource.getrlimit(resource.RLIMIT_DATA)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (now + (1 << 29), most))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, (least, most))


def check_works_or_says_in_one_line(path, text, drawn, seed):
    path.write_bytes(text.encode())
    try:
        net = caffe.Net(path, drawn.phase)
        try:
            forward(net, drawn.inputs, seed)
            check_shapes(net, {})
            backward(net, seed)
            check_shapes(net, {})
        finally:
            net.close()
    except UserError as error:
        assert re.search(f"layer '|two layers make the top|the network {path}", str(error)), error
        assert "\n" not in str(error)


@OFTEN
@given(SEEDS, st.integers(1, 4))
def test_a_net_of_damaged_text(folder, seed, layers):
    drawn = RandomNet(seed, layers)
    text = change_words(text_format.MessageToString(drawn.param), Chance(seed))
    with little_memory():
        check_works_or_says_in_one_line(folder / "net.prototxt", text, drawn, seed)


@OFTEN
@given(SEEDS, st.integers(1, 4), st.integers(1, 3))
def test_a_net_of_changed_fields(folder, seed, layers, changes):
    drawn, d = RandomNet(seed, layers), Chance(seed)
    for _ in range(changes):
        layers = [layer for layer in drawn.param.layer if layer.type != "Input" or d.odd()]
        change_field(d.choice(layers or [drawn.param]), d)
    with little_memory():
        check_works_or_says_in_one_line(folder / "net.prototxt", text_format.MessageToString(drawn.param), drawn, seed)
