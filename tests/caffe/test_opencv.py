"""A second opinion: OpenCV's Caffe reader computes what the engine computes, from files that the engine wrote."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr import caffe

DEPLOY = Path(__file__).parents[2] / "prototxt" / "human_deploy.prototxt"
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def test_fc6_and_probabilities_of_the_human_network(tmp_path):
    caffe.set_random_seed(11)
    net = caffe.Net(str(DEPLOY), caffe.TEST)
    rng = np.random.default_rng(0)
    for layer in ("conv1", "conv2", "conv3", "conv4", "fc6", "fc7"):  # the fillers leave biases at zero
        bias = net.params[layer][1]
        bias.data[...] = rng.normal(scale=0.1, size=bias.shape)
    net.save(tmp_path / "human.caffemodel")
    other = cv2.dnn.readNetFromCaffe(str(DEPLOY), str(tmp_path / "human.caffemodel"))
    faces = rng.uniform(-2, 2, (3, 3, 227, 227)).astype(np.float32)  # pixels as transform_param leaves them
    net.blobs["data"].reshape(*faces.shape)
    got = net.forward(["fc6"], data=faces)
    for k, face in enumerate(faces):
        other.setInput(face[None], "data")
        fc6, prob = other.forward(["relu6", "prob"])
        assert fc6.max() > 0.5 and prob.max() < 0.9  # neither dead nor saturated
        np.testing.assert_allclose(got["fc6"][k], fc6.ravel(), **CLOSE)
        np.testing.assert_allclose(got["prob"][k], prob.ravel(), **CLOSE)


def data(*shape):
    dims = " ".join(f"dim: {n}" for n in shape)
    return f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {dims} }} }} }}\n'


CONVOLUTIONS = [
    "kernel_size: 3",
    "kernel_size: 3 group: 2",
    "kernel_size: 3 pad: 1 stride: 2 group: 4",
    "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1",
    "kernel_size: 3 dilation: 2 pad: 2",
    "kernel_size: 1 bias_term: false",
]
POOLINGS = [
    "pool: MAX kernel_size: 3 stride: 2",
    "pool: MAX kernel_size: 3 stride: 2 pad: 1",
    "pool: MAX kernel_size: 2 stride: 2",
    "pool: AVE kernel_size: 3 stride: 2",
    "pool: AVE kernel_size: 3 stride: 2 pad: 1",
    "pool: AVE global_pooling: true",
]
LAYERS = {
    "Convolution": [
        f"convolution_param {{ num_output: 8 weight_filler {{ type: 'msra' }} {p} }}" for p in CONVOLUTIONS
    ],
    "Pooling": [f"pooling_param {{ {p} }}" for p in POOLINGS],
    "LRN": [
        "lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 }",
        "lrn_param { local_size: 3 alpha: 1 beta: 0.5 }",  # no `k`: OpenCV does not read it
    ],
    "ReLU": ["", "relu_param { negative_slope: 0.1 }"],
    "Softmax": ["", "softmax_param { axis: 2 }"],
    "InnerProduct": ["inner_product_param { num_output: 5 weight_filler { type: 'xavier' } }"],
    "Dropout": ["dropout_param { dropout_ratio: 0.4 }"],
}


@pytest.mark.parametrize("size", [(9, 9), (8, 10)])
@pytest.mark.parametrize(("kind", "parameters"), [(kind, text) for kind, texts in LAYERS.items() for text in texts])
def test_single_layers(make_net, tmp_path, kind, parameters, size):
    text = data(1, 4, *size) + f'layer {{ name: "l" type: "{kind}" bottom: "data" top: "l" {parameters} }}'
    net = make_net(text)
    rng = np.random.default_rng(1)
    for blob in net.params.get("l", ())[1:]:
        blob.data[...] = rng.normal(size=blob.shape)
    net.save(tmp_path / "net.caffemodel")
    (tmp_path / "net.prototxt").write_text(text)
    other = cv2.dnn.readNetFromCaffe(str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel"))
    x = rng.normal(size=(1, 4, *size)).astype(np.float32)
    other.setInput(x, "data")
    wanted = other.forward("l")
    got = net.forward(data=x)["l"]
    assert got.size == wanted.size
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(got.ravel(), wanted.ravel(), **CLOSE)
