"""Well-known networks build, run forward and backward, and have the sizes that are published for them."""

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from tests.caffe import published_nets as nets

#: Builder → some blobs' shapes without the batch, and the number of parameters where it is known.
#: LeNet has 431,080; CIFAR-10 quick 145,578 and full 89,578; AlexNet 60,965,224 (Krizhevsky et al.: "60 million").
CASES = {
    "LeNet": (
        nets.lenet,
        {"conv1": (20, 24, 24), "pool1": (20, 12, 12), "conv2": (50, 8, 8), "pool2": (50, 4, 4), "ip1": (500,)},
        431_080,
    ),
    "CIFAR-10 quick": (
        lambda batch: nets.cifar10(batch, full=False),
        {"conv1": (32, 32, 32), "pool1": (32, 16, 16), "pool2": (32, 8, 8), "pool3": (64, 4, 4), "ip1": (64,)},
        145_578,
    ),
    "CIFAR-10 full": (
        lambda batch: nets.cifar10(batch, full=True),
        {"LRN1": (32, 16, 16), "pool2": (32, 8, 8), "LRN2": (32, 8, 8), "pool3": (64, 4, 4), "scores": (10,)},
        89_578,
    ),
    "AlexNet": (
        nets.alexnet,
        {"conv1": (96, 55, 55), "norm1": (96, 55, 55), "pool1": (96, 27, 27), "conv2": (256, 27, 27), "fc7": (4096,)},
        60_965_224,
    ),
    "CaffeNet": (
        lambda batch: nets.alexnet(batch, pool_first=True, width=64),
        {"norm1": (96, 27, 27), "norm2": (256, 13, 13), "conv5": (256, 13, 13), "pool5": (256, 6, 6), "fc8": (1000,)},
        None,
    ),
    "R-CNN": (lambda batch: nets.rcnn(batch, width=64), {"pool5": (256, 6, 6), "fc-rcnn": (200,)}, None),
    "GoogLeNet": (
        nets.googlenet,
        {
            "conv1": (64, 112, 112),
            "3a/output": (256, 28, 28),
            "3b/output": (480, 28, 28),
            "4a/output": (512, 14, 14),
            "4d/output": (528, 14, 14),
            "4e/output": (832, 14, 14),
            "5b/output": (1024, 7, 7),
            "pool5": (1024, 1, 1),
            "loss1/conv": (128, 4, 4),
        },
        None,
    ),
    "Siamese": (nets.siamese, {"data_p": (1, 28, 28), "pool2": None, "feat": (2,), "feat_p": (2,)}, 431_080 + 22),
    "autoencoder": (
        nets.autoencoder,
        {"flatdata": (784,), "encode4": (30,), "decode2neuron": (1000,), "decode1neuron": (784,)},
        2_837_314,
    ),
    "fully convolutional": (nets.fully_convolutional, {"score": (5, 33, 41), "fuse": (5, 32, 36)}, None),
}


def build(described, phase=caffe.TRAIN):
    caffe.set_random_seed(1)
    return caffe.Net(described, phase)


@pytest.mark.parametrize("name", CASES)
def test_a_published_network_has_its_sizes_and_learns(name):
    described, shapes, parameters = CASES[name]
    net = build(described(2))
    for blob, shape in shapes.items():
        if shape is not None:
            assert net.blobs[blob].shape == (2, *shape), blob
    if parameters is not None:
        assert sum(blob.count for blob, _ in net.learnable) == parameters
    for blob in net.inputs:
        net.blobs[blob].data[...] = np.random.default_rng(0).normal(size=net.blobs[blob].shape)
    outputs = net.forward()
    assert all(np.isfinite(values).all() for values in outputs.values())
    if net.inputs:
        net.blobs[net.outputs[0]].diff[...] = 1
    net.backward()
    assert all(np.isfinite(blob.diff).all() for blob, _ in net.learnable)
    assert net.learnable[0][0].diff.any()


def test_a_captioner_reads_and_writes_sentences():
    net = build(nets.captioner(2))
    assert net.blobs["lstm1"].shape == net.blobs["lstm2"].shape == (4, 2, 16)
    assert net.blobs["predict"].shape == (4, 2, 30)
    # 20 times −log(1/30), about: the weights are small
    assert 20 * net.forward()["loss"] == pytest.approx(20 * np.log(30), rel=0.05)
    net.backward()
    assert all(np.isfinite(blob.diff).all() for blob, _ in net.learnable)
    assert net.params["conv"][0].diff.any()  # the image is seen by all time steps of the second LSTM
    assert set(np.flatnonzero(net.params["embedded"][0].diff.any(1))) == {3}  # the one word that was read


def test_the_halves_of_a_siamese_network_are_one():
    net = build(nets.siamese(3))
    one = np.random.default_rng(0).normal(size=(3, 1, 28, 28))
    net.blobs["pair"].data[...] = np.concatenate([one, one], 1)
    net.forward(start="data")
    np.testing.assert_array_equal(net.blobs["feat"].data, net.blobs["feat_p"].data)
    assert len(net.learnable) == 10 and net.params["conv1"][0] is net.params["conv1_p"][0]


def test_googlenet_weighs_its_three_losses():
    net = build(nets.googlenet(1, classes=7))
    weights = {name: weight for name, weight in net.blob_loss_weights.items() if weight}
    assert weights == pytest.approx({"loss1/loss": 0.3, "loss2/loss": 0.3, "loss3/loss": 1})
    total = net.forward_range(0, len(net.layers) - 1)
    assert total == pytest.approx(sum(weight * float(net.blobs[name].data) for name, weight in weights.items()))


def test_lenet_learns_a_fixed_batch():
    net_param = nets.lenet(8)
    param = pb.SolverParameter(
        base_lr=0.01, momentum=0.9, weight_decay=5e-4, lr_policy="inv", gamma=1e-4, power=0.75, random_seed=1
    )
    param.net_param.CopyFrom(net_param)
    param.net_param.layer[0].dummy_data_param.data_filler[0].CopyFrom(pb.FillerParameter(type="constant"))
    solver = caffe.SGDSolver(param)
    rng = np.random.default_rng(0)
    solver.net.blobs["data"].data[...] = rng.normal(size=(8, 1, 28, 28))
    solver.net.blobs["label"].data[...] = rng.integers(10, size=8)
    solver.step(40)
    assert solver.net.blobs["loss"].data < 0.1 and solver.net.blobs["accuracy"].data == 1
