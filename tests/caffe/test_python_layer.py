"""Layers that users write in Python. The classes here do sums whose results are worked out by hand."""

import sys
import traceback
from types import ModuleType

import numpy as np
import pytest
from google.protobuf import text_format

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

sys.modules["user_layers"] = sys.modules[__name__]  # pytest imports tests under longer names


class Times(caffe.Layer):
    """Multiplies by the number in `param_str`."""

    def setup(self, bottom, top):
        self.factor = float(self.param_str or 10)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = self.factor * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self.asked = propagate_down
        bottom[0].diff[...] = self.factor * top[0].diff


class Offset(caffe.Layer):
    """Adds a learned number."""

    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 3

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data + self.blobs[0].data[0]

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] += top[0].diff.sum()
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff


class SquaredLength(caffe.Layer):
    """A loss over two blobs: half the squared length of their difference."""

    def setup(self, bottom, top):
        if len(bottom) != 2:
            raise ValueError("two bottoms are needed")

    def reshape(self, bottom, top):
        self.difference = np.zeros(bottom[0].shape, np.float32)
        top[0].reshape(1)

    def forward(self, bottom, top):
        self.difference[...] = bottom[0].data - bottom[1].data
        top[0].data[...] = (self.difference**2).sum() / 2

    def backward(self, top, propagate_down, bottom):
        for k, sign in enumerate((1, -1)):
            if propagate_down[k]:
                bottom[k].diff[...] = sign * top[0].diff[0] * self.difference


class Phase(caffe.Layer):
    """Tells the phase in a blob without axes."""

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase


class Counting(caffe.Layer):
    """Reads a list of numbers, two at a time; users hand it over after the net is built."""

    def setup(self, bottom, top):
        self.numbers, self.at = list(range(100)), 0

    def reshape(self, bottom, top):
        top[0].reshape(2)

    def forward(self, bottom, top):
        top[0].data[...] = self.numbers[self.at : self.at + 2]
        self.at += 2

    def skip_to(self, batch):
        self.at = 2 * batch


class Broken(caffe.Layer):
    """Fails in the method that `param_str` names."""

    def setup(self, bottom, top):
        self.fail("setup")

    def reshape(self, bottom, top):
        self.fail("reshape")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self.fail("forward")

    def backward(self, top, propagate_down, bottom):
        self.fail("backward")

    def fail(self, method):
        if self.param_str == method:
            raise StopIteration(f"no more of {method}")


class Silent(caffe.Layer):
    """Has none of the methods."""


NOT_A_LAYER = 3

HEAD = 'force_backward: true input: "data" input_shape { dim: 4 dim: 3 } '


def python(name, cls, bottom="data", top=None, more="", param_str="", module="user_layers"):
    bottoms = " ".join(f'bottom: "{name}"' for name in bottom.split())
    return (
        f'layer {{ type: "Python" name: "{name}" {bottoms} top: "{top or name}" {more} '
        f"python_param {{ module: '{module}' layer: '{cls}' param_str: '{param_str}' }} }} "
    )


CHAIN = HEAD + python("one", "Times") + python("two", "Times", "one", param_str="0.5") + python("three", "Times", "two")


def test_layers_in_a_row(make_net):
    net = make_net(CHAIN)
    net.blobs["data"].data[...] = 8
    assert (net.forward()["three"] == 8 * 10 * 0.5 * 10).all()
    net.blobs["three"].diff[...] = 7
    assert (net.backward()["data"] == 7 * 10 * 0.5 * 10).all()


def test_backward_works_without_a_forward_before(make_net):
    net = make_net(CHAIN)
    net.blobs["three"].diff[...] = 7
    assert (net.backward()["data"] == 350).all()


def test_they_follow_a_new_shape(make_net):
    net = make_net(CHAIN)
    for shape in [(2, 2, 2, 2), (5,)]:
        net.blobs["data"].reshape(*shape)
        net.reshape()
        assert {blob.shape for blob in net.blobs.values()} == {shape}
    net.blobs["data"].reshape(3, 1)
    assert net.forward()["three"].shape == net.blobs["three"].diff.shape == (3, 1)


def test_net_layers_shows_the_users_own_object(make_net):
    net = make_net(CHAIN)
    layer = net.layers[1]
    assert type(layer) is Times and layer is net.layer_dict["one"]
    assert (layer.type, layer.name, layer.param_str, layer.phase) == ("Python", "one", "", caffe.TEST)
    layer.factor = 2
    net.blobs["data"].data[...] = 1
    assert (net.forward(end="one")["one"] == 2).all()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_they_know_the_phase(make_net, phase):
    net = make_net(python("phase", "Phase", bottom=""), phase)
    assert net.forward()["phase"] == phase


