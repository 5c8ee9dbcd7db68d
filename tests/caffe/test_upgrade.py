"""Old descriptions upgraded as Caffe's upgrade_proto.cpp does.

The nets in old_nets/ and what they become are written by hand from the definitions of the two old formats.
"""

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_model, read_net, read_text
from pydeepexpr.caffe.upgrade import needs_upgrade, upgrade_net, upgrade_solver
from pydeepexpr.errors import UserError

OLD_NETS = Path(__file__).parent / "old_nets"
V0 = "V0LayerParameter (layers { layer { } })"
V1 = "V1LayerParameter (layers { })"
DATA = "data transformation fields outside transform_param"
INPUT = "input fields in the place of an Input layer"
BATCH_NORM = "rates for BatchNorm's statistics"


def net(text):
    return text_format.Parse(text, pb.NetParameter())


def upgraded_layer(text):
    """Return what a single layer in `layers { … }` becomes."""
    upgraded = upgrade_net(net(f"layers {{ {text} }}"))
    assert len(upgraded.layer) == 1 and not upgraded.layers
    return upgraded.layer[0]


def layer(text):
    return text_format.Parse(text, pb.LayerParameter())


NETS = [
    ("lenet_v0", [V0, V1]),
    ("lenet_v1", [DATA, V1]),
    ("caffenet_v0", [V0, V1, INPUT]),
    ("caffenet_v1", [DATA, V1]),
]


@pytest.mark.parametrize(("name", "reasons"), NETS)
def test_a_whole_net(name, reasons, logged):
    path = OLD_NETS / f"{name}.prototxt"
    old = read_text(path, pb.NetParameter(), "network")
    before = old.SerializeToString()
    assert needs_upgrade(old) == reasons
    got = read_net(path)
    assert got == read_text(OLD_NETS / f"{name}_upgraded.prototxt", pb.NetParameter(), "network")
    assert [line.split("] ")[1] for line in logged()] == [
        f"Upgraded the network {path} from deprecated {reason}" for reason in reasons
    ]
    assert needs_upgrade(got) == [] and upgrade_net(got) is got
    assert upgrade_net(old) == got and old.SerializeToString() == before


@pytest.mark.parametrize(("name", "reasons"), NETS)
def test_a_binary_net(name, reasons, tmp_path, logged):
    old = read_text(OLD_NETS / f"{name}.prototxt", pb.NetParameter(), "network")
    path = tmp_path / "old.caffemodel"
    path.write_bytes(old.SerializeToString())
    assert read_model(path) == read_net(OLD_NETS / f"{name}.prototxt")
    assert f"Upgraded the model {path} from deprecated {reasons[0]}" in logged()[0]


def test_an_old_net_runs(tmp_path):
    # 28×28 → conv 5×5 24 → pool 12 → conv 5×5 8 → pool 4: Caffe's LeNet has ip1 of 500×800
    text = (OLD_NETS / "lenet_v1.prototxt").read_text()
    start = text.index('layers {\n  name: "conv1"')
    end = text.index('layers {\n  name: "accuracy"')
    path = tmp_path / "deploy.prototxt"
    path.write_text('input: "data" input_dim: 1 input_dim: 1 input_dim: 28 input_dim: 28\n' + text[start:end])
    lenet = caffe.Net(str(path), caffe.TEST)
    assert lenet.inputs == ["data"] and lenet.forward()["ip2"].shape == (1, 10)
    assert [blob.shape for blob in lenet.params["conv2"]] == [(50, 20, 5, 5), (50,)]
    assert lenet.params["ip1"][0].shape == (500, 800)
    assert [spec.lr_mult for _, spec in lenet.learnable] == [1, 2] * 4


