"""Whole training steps of a small network like the human one, against PyTorch's own layers and SGD.

BVLC Caffe's recorded solver cases train inner products only; here convolutions learn too, with blobs that nobody has
looked at, as in a real training.
"""

import numpy as np
import torch
from google.protobuf import text_format
from torch import nn

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb

NET = """
layer { name: "data" type: "Input" top: "data" top: "label"
  input_param { shape { dim: 5 dim: 3 dim: 23 dim: 23 } shape { dim: 5 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 8 kernel_size: 5 stride: 2 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 3 stride: 2 } }
layer { name: "norm1" type: "LRN" bottom: "pool1" top: "norm1" lrn_param { alpha: 0.1 } }
layer { name: "conv2" type: "Convolution" bottom: "norm1" top: "conv2"
  convolution_param { num_output: 6 kernel_size: 3 pad: 1 group: 2 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "fc7" type: "InnerProduct" bottom: "conv2" top: "fc7"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc7" bottom: "label" top: "loss" }
"""


def torch_network(net) -> nn.Sequential:
    """Return the same network in PyTorch's layers, with the same parameters."""
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(nn.LocalResponseNorm(5, alpha=0.1, beta=0.75, k=1), nn.Conv2d(8, 6, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(6 * 5 * 5, 7)),
    )
    with torch.no_grad():
        for module, blobs in zip((network[0], network[4], network[7]), net.params.values(), strict=True):
            module.weight.copy_(torch.from_numpy(blobs[0].data))
            module.bias.copy_(torch.from_numpy(blobs[1].data))
    return network


def test_steps_are_those_of_pytorch():
    param = pb.SolverParameter(base_lr=0.05, lr_policy="fixed", momentum=0.9, weight_decay=0.01, random_seed=4)
    text_format.Parse(NET, param.net_param)
    source = caffe.get_solver(param)  # looked at, to copy its parameters; the solver that is tested is not
    network = torch_network(source.net)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    solver = caffe.get_solver(param)  # the same seed, so the same parameters
    rng = np.random.default_rng(0)
    for _ in range(6):
        images = rng.normal(size=(5, 3, 23, 23)).astype(np.float32)
        labels = rng.integers(0, 7, 5)
        solver.net.blobs["data"].data[...] = images
        solver.net.blobs["label"].data[...] = labels
        solver.step(1)
        loss = nn.functional.cross_entropy(network(torch.from_numpy(images)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        np.testing.assert_allclose(solver.net.blobs["loss"].data, loss.item(), rtol=1e-4)
    expected = [parameter.detach().numpy() for parameter in network.parameters()]
    ours = [blob.data for blobs in solver.net.params.values() for blob in blobs]
    for got, want in zip(ours, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
