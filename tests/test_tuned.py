"""Fine-tuning the human network for a character: what changes, what is kept, and how a small model is put together."""

import json
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pytest

from pydeepexpr import caffe, paths, training, tuned
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.card import write_card
from pydeepexpr.errors import UserError
from pydeepexpr.extraction import extract
from pydeepexpr.files import sha256_of
from pydeepexpr.lineage import check_kin
from pydeepexpr.recogniser import Recogniser

CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4")
#: What each reading learns.
READINGS = {
    "fc7": {"fc7_character"},
    "fc6-fc7": {"fc6", "fc7_character"},
    "fc6-new": {"fc6_character", "fc7_character"},
    "fc6-map": {"fc6_map"},
}


def write_lmdb(folder: Path, count: int) -> None:
    """Images of 256×256 whose colour tells their label."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for i in range(count):
            image = np.full((256, 256, 3), 40 * (i % 7), np.uint8) + rng.integers(0, 9, (256, 256, 3), dtype=np.uint8)
            data = cv2.imencode(".png", image)[1].tobytes()
            datum = pb.Datum(channels=3, height=256, width=256, encoded=True, data=data, label=i % 7)
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())


def thin(name: str) -> str:
    """Return one of the project's prototxts with narrow layers, small batches and the project's own names."""
    text = paths.find(f"prototxt/{name}.prototxt").read_text()
    for width, narrow in ((96, 8), (256, 8), (384, 8), (512, 16)):
        text = text.replace(f"num_output: {width}\n", f"num_output: {narrow}\n")
    return text.replace("batch_size: 50", "batch_size: 2")


def params(path: Path) -> dict[str, list[bytes]]:
    """Return the stored parameters of a file, by layer."""
    layers = pb.NetParameter.FromString(path.read_bytes()).layer
    return {layer.name: [blob.SerializeToString() for blob in layer.blobs] for layer in layers if layer.blobs}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A human network with a card, LMDBs of a character, and the fine-tuning network with small batches."""
    root = tmp_path_factory.mktemp("project")
    for name, count in (("train_lmdb", 4), ("val_lmdb", 2)):
        write_lmdb(root / "data" / name, count)
    (root / "runs").mkdir()
    for name in ("human_deploy", "finetune_deploy", "finetune_train_val"):
        (root / f"{name}.prototxt").write_text(thin(name))
    human, deploy = root / "runs/human.caffemodel", root / "finetune_deploy.prototxt"
    caffe.set_mode_cpu()
    caffe.set_random_seed(1)
    caffe.Net(str(root / "human_deploy.prototxt"), caffe.TEST).save(str(human))
    solver = paths.find("solvers/finetune.prototxt").read_text()
    (root / "solver.prototxt").write_text(solver.replace('net: "prototxt', f'net: "{root}'))
    transform = pb.TransformationParameter(crop_size=227, scale=0.015625, mean_value=[128])
    write_card(human, deploy=Path("human_deploy.prototxt"), transform=transform, parent=None, training={})

    def run(name: str, **options) -> Path:
        given = training.Options(**{"data": root / "data", "iterations": 2, "weights": human, **options})
        return training.train(root / "solver.prototxt", root / "runs" / name, given, deploy)

    return SimpleNamespace(root=root, human=human, deploy=deploy, run=run, lmdb=root / "data/val_lmdb")


@pytest.fixture(scope="module")
def small(project):
    """A model of fine-tuned layers alone."""
    return project.run("mery", stage="fc6-fc7", tuned_only=True)


@pytest.mark.parametrize("stage", READINGS)
def test_each_reading_learns_what_it_says_and_leaves_the_rest_bit_identical(project, stage):
    before, after = params(project.human), params(project.run(f"whole-{stage}", stage=stage))
    kept = {"fc6-map": {"fc6", "fc7"}, "fc6-new": set()}.get(stage, {"fc6"})
    assert set(after) == {*CONVOLUTIONS, *kept, *READINGS[stage]}
    for name in after:
        if name in READINGS[stage]:
            assert after[name] != before.get(name)
        else:
            assert after[name] == before[name], name
    card = json.loads((project.root / f"runs/whole-{stage}/whole-{stage}.json").read_text())
    assert card["stages"] == [stage] and card["ancestry"] == [sha256_of(project.human)] and "base" not in card


