"""Cards, deploy files, pixel transforms; FC6 and probabilities against NumPy."""

import json
import shutil
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from pydeepexpr.caffe import TEST
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.errors import UserError
from pydeepexpr.recogniser import PixelTransform, Recogniser


@pytest.fixture
def model(tiny, tmp_path):
    """A copy of the tiny model that a test may damage."""
    for name in ("tiny.caffemodel", "tiny.json", "tiny.prototxt"):
        shutil.copy(tiny.root / name, tmp_path)
    return tmp_path / "tiny.caffemodel"


@pytest.mark.parametrize("record", [{"scale": 0.5, "mean_value": [1.0, 2.0, 3.0]}, {"mean_value": 128.0}, {}])
def test_transform_is_the_data_layers(record, tiny, tmp_path):
    record = {"crop_size": 227, **record}
    param = pb.TransformationParameter(crop_size=227, scale=record.get("scale", 1.0))
    param.mean_value.extend(np.atleast_1d(record.get("mean_value", [])))
    _assert_same(PixelTransform(record, tmp_path), Transformer(param, TEST), tiny.faces[1])


def test_transform_with_a_mean_file_is_the_data_layers(tiny, tmp_path):
    mean = np.random.default_rng(0).random((3, 256, 256)).astype(np.float32) * 255
    blob = pb.BlobProto(num=1, channels=3, height=256, width=256, data=mean.ravel().tolist())
    (tmp_path / "mean.binaryproto").write_bytes(blob.SerializeToString())
    transform = PixelTransform({"crop_size": 227, "mean_file": "mean.binaryproto", "scale": 0.25}, tmp_path)
    assert len(transform.record["mean_sha256"]) == 64
    param = pb.TransformationParameter(crop_size=227, scale=0.25, mean_file=str(tmp_path / "mean.binaryproto"))
    _assert_same(transform, Transformer(param, TEST), tiny.faces[1])


def _assert_same(transform, transformer, image):
    import torch

    cut = transformer.choose(image, np.random.default_rng(0))
    mean = transformer.mean_image
    means = None if mean is None else torch.from_numpy(transformer.cut(mean, cut).copy())[None]
    expected = transformer.finish(torch.from_numpy(transformer.cut(image, cut).copy())[None], means)
    np.testing.assert_allclose(transform(image), expected[0].numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ({}, {"scale": 1.0, "mean_value": [0.0, 0.0, 0.0]}),
        ({"mean_value": 128}, {"scale": 1.0, "mean_value": [128.0] * 3}),
        ({"mean_value": [128], "scale": 2}, {"scale": 2.0, "mean_value": [128.0] * 3}),
    ],
)
def test_transforms_that_do_the_same_have_one_record(given, full, tmp_path):
    assert PixelTransform({"crop_size": 227, **given}, tmp_path).record == {"crop_size": 227, **full}


@pytest.mark.parametrize("shape", [(226, 300, 3), (256, 256), (256, 256, 1)])
def test_images_that_do_not_fit(shape, tmp_path):
    with pytest.raises(UserError, match="at least 227×227"):
        PixelTransform({"crop_size": 227}, tmp_path)(np.zeros(shape, np.uint8))


def test_features_are_those_of_the_formula(tiny):
    fc6, prob = tiny.recogniser.features(tiny.faces[:3])
    params = tiny.recogniser._net.params
    pooled = np.stack([tiny.recogniser.transform(face) for face in tiny.faces[:3]])
    pooled = _average_32(pooled).reshape(3, -1)
    expected = np.maximum(pooled @ params["fc6"][0].data.T + params["fc6"][1].data, 0)
    np.testing.assert_allclose(fc6, expected, atol=1e-4)
    score = np.exp(expected @ tiny.recogniser.fc7.T + params["fc7"][1].data)
    np.testing.assert_allclose(prob, score / score.sum(axis=1, keepdims=True), atol=1e-5)
    assert (fc6 == 0).any()


def _average_32(images):
    """Caffe's average pooling, kernel and stride 32, with the last window cut at the edge (ceil rule)."""
    cells = [
        images[:, :, i : i + 32, j : j + 32].mean(axis=(2, 3)) for i in range(0, 227, 32) for j in range(0, 227, 32)
    ]
    return np.stack(cells, axis=2).reshape(*images.shape[:2], 8, 8)


