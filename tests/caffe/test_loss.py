"""Losses and accuracy against SciPy and NumPy; the rules are those of caffe.proto's comments on LossParameter."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from pydeepexpr import caffe
from pydeepexpr.caffe.datum import array_to_blobproto
from pydeepexpr.errors import UserError
from tests.caffe.gradient_checker import layer_net

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(6, 4)).astype(np.float32) * 3
LABELS = np.array([0, 1, 2, 3, 1, 1])


def text(kind, parameters, shape=(6, 4), labels=(6,), tops=("out",)):
    def dims(of):
        return " ".join(f"dim: {n}" for n in of)

    return f"""force_backward: true
      layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims(shape)} }} }} }}
      layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ {dims(labels)} }} }} }}
      layer {{ name: "l" type: "{kind}" bottom: "x" bottom: "label" {" ".join(f'top: "{top}"' for top in tops)}
               {parameters} }}"""


@pytest.mark.parametrize(
    ("parameters", "ignored", "divisor"),
    [
        ("", -1, 6),  # VALID is the default
        ("loss_param { ignore_label: 1 }", 1, 3),
        ("loss_param { ignore_label: 9 }", 9, 6),
        ("loss_param { ignore_label: 1 normalization: FULL }", 1, 6),
        ("loss_param { ignore_label: 1 normalization: BATCH_SIZE }", 1, 6),
        ("loss_param { ignore_label: 1 normalization: NONE }", 1, 1),
        ("loss_param { ignore_label: 1 normalize: true }", 1, 3),  # the older switch
        ("loss_param { ignore_label: 1 normalize: false }", 1, 6),
        ("loss_param { ignore_label: 1 normalize: false normalization: VALID }", 1, 3),
    ],
)
def test_softmax_loss_and_its_gradient(make_net, parameters, ignored, divisor):
    net = make_net(text("SoftmaxWithLoss", parameters))
    got = float(net.forward(x=SCORES, label=LABELS)["out"])
    counted = ~np.isin(LABELS, [ignored])
    rows = np.flatnonzero(counted)
    assert got == pytest.approx(-log_softmax(SCORES, 1)[rows, LABELS[rows]].sum() / divisor, rel=1e-5)
    wanted = softmax(SCORES, 1)
    wanted[np.arange(6), LABELS] -= 1
    wanted[~counted] = 0
    np.testing.assert_allclose(net.backward()["x"], wanted / divisor, atol=1e-6)


def test_softmax_loss_of_a_map_of_labels(make_net):
    scores, labels = RNG.normal(size=(2, 4, 3, 5)).astype(np.float32), RNG.integers(0, 4, (2, 1, 3, 5))
    net = make_net(text("SoftmaxWithLoss", "", scores.shape, labels.shape))
    wanted = -np.take_along_axis(log_softmax(scores, 1), labels, 1).mean()
    assert float(net.forward(x=scores, label=labels)["out"]) == pytest.approx(wanted, rel=1e-5)


def test_a_certain_mistake_costs_the_logarithm_of_the_smallest_float(make_net):
    # softmax_loss_layer.cpp: −log(max(prob, FLT_MIN)); the gradient is prob − 1 all the same
    net = make_net(text("SoftmaxWithLoss", "", (1, 2), (1,)))
    assert float(net.forward(x=[[500, 0]], label=[1])["out"]) == pytest.approx(-np.log(np.finfo(np.float32).tiny))
    np.testing.assert_allclose(net.backward()["x"], [[1, -1]])


def test_the_second_top_is_the_softmax(make_net):
    net = make_net(text("SoftmaxWithLoss", "", tops=("out", "prob")))
    net.forward(x=SCORES, label=LABELS)
    np.testing.assert_allclose(net.blobs["prob"].data, softmax(SCORES, 1), atol=1e-6)
    assert list(net.blob_loss_weights.values()) == [0, 0, 1, 0]


def test_all_labels_ignored_is_no_loss(make_net):
    net = make_net(text("SoftmaxWithLoss", "loss_param { ignore_label: 2 }"))
    assert float(net.forward(x=SCORES, label=np.full(6, 2))["out"]) == 0
    assert not net.backward()["x"].any()


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_along_an_axis(make_net, axis):
    net = make_net(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 6 dim: 4 } } }'
        f'layer {{ name: "s" type: "Softmax" bottom: "x" top: "s" softmax_param {{ axis: {axis} }} }}'
    )
    got = net.forward(x=SCORES)["s"]
    np.testing.assert_allclose(got, softmax(SCORES, axis), atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_accuracy_of_the_best_k(make_net, top_k):
    net = make_net(text("Accuracy", f"accuracy_param {{ top_k: {top_k} }}"))
    hits = [label in np.argsort(-row)[:top_k] for row, label in zip(SCORES, LABELS, strict=True)]
    assert any(hits) and float(net.forward(x=SCORES, label=LABELS)["out"]) == pytest.approx(np.mean(hits))


def test_accuracy_counts_a_tie_as_a_miss(make_net):
    # accuracy_layer.cpp counts the scores at least as high as the label's own
    net = make_net(text("Accuracy", "", (2, 2), (2,)))
    assert float(net.forward(x=[[1, 1], [2, 1]], label=[0, 0])["out"]) == 0.5


def test_accuracy_by_class_and_ignored_labels(make_net):
    net = make_net(text("Accuracy", "accuracy_param { ignore_label: 3 }", tops=("out", "each")))
    scores = np.eye(4, dtype=np.float32)[[0, 1, 0, 3, 1, 2]]
    net.forward(x=scores, label=LABELS)
    assert float(net.blobs["out"].data) == pytest.approx(3 / 5)
    np.testing.assert_allclose(net.blobs["each"].data, [1, 2 / 3, 0, 0])


def test_accuracy_gets_no_gradient_even_by_force(make_net):
    net = make_net(text("Accuracy", ""))
    net.forward(x=SCORES, label=LABELS)
    assert not net.backward(out=1.0)["x"].any()


GAINS = RNG.normal(size=(4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    ("parameters", "ignored", "divisor"),
    [
        ("", -1, 6),  # VALID is the default
        ("ignore_label: 1", 1, 3),
        ("ignore_label: 1 normalization: FULL", 1, 6),
        ("ignore_label: 1 normalization: BATCH_SIZE", 1, 6),
        ("ignore_label: 1 normalization: NONE", 1, 1),
    ],
)
def test_infogain_loss_and_its_gradient(make_net, parameters, ignored, divisor):
    net = layer_net(
        make_net, "InfogainLoss", SCORES, LABELS, GAINS, parameters=f"loss_param {{ {parameters} }}", tops=2
    )
    got = float(net.forward()["top0"])
    rows = GAINS[LABELS] * ~np.isin(LABELS, [ignored])[:, None]
    assert got == pytest.approx(-(rows * log_softmax(SCORES, 1)).sum() / divisor, rel=1e-4)
    np.testing.assert_allclose(net.blobs["top1"].data, softmax(SCORES, 1), atol=1e-6)
    gradients = net.backward()
    wanted = softmax(SCORES, 1) * rows.sum(1, keepdims=True) - rows
    np.testing.assert_allclose(gradients["in0"], wanted / divisor, atol=1e-5)
    assert not gradients["in1"].any() and not gradients["in2"].any()


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_infogain_of_the_unit_matrix_from_a_file_is_the_softmax_loss(make_net, tmp_path, axis):
    (tmp_path / "H.binaryproto").write_bytes(array_to_blobproto(np.eye(3, dtype=np.float32)).SerializeToString())
    scores, labels = RNG.normal(size=(2, 3, 3)), RNG.integers(0, 3, (2, 3))
    infogain = layer_net(
        make_net,
        "InfogainLoss",
        scores,
        labels,
        parameters=f'infogain_loss_param {{ source: "{tmp_path}/H.binaryproto" axis: {axis} }}',
    )
    plain = layer_net(make_net, "SoftmaxWithLoss", scores, labels, parameters=f"softmax_param {{ axis: {axis} }}")
    assert float(infogain.forward()["top0"]) == pytest.approx(float(plain.forward()["top0"]), rel=1e-5)
    np.testing.assert_allclose(infogain.backward()["in0"], plain.backward()["in0"], atol=1e-6)


def test_infogain_bounds_the_logarithm_but_not_its_gradient(make_net):
    # infogain_loss_layer.cpp: log(max(prob, 1e-20)); the gradient is prob · ΣH − H all the same
    net = layer_net(make_net, "InfogainLoss", [[500, 0]], [1], [[1, 0], [0, 2]])
    assert float(net.forward()["top0"]) == pytest.approx(-2 * np.log(1e-20))
    np.testing.assert_allclose(net.backward()["in0"], [[2, -2]])


def test_multinomial_logistic_loss(make_net):
    probabilities = softmax(SCORES, 1)
    net = layer_net(make_net, "MultinomialLogisticLoss", probabilities, LABELS)
    chosen = probabilities[np.arange(6), LABELS]
    assert float(net.forward()["top0"]) == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    wanted = np.zeros((6, 4))
    wanted[np.arange(6), LABELS] = -1 / chosen / 6
    np.testing.assert_allclose(net.backward()["in0"], wanted, rtol=1e-5)


def test_multinomial_logistic_loss_of_a_probability_of_zero(make_net):
    # multinomial_logistic_loss_layer.cpp: max(prob, 1e-20), in the loss and in its gradient
    net = layer_net(make_net, "MultinomialLogisticLoss", [[1, 0], [1, 0]], [1, 0])
    assert float(net.forward()["top0"]) == pytest.approx(-np.log(1e-20) / 2)
    np.testing.assert_allclose(net.backward()["in0"], [[0, -0.5e20], [-0.5, 0]], rtol=1e-5)


@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss(make_net, norm):
    scores = [[2, -3, 0.5], [0.25, 1, -1]]  # margins: 0 0 1.5, 1.25 0 0 (both last at the kink)
    net = layer_net(make_net, "HingeLoss", scores, [0, 1], parameters=f"hinge_loss_param {{ norm: {norm} }}")
    losses, slopes = ([1.5, 1.25], [1, 1]) if norm == "L1" else ([1.5**2, 1.25**2], [3, 2.5])
    assert float(net.forward()["top0"]) == pytest.approx(sum(losses) / 2)
    wanted = np.array([[0, 0, slopes[0]], [slopes[1], 0, 0]]) / 2
    np.testing.assert_allclose(net.backward()["in0"], wanted)


def test_hinge_loss_below_the_margin_of_the_label(make_net):
    net = layer_net(make_net, "HingeLoss", [[-2, -2, -2]], [2])
    assert float(net.forward()["top0"]) == 3
    np.testing.assert_allclose(net.backward()["in0"], [[0, 0, -1]])


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "InfogainLoss", "MultinomialLogisticLoss", "HingeLoss"])
@pytest.mark.parametrize("label", [-1, 3])
def test_labels_without_a_score(make_net, kind, label):
    net = layer_net(make_net, kind, (2, 3), [label, 0], *([(3, 3)] if kind == "InfogainLoss" else []))
    with pytest.raises(UserError, match=rf"layer 'l' \({kind}\) has 3 classes but meets the labels"):
        net.forward()


@pytest.mark.parametrize(
    ("kind", "bottoms", "parameters", "said"),
    [
        ("SoftmaxWithLoss", [(6, 4), (2, 3)], "", "one batch size"),
        ("SoftmaxWithLoss", [(6, 4), (6, 2)], "", "one label for each of 6"),
        ("SoftmaxWithLoss", [(6, 4), (6,), (6,)], "", "takes 2"),
        ("SoftmaxWithLoss", [(6, 4), (6,)], "softmax_param { axis: 2 }", "axis 2 is out of range"),
        ("InfogainLoss", [(6, 4), (6,)], "", "a source, or a third bottom"),
        ("InfogainLoss", [(6, 4), (6,), (4, 3)], "", "4×4 values"),
        ("InfogainLoss", [(6, 4), (6,), (4, 4)], "loss_param { normalize: true }", "say normalization"),
        ("InfogainLoss", [(6, 4), (6,)], 'infogain_loss_param { source: "none" }', "cannot read the infogain matrix"),
        ("InfogainLoss", [(6, 4), (1, 6), (4, 4)], "", "one batch size"),
        ("MultinomialLogisticLoss", [(6, 4), (2, 3)], "", "one batch size"),
        ("MultinomialLogisticLoss", [(6, 4), (6, 2)], "", "one label for each of 6"),
        ("HingeLoss", [(6, 4, 2), (6, 2)], "", "one label for each of 6"),
        ("Accuracy", [(6, 4), (6,)], "accuracy_param { top_k: 5 }", "top_k 5 but only 4 classes"),
        ("Accuracy", [(6, 4), (5,)], "", "one label for each of 6"),
    ],
)
def test_what_the_losses_refuse(make_net, kind, bottoms, parameters, said):
    with pytest.raises(UserError, match=said):
        layer_net(make_net, kind, *bottoms, parameters=parameters)


def test_a_damaged_infogain_file(make_net, tmp_path):
    path = tmp_path / "H.binaryproto"
    path.write_bytes(b"no matrix")
    with pytest.raises(UserError, match="infogain matrix of layer 'l'"):
        layer_net(make_net, "InfogainLoss", (2, 3), (2,), parameters=f'infogain_loss_param {{ source: "{path}" }}')


def test_dropout_keeps_the_mean_when_training_and_does_nothing_when_testing(make_net):
    described = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 40000 } } }
      layer { name: "d" type: "Dropout" bottom: "x" top: "d" dropout_param { dropout_ratio: 0.3 } }"""
    ones = np.ones(40000, np.float32)
    assert (make_net(described).forward(x=ones)["d"] == 1).all()
    got = make_net(described, caffe.TRAIN).forward(x=ones)["d"]
    # dropout_layer.cpp: a Bernoulli mask of 1 − ratio, scaled by its inverse
    np.testing.assert_allclose(np.unique(got), [0, 1 / 0.7], rtol=1e-6)
    assert (got == 0).mean() == pytest.approx(0.3, abs=0.01)
