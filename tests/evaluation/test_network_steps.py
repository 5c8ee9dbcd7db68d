"""The steps of networks, against sizes worked by hand and against the networks that are deployed."""

import pytest

from pydeepexpr import caffe, paths
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.network_steps import read_network

# Weights and biases by hand: outputs × (inputs of a group × window) + outputs.
CONV1 = 96 * (3 * 11 * 11) + 96
CONV2 = 256 * (48 * 5 * 5) + 256  # two groups: half of 96 inputs each
CONV3 = 384 * (256 * 3 * 3) + 384
CONV4 = 384 * (192 * 3 * 3) + 384
FC6 = 512 * (384 * 6 * 6) + 512
FC7 = 7 * 512 + 7
MAP = 512 * 512 + 512


def train_val(name: str) -> str:
    return f"prototxt/{name}_train_val.prototxt"


def test_the_human_network_by_hand():
    """Sizes along a side: (227 − 11) / 4 + 1 = 55; ⌈(55 − 3) / 2⌉ + 1 = 27, kept by conv2; 13, kept by conv3, 4; 6."""
    network = read_network(train_val("human"))
    expected = [
        ("data", "image", "", (), (3, 227, 227), 0),
        ("conv1", "CONV1", "11×11, stride 4", ("ReLU",), (96, 55, 55), CONV1),
        ("pool1", "max pooling", "3×3, stride 2", ("LRN",), (96, 27, 27), 0),
        ("conv2", "CONV2", "5×5, pad 2, 2 groups", ("ReLU",), (256, 27, 27), CONV2),
        ("pool2", "max pooling", "3×3, stride 2", ("LRN",), (256, 13, 13), 0),
        ("conv3", "CONV3", "3×3, pad 1", ("ReLU",), (384, 13, 13), CONV3),
        ("conv4", "CONV4", "3×3, pad 1, 2 groups", ("ReLU",), (384, 13, 13), CONV4),
        ("pool4", "max pooling", "3×3, stride 2", (), (384, 6, 6), 0),
        ("fc6", "FC6", "", ("ReLU", "dropout 0.5"), (512,), FC6),
        ("fc7", "FC7", "", (), (7,), FC7),
        ("loss", "softmax", "", (), (7,), 0),
    ]
    found = [(one.name, one.title, one.detail, one.notes, one.shape, one.parameters) for one in network.steps]
    assert found == expected
    assert network.parameters == network.learned == CONV1 + CONV2 + CONV3 + CONV4 + FC6 + FC7 == 8_973_447
    names = [one.name for one in network.steps]
    assert [one.sources for one in network.steps] == [(), *((name,) for name in names[:-1])]
    assert (network.name, network.stage) == ("human", "")


def test_the_character_network_lacks_conv4():
    network = read_network(train_val("character"), "fc6-map")  # it has no stages, so none is taken
    assert [one.name for one in network.steps if one.parameters] == ["conv1", "conv2", "conv3", "fc6", "fc7"]
    assert network.parameters == CONV1 + CONV2 + CONV3 + FC6 + FC7 and network.stage == ""


# What learns, and how fast, in each reading of fine-tuning.
LEARNED = {
    "": {"fc7_character": (FC7, 10)},
    "fc7": {"fc7_character": (FC7, 10)},
    "fc6-fc7": {"fc6": (FC6, 1), "fc7_character": (FC7, 10)},
    "fc6-new": {"fc6_character": (FC6, 10), "fc7_character": (FC7, 10)},
    "fc6-map": {"fc6_map": (MAP, 10)},
}


@pytest.mark.parametrize("stage", LEARNED)
def test_what_fine_tuning_learns(stage):
    network = read_network(train_val("finetune"), stage)
    learned = {one.name: (one.parameters, one.rate) for one in network.steps if one.rate}
    assert learned == LEARNED[stage]
    assert network.learned == sum(count for count, _ in LEARNED[stage].values())
    assert network.parameters == CONV1 + CONV2 + CONV3 + CONV4 + FC6 + FC7 + (MAP if stage == "fc6-map" else 0)
    assert network.stage == stage


def test_a_sum_has_two_sources():
    steps = {one.name: one for one in read_network(train_val("finetune"), "fc6-map").steps}
    assert steps["fc6_sum"].sources == ("fc6", "fc6_map") and steps["fc6_sum"].title == "sum"
    assert steps["fc6_sum"].notes == ("ReLU", "dropout 0.5") and steps["fc6"].notes == ()


@pytest.mark.parametrize(("name", "stage"), [("human", ""), ("character", ""), ("finetune", "fc6-map")])
def test_sizes_are_those_of_the_deployed_network(name, stage):
    net = caffe.Net(str(paths.find(f"prototxt/{name}_deploy.prototxt")), caffe.TEST, stages=[stage] if stage else [])
    for step in read_network(train_val(name), stage).steps:
        if step.name in net.layer_dict and step.name != "data":
            assert step.shape == net.blobs[net.top_names[step.name][0]].data.shape[1:], step.name
        assert step.parameters == sum(blob.count for blob in net.params.get(step.name, ())), step.name


NET = """
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }} {transform}
         data_param {{ source: "nowhere" batch_size: 5 }} }}
{layers}
layer {{ name: "ip" type: "InnerProduct" bottom: "{last}" top: "ip" inner_product_param {{ num_output: 4 }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
"""
CROP = "transform_param { crop_size: 20 }"


def written(tmp_path, layers: str = "", last: str = "data", transform: str = CROP):
    (tmp_path / "net.prototxt").write_text(NET.format(layers=layers, last=last, transform=transform))
    return tmp_path / "net.prototxt"


def test_anybodys_network(tmp_path):
    """Windows that are not square, average pooling, rates that are not given: they count as 1."""
    layers = """
    layer { name: "c" type: "Convolution" bottom: "data" top: "c"
            convolution_param { num_output: 6 kernel_h: 5 kernel_w: 3 stride_h: 1 stride_w: 2 bias_term: false } }
    layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: AVE global_pooling: true } }
    layer { name: "s" type: "Sigmoid" bottom: "p" top: "s" }
    """
    network = read_network(written(tmp_path, layers, "s"))
    assert network.name == "net", "by its file where it has no name"
    found = [(one.title, one.detail, one.shape, one.parameters, one.rate) for one in network.steps]
    assert found == [
        ("image", "", (3, 20, 20), 0, 0),
        ("C", "5×3, stride 1×2", (6, 16, 9), 6 * 3 * 15, 1),
        ("average pooling", "all of it", (6, 1, 1), 0, 0),
        ("s", "", (6, 1, 1), 0, 0),
        ("IP", "", (4,), 4 * 6 + 4, 1),
        ("softmax", "", (4,), 0, 0),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"transform": ""}, "crops no images, so its sizes are not known; give it a crop_size"),
        ({"last": "nothing"}, "reads the bottom 'nothing', which no layer before it makes"),
        ({"layers": "layer {"}, "net.prototxt"),
    ],
)
def test_networks_that_cannot_be_read(tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        read_network(written(tmp_path, **change))


def test_a_network_without_data(tmp_path):
    (tmp_path / "net.prototxt").write_text('layer { name: "d" type: "DummyData" top: "d" }')
    with pytest.raises(UserError, match="has no Data layer for the phase TRAIN"):
        read_network(tmp_path / "net.prototxt")


def test_a_stage_that_is_not_known():
    with pytest.raises(UserError, match=r"knows no stage 'fc8'; it has: fc7, fc6-fc7, fc6-new, fc6-map"):
        read_network(train_val("finetune"), "fc8")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no "):
        read_network(tmp_path / "absent.prototxt")
