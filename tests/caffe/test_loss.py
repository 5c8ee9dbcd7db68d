"""Losses and accuracy against SciPy and NumPy; the rules are those of caffe.proto's comments on LossParameter."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from pydeepexpr import caffe

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


def test_dropout_keeps_the_mean_when_training_and_does_nothing_when_testing(make_net):
    described = """layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 40000 } } }
      layer { name: "d" type: "Dropout" bottom: "x" top: "d" dropout_param { dropout_ratio: 0.3 } }"""
    ones = np.ones(40000, np.float32)
    assert (make_net(described).forward(x=ones)["d"] == 1).all()
    got = make_net(described, caffe.TRAIN).forward(x=ones)["d"]
    # dropout_layer.cpp: a Bernoulli mask of 1 − ratio, scaled by its inverse
    np.testing.assert_allclose(np.unique(got), [0, 1 / 0.7], rtol=1e-6)
    assert (got == 0).mean() == pytest.approx(0.3, abs=0.01)