# V0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('type: "accuracy"', 'type: "Accuracy"'),
        ('type: "bnll"', 'type: "BNLL"'),
        ('type: "concat" concat_dim: 0', 'type: "Concat" concat_param { concat_dim: 0 }'),
        (
            'type: "conv" num_output: 3 biasterm: false weight_filler { std: 2 } bias_filler { value: 1 } pad: 1 '
            "kernelsize: 5 group: 2 stride: 4",
            'type: "Convolution" convolution_param { num_output: 3 bias_term: false weight_filler { std: 2 } '
            "bias_filler { value: 1 } pad: 1 kernel_size: 5 group: 2 stride: 4 }",
        ),
        (
            'type: "data" source: "s" scale: 2 meanfile: "m" batchsize: 3 cropsize: 4 mirror: true rand_skip: 5',
            'type: "Data" data_param { source: "s" batch_size: 3 rand_skip: 5 } '
            'transform_param { scale: 2 mean_file: "m" crop_size: 4 mirror: true }',
        ),
        ('type: "dropout" dropout_ratio: 0.25', 'type: "Dropout" dropout_param { dropout_ratio: 0.25 }'),
        ('type: "euclidean_loss"', 'type: "EuclideanLoss"'),
        ('type: "flatten"', 'type: "Flatten"'),
        (
            'type: "hdf5_data" source: "s" batchsize: 3',
            'type: "HDF5Data" hdf5_data_param { source: "s" batch_size: 3 }',
        ),
        (
            'type: "hdf5_output" hdf5_output_param { file_name: "f" }',
            'type: "HDF5Output" hdf5_output_param { file_name: "f" }',
        ),
        ('type: "im2col"', 'type: "Im2col"'),
        (
            'type: "images" source: "s" batchsize: 3 rand_skip: 5 shuffle_images: true new_height: 6 new_width: 7',
            'type: "ImageData" image_data_param { source: "s" batch_size: 3 rand_skip: 5 shuffle: true new_height: 6 '
            "new_width: 7 }",
        ),
        ('type: "infogain_loss" source: "s"', 'type: "InfogainLoss" infogain_loss_param { source: "s" }'),
        (
            'type: "innerproduct" num_output: 3 biasterm: false weight_filler { std: 2 } bias_filler { value: 1 }',
            'type: "InnerProduct" inner_product_param { num_output: 3 bias_term: false weight_filler { std: 2 } '
            "bias_filler { value: 1 } }",
        ),
        (
            'type: "lrn" local_size: 3 alpha: 2 beta: 0.5 k: 4',
            'type: "LRN" lrn_param { local_size: 3 alpha: 2 beta: 0.5 k: 4 }',
        ),
        ('type: "multinomial_logistic_loss"', 'type: "MultinomialLogisticLoss"'),
        (
            'type: "pool" pool: AVE pad: 1 kernelsize: 3 stride: 2',
            'type: "Pooling" pooling_param { pool: AVE pad: 1 kernel_size: 3 stride: 2 }',
        ),
        ('type: "pool" pool: STOCHASTIC', 'type: "Pooling" pooling_param { pool: STOCHASTIC }'),
        ('type: "relu"', 'type: "ReLU"'),
        ('type: "sigmoid"', 'type: "Sigmoid"'),
        ('type: "softmax"', 'type: "Softmax"'),
        ('type: "softmax_loss"', 'type: "SoftmaxWithLoss"'),
        ('type: "split"', 'type: "Split"'),
        ('type: "tanh"', 'type: "TanH"'),
        (
            'type: "window_data" source: "s" batchsize: 3 cropsize: 4 det_fg_threshold: 0.1 det_bg_threshold: 0.2 '
            'det_fg_fraction: 0.3 det_context_pad: 4 det_crop_mode: "square"',
            'type: "WindowData" window_data_param { source: "s" batch_size: 3 fg_threshold: 0.1 bg_threshold: 0.2 '
            'fg_fraction: 0.3 context_pad: 4 crop_mode: "square" } transform_param { crop_size: 4 }',
        ),
        ('blobs { num: 1 data: 2 } blobs_lr: 3 weight_decay: 4 weight_decay: 5', 'blobs { num: 1 data: 2 } '
         "param { lr_mult: 3 decay_mult: 4 } param { decay_mult: 5 }"),
    ],
)  # fmt: skip
def test_a_v0_layer(old, new, logged):
    got = upgraded_layer(f'layer {{ name: "l" {old} }} bottom: "b" top: "t"')
    assert got == layer(f'name: "l" bottom: "b" top: "t" {new}')
    assert not any("ignored" in line for line in logged())