def test_batches_give_what_single_images_give(tiny):
    together, _ = tiny.recogniser.features(tiny.faces * 3)  # 69: one whole batch of 50 and a part
    alone, _ = tiny.recogniser.features([tiny.faces[5]])
    np.testing.assert_allclose(together[5], alone[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(together[51], together[5], rtol=1e-5, atol=1e-6)


def test_a_given_deploy_file_is_used(model, tiny):
    (model.parent / "tiny.prototxt").rename(model.parent / "other.prototxt")
    with pytest.raises(UserError, match=r"there is no prototxt.tiny\.prototxt"):
        Recogniser(model, device="cpu")
    fc6, _ = Recogniser(model, model.parent / "other.prototxt", device="cpu").features(tiny.faces[:1])
    np.testing.assert_array_equal(fc6, tiny.recogniser.features(tiny.faces[:1])[0])


def _edit_card(**changes):
    def damage(model):
        card = json.loads(model.with_suffix(".json").read_text())
        model.with_suffix(".json").write_text(json.dumps({**card, **changes}))

    return damage


def _without(name):
    def damage(model):
        card = json.loads(model.with_suffix(".json").read_text())
        del card[name]
        model.with_suffix(".json").write_text(json.dumps(card))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model: model.unlink(), r"there is no .*tiny\.caffemodel"),
        (lambda model: model.with_suffix(".json").unlink(), "has no card tiny.json beside it"),
        (lambda model: model.with_suffix(".json").write_text("{"), "cannot be read or lacks"),
        (lambda model: model.with_suffix(".json").write_text("[]"), "cannot be read or lacks"),
        (_without("sha256"), "cannot be read or lacks"),
        (_without("deploy"), "cannot be read or lacks"),
        (_without("transform"), "cannot be read or lacks"),
        (_edit_card(transform={"scale": 1}), "cannot be read or lacks"),
        (_edit_card(transform={"crop_size": 227, "scale": "big"}), "cannot be read or lacks"),
        (_edit_card(transform={"crop_size": 227, "mean_value": [1, 2]}), "cannot be read or lacks"),
        (_edit_card(transform={"crop_size": 0}), "cannot be read or lacks"),
        (_edit_card(transform={"crop_size": 227, "mean_file": "absent.binaryproto"}), "absent.binaryproto"),
        (_edit_card(transform={"crop_size": 224}), "the model's card says a crop of 224"),
        (_edit_card(sha256="0" * 64), "SHA-256 differs"),
        (lambda model: model.write_bytes(model.read_bytes()[:-100]), "SHA-256 differs"),
    ],
)
def test_what_does_not_belong_together(model, damage, message):
    damage(model)
    with pytest.raises(UserError, match=message) as caught:
        Recogniser(model, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name: "fc7" type', 'name: "classes" type', "has no parameters for .* classes"),
        ('top: "prob"', 'top: "softmax"', "has no prob"),
        ("num_output: 16", "num_output: 32", "."),
        ("Pooling", "Poling", "Poling"),
        ("layer {", "layer [", "."),
    ],
)
def test_deploy_files_that_do_not_fit(model, old, new, message):
    deploy = model.parent / "tiny.prototxt"
    deploy.write_text(deploy.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        Recogniser(model, device="cpu")


def test_missing_deploy_file(model):
    with pytest.raises(UserError, match=r"there is no deploy prototxt at absent\.prototxt"):
        Recogniser(model, "absent.prototxt", device="cpu")


def test_nothing_but_pycaffes_public_interface_is_needed(tiny, monkeypatch):
    """A stand-in for real pycaffe that has what pycaffe documents, and nothing else."""

    class Blob:
        def __init__(self, *shape):
            self.data = np.zeros(shape, np.float32)

        def reshape(self, *shape):
            self.data = np.zeros(shape, np.float32)

    class Net:
        def __init__(self, network_file, phase, level=0, stages=None, weights=None):
            assert isinstance(network_file, str) and phase == 1
            self.blobs = {"data": Blob(1, 3, 227, 227), "fc6": Blob(1, 4), "fc7": Blob(1, 7), "prob": Blob(1, 7)}
            self.params = {"fc6": [Blob(4, 3), Blob(4)], "fc7": [Blob(7, 4), Blob(7)]}
            self.top_names = {"data": ["data"], "fc6": ["fc6"], "fc7": ["fc7"], "prob": ["prob"]}

        def copy_from(self, weights):
            assert weights == str(tiny.weights)

        def reshape(self):
            for name in ("fc6", "fc7", "prob"):
                self.blobs[name].reshape(len(self.blobs["data"].data), self.blobs[name].data.shape[1])

        def forward(self):
            self.blobs["fc6"].data[...] = self.blobs["data"].data.mean(axis=(1, 2, 3))[:, None]
            self.blobs["prob"].data[...] = 1 / 7

    module = ModuleType("caffe")
    vars(module).update(vars(SimpleNamespace(Net=Net, TEST=1, set_mode_cpu=lambda: None)))
    monkeypatch.setitem(sys.modules, "caffe", module)
    monkeypatch.setenv("DEEPEXPR_CAFFE", "bvlc")
    recogniser = Recogniser(tiny.weights)
    fc6, prob = recogniser.features(tiny.faces[:2])
    assert fc6.shape == (2, 4) and prob.shape == (2, 7)
    np.testing.assert_allclose(fc6[1], recogniser.transform(tiny.faces[1]).mean(), rtol=1e-5)
