"""The networks in prototxt/ and their solvers: shapes, rates, and what they say against one another."""

import pytest

from pydeepexpr import caffe, paths
from pydeepexpr.caffe.graph import filter_net
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net, read_solver

NETWORKS = ("human", "character", "finetune")
HUMAN = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "fc6": (512, 13824),
    "fc7": (7, 512),
}
SHAPES = {
    ("human", ""): HUMAN,
    # Without CONV4; pooling after CONV3 leaves as many values.
    ("character", ""): {name: shape for name, shape in HUMAN.items() if name != "conv4"},
    **{
        ("finetune", stage): {
            **{name: shape for name, shape in HUMAN.items() if name.startswith("conv")},
            fc6: HUMAN["fc6"],
            "fc7_character": HUMAN["fc7"],
        }
        for stage, fc6 in (("", "fc6"), ("fc7", "fc6"), ("fc6-fc7", "fc6"), ("fc6-new", "fc6_character"))
    },
    ("finetune", "fc6-map"): {**HUMAN, "fc6_map": (512, 512)},
}


def chosen(name: str, phase: int, stage: str = "") -> list[pb.LayerParameter]:
    """Return the layers of a file that a phase and a stage include."""
    state = pb.NetState(phase=phase, stage=[stage] if stage else [])
    return list(filter_net(read_net(paths.find(f"prototxt/{name}.prototxt")), state).layer)


@pytest.mark.parametrize(("name", "stage"), SHAPES)
def test_shapes(name, stage):
    net = caffe.Net(str(paths.find(f"prototxt/{name}_deploy.prototxt")), caffe.TEST, stages=[stage] if stage else [])
    assert {layer: blobs[0].data.shape for layer, blobs in net.params.items()} == SHAPES[name, stage]
    assert net.blobs["fc6"].data.shape == (1, 512) and net.blobs["prob"].data.shape == (1, 7)


@pytest.mark.parametrize(("name", "stage"), SHAPES)
def test_what_is_trained_is_what_is_deployed(name, stage):
    def learned(layers):
        return [
            (layer.name, layer.top[:], layer.bottom[:], layer.convolution_param, layer.inner_product_param)
            for layer in layers
            if layer.param
        ]

    deployed = learned(chosen(f"{name}_deploy", caffe.TEST, stage))
    assert deployed == learned(chosen(f"{name}_train_val", caffe.TRAIN, stage))
    assert deployed == learned(chosen(f"{name}_train_val", caffe.TEST, stage))


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_pixels_are_prepared_alike_for_all_networks(phase):
    transforms = []
    for name in NETWORKS:
        data = chosen(f"{name}_train_val", phase)[0]
        assert data.type == "Data" and data.data_param.batch_size == 50
        transforms.append(data.transform_param)
    assert transforms[0] == transforms[1] == transforms[2]
    assert (transforms[0].crop_size, transforms[0].mirror) == (227, phase == caffe.TRAIN)


# lr_mult of weights and biases of FC6 and FC7, by stage.
RATES = {
    "": {"fc6": (0, 0), "fc7_character": (10, 20)},
    "fc7": {"fc6": (0, 0), "fc7_character": (10, 20)},
    "fc6-fc7": {"fc6": (1, 2), "fc7_character": (10, 20)},
    "fc6-new": {"fc6_character": (10, 20), "fc7_character": (10, 20)},
    "fc6-map": {"fc6": (0, 0), "fc6_map": (10, 20), "fc7": (0, 0)},
}


@pytest.mark.parametrize("stage", RATES)
def test_fine_tuning_rates(stage):
    rates = {
        layer.name: tuple(param.lr_mult for param in layer.param)
        for layer in chosen("finetune_train_val", caffe.TRAIN, stage)
        if layer.param
    }
    assert rates == {**dict.fromkeys(("conv1", "conv2", "conv3", "conv4"), (0, 0)), **RATES[stage]}


@pytest.mark.parametrize(
    ("name", "rate", "images"), [("human", 0.01, 56000), ("character", 0.01, 38000), ("finetune", 0.001, 38000)]
)
def test_solvers_hold_the_papers_hyperparameters(name, rate, images):
    solver = read_solver(paths.find(f"solvers/{name}.prototxt"))
    assert solver.net == f"prototxt/{name}_train_val.prototxt"
    assert (solver.type, solver.lr_policy) == ("SGD", "step")
    got = (solver.base_lr, solver.momentum, solver.weight_decay, solver.gamma)
    assert got == pytest.approx((rate, 0.9, 0.0005, 0.1))
    epoch = images / 50
    assert (solver.stepsize, solver.max_iter, solver.test_interval) == (10 * epoch, 50 * epoch, epoch)


def test_the_fine_tuning_solver_names_its_reading_for_both_states():
    solver = read_solver(paths.find("solvers/finetune.prototxt"))
    assert list(solver.train_state.stage) == ["fc7"]
    assert [list(state.stage) for state in solver.test_state] == [["fc7"]] and len(solver.test_iter) == 1
