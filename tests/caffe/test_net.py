"""Nets as pycaffe's users know them. Expected numbers are worked out by hand or with NumPy beside each test."""

import gc
import itertools
import threading

import cv2
import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def data(*shape, name="data"):
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ {dims} }} }} }}\n'


def ip(name, bottom, outputs=2, more="", top=None, bias=False, filler="xavier"):
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{top or name}" {more}
      inner_product_param {{ num_output: {outputs} bias_term: {str(bias).lower()}
                             weight_filler {{ type: "{filler}" }} }} }}\n"""


def relu(name, bottom, top=None, more=""):
    return f'layer {{ name: "{name}" type: "ReLU" bottom: "{bottom}" top: "{top or name}" {more} }}\n'


def loss(bottom, more="", top='top: "loss"'):
    return f'layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "{bottom}" bottom: "label" {top} {more} }}\n'


CHAIN = "force_backward: true\n" + data(2, 3) + ip("one", "data", 4) + relu("relu", "one") + ip("two", "relu", 2)
TRAINED = data(4, 3) + data(4, name="label") + ip("one", "data", 5) + relu("relu", "one", "one") + ip("two", "one", 3)
TRAINED += loss("two")
X = np.array([[1, -2, 3], [0.5, 0.25, -1]], np.float32)


def weights_of(net):
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}


def set_inputs(net, seed=0):
    rng = np.random.default_rng(seed)
    net.blobs["data"].data[...] = rng.normal(size=net.blobs["data"].shape)
    net.blobs["label"].data[...] = rng.integers(0, 3, net.blobs["label"].shape)


# Forward


def test_forward_takes_inputs_by_name_and_returns_the_outputs(make_net):
    net = make_net(CHAIN)
    one, two = (net.params[name][0].data for name in ("one", "two"))
    got = net.forward(data=X)
    assert list(got) == ["two"]
    np.testing.assert_allclose(got["two"], np.maximum(X @ one.T, 0) @ two.T, atol=1e-6)
    assert got["two"] is net.blobs["two"].data


def test_forward_returns_further_blobs_on_request(make_net):
    got = make_net(CHAIN).forward(["relu", "data"], data=X)
    assert set(got) == {"two", "relu", "data"}


def test_forward_between_two_layers_leaves_the_others_alone(make_net):
    net = make_net(CHAIN)
    net.forward(data=X)
    net.blobs["one"].data[...] = 1
    net.blobs["two"].data[...] = 5
    got = net.forward(start="relu", end="relu")
    assert list(got) == ["relu"] and (got["relu"] == 1).all()
    assert (net.blobs["two"].data == 5).all()
    assert net.forward(end="one")["one"].shape == (2, 4)
    assert (net.blobs["relu"].data == 1).all()


def test_outputs_are_what_nothing_uses_in_the_order_of_their_names(make_net):
    # Net::Init takes them from a std::set<string>
    net = make_net(data(2, 3) + relu("z", "data") + relu("b", "data") + relu("a", "data"))
    assert net.outputs == ["a", "b", "z"] and net.inputs == ["data"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda net: net.forward(dta=X), r"the net's inputs are \['data'\], but forward was given \['dta'\]"),
        (lambda net: net.forward(data=X[:1]), r"input 'data' is \(1, 3\) but its blob is \(2, 3\)"),
        (lambda net: net.forward(data=X[:, :2]), r"input 'data' is \(2, 2\) but its blob is \(2, 3\)"),
        (lambda net: net.forward(end="three"), "the net has no layer 'three'; it has: data, one, relu, two"),
        (lambda net: net.forward(start="zero"), "the net has no layer 'zero'"),
        (lambda net: net.backward(start="zero"), "the net has no layer 'zero'"),
        (
            lambda net: net.backward(three=X),
            r"the net's outputs are \['two'\], but backward was given gradients for \['three'\]",
        ),
        (lambda net: net.forward(["three"]), "the net has no blob 'three'; it has: data, one, relu, two"),
        (lambda net: net.backward(diffs=["three"]), "the net has no blob 'three'"),
        (lambda net: net.backward(two=X), r"the gradient of 'two' is \(2, 3\) but its blob is \(2, 2\)"),
    ],
)
def test_calls_that_do_not_fit_the_net(make_net, call, said):
    with pytest.raises(UserError, match=said):
        call(make_net(CHAIN))


def test_constructor_in_all_of_pycaffes_spellings(tmp_path):
    path, weights = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    (tmp_path / "net.prototxt").write_text(CHAIN)
    first = caffe.Net(path, caffe.TEST)
    first.save(weights)
    for net in (
        caffe.Net(path, weights, caffe.TEST),
        caffe.Net(path, caffe.TEST, weights=weights),
        caffe.Net(network_file=path, phase=caffe.TEST, weights=weights),
        caffe.Net(path, caffe.TEST, 0, [], weights),
    ):
        np.testing.assert_array_equal(net.params["one"][0].data, first.params["one"][0].data)


@pytest.mark.parametrize("arguments", [(), (7,), ("a", "b", caffe.TEST), (caffe.TEST, 0, [], "w", 3.5)])
def test_constructor_refuses_what_it_cannot_place(arguments):
    with pytest.raises(TypeError, match=r"needs a phase|does not take"):
        caffe.Net(pb.NetParameter(), *arguments)


# Backward


def test_backward_carries_top_gradients_down_to_inputs_and_parameters(make_net):
    net = make_net(CHAIN)
    one, two = (net.params[name][0].data for name in ("one", "two"))
    hidden = net.forward(["relu"], data=X)["relu"].copy()
    top = np.array([[1, 2], [3, -4]], np.float32)
    got = net.backward(diffs=["relu"], two=top)
    d_relu = top @ two
    d_one = d_relu * (hidden > 0)
    np.testing.assert_allclose(got["relu"], d_relu, atol=1e-5)
    np.testing.assert_allclose(got["data"], d_one @ one, atol=1e-5)
    np.testing.assert_allclose(net.params["two"][0].diff, top.T @ hidden, atol=1e-5)
    np.testing.assert_allclose(net.params["one"][0].diff, d_one.T @ X, atol=1e-5)


def test_backward_between_two_layers_touches_only_those(make_net):
    net = make_net(CHAIN)
    net.forward(data=X)
    net.blobs["relu"].diff[...] = 1
    got = net.backward(start="relu", end="relu")
    np.testing.assert_array_equal(got["one"], net.blobs["one"].data > 0)
    assert not net.params["one"][0].diff.any() and not net.params["two"][0].diff.any()
    assert not net.blobs["data"].diff.any()


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_parameter_gradients_add_up_until_they_are_cleared(make_net, phase):
    net = make_net(CHAIN, phase)
    net.forward(data=X)
    top = np.ones((2, 2), np.float32)
    net.backward(two=top)
    once = {name: net.params[name][0].diff.copy() for name in ("one", "two")}
    inputs = net.blobs["data"].diff.copy()
    net.backward(two=top)
    for name, diff in once.items():
        np.testing.assert_allclose(net.params[name][0].diff, 2 * diff, rtol=1e-6)
    np.testing.assert_array_equal(net.blobs["data"].diff, inputs)
    net.clear_param_diffs()
    assert not any(blob.diff.any() for blobs in net.params.values() for blob in blobs)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_gradients_of_a_loss_equal_finite_differences_in_both_phases(make_net, phase):
    net = make_net(TRAINED, phase)
    set_inputs(net)
    net.forward()
    net.backward()
    for name in ("one", "two"):
        blob = net.params[name][0]
        for at in [(0, 0), (1, 2), (2, 1)]:
            kept, step = blob.data[at], 1e-2
            values = []
            for move in (step, -step):
                blob.data[at] = kept + move
                values.append(float(net.forward()["loss"]))
            blob.data[at] = kept
            assert blob.diff[at] == pytest.approx((values[0] - values[1]) / (2 * step), abs=2e-3)


def test_in_place_layers_give_the_same_gradients_when_the_user_holds_the_memory(make_net):
    apart = make_net(
        TRAINED.replace('top: "one"  }', 'top: "r" }').replace('bottom: "one" top: "two"', 'bottom: "r" top: "two"')
    )
    shared = make_net(TRAINED)
    assert "r" in apart.blobs and "r" not in shared.blobs
    for name in ("one", "two"):
        shared.params[name][0].data[...] = apart.params[name][0].data
    held = shared.blobs["one"].data, shared.blobs["one"].diff
    for _ in range(2):
        for net in (apart, shared):
            set_inputs(net)
            net.clear_param_diffs()
            net.forward()
            net.backward()
        np.testing.assert_array_equal(held[0], apart.blobs["r"].data)
        for name in ("one", "two"):
            np.testing.assert_array_equal(shared.params[name][0].diff, apart.params[name][0].diff)
    np.testing.assert_array_equal(held[1], apart.blobs["one"].diff)


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_an_in_place_layer_whose_gradient_needs_its_input(make_net, phase):
    lrn = 'layer {{ name: "lrn" type: "LRN" bottom: "x" top: "{}" lrn_param {{ local_size: 3 alpha: 2 }} }}'
    head = "force_backward: true\n" + data(1, 4, 2, 2) + relu("x", "data")
    values = np.random.default_rng(0).uniform(1, 2, (1, 4, 2, 2))
    diffs = []
    for top in ("y", "x"):
        net = make_net(head + lrn.format(top), phase)
        held = net.blobs["x"].data
        net.forward(data=values)
        diffs.append(net.backward(**{top: np.ones_like(values)})["data"].copy())
    np.testing.assert_array_equal(held, net.blobs["x"].data)
    assert diffs[0].any()
    np.testing.assert_allclose(diffs[0], diffs[1], rtol=1e-6)


def test_a_loss_starts_from_its_weight_unless_the_user_puts_another_gradient(make_net):
    # Layer::SetLossWeights writes the weight into the top's diff once; a solver never overwrites it
    net = make_net(TRAINED.replace('top: "loss"', 'top: "loss" loss_weight: 0.5'))
    set_inputs(net)
    net.forward()
    assert float(net.blobs["loss"].diff) == 0.5
    net.backward()
    half = net.params["one"][0].diff.copy()
    assert half.any()
    net.clear_param_diffs()
    net.backward(loss=2.0)
    np.testing.assert_allclose(net.params["one"][0].diff, 4 * half, rtol=1e-6)


# Which gradients are computed


def test_nothing_is_computed_without_a_loss_unless_forced(make_net):
    for force in (False, True):
        net = make_net(CHAIN if force else CHAIN.replace("force_backward: true", ""))
        net.forward(data=X)
        net.backward(two=np.ones((2, 2)))
        assert net.params["one"][0].diff.any() == net.blobs["data"].diff.any() == force


def test_layers_that_reach_no_loss_get_no_gradient(make_net):
    net = make_net(TRAINED + ip("aside", "one", 2))
    set_inputs(net)
    net.forward()
    net.blobs["aside"].diff[...] = 1
    net.backward()
    assert not net.params["aside"][0].diff.any() and net.params["one"][0].diff.any()


def test_a_rate_of_zero_stops_the_gradient_there_and_below(make_net):
    fixed = TRAINED.replace('top: "one"', 'top: "one" param { lr_mult: 0 }', 1)
    net = make_net(fixed)
    set_inputs(net)
    net.forward()
    net.backward()
    assert not net.params["one"][0].diff.any() and not net.blobs["one"].diff.any()
    assert net.params["two"][0].diff.any()


def test_a_fixed_layer_passes_the_gradient_on_to_one_below_that_learns(make_net):
    net = make_net(TRAINED.replace('top: "two"', 'top: "two" param { lr_mult: 0 }'))
    set_inputs(net)
    net.forward()
    net.backward()
    assert not net.params["two"][0].diff.any() and net.params["one"][0].diff.any()


def test_propagate_down_false_cuts_everything_below(make_net):
    net = make_net(TRAINED.replace('top: "two"', 'top: "two" propagate_down: false'))
    set_inputs(net)
    net.forward()
    net.blobs["one"].diff[...] = 1  # stale: the layers below are not run at all (blobs_skip_backp in Net::Init)
    net.backward()
    assert not net.params["one"][0].diff.any() and net.params["two"][0].diff.any()


def test_propagate_down_true_asks_for_the_gradient_of_an_input(make_net):
    net = make_net(TRAINED.replace('top: "one"', 'top: "one" propagate_down: true', 1))
    set_inputs(net)
    net.forward()
    assert net.backward()["data"].any()


def test_propagate_down_true_does_not_make_a_layer_run_that_learns_nothing(make_net):
    # Net::Init keeps layer_need_backward false where neither a bottom nor a parameter needs a gradient
    net = make_net(data(1, 3) + relu("x", "data", more="loss_weight: 2 propagate_down: true"))
    net.forward(data=[[1, 2, 3]])
    assert not net.backward()["data"].any()


def test_force_backward_reaches_inputs_but_no_labels(make_net):
    net = make_net("force_backward: true\n" + TRAINED.replace('top: "one"', 'top: "one" param { lr_mult: 0 }', 1))
    set_inputs(net)
    net.forward()
    got = net.backward()
    assert got["data"].any() and not got["label"].any()
    assert net.params["one"][0].diff.any()  # Net::Init sets param_propagate_down for all


def test_gradients_of_several_uses_add_up_with_that_of_a_loss_on_the_blob(make_net):
    # d/dx of 2·Σx + 5·Σrelu(x) + 7·Σrelu(x), x > 0: 14
    net = make_net(
        "force_backward: true\n"
        + data(1, 3)
        + relu("x", "data", more="loss_weight: 2")
        + relu("a", "x", more="loss_weight: 5")
        + relu("b", "x", more="loss_weight: 7")
    )
    net.forward(data=[[1, 2, 3]])
    np.testing.assert_allclose(net.backward()["data"], [[14, 14, 14]])
    assert net.blob_loss_weights["x_x_0_split_0"] == 2 and net.blob_loss_weights["x"] == 0


def test_a_loss_weight_on_a_blob_with_one_further_use_counts_both(make_net):
    net = make_net(
        "force_backward: true\n"
        + data(1, 3)
        + relu("x", "data", more="loss_weight: 2")
        + relu("a", "x", more="loss_weight: 5")
    )
    assert net.forward_range(0, len(net.layers) - 1) == 0
    net.forward(data=[[1, 2, 3]])
    assert net.forward_range(0, len(net.layers) - 1) == pytest.approx(2 * 6 + 5 * 6)
    np.testing.assert_allclose(net.backward()["data"], [[7, 7, 7]])


def test_a_loss_without_a_top_gets_one_that_is_no_output(make_net):
    # Net::AppendTop for automatic tops: not among the available blobs
    named, bare = make_net(TRAINED), make_net(TRAINED.replace('top: "loss"', ""))
    bare.share_with(named)
    for net in (named, bare):
        set_inputs(net)
        net.forward()
        net.backward()
    assert bare.outputs == [] and named.outputs == ["loss"]
    np.testing.assert_array_equal(bare.params["one"][0].diff, named.params["one"][0].diff)


# Shapes


def test_reshape_follows_from_the_inputs(make_net):
    net = make_net(CHAIN)
    net.blobs["data"].reshape(5, 3)
    net.reshape()
    assert [net.blobs[name].shape for name in ("one", "relu", "two")] == [(5, 4), (5, 4), (5, 2)]
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    got = net.forward(data=x)["two"]
    again = make_net(CHAIN.replace("dim: 2", "dim: 5"))
    again.share_with(net)
    np.testing.assert_array_equal(got, again.forward(data=x)["two"])


def test_forward_reshapes_by_itself_data_and_gradients_alike(make_net):
    net = make_net(TRAINED)
    for name, shape in (("data", (6, 3)), ("label", (6,))):
        net.blobs[name].reshape(*shape)
    set_inputs(net)
    net.forward()
    assert net.blobs["two"].data.shape == net.blobs["two"].diff.shape == (6, 3)
    net.backward()
    assert net.params["one"][0].diff.any()


def test_a_loss_over_a_blob_keeps_its_weight_through_a_reshape(make_net):
    net = make_net("force_backward: true\n" + data(1, 3) + relu("x", "data", more="loss_weight: 2"))
    net.blobs["data"].reshape(2, 4)
    net.forward(data=np.ones((2, 4)))
    np.testing.assert_array_equal(net.backward()["data"], np.full((2, 4), 2))


def test_a_reshape_that_a_layer_cannot_follow_names_the_layer(make_net):
    net = make_net(CHAIN)
    net.blobs["data"].reshape(2, 7)
    with pytest.raises(
        UserError, match=r"layer 'one' \(InnerProduct\) was built for 3 values along its axes and meets 7"
    ):
        net.reshape()


# Phases, levels, stages


RULES = data(1, 1) + "".join(
    relu(name, "data", more=rule)
    for name, rule in {
        "always": "",
        "train": "include { phase: TRAIN }",
        "no_train": "exclude { phase: TRAIN }",
        "high": "include { min_level: 2 }",
        "low": "include { max_level: 1 }",
        "extra": 'include { stage: "extra" }',
        "both": 'include { stage: "extra" stage: "more" }',
        "not_extra": 'include { not_stage: "extra" }',
        "either": 'include { phase: TRAIN } include { stage: "more" }',
    }.items()
)


@pytest.mark.parametrize(
    ("phase", "options", "kept"),
    [
        (caffe.TRAIN, {}, {"always", "train", "low", "not_extra", "either"}),
        (caffe.TEST, {}, {"always", "no_train", "low", "not_extra"}),
        (caffe.TEST, {"level": 2}, {"always", "no_train", "high", "not_extra"}),
        (caffe.TEST, {"stages": ["extra"]}, {"always", "no_train", "low", "extra"}),
        (caffe.TEST, {"stages": ["extra", "more"]}, {"always", "no_train", "low", "extra", "both", "either"}),
    ],
)
def test_include_and_exclude_rules(make_net, phase, options, kept):
    net = make_net(RULES, phase, **options)
    assert {layer.name for layer in net.layers if layer.type == "ReLU"} == kept


def test_the_nets_own_state_counts_too(make_net):
    net = make_net('state { level: 3 stage: "extra" }\n' + RULES)
    assert {"high", "extra"} <= set(net.layer_dict)


# Shared parameters


def shared(first="", second="", outputs=3):
    return (
        "force_backward: true\n"
        + data(2, 3)
        + ip("a", "data", 3, f'param {{ name: "w" {first} }}')
        + ip("b", "a", outputs, f'param {{ name: "w" {second} }}')
    )


def test_parameters_of_one_name_are_one_blob_and_their_gradients_add_up(make_net):
    net = make_net(shared())
    assert len(net.learnable) == 1
    weight = net.params["a"][0]
    net.params["b"][0].data[...] = np.arange(9).reshape(3, 3) / 9
    np.testing.assert_array_equal(weight.data, np.float32(np.arange(9).reshape(3, 3) / 9))
    hidden = net.forward(["a"], data=X)["a"].copy()
    top = np.array([[1, 0, 2], [0, 1, -1]], np.float32)
    net.backward(b=top)
    np.testing.assert_allclose(weight.diff, top.T @ hidden + (top @ weight.data).T @ X, atol=1e-5)
    np.testing.assert_array_equal(net.params["b"][0].diff, weight.diff)


@pytest.mark.parametrize(
    ("first", "second", "rates"),
    [("", "", (1, 1)), ("lr_mult: 3", "", (3, 1)), ("", "lr_mult: 3", (3, 1)), ("lr_mult: 3", "decay_mult: 0", (3, 0))],
)
def test_rates_of_a_shared_parameter_are_those_of_whoever_gives_them(make_net, first, second, rates):
    # Net::AppendParam
    _, spec = make_net(shared(first, second)).learnable[0]
    assert (spec.lr_mult, spec.decay_mult) == rates


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (shared("lr_mult: 1", "lr_mult: 2"), "layer 'b' gives the shared parameter 'w' another lr_mult"),
        (shared("decay_mult: 1", "decay_mult: 0"), "another decay_mult than a layer before it"),
        (shared(outputs=2), r"layer 'b' cannot share the parameter 'w': its shape is \(2, 3\), the owner's \(3, 3\)"),
    ],
)
def test_sharing_that_cannot_be(make_net, text, said):
    with pytest.raises(UserError, match=said):
        make_net(text)


def test_share_with_uses_the_other_nets_parameters(make_net):
    one, other = make_net(CHAIN), make_net(CHAIN)
    other.share_with(one)
    one.params["one"][0].data[...] = 0.25
    assert (other.params["one"][0].data == 0.25).all()
    with pytest.raises(UserError, match=r"layer 'one' cannot share parameters: \(5, 3\) here, \(4, 3\) there"):
        make_net(CHAIN.replace("num_output: 4", "num_output: 5")).share_with(one)


# Dummy data


def test_constant_dummy_data_is_filled_once_and_random_data_anew(make_net):
    # DummyDataLayer refills all but constants at each forward
    net = make_net(
        'layer { name: "d" type: "DummyData" top: "c" top: "r" dummy_data_param { shape { dim: 2 dim: 3 }'
        ' data_filler { type: "constant" value: 4 } data_filler { type: "uniform" } } }'
    )
    assert (net.blobs["c"].data == 4).all()
    first = net.forward()["r"].copy()
    net.blobs["c"].data[0, 0] = 9
    second = net.forward()
    assert second["c"][0, 0] == 9 and (second["c"].ravel()[1:] == 4).all() and (second["r"] != first).any()


def test_dummy_data_in_the_old_four_dimensions_is_zero_unless_told(make_net):
    net = make_net(
        'layer { name: "d" type: "DummyData" top: "c" dummy_data_param { num: 2 channels: 3 height: 4 width: 5 } }'
    )
    assert net.blobs["c"].shape == (2, 3, 4, 5) and not net.forward()["c"].any()


# Old ways to name inputs


@pytest.mark.parametrize(
    "text", ["input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4", "input_shape { dim: 1 dim: 2 dim: 3 dim: 4 }"]
)
def test_inputs_of_the_net_itself_become_one_input_layer(make_net, text):
    # UpgradeNetInput: one layer "input" in front, and the fields are gone
    net = make_net(f'input: "data" {text} input: "more" {text} ' + relu("a", "data"))
    assert net.inputs == ["data", "more"] and net.blobs["more"].shape == (1, 2, 3, 4)
    assert [(layer.name, layer.type) for layer in net.layers] == [("input", "Input"), ("a", "ReLU")]
    saved = net.to_proto()
    assert not saved.input and not saved.input_dim and not saved.input_shape and saved.layer[0].top == ["data", "more"]


# Bad nets


LABELLED = data(2, 3) + data(2, name="label")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'layer { name: "odd" type: "Convolutoin" }',
            "layer 'odd' has the unknown type 'Convolutoin'; known types: AbsVal, Accuracy, ",
        ),
        ('layer { name: "odd" }', "layer 'odd' has the unknown type ''"),
        (relu("r", "dta"), "layer 'r' reads the bottom 'dta', which no layer before it makes"),
        (relu("r", "late") + relu("late", "data"), "layer 'r' reads the bottom 'late'"),
        (relu("r", "data", "t") + relu("s", "data", "t"), "two layers make the top 't'; one of them is 's'"),
        (relu("r", "data") + relu("x", "r", "data"), "two layers make the top 'data'; one of them is 'x'"),
        # in place is a top of the name of the bottom at the same place (Net::AppendTop)
        (loss("data", top='top: "label"'), "two layers make the top 'label'; one of them is 'loss'"),
        (
            'layer { name: "r" type: "ReLU" bottom: "data" bottom: "label" top: "r" }',
            r"layer 'r' \(ReLU\) has 2 bottom\(s\); the type takes 1",
        ),
        ('layer { name: "r" type: "ReLU" bottom: "data" }', r"layer 'r' \(ReLU\) has 0 top\(s\); the type takes 1"),
        (
            'layer { name: "l" type: "SoftmaxWithLoss" bottom: "data" top: "l" }',
            r"layer 'l' \(SoftmaxWithLoss\) has 1 bottom\(s\); the type takes 2",
        ),
        ('layer { name: "s" type: "Silence" }', r"has 0 bottom\(s\); the type takes at least 1"),
        (relu("r", "data", more="loss_weight: 1 loss_weight: 2"), r"layer 'r' has 2 loss_weight\(s\) for 1 top\(s\)"),
        (
            relu("r", "data", more="propagate_down: true propagate_down: true"),
            r"has 2 propagate_down for 1 bottom\(s\)",
        ),
        (relu("r", "data", more="param { }"), r"layer 'r' \(ReLU\) has 1 param { } for 0 parameter\(s\)"),
        (ip("f", "data", more="param { } param { }"), r"has 2 param { } for 1 parameter\(s\)"),
        (relu("r", "data", more="include { } exclude { }"), "layer 'r' has include and exclude rules"),
        (ip("f", "data", 0), r"layer 'f' \(InnerProduct\) needs num_output in inner_product_param"),
        (ip("f", "data", filler="xaver"), "filler type 'xaver' is unknown; use one of: constant"),
        (ip("f", "data").replace("num_output", "axis: 5 num_output"), "axis 5 is out of range for a blob of 2 axes"),
        (
            'layer { name: "d" type: "Dropout" bottom: "data" top: "d" dropout_param { dropout_ratio: 1.5 } }',
            r"layer 'd' \(Dropout\) needs a dropout_ratio from 0 to below 1, not 1.5",
        ),
        (
            'layer { name: "i" type: "Input" top: "i" top: "j" top: "k" input_param { shape { } shape { } } }',
            r"layer 'i' \(Input\) has 2 shapes for 3 tops",
        ),
        (
            'layer { name: "d" type: "DummyData" top: "a" top: "b" top: "c" dummy_data_param { num: 1 num: 2 '
            "channels: 1 channels: 2 height: 1 height: 2 width: 1 width: 2 } }",
            r"layer 'd' \(DummyData\) needs one shape and one filler, or one of each per top",
        ),
        ('input: "x" input: "y" input_shape { dim: 1 }', r"has 2 input\(s\), 1 input_shape and 0 input_dim"),
        ('input: "x" input_dim: 1 input_dim: 2', r"has 1 input\(s\), 0 input_shape and 2 input_dim; give one"),
        (
            data(3, name="three") + 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "data" bottom: "three" }',
            r"layer 'l' \(SoftmaxWithLoss\) has scores \(2, 3\) and 3 labels; it needs one label for each of 2",
        ),
        (
            data(3, name="three") + 'layer { name: "a" type: "Accuracy" bottom: "data" bottom: "three" top: "a" }',
            r"layer 'a' \(Accuracy\) has scores \(2, 3\) and 3 labels",
        ),
    ],
)
def test_nets_that_cannot_be_built(make_net, text, said):
    with pytest.raises(UserError, match=said) as error:
        make_net(LABELLED + text if "input:" not in text else text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_score(make_net, label):
    net = make_net(LABELLED + loss("data"))
    with pytest.raises(
        UserError, match=rf"layer 'loss' \(SoftmaxWithLoss\) has 3 classes but meets the labels .*{label}"
    ):
        net.forward(data=X, label=[0, label])


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ('name: "n"\nlayer { name: "a" typ: "ReLU" }', "2:19", "typ"),
        ('layer {\n  name: "a"\n  relu_param { negative_slop: 1 }\n}', "3:16", "negative_slop"),
        ('layer { name: "a" include { phase: TRIAN } }', "1:36", "TRIAN"),
        ('layer {\n  name: "a"\n', "2:", 'Expected "}"'),
        ('input: "x"\ninput_dim: many', "2:12", "many"),
    ],
)
def test_a_typo_in_a_prototxt_is_named_with_file_line_and_column(tmp_path, text, place, word):
    path = tmp_path / "typo.prototxt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        caffe.Net(str(path), caffe.TEST)
    assert f"the network {path} does not parse" in str(error.value)
    assert place in str(error.value) and word in str(error.value) and "\n" not in str(error.value)


# Weights


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_save_and_copy_from_give_the_same_bits(make_net, tmp_path, phase):
    net, other = make_net(TRAINED, phase), make_net(TRAINED)
    path = tmp_path / "sub" / "net.caffemodel"
    net.params["one"][0].data[0, 0] = np.nextafter(np.float32(1), np.float32(2))
    net.params["one"][0].data[0, 1] = -0.0
    net.save(path)
    other.copy_from(path)
    for name, (weight,) in weights_of(net).items():
        assert weight.tobytes() == other.params[name][0].data.tobytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["net.caffemodel"]


def test_copy_from_keeps_layers_that_the_file_lacks_and_ignores_those_it_has_beside(make_net, tmp_path):
    path = tmp_path / "net.caffemodel"
    make_net(CHAIN).save(path)
    net = make_net(data(2, 3) + ip("one", "data", 4) + ip("three", "one", 2))
    before = weights_of(net)
    net.copy_from(path)
    np.testing.assert_array_equal(net.params["three"][0].data, before["three"][0])
    assert (net.params["one"][0].data != before["one"][0]).any()


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            ip("one", "data", 4) + ip("two", "one", 5),
            r"parameter 0 of layer 'two' is \(2, 4\) in .* but \(5, 4\) in the net",
        ),
        (ip("one", "data", 4) + ip("two", "one", 2, bias=True), "has 1 parameter blobs for layer 'two', the net 2"),
        (ip("one", "data", 4) + relu("two", "one"), "has 1 parameter blobs for layer 'two', the net 0"),
    ],
)
def test_copy_from_a_model_that_does_not_fit_copies_nothing(make_net, tmp_path, layers, said):
    path = tmp_path / "net.caffemodel"
    make_net(CHAIN).save(path)
    net = make_net(data(2, 3) + layers)
    before = weights_of(net)
    with pytest.raises(UserError, match=said):
        net.copy_from(path)
    for name, blobs in weights_of(net).items():
        np.testing.assert_array_equal(blobs[0], before[name][0])


def test_a_saved_model_is_what_opencv_reads(make_net, tmp_path):
    text = data(2, 3, 1, 1) + ip("one", "data", 4, bias=True) + relu("relu", "one") + ip("two", "relu", 2)
    net = make_net(text)
    net.save(tmp_path / "net.caffemodel")
    (tmp_path / "net.prototxt").write_text(text)
    net.params["one"][1].data[...] = [1, -1, 0.5, 0]
    net.save(tmp_path / "net.caffemodel")
    other = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    x = X.reshape(2, 3, 1, 1)
    other.setInput(x, "data")
    np.testing.assert_allclose(other.forward("two").reshape(2, 2), net.forward(data=x)["two"], atol=1e-5)


def test_a_saved_model_holds_the_net_as_built(make_net, tmp_path):
    net = make_net(TRAINED + relu("aside", "two"), caffe.TRAIN)
    net.save(tmp_path / "net.caffemodel")
    model = pb.NetParameter.FromString((tmp_path / "net.caffemodel").read_bytes())
    names = ["data", "label", "one", "relu", "two", "two_two_0_split", "loss", "aside"]
    assert [layer.name for layer in model.layer] == names == net._layer_names
    assert all(layer.phase == pb.TRAIN for layer in model.layer)
    assert [len(layer.blobs) for layer in model.layer] == [0, 0, 1, 0, 1, 0, 0, 0]


# Names and threads


def test_names_of_layers_bottoms_and_tops(make_net):
    net = make_net(CHAIN)
    assert list(net.blobs) == ["data", "one", "relu", "two"] and list(net.params) == ["one", "two"]
    assert (
        net.bottom_names["relu"] == ["one"] and net.top_names["relu"] == ["relu"] and net.top_names["data"] == ["data"]
    )
    assert [layer.type for layer in net.layers] == ["Input", "InnerProduct", "ReLU", "InnerProduct"]
    assert net.layer_dict["two"].blobs[0] is net.params["two"][0]
    assert set(caffe.layer_type_list()) >= {"Convolution", "Data", "InnerProduct", "SoftmaxWithLoss"}


def test_the_threads_of_a_net_that_is_let_go_end(make_net, image_lmdb):
    before = set(threading.enumerate())
    net = caffe.Net(
        pb.NetParameter(
            layer=[
                pb.LayerParameter(
                    name="d",
                    type="Data",
                    top=["x"],
                    data_param=pb.DataParameter(source=str(image_lmdb), batch_size=2, backend=pb.DataParameter.LMDB),
                )
            ]
        ),
        caffe.TEST,
    )
    net.forward()
    own = set(threading.enumerate()) - before
    assert own
    del net
    gc.collect()
    for thread in own:
        thread.join(5)
    assert not any(thread.is_alive() for thread in own)


def test_equal_seeds_give_equal_parameters(make_net):
    drawn = []
    for seed in (3, 3, 4):
        caffe.set_random_seed(seed)
        drawn.append(make_net(CHAIN).params["one"][0].data.copy())
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).all()


def test_every_pair_of_phases_shares_one_prototxt(make_net):
    text = (
        TRAINED
        + 'layer { name: "acc" type: "Accuracy" bottom: "two" bottom: "label" top: "acc" include { phase: TEST } }'
    )
    train, test = make_net(text, caffe.TRAIN), make_net(text, caffe.TEST)
    assert train.outputs == ["loss"] and test.outputs == ["acc", "loss"]
    for one, other in itertools.pairwise((train, test, train)):
        one.share_with(other)
    set_inputs(test)
    scores = test.forward(["two"])["two"]
    assert test.blobs["acc"].data == pytest.approx((scores.argmax(1) == test.blobs["label"].data).mean())
