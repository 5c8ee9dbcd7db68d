"""Nets of one layer, and any layer's gradient against central differences of its own forward pass.

>>> from tests.caffe.gradient_checker import check_gradients, layer_net, spaced  # doctest: +SKIP
"""

import math

import numpy as np
import torch

from pydeepexpr import caffe

__all__ = ["check_gradients", "layer_net", "spaced"]

STEP = 2e-3
TOLERANCE = 3e-3  # of the largest difference quotient, or of 1 where that is smaller


def spaced(shape, seed=0):
    """Return values between −1 and 1 so far apart, and from 0, that a step changes no order among them."""
    count = math.prod(shape)
    values = np.linspace(-1, 1, 2 * count)[::2]
    return np.random.default_rng(seed).permutation(values).reshape(shape)


def layer_net(make_net, kind, *bottoms, parameters="", tops=1, phase=caffe.TEST):
    """Return a net of one layer `l` between the inputs `in0`, `in1` … and the tops `top0`, `top1` …, with gradients.

    `bottoms` are the inputs' shapes, which get values from `spaced`, or their values.
    """
    values = [spaced(b, seed) if isinstance(b, tuple) else np.asarray(b) for seed, b in enumerate(bottoms)]
    text = "force_backward: true\n"
    for k, array in enumerate(values):
        dims = " ".join(f"dim: {n}" for n in array.shape)
        text += f'layer {{ name: "in{k}" type: "Input" top: "in{k}" input_param {{ shape {{ {dims} }} }} }}\n'
    read = " ".join(f'bottom: "in{k}"' for k in range(len(values)))
    made = " ".join(f'top: "top{k}"' for k in range(tops))
    net = make_net(text + f'layer {{ name: "l" type: "{kind}" {read} {made} {parameters} }}', phase)
    for k, array in enumerate(values):
        net.blobs[f"in{k}"].data[...] = array
    return net


def check_gradients(make_net, kind, *bottoms, parameters="", tops=1, phase=caffe.TRAIN):
    """Assert that a layer's backward gives every bottom and parameter what central differences give.

    Parameters
    ----------
    make_net : function
        The fixture of that name.
    kind : str
        The layer's type.
    *bottoms : tuple of int or array
        Each bottom's shape, which gets values from `spaced`, or its values (labels, or where a layer's domain is
        small).
    parameters : str
        The layer's own fields, as in a prototxt.
    tops : int
        How many tops the layer has.
    phase : int
        `TRAIN` or `TEST`.

    Bottoms that the type sends no gradient (`no_gradient_to`, `constants`) must have none; parameters whose lr_mult is
    0 are left alone. A loss is differentiated as it is, other layers' tops in a random direction.
    """
    net = layer_net(make_net, kind, *bottoms, parameters=parameters, tops=tops, phase=phase)
    layer = net.layer_dict["l"]
    fixed = {*layer.no_gradient_to, *layer.constants}
    checked = {f"bottom {k}": net.blobs[f"in{k}"] for k in range(len(bottoms)) if k not in fixed}
    for k, blob in enumerate(net.params.get("l", ())):
        if k >= len(layer.param.param) or layer.param.param[k].lr_mult:
            blob.data[...] = spaced(blob.shape, 90 + k)
            checked[f"parameter {k}"] = blob
    net.forward()  # the shapes of some tops, Filter's, follow from the data
    rng = np.random.default_rng(9)
    weights = {} if layer.is_loss else {name: rng.normal(size=net.blobs[name].shape) for name in net.outputs}

    def objective():
        torch.manual_seed(3)  # dropout's mask
        loss = net.forward_range(0, len(net.layers) - 1)
        return loss + sum((net.blobs[name].data * w).sum(dtype=np.float64) for name, w in weights.items())

    objective()
    net.backward(**weights)
    for k in fixed:
        assert k >= len(bottoms) or not net.blobs[f"in{k}"].diff.any()
    for name, blob in checked.items():
        numeric = np.zeros(blob.shape)
        for at in np.ndindex(blob.shape):
            kept = blob.data[at]
            blob.data[at] = kept + STEP
            above = objective()
            blob.data[at] = kept - STEP
            numeric[at] = (above - objective()) / (2 * STEP)
            blob.data[at] = kept
        message = f"{kind}, {name}, {parameters}"
        assert np.abs(numeric).max() > 0.01, message  # or the check would show nothing
        atol = TOLERANCE * max(1, np.abs(numeric).max())
        np.testing.assert_allclose(blob.diff, numeric, rtol=0, atol=atol, err_msg=message)