def test_a_v0_parameter_that_the_type_has_not_is_told_and_ignored(logged):
    got = upgraded_layer('layer { name: "r" type: "relu" num_output: 3 new_num: 2 }')
    assert got == layer('name: "r" type: "ReLU"')
    assert [line[0] + line.split("] ")[1] for line in logged()][:2] == [
        "Wlayer 'r': relu layers have no num_output; it is ignored",
        "Wlayer 'r': relu layers have no new_num; it is ignored",
    ]


def test_v0_and_v1_layers_in_one_net():
    got = upgrade_net(net('layers { layer { name: "a" type: "relu" } } layers { name: "b" type: RELU blobs_lr: 2 }'))
    assert list(got.layer) == [layer('name: "a" type: "ReLU"'), layer('name: "b" type: "ReLU" param { lr_mult: 2 }')]


def v0(type, bottoms, tops, more=""):
    named = " ".join([*(f'bottom: "{name}"' for name in bottoms), *(f'top: "{name}"' for name in tops)])
    return f'layers {{ layer {{ name: "{type}" type: "{type}" {more} }} {named} }}\n'


def test_a_padding_layer_that_nothing_reads_goes():
    assert [item.type for item in upgrade_net(net(v0("data", [], ["x"]) + v0("padding", ["x"], ["y"]))).layer] == [
        "Data"
    ]


def test_a_blob_made_anew_is_no_longer_the_padded_one():
    text = v0("data", [], ["x"]) + v0("padding", ["x"], ["y"], "pad: 3") + v0("flatten", ["x"], ["y"])
    conv = upgrade_net(net(text + v0("conv", ["y"], ["z"]))).layer[-1]
    assert list(conv.bottom) == ["y"] and not conv.convolution_param.pad


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (v0("padding", ["x"], ["y"]) + v0("relu", ["y"], ["z"]), "layer 'relu' (relu) reads the padding layer"),
        (v0("padding", ["x"], ["y"]) + v0("padding", ["y"], ["z"]), "layer 'padding' (padding) reads the padding"),
        (v0("padding", ["x"], ["y"]) + v0("conv", ["y", "x"], ["z"]), "with one blob into and out of each"),
        (v0("padding", ["x", "w"], ["y"]) + v0("conv", ["y"], ["z"]), "with one blob into and out of each"),
        (v0("padding", [], ["y"]) + v0("pool", ["y"], ["z"]), "with one blob into and out of each"),
        (v0("padding", ["x"], ["y", "w"]) + v0("pool", ["y"], ["z"]), "with one blob into and out of each"),
        (v0("Convolution", ["x"], ["y"]), "layer 'Convolution' has the unknown type 'Convolution'"),
        (v0("eltwise", ["x"], ["y"]), "layer 'eltwise' has the unknown type 'eltwise'"),
        ('layer { name: "a" } layers { name: "b" type: RELU }', "it has `layer` and `layers`; write all of them as"),
        ('input: "x" input_dim: 1 layers { type: RELU }', "has 1 input(s), 0 input_shape and 1 input_dim"),
    ],
)
def test_nets_that_cannot_be_upgraded(text, said, tmp_path):
    path = tmp_path / "old.prototxt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_net(path)
    assert said in str(error.value) and f"the network {path} cannot be upgraded" in str(error.value)
    assert "\n" not in str(error.value)


# V1


@pytest.mark.parametrize("number", pb.V1LayerParameter.LayerType.values())
def test_every_v1_type(number):
    # UpgradeV1LayerType: the number's name without capitals and underscores is the type's, but for two
    name = pb.V1LayerParameter.LayerType.Name(number)
    wanted = {"NONE": "", "SOFTMAX_LOSS": "softmaxwithloss"}.get(name, name.replace("_", "").lower())
    got = upgraded_layer(f"type: {name}").type
    assert got.lower() == wanted
    assert not got or got[0].isupper()


