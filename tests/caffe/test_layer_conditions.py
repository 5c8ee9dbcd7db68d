"""What holds for every layer that a net may use in place, in bf16, or with another batch size than it was built for."""

import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from tests.caffe.gradient_checker import layer_net, spaced
from tests.caffe.test_gradients import CASES

IN_PLACE = [
    ("BNLL", ""),
    ("BatchNorm", ""),
    ("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.1 }"),
    ("Bias", ""),
    ("Clip", "clip_param { min: -0.5 max: 0.4 }"),
    ("Dropout", ""),
    ("ELU", ""),
    ("Exp", ""),
    ("Log", "log_param { shift: 2 }"),
    ("MVN", ""),
    ("PReLU", ""),
    ("Power", "power_param { power: 2 shift: 1 }"),
    ("ReLU", ""),
    ("Scale", "scale_param { bias_term: true }"),
    ("Sigmoid", ""),
    ("Softmax", ""),
    ("Swish", ""),
    ("TanH", ""),
]


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize(("kind", "parameters"), IN_PLACE)
def test_in_place_equals_not_in_place(make_net, kind, parameters, held, phase):
    def results(top):
        net = make_net(
            f"""force_backward: true
            layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 3 dim: 2 dim: 4 }} }} }}
            layer {{ name: "h" type: "Power" bottom: "x" top: "h" power_param {{ scale: 0.9 }} }}
            layer {{ name: "l" type: "{kind}" bottom: "h" top: "{top}" {parameters} }}
            layer {{ name: "y" type: "TanH" bottom: "{top}" top: "y" }}""",
            phase,
        )
        if held:  # memory that the user was shown is written in place
            assert not net.blobs["h"].data.any()
        for seed, blob in enumerate(net.params.get("l", ())):
            blob.data[...] = spaced(blob.shape, seed + 5)
        for _ in range(2):
            torch.manual_seed(3)
            net.forward(x=spaced((3, 2, 4)))
            net.backward(y=spaced((3, 2, 4), 1))
        learned = net.params.get("l", ())
        return [net.blobs["y"].data, net.blobs["x"].diff, *(part for b in learned for part in (b.data, b.diff))]

    for one, other in zip(results("top"), results("h"), strict=True):
        assert one.any() or kind == "BatchNorm"
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "parameters", "seconds"),
    [
        *((kind, parameters, []) for kind, parameters in IN_PLACE),
        ("Eltwise", "eltwise_param { operation: MAX }", [(2, 4)]),
        ("EuclideanLoss", "", [(8,)]),
        ("HingeLoss", "", [()]),
        ("InfogainLoss", "loss_param { ignore_label: 1 }", [(4,)]),
        ("MultinomialLogisticLoss", "", [()]),
        ("Scale", "scale_param { axis: 0 }", [(2, 4)]),
        ("SigmoidCrossEntropyLoss", "", [(2, 4)]),
        ("SoftmaxWithLoss", "", [(4,)]),
        ("Threshold", "", []),
    ],
)
def test_another_batch_size_than_the_net_was_built_for(make_net, kind, parameters, seconds):
    def bottoms(batch):
        fixed = [np.eye(2)] if kind == "InfogainLoss" else []
        return [0.5 + spaced((5, 2, 4))[:batch] / 3, *(np.zeros((batch, *shape)) for shape in seconds), *fixed]

    whole, part = (layer_net(make_net, kind, *bottoms(batch), parameters=parameters) for batch in (5, 2))
    wanted = whole.forward()["top0"]
    for name, values in zip(part.inputs, bottoms(5), strict=True):
        part.blobs[name].reshape(*values.shape)
        part.blobs[name].data[...] = values
    np.testing.assert_array_equal(part.forward()["top0"], wanted)
    assert part.blobs["top0"].shape == wanted.shape
    part.backward(top0=np.ones(wanted.shape))
    whole.backward(top0=np.ones(wanted.shape))
    np.testing.assert_array_equal(part.blobs["in0"].diff, whole.blobs["in0"].diff)


@pytest.mark.parametrize(
    ("kind", "bottoms", "parameters"),
    [
        pytest.param(kind, *case, id=f"{kind}-{k}")
        for kind, cases in CASES.items()
        for k, case in enumerate(cases)
        if kind not in ("Dropout", "InnerProduct", "Split")
    ],
)
def test_in_bf16_losses_norms_and_exponentials_are_computed_in_float32(make_net, kind, bottoms, parameters):
    """The layer sees bf16 activations; it gives what fp32 gives for the same ones, to bf16's rounding of the result."""
    layer = layer_net(make_net, kind, *bottoms, parameters=parameters).layer_dict["l"]
    values = [torch.tensor(spaced(b, k) if isinstance(b, tuple) else b) for k, b in enumerate(bottoms)]
    learned = [blob.data_memory.tensor() for blob in layer.blobs]
    rounded = [value.to(torch.bfloat16) if value.is_floating_point() else value.float() for value in values]
    wanted = layer.forward(*(value.float() for value in rounded), *learned)
    with torch.autocast("cpu", torch.bfloat16):
        got = layer.forward(*rounded, *learned)
    for one, other in zip(got, wanted, strict=True):
        tolerance = 1e-6 if layer.is_loss else 2**-7
        torch.testing.assert_close(one.float(), other, rtol=tolerance, atol=tolerance)
        assert one.dtype == torch.float32 or not layer.is_loss
