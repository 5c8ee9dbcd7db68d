"""Computing once what fine-tuning leaves as it is: the same training, for less."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pytest

from pydeepexpr import caffe, frozen, paths, training
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net
from pydeepexpr.card import write_card
from pydeepexpr.errors import UserError

NET = """
name: "tiny"
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ crop_size: {crop} mean_value: 128 scale: 0.015625 }}
  data_param {{ source: "data/train_lmdb" batch_size: 4 backend: LMDB }} }}
layer {{ name: "data" type: "Data" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ crop_size: {crop} mean_value: 128 scale: 0.015625 }}
  data_param {{ source: "data/val_lmdb" batch_size: 4 backend: LMDB }} }}
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param {{ lr_mult: 0 }} param {{ lr_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param {{ kernel_size: 2 stride: 2 }} }}
layer {{ name: "fc6" type: "InnerProduct" bottom: "pool1" top: "fc6"
  param {{ lr_mult: {fc6} }} param {{ lr_mult: {fc6} }}
  inner_product_param {{ num_output: 8 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }}
layer {{ name: "drop6" type: "Dropout" bottom: "fc6" top: "fc6" }}
layer {{ name: "fc7_character" type: "InnerProduct" bottom: "fc6" top: "fc7"
  inner_product_param {{ num_output: 7 weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "accuracy" type: "Accuracy" bottom: "fc7" bottom: "label" top: "accuracy" include {{ phase: TEST }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc7" bottom: "label" top: "loss" }}
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "fixed" max_iter: 8 test_iter: 2
test_interval: 4 display: 1 snapshot: 4 random_seed: 3
"""


def image(number: int) -> np.ndarray:
    """Return an 8×8 image unlike any other number's."""
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with LMDBs of 10 and 5 images, a parent with its card, and a network of the crop and rate asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(mode._state, "crops", "random")
    caffe.set_mode_cpu()
    Path("solver.prototxt").write_text(SOLVER)
    for name, count in (("train_lmdb", 10), ("val_lmdb", 5)):
        Path("data", name).mkdir(parents=True)
        with lmdb.open(f"data/{name}", map_size=1 << 22) as environment, environment.begin(write=True) as transaction:
            for i in range(count):
                data = cv2.imencode(".png", image(i))[1].tobytes()
                datum = pb.Datum(channels=3, height=8, width=8, encoded=True, data=data, label=i % 7)
                transaction.put(f"{i:08d}".encode(), datum.SerializeToString())

    def make(crop: int = 8, fc6: int = 0) -> Path:
        Path("net.prototxt").write_text(NET.format(crop=crop, fc6=fc6))
        caffe.set_random_seed(5)
        parent = Path("parent.caffemodel")
        caffe.Net("net.prototxt", caffe.TEST).save(parent)
        transform = pb.TransformationParameter(crop_size=crop)
        write_card(parent, deploy=Path("net.prototxt"), transform=transform, parent=None, training={})
        return parent

    def run(name: str, **options) -> Path | None:
        given = training.Options(**{"weights": Path("parent.caffemodel"), "tuned_only": True, **options})
        return training.train(Path("solver.prototxt"), Path("runs") / name, given, Path("net.prototxt"))

    return SimpleNamespace(make=make, run=run)


def parameters(path: Path) -> dict[str, list[np.ndarray]]:
    layers = pb.NetParameter.FromString(path.read_bytes()).layer
    return {layer.name: [np.array(blob.data) for blob in layer.blobs] for layer in layers}


def said_of_tests(name: str) -> list[str]:
    """Return what a run's log says of its tests."""
    lines = Path(f"runs/{name}/train.log").read_text().splitlines()
    return [line.partition("Test net output")[2] for line in lines if "Test net output" in line]


@pytest.mark.parametrize(("fc6", "learned"), [(0, {"fc7_character"}), (1, {"fc6", "fc7_character"})])
def test_it_trains_what_the_whole_network_trains(project, fc6, learned):
    """Where the crop is the centre there is nothing to draw, and both ways must end alike."""
    project.make(crop=6, fc6=fc6)
    plain = parameters(project.run("plain", crops="centre"))
    once = parameters(project.run("once", crops="centre", once=True))
    assert set(plain) == set(once) == learned
    for name in learned:
        for one, other in zip(plain[name], once[name], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    # The losses and accuracies of all tests, three, too.
    assert said_of_tests("plain") == said_of_tests("once") and len(said_of_tests("once")) == 6
    assert not Path("runs/once/frozen").exists(), "what was computed goes when the model is there"


def test_what_lies_below_the_first_layer_that_learns_or_draws(project):
    state = pb.NetState()
    project.make()
    names = [layer.name for layer in frozen.frozen_layers(read_net("net.prototxt"), state)]
    assert names == ["conv1", "relu1", "pool1", "fc6", "relu6"]
    project.make(fc6=1)
    names = [layer.name for layer in frozen.frozen_layers(read_net("net.prototxt"), state)]
    assert names == ["conv1", "relu1", "pool1"]


@pytest.mark.parametrize(
    ("stage", "last"), [("fc7", "relu6"), ("fc6-fc7", "pool4"), ("fc6-new", "pool4"), ("fc6-map", "fc6")]
)
def test_of_the_fine_tuning_network_it_is_all_that_a_reading_keeps(stage, last):
    net = read_net(paths.find("prototxt/finetune_train_val.prototxt"))
    assert frozen.frozen_layers(net, pb.NetState(stage=[stage]))[-1].name == last


def test_each_pass_holds_every_image_once_and_all_crops_occur(project, tmp_path):
    parent = project.make(crop=6)
    net = read_net("net.prototxt")
    rest = frozen.compute_once(net, pb.NetState(), [parent], tmp_path / "frozen", "five", seed=1)
    assert [layer.name for layer in rest.layer][:4] == ["data", "data", "fc6_shape", "drop6"]
    assert [layer.name for layer in rest.layer][4:] == ["fc7_character", "accuracy", "loss"]
    assert (
        rest.layer[0].top[:] == ["fc6_datum", "label"]
        and rest.layer[2].top[:] == ["fc6"]
        and not rest.layer[0].HasField("transform_param")
    )
    records = list(LmdbSource(rest.layer[0].data_param.source).records())
    assert [datum.label for _, datum in records] == [i % 7 for i in range(10)] * 10
    values = np.array([datum.float_data for _, datum in records]).reshape(10, 10, 8)
    assert all(len(np.unique(values[:, i].round(6), axis=0)) == 10 for i in range(10)), "ten crops of every image"

    # The centre crop and the mirrored corner at the lower right, by the network itself.
    whole = caffe.Net("net.prototxt", caffe.TEST, weights=str(parent))
    for pixels in (image(3)[1:7, 1:7], image(3)[2:, 2:][:, ::-1]):
        given = (pixels.transpose(2, 0, 1).astype(np.float32) - 128) / 64
        whole.blobs["data"].data[...] = given
        whole.forward(start="conv1", end="relu6")
        assert np.abs(values[:, 3] - whole.blobs["fc6"].data[0]).max(axis=1).min() < 1e-5
    assert len(LmdbSource(rest.layer[1].data_param.source)) == 5, "test images are cut once, in the centre"


def test_the_order_of_crops_is_the_seeds(project, tmp_path):
    parent, net = project.make(crop=6), read_net(Path("net.prototxt"))
    keys = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        rest = frozen.compute_once(net, pb.NetState(), [parent], tmp_path / name, "five", seed)
        records = LmdbSource(rest.layer[0].data_param.source).records()
        keys[name] = [datum.SerializeToString() for _, datum in records]
    assert keys["a"] == keys["b"] != keys["c"]


def test_results_are_kept_for_the_same_run_alone(project, tmp_path, monkeypatch):
    parent, net, folder = project.make(crop=6), read_net(Path("net.prototxt")), tmp_path / "frozen"
    frozen.compute_once(net, pb.NetState(), [parent], folder, "mirrored", 1)
    made = (folder / "train_lmdb/data.mdb").stat().st_mtime_ns
    frozen.compute_once(net, pb.NetState(), [parent], folder, "mirrored", 1)
    assert (folder / "train_lmdb/data.mdb").stat().st_mtime_ns == made
    frozen.compute_once(net, pb.NetState(), [parent], folder, "centre", 1)
    assert len(LmdbSource(folder / "train_lmdb")) == 10


def test_an_interrupted_run_goes_on_to_the_same_end(project):
    project.make(crop=6)
    options = {"crops": "mirrored", "once": True}
    whole = parameters(project.run("whole", **options))
    project.run("parts", **options, iterations=4)
    parts = project.run("parts", **options, iterations=8, snapshot=Path("runs/parts/parts_iter_4.solverstate"))
    for name, blobs in parameters(parts).items():
        for one, other in zip(blobs, whole[name], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crops": "corners"}, "corners crops cannot be computed once; use one of: centre, mirrored, five"),
        ({"crops": "random"}, "--once cannot compute random crops; give it --crops centre or mirrored or five"),
        ({"crops": "centre", "weights": None}, "--once build on --weights"),
    ],
)
def test_what_cannot_be_computed_once(project, options, message):
    project.make()
    with pytest.raises(UserError, match=message):
        project.run("x", once=True, **options)


def test_a_network_that_learns_from_its_data_on_has_nothing_to_compute_once():
    with pytest.raises(UserError, match="'human' has no part next to its data"):
        frozen.frozen_layers(read_net(paths.find("prototxt/human_train_val.prototxt")), pb.NetState())