def test_their_parameters_learn_save_load_and_share(make_net, tmp_path):
    text = HEAD + python("offset", "Offset")
    net, other = make_net(text, caffe.TRAIN), make_net(text, caffe.TRAIN)
    net.forward(data=np.ones((4, 3)))
    net.backward(offset=np.ones((4, 3)))
    net.backward()
    blob = net.layers[1].blobs[0]
    assert blob is net.params["offset"][0] and blob.diff[0] == 24  # 12 gradients of 1, twice
    net.clear_param_diffs()
    assert blob.diff[0] == 0
    blob.data[0] = 5
    for save, load, name in (("save", "copy_from", "net.caffemodel"), ("save_hdf5", "load_hdf5", "net.h5")):
        getattr(net, save)(tmp_path / name)
        blob.data[0] = -1
        getattr(net, load)(tmp_path / name)
        assert blob.data[0] == 5
    other.share_with(net)
    blob.data[0] = 6
    assert other.layers[1].blobs[0].data[0] == 6
    np.testing.assert_array_equal(other.forward(data=np.ones((4, 3)))["offset"], np.full((4, 3), 7))


def test_a_solver_trains_through_them():
    # loss = |x + b − y|² / 2 with x = 0, y = 1, b from 3: b ← b − 0.1 · 12 · (b − 1)
    net = (
        'layer { name: "d" type: "DummyData" top: "x" top: "y" dummy_data_param { shape { dim: 4 dim: 3 }'
        " data_filler { value: 0 } data_filler { value: 1 } } }"
        + python("offset", "Offset", "x")
        + python("loss", "SquaredLength", "offset y", more="loss_weight: 1")
    )
    param = pb.SolverParameter(base_lr=0.1, lr_policy="fixed", snapshot_prefix="unused")
    text_format.Parse(net, param.net_param)
    solver = caffe.SGDSolver(param)
    expected = 3.0
    for _ in range(3):
        solver.step(1)
        expected -= 0.1 * 12 * (expected - 1)
        assert solver.net.params["offset"][0].data[0] == pytest.approx(expected, abs=1e-5)


def test_loss_weight_and_propagate_down(make_net):
    text = (
        'input: "a" input_shape { dim: 2 } input: "b" input_shape { dim: 2 } '
        + python("x", "Offset", "a")
        + python("y", "Times", "b")
        + python("loss", "SquaredLength", "x y", more="loss_weight: 3")
    )
    net = make_net(text, caffe.TRAIN)
    loss = net.forward(a=np.array([1.0, 2.0]), b=np.zeros(2))["loss"]
    assert loss[0] == (4**2 + 5**2) / 2 and net.blobs["loss"].diff[0] == 3
    assert net.forward_range(0, len(net.layers) - 1) == 3 * 20.5
    net.backward()
    np.testing.assert_array_equal(net.blobs["x"].diff, [12, 15])
    assert not net.blobs["y"].diff.any()  # nothing below it learns
    assert net.params["x"][0].diff[0] == 27
    assert not hasattr(net.layers[2], "asked")


def test_between_other_layers(make_net):
    text = HEAD + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" } ' + python("t", "Times", "r")
    net = make_net(text + 'layer { name: "s" type: "Sigmoid" bottom: "t" top: "s" }', caffe.TRAIN)
    x = np.array([[1, -1, 0.1]] * 4, np.float32)
    got = net.forward(data=x)["s"]
    hidden = 10 * np.maximum(x, 0)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-hidden)), rtol=1e-5)
    diff = net.backward(s=np.ones((4, 3)))["data"]
    np.testing.assert_allclose(diff, got * (1 - got) * 10 * (x > 0), rtol=1e-4)
    assert net.layers[2].asked == [True]


def test_a_reader_of_data_skips_when_a_training_resumes(make_net):
    net = make_net(python("numbers", "Counting", bottom=""))
    assert net.forward()["numbers"].tolist() == [0, 1] and net.forward()["numbers"].tolist() == [2, 3]
    net.layers[0].skip_to(5)
    assert net.forward()["numbers"].tolist() == [10, 11]
    net.layers[0].numbers = list(range(50, 100))
    assert net.forward()["numbers"].tolist() == [62, 63]