def test_the_solver_alone_means_the_first_reading(project):
    solver, _ = training.resolve(
        project.root / "solver.prototxt", project.root / "x", training.Options(project.root / "data")
    )
    assert list(solver.train_state.stage) == list(solver.test_state[0].stage) == ["fc7"]


def test_nothing_below_what_is_learned_is_propagated_back(project):
    param, net = training.resolve(
        project.root / "solver.prototxt", project.root / "x", training.Options(project.root / "data", stage="fc7")
    )
    for name in ("net", "snapshot"):
        param.ClearField(name)
    param.net_param.CopyFrom(net)
    solver = caffe.get_solver(param)
    solver.step(1)
    diffs = {name: max(np.abs(blob.diff).max() for blob in blobs) for name, blobs in solver.net.params.items()}
    assert diffs["fc7_character"] > 0
    assert all(diffs[name] == 0 for name in (*CONVOLUTIONS, "fc6"))
    assert all(np.abs(solver.net.blobs[name].diff).max() == 0 for name in ("fc6", "pool4", "data"))
    solver.close()


def test_a_small_model_holds_the_tuned_layers_alone(project, small):
    assert set(params(small)) == READINGS["fc6-fc7"]
    assert small.stat().st_size < project.human.stat().st_size
    card = json.loads(small.with_suffix(".json").read_text())
    assert (card["base"], card["ancestry"]) == ("../human.caffemodel", [sha256_of(project.human)])
    assert tuned.weight_files(small) == [small.parent / "../human.caffemodel", small]


def test_on_top_of_its_base_it_is_the_whole_model(project, small):
    whole = small.parent / "mery_iter_2.caffemodel"
    nets = [caffe.Net(str(project.deploy), caffe.TEST) for _ in range(2)]
    nets[0].copy_from(str(whole))
    nets[1].copy_from(f"{project.human},{small}")  # as `caffe train -weights a,b`
    for name, blobs in nets[0].params.items():
        for one, other in zip(blobs, nets[1].params[name], strict=True):
            np.testing.assert_array_equal(one.data, other.data)


def test_it_recognises_and_is_kin_of_its_base(project, small, tmp_path):
    recogniser = Recogniser(small, project.deploy, device="cpu")
    store = extract(recogniser, project.lmdb, tmp_path / "store")
    np.testing.assert_array_equal(recogniser.fc7, store.fc7)
    whole = caffe.Net(str(project.deploy), caffe.TEST)
    whole.copy_from(str(small.parent / "mery_iter_2.caffemodel"))
    np.testing.assert_array_equal(recogniser.fc7, whole.params["fc7_character"][0].data)
    check_kin(Recogniser(project.human, project.root / "human_deploy.prototxt", device="cpu").identity, store)


def test_a_new_fc6_is_deployed_under_its_name(project):
    model = project.run("new", stage="fc6-new", tuned_only=True)
    fc6, prob = Recogniser(model, project.deploy, device="cpu").features([np.full((256, 256, 3), 90, np.uint8)])
    assert fc6.shape == (1, 16) and prob.sum() == pytest.approx(1, abs=1e-5)
    whole = caffe.Net(str(project.deploy), caffe.TEST, stages=["fc6-new"])
    whole.copy_from(str(model.parent / "new_iter_2.caffemodel"))
    whole.blobs["data"].data[...] = (90 - 128) / 64
    whole.forward()
    np.testing.assert_allclose(fc6, whole.blobs["fc6"].data, rtol=1e-5, atol=1e-6)


def test_a_map_that_has_not_learned_leaves_the_human_network(project):
    """With D = 0 and d = 0, FC6 and the probabilities are the parent's."""
    face = [np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)]
    mapped = caffe.Net(str(project.deploy), caffe.TEST, stages=["fc6-map"])
    mapped.copy_from(str(project.human))
    human = Recogniser(project.human, project.root / "human_deploy.prototxt", device="cpu")
    mapped.blobs["data"].data[...] = human.transform(face[0])
    mapped.forward()
    for name, values in zip(("fc6", "prob"), human.features(face), strict=True):
        np.testing.assert_allclose(mapped.blobs[name].data, values, rtol=1e-5, atol=1e-6)