def fill(message):
    """Set every field of a message, lists to two entries, to values that no default has."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type:
            target = getattr(message, field.name)
            for part in (target.add(), target.add()) if hasattr(target, "add") else (target,):
                fill(part)
        else:
            values = {
                field.CPPTYPE_STRING: "é",
                field.CPPTYPE_BOOL: not field.default_value,
                field.CPPTYPE_ENUM: field.enum_type and field.enum_type.values[-1].number,
            }
            value = values.get(field.cpp_type, 7)
            if hasattr(getattr(message, field.name), "extend"):
                getattr(message, field.name).extend([value, value])
            else:
                setattr(message, field.name, value)
    return message


def test_every_v1_field_but_v0s_is_carried_over():
    old = fill(pb.V1LayerParameter())
    old.ClearField("layer")
    got = upgrade_net(pb.NetParameter(layers=[old])).layer[0]
    specs = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
    for field, value in old.ListFields():
        if field.name in specs:
            assert [getattr(spec, specs[field.name]) for spec in got.param] == list(value)
        elif field.name != "type":
            assert getattr(got, field.name) == value
    assert got.type == "Deconvolution" and len(got.ListFields()) == len(old.ListFields()) - 3


def test_lists_of_different_lengths_fill_the_specs_they_reach():
    got = upgraded_layer('param: "" param: "b" blobs_lr: 0 weight_decay: 1 weight_decay: 2 weight_decay: 3')
    assert got == layer(
        'param { name: "" lr_mult: 0 decay_mult: 1 } param { name: "b" decay_mult: 2 } param { decay_mult: 3 }'
    )


@pytest.mark.parametrize("kind", ["DATA", "IMAGE_DATA", "WINDOW_DATA"])
def test_transformation_fields_of_data_layers(kind):
    param = f"{kind.lower()}_param"
    old = f'{param} {{ scale: 2 mean_file: "m" crop_size: 3 mirror: false batch_size: 4 }}'
    moved = 'transform_param { scale: 2 mean_file: "m" crop_size: 3 mirror: false }'
    type = kind.title().replace("_", "")
    assert upgraded_layer(f"type: {kind} {old}") == layer(f'type: "{type}" {param} {{ batch_size: 4 }} {moved}')
    # what the layer's own parameters say wins
    got = upgraded_layer(f"type: {kind} {old} transform_param {{ scale: 9 mean_value: 5 }}")
    assert got.transform_param.scale == 2 and list(got.transform_param.mean_value) == [5]


@pytest.mark.parametrize(
    "text",
    [
        'layer { type: "Data" data_param { scale: 2 mirror: true } }',  # NetNeedsDataUpgrade looks at V1 alone
        'layer { type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } }',
        'layer { type: "BatchNorm" ' + "param { lr_mult: 0 decay_mult: 0 } " * 3 + "}",
        'layer { type: "Scale" ' + "param { lr_mult: 1 } " * 3 + "}",
        'layer { type: "BatchNorm" }',
        "input_dim: 3",
        "",
    ],
)
def test_what_is_up_to_date_stays_the_very_same(text, logged):
    param = net(text)
    assert needs_upgrade(param) == [] and upgrade_net(param) is param and logged() == []


# What grew old within today's format


@pytest.mark.parametrize(
    ("shapes", "wanted"),
    [
        ("input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4", "shape { dim: 1 dim: 2 dim: 3 dim: 4 }"),
        ("input_shape { dim: 5 }", "shape { dim: 5 }"),
    ],
)
def test_input_fields_become_the_first_layer(shapes, wanted):
    got = upgrade_net(net(f'input: "x" {shapes} layer {{ name: "a" bottom: "x" }}'))
    assert got == net(
        f'layer {{ name: "input" type: "Input" top: "x" input_param {{ {wanted} }} }} layer {{ name: "a" bottom: "x" }}'
    )


def test_inputs_without_shapes_are_dropped_from_weights_and_refused_in_a_description(tmp_path):
    # UpgradeNetInput: "a legacy caffemodel and simply stripping the input field is enough"
    text = 'input: "x" layers { name: "a" type: RELU bottom: "x" top: "x" }'
    path = tmp_path / "old"
    path.write_bytes(net(text).SerializeToString())
    assert read_model(path) == net('layer { name: "a" type: "ReLU" bottom: "x" top: "x" }')
    path.write_text(text)
    with pytest.raises(UserError, match=f"the network {path} has inputs without shapes; give each an input_shape"):
        read_net(path)


def test_rates_of_batch_norm_statistics():
    # UpgradeNetBatchNorm: both rates of all three become 0, names stay
    text = 'layer {{ type: "BatchNorm" param {{ name: "m" {0} }} param {{ name: "v" {0} }} param {{ {0} }} }}'
    old = net(text.format("lr_mult: 1"))
    assert needs_upgrade(old) == [BATCH_NORM]
    assert upgrade_net(old) == net(text.format("lr_mult: 0 decay_mult: 0"))


# Solvers


@pytest.mark.parametrize("number", pb.SolverParameter.SolverType.values())
def test_solver_types(number):
    # UpgradeSolverType
    names = ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]
    old = pb.SolverParameter(solver_type=number, base_lr=0.5)
    assert needs_upgrade(old) == ["solver_type (a number)"]
    assert upgrade_solver(old) == pb.SolverParameter(type=names[number], base_lr=0.5)
    assert old.HasField("solver_type")


def test_a_solver_with_a_type_of_either_kind():
    old = pb.SolverParameter(solver_type="ADAM", type="SGD")
    with pytest.raises(UserError, match="it has a type, 'SGD', beside its solver_type; keep the type"):
        upgrade_solver(old)
    new = pb.SolverParameter(type="Adam")
    assert needs_upgrade(new) == [] and upgrade_solver(new) is new


# Any net

NAMES = st.sampled_from(["a", "b", ""])
V1_LAYERS = st.builds(
    pb.V1LayerParameter,
    name=NAMES,
    type=st.sampled_from(pb.V1LayerParameter.LayerType.values()),
    bottom=st.lists(NAMES, max_size=2),
    top=st.lists(NAMES, max_size=2),
    blobs_lr=st.lists(st.floats(0, 2, width=32), max_size=3),
    weight_decay=st.lists(st.floats(0, 2, width=32), max_size=3),
    param=st.lists(NAMES, max_size=3),
    blobs=st.lists(st.just(pb.BlobProto(num=1, data=[1])), max_size=2),
    loss_weight=st.lists(st.just(1.0), max_size=2),
    data_param=st.builds(pb.DataParameter, scale=st.just(2.0)),
)
V0_LAYERS = st.builds(
    pb.V1LayerParameter,
    layer=st.builds(
        pb.V0LayerParameter,
        name=NAMES,
        type=st.sampled_from(["conv", "pool", "relu", "data"]),
        pad=st.integers(0, 3),
        stride=st.integers(1, 3),
        blobs_lr=st.lists(st.floats(0, 2, width=32), max_size=3),
    ),
    bottom=st.lists(NAMES, max_size=2),
    top=st.lists(NAMES, max_size=2),
)


@given(st.lists(V1_LAYERS | V0_LAYERS, max_size=4))
def test_any_net_upgrades_once_and_keeps_its_layers_in_order(layers):
    old = pb.NetParameter(name="n", layers=layers)
    before = old.SerializeToString()
    new = upgrade_net(old)
    assert old.SerializeToString() == before and needs_upgrade(new) == [] and upgrade_net(new) is new
    assert [(item.layer.name or item.name, item.bottom, item.top, item.blobs) for item in layers] == [
        (item.name, item.bottom, item.top, item.blobs) for item in new.layer
    ]