@pytest.mark.parametrize("method", ["setup", "reshape", "forward", "backward"])
def test_an_exception_keeps_its_type_and_traceback_and_the_log_names_the_layer(make_net, logged, method):
    with pytest.raises(StopIteration, match=f"no more of {method}") as caught:
        net = make_net(HEAD + python("odd", "Broken", param_str=method))
        net.forward()
        net.backward()
    assert any("user_layers.Broken" in line and "layer 'odd'" in line for line in logged())
    said = "".join(traceback.format_exception(caught.value))
    assert "in fail" in said and f"in {method}" in said
    if sys.version_info >= (3, 11):
        assert "raised in layer 'odd' (Python, user_layers.Broken)" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (python("odd", "Times", module="no_such_module"), "layer 'odd' .*there is no module 'no_such_module'"),
        (python("odd", "Times", module="json.no.such"), "layer 'odd' .*there is no module 'json.no.such'"),
        (python("odd", "Times", module=".relative"), "layer 'odd' .*cannot import the module '.relative'"),
        (python("odd", "Missing"), "'user_layers' has no class 'Missing' derived from caffe.Layer"),
        (python("odd", "NOT_A_LAYER"), "has no class 'NOT_A_LAYER' derived from caffe.Layer"),
        ('layer { type: "Python" name: "odd" }', "layer 'odd' .*needs python_param"),
        (python("odd", "Silent"), "layer 'odd' .*Silent has no method forward"),
    ],
)
def test_layers_that_cannot_be(make_net, text, said):
    with pytest.raises(UserError, match=said):
        make_net(HEAD + text).forward()


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes a module of layers, importable for this test alone, and returns its name."""

    def write(text):
        name = f"layers_of_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setitem(sys.modules, name, None)  # so that it is forgotten at the end
        del sys.modules[name]
        return name

    return write


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import caffe\n\nimport not_installed_here", r"NAME\.py:3: No module named 'not_installed_here'"),
        ("from caffe import no_such_name", r"NAME\.py:1: cannot import name 'no_such_name'"),
        ("raise ImportError('\\n\\nno\\n  such')", r"NAME\.py:1: no such"),
        ("def (:", r"invalid syntax \(NAME\.py, line 1\)"),
    ],
)
def test_modules_that_cannot_be_imported(written, make_net, text, said):
    name = written(text)
    said = said.replace("NAME", name)
    with pytest.raises(UserError, match=rf"^layer 'odd' \(Python, {name}\.Times\): cannot import .*{said}") as error:
        make_net(HEAD + python("odd", "Times", module=name))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("text", "kind"), [("{}['mine']", KeyError), ("int('mine')", ValueError)])
def test_what_a_module_raises_of_its_own_keeps_its_traceback(written, make_net, logged, text, kind):
    name = written(f"import caffe\nnumber = {text}")
    with pytest.raises(kind, match="mine") as caught:
        make_net(HEAD + python("odd", "Times", module=name))
    assert f'{name}.py", line 2' in "".join(traceback.format_exception(caught.value))
    assert f"{kind.__name__} raised in layer 'odd' (Python, {name}.Times)" in logged()[-1]


def test_a_module_finds_this_engine_as_caffe(written, make_net):
    name = written(
        "import caffe\nfrom caffe.proto import caffe_pb2\nclass Own(caffe.Layer):\n"
        "    def reshape(self, bottom, top): top[0].reshape(caffe_pb2.TEST)\n"
        "    def forward(self, bottom, top): top[0].data[0] = 5"
    )
    assert "caffe" not in sys.modules
    assert make_net(python("own", "Own", "", module=name)).forward()["own"].tolist() == [5]
    assert sys.modules["caffe"] is caffe


def test_another_caffe_that_is_imported_stays(written, make_net, monkeypatch):
    other = ModuleType("caffe")
    other.Layer = type("Layer", (), {})
    monkeypatch.setitem(sys.modules, "caffe", other)
    name = written("import caffe\nclass Other(caffe.Layer): pass")
    with pytest.raises(UserError, match=r"has no class 'Other' derived from caffe\.Layer of this engine"):
        make_net(python("odd", "Other", "", module=name))
    assert sys.modules["caffe"] is other
    assert make_net(CHAIN)  # whose module has no need of the name


def test_a_user_error_inside_names_the_layer(make_net):
    net = make_net(CHAIN)
    net.layers[1].reshape = lambda bottom, top: top[0].reshape(-1)
    with pytest.raises(UserError, match=r"layer 'one' \(Python, user_layers.Times\): a blob cannot be reshaped"):
        net.forward()