def test_the_base_is_found_beside_or_named(project, small, tmp_path):
    moved = Path(shutil.copy(small, tmp_path))
    shutil.copy(small.with_suffix(".json"), tmp_path)
    with pytest.raises(UserError, match=r"mery\.caffemodel .* needs .*human\.caffemodel, which is not there"):
        tuned.weight_files(moved, tmp_path / "human.caffemodel")
    assert tuned.weight_files(moved, project.human) == [project.human, moved]
    beside = Path(shutil.copy(project.human, tmp_path))
    assert tuned.weight_files(moved) == [beside, moved]
    beside.write_bytes(b"another")
    with pytest.raises(UserError, match=r"was fine-tuned from another model than .*human\.caffemodel"):
        tuned.weight_files(moved, beside)


def test_the_tool_fine_tunes_on_what_was_computed_once(project, monkeypatch, capsys):
    given = {
        "--solver": project.root / "solver.prototxt",
        "--deploy": project.deploy,
        "--data": project.root / "data",
        "--weights": project.human,
        "--out": project.root / "runs/once",
        **{"--stage": "fc6-new", "--crops": "five", "--iterations": 2, "--device": "cpu"},
    }
    monkeypatch.setattr(sys, "argv", ["train.py", "--once", *(str(word) for pair in given.items() for word in pair)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(Path(__file__).parents[1] / "tools/train.py"), run_name="__main__")
    assert stopped.value.code == 0, capsys.readouterr().err
    model = project.root / "runs/once/once.caffemodel"
    assert set(params(model)) == READINGS["fc6-new"]
    card = json.loads(model.with_suffix(".json").read_text())
    assert (card["crops"], card["once"]) == ("five", True)
    assert (card["stages"], card["base"]) == (["fc6-new"], "../human.caffemodel")


def test_a_grandchild_is_loaded_from_all_its_files(project, small):
    child = project.run("child", weights=small, stage="fc7", tuned_only=True)
    files = [path.resolve() for path in tuned.weight_files(child)]
    assert files == [project.human, small, child]
    assert set(params(child)) == {"fc7_character"}
    net = caffe.Net(str(project.deploy), caffe.TEST)
    for file in files:
        net.copy_from(str(file))
    fc6 = pb.BlobProto.FromString(params(small)["fc6"][0])
    np.testing.assert_array_equal(net.params["fc6"][0].data.ravel(), np.array(fc6.data, np.float32))
    assert json.loads(child.with_suffix(".json").read_text())["ancestry"] == [
        sha256_of(small),
        sha256_of(project.human),
    ]


def test_a_model_without_a_card_is_whole(tmp_path):
    assert tuned.weight_files(tmp_path / "any.caffemodel") == [tmp_path / "any.caffemodel"]


def test_what_does_not_differ_is_no_small_model(project):
    with pytest.raises(UserError, match="does not differ from what it was fine-tuned from"):
        tuned.tuned_layers(project.human, [project.human])


def test_a_deploy_of_another_network_is_refused(project, small):
    with pytest.raises(UserError, match=r"human_deploy\.prototxt has no layer fc7_character of .*mery\.caffemodel"):
        Recogniser(small, project.root / "human_deploy.prototxt", device="cpu")
    with pytest.raises(UserError, match=r"human\.caffemodel has no parameters for .*fc7_character"):
        Recogniser(project.human, project.deploy, device="cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stage": "fc8"}, "knows no stage 'fc8'; it has: fc7, fc6-fc7, fc6-new, fc6-map"),
        ({"weights": None, "tuned_only": True}, "--tuned-only .* --weights, which is not given"),
        ({"weights": Path("absent.caffemodel")}, "absent"),
    ],
)
def test_what_cannot_be_trained(project, options, message):
    with pytest.raises(UserError, match=message):
        project.run("wrong", **options)
    assert not (project.root / "runs/wrong/wrong.caffemodel").exists()
