"""Registered folders in, LMDBs out, read back with the lmdb module and Caffe's own messages."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lmdb_builders.build
from lmdb_builders import datum_lmdb
from lmdb_builders.build import build_lmdb, counts_table
from pydeepexpr.caffe import database_writers
from pydeepexpr.caffe.datum import read_mean
from pydeepexpr.caffe.proto import caffe_pb2
from pydeepexpr.errors import UserError
from pydeepexpr.files import sha256_of

TOOL = Path(__file__).parents[2] / "tools" / "build_lmdb.py"
LABELS = [0, 1, 2, 3, 4, 5, 6] * 4
OWN = ["train"] * 14 + ["val"] * 7 + ["test"] * 7


def register(folder, labels=LABELS, splits=None, subjects=None, **columns):
    """Make a registered folder of random faces; `columns` replaces or, with None, drops manifest columns."""
    rng = np.random.default_rng(len(labels))
    paths = [f"faces/{label}/image {index}.png" for index, label in enumerate(labels)]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / path), rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    empty = [""] * len(labels)
    manifest = {
        "path": paths,
        "source": [path.removeprefix("faces/") for path in paths],
        "database": ["folder"] * len(labels),
        "expression": pa.array(labels, pa.int8()),
        "subject": subjects or empty,
        "sequence": empty,
        "frame": pa.array([-1] * len(labels), pa.int32()),
        "split": splits or empty,
        "geometry": pa.array([[0.5] * 9] * len(labels), pa.list_(pa.float32())),
    }
    manifest.update(columns)
    pq.write_table(pa.table({k: v for k, v in manifest.items() if v is not None}), folder / "manifest.parquet")
    return folder


def read(path):
    """Return the records of an LMDB in its order: key, Datum."""
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


def pixels_of(datum):
    """Return a Datum's pixels, H × W × BGR."""
    if datum.encoded:
        return cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return register(tmp_path_factory.mktemp("data") / "registered", splits=OWN)


@pytest.mark.parametrize("encode", ["raw", "png", "jpg"])
def test_every_datum_is_its_image(faces, tmp_path, encode):
    out = tmp_path / "out"
    build_lmdb([faces], out, encode=encode)
    manifest = pq.read_table(out / "manifest.parquet").to_pylist()
    means = []
    for split, count in (("train", 14), ("val", 7), ("test", 7)):
        rows = [row for row in manifest if row["split"] == split]
        records = read(out / f"{split}_lmdb")
        assert [key for key, _ in records] == [row["key"] for row in rows]
        assert len(records) == count
        for index, ((key, datum), row) in enumerate(zip(records, rows, strict=True)):
            assert key == f"{index:08d}_{row['source']}"
            assert datum.label == row["expression"]
            assert (datum.channels, datum.height, datum.width) == (3, 256, 256)
            assert datum.encoded == (encode != "raw")
            difference = pixels_of(datum).astype(int) - cv2.imread(str(faces / row["path"]))
            if encode == "jpg":
                assert abs(difference.mean()) < 1  # noise is no photograph: JPEG keeps its mean, not its pixels
            else:
                assert not difference.any()
        if split == "train":
            means = np.mean([pixels_of(datum) for _, datum in records], axis=0)
    blob = caffe_pb2.BlobProto.FromString((out / "mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 256, 256)
    np.testing.assert_array_equal(np.float32(blob.data), means.transpose(2, 0, 1).astype(np.float32).ravel())
    np.testing.assert_array_equal(read_mean(out / "mean.binaryproto"), means.transpose(2, 0, 1).astype(np.float32))
    report = json.loads((out / "build.json").read_text())
    np.testing.assert_allclose(report["mean_value"], means.mean(axis=(0, 1)), atol=1e-4)


def test_train_is_shuffled_and_the_others_stand_in_the_manifests_order(faces, tmp_path):
    build_lmdb([faces], tmp_path / "out", encode="png")
    sources = pq.read_table(faces / "manifest.parquet")["source"].to_pylist()
    names = {split: [key[9:] for key, _ in read(tmp_path / f"out/{split}_lmdb")] for split in ("train", "val", "test")}
    assert names["val"] == sources[14:21]
    assert names["test"] == sources[21:]
    assert names["train"] != sources[:14]
    assert sorted(names["train"]) == sorted(sources[:14])


def test_build_json_counts_sources_and_options(faces, tmp_path):
    report = build_lmdb([faces], tmp_path / "out", seed=7)
    assert report == json.loads((tmp_path / "out/build.json").read_text())
    assert report["counts"]["train"] == dict.fromkeys(lmdb_builders.build.EXPRESSIONS, 2)
    assert report["counts"]["test"] == dict.fromkeys(lmdb_builders.build.EXPRESSIONS, 1)
    digest = sha256_of(faces / "manifest.parquet")
    assert report["sources"] == [{"folder": "registered", "rows": 28, "manifest_sha256": digest}]
    assert report["options"]["seed"] == 7
    assert report["provenance"]["versions"]
    table = counts_table(report).splitlines()
    assert table[0].split() == ["train", "val", "test"]
    assert table[4].split() == ["joy", "2", "1", "1"]
    assert table[-1].split() == ["all", "14", "7", "7"]


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_threads(faces, tmp_path):
    for name, options in {"a": {"workers": 1}, "b": {"workers": 4}, "c": {"seed": 1}}.items():
        build_lmdb([faces], tmp_path / name, split="stratified", val=0.25, **options)
    data = {name: (tmp_path / name / "train_lmdb/data.mdb").read_bytes() for name in "abc"}
    assert data["a"] == data["b"] != data["c"]
    assert sha256_of(tmp_path / "a/manifest.parquet") == sha256_of(tmp_path / "b/manifest.parquet")
    assert sha256_of(tmp_path / "a/mean.binaryproto") == sha256_of(tmp_path / "b/mean.binaryproto")


def test_a_drawn_split_is_stratified_and_divides_no_subject(tmp_path):
    subjects = [f"S{index // 7}" for index in range(28)]
    faces = register(tmp_path / "faces", subjects=subjects)
    build_lmdb([faces], tmp_path / "out", val=0.25, test=0.25)
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {subject: {row["split"] for row in rows if row["subject"] == subject} for subject in subjects}
    assert sorted(side for (side,) in sides.values()) == ["test", "train", "train", "val"]


def test_own_split_is_left_aside_on_request(faces, tmp_path):
    report = build_lmdb([faces], tmp_path / "out", split="stratified", val=0.25, test=0)
    assert {split: sum(counts.values()) for split, counts in report["counts"].items()} == {
        "train": 21,
        "val": 7,
        "test": 0,
    }
    assert not (tmp_path / "out/test_lmdb").exists()


@pytest.mark.parametrize(("balance", "counts"), [("undersample", [2, 0, 0, 2]), ("oversample", [5, 0, 0, 5])])
def test_balance_touches_the_training_split_only(tmp_path, balance, counts):
    splits = ["train"] * 7 + ["val"] * 3
    faces = register(tmp_path / "faces", [0, 0, 0, 0, 0, 3, 3, 0, 0, 3], splits=splits)
    report = build_lmdb([faces], tmp_path / "out", balance=balance, encode="png")
    assert list(report["counts"]["train"].values())[:4] == counts
    assert list(report["counts"]["val"].values())[:4] == [2, 0, 0, 1]
    records = read(tmp_path / "out/train_lmdb")
    assert np.bincount([datum.label for _, datum in records], minlength=4).tolist() == counts
    assert pq.read_table(tmp_path / "out/manifest.parquet").num_rows == len(records) + 3


def cast(folder, frames=12, **columns):
    """A registered folder of two characters with two sequences each."""
    names = [f"{who}_{what}" for who in ("mery", "ray") for what in ("joy", "fear") for _ in range(frames)]
    labels = [{"joy": 3, "fear": 2}[name.split("_")[1]] for name in names]
    columns = {"sequence": names, "character": [name.split("_")[0] for name in names], **columns}
    return register(folder, labels, **{"frame": pa.array([*range(1, frames + 1)] * 4, pa.int32()), **columns})


def test_frames_are_split_into_blocks_and_those_in_gaps_left_out(tmp_path, capsys):
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="blocks", val=0.25, test=0.25, gap=2)
    # Of 12 frames two gaps take 4; 4, 2, 2 of the others train, validate and test: four sequences of them.
    sums = {split: sum(counts.values()) for split, counts in report["counts"].items()}
    assert sums == {"train": 16, "val": 8, "test": 8} and report["in_gaps"] == 16
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {split: {(r["sequence"], r["frame"]) for r in rows if r["split"] == split} for split in ("train", "test")}
    assert min(abs(a - b) for name, a in sides["train"] for other, b in sides["test"] if name == other) == 3


def test_one_character_may_be_chosen_and_is_split_as_in_company(tmp_path):
    faces, options = cast(tmp_path / "cast"), {"split": "blocks", "val": 0.25, "test": 0.25, "gap": 2}
    build_lmdb([faces], tmp_path / "all", **options)
    report = build_lmdb([faces], tmp_path / "ray", characters=["ray"], **options)
    assert report["options"]["characters"] == ["ray"]

    def parts(folder):
        rows = pq.read_table(tmp_path / folder / "manifest.parquet").to_pylist()
        return {(row["source"], row["split"]) for row in rows if row["character"] == "ray"}, len(rows)

    assert parts("ray") == (parts("all")[0], 16)


def test_a_random_split_divides_sequences(tmp_path):
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="random", val=0.25, test=0.25)
    assert report["counts"]["train"]["joy"] == 12 and report["in_gaps"] == 0
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert {row["split"] for row in rows if row["sequence"] == "mery_joy"} == {"train", "val", "test"}


def test_a_stratified_split_keeps_sequences_whole(tmp_path):
    build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="stratified", val=0.25, test=0.25)
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {(row["sequence"], row["split"]) for row in rows}
    assert len(sides) == 4


def test_rendered_frames_keep_their_own_split(tmp_path):
    splits = (["train"] * 6 + ["val"] * 3 + ["test"] * 3) * 4
    report = build_lmdb([cast(tmp_path / "cast", splits=splits)], tmp_path / "out")
    assert [sum(report["counts"][split].values()) for split in ("train", "val", "test")] == [24, 12, 12]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "use --split blocks"),
        ({"frame": None}, {"split": "blocks"}, "48 of 48 images have no sequence or frame number"),
        ({}, {"split": "blocks", "gap": 30}, "ferg/mery_fear has 12 images, too few for 3 blocks with gaps of 30"),
        ({}, {"split": "random", "characters": ["pip"]}, "no character 'pip' .* there are: mery, ray"),
    ],
)
def test_frames_that_cannot_be_split(tmp_path, columns, options, message):
    faces = cast(tmp_path / "cast", database=["ferg"] * 48, **columns)
    with pytest.raises(UserError, match=message):
        build_lmdb([faces], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_photographs_have_no_characters(faces, tmp_path):
    with pytest.raises(UserError, match="there are: none"):
        build_lmdb([faces], tmp_path / "out", characters=["pip"])


def test_several_folders_become_one_build(faces, tmp_path):
    other = register(tmp_path / "other", [3, 4], subjects=["x", "y"], geometry=None)
    report = build_lmdb([faces, other], tmp_path / "out", val=0, test=0, encode="png")
    assert sum(report["counts"]["train"].values()) == 16
    assert [source["folder"] for source in report["sources"]] == ["registered", "other"]
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert sum(row["geometry"] is None for row in rows) == 2


def test_listed_images_are_left_out_of_every_split(faces, tmp_path):
    names = pq.read_table(faces / "manifest.parquet")["source"].to_pylist()
    (tmp_path / "queries.txt").write_text(f"# of the evaluation\n{names[0]}\n{names[20]}\nabsent.jpg\n")
    (tmp_path / "more.txt").write_text(f"{names[20]}\n{names[27]}\n")
    report = build_lmdb([faces], tmp_path / "out", exclude=[tmp_path / "queries.txt", tmp_path / "more.txt"])
    assert report["excluded"] == {"queries.txt": 2, "more.txt": 2}
    left = pq.read_table(tmp_path / "out/manifest.parquet")["source"].to_pylist()
    assert sorted(left) == sorted(set(names) - {names[0], names[20], names[27]})


def test_a_list_that_excludes_nothing_is_an_error(faces, tmp_path):
    (tmp_path / "queries.txt").write_text("joy/another database.jpg\n")
    with pytest.raises(UserError, match=r"queries\.txt excludes nothing: no image has a name such as joy/another"):
        build_lmdb([faces], tmp_path / "out", exclude=[tmp_path / "queries.txt"])
    assert not (tmp_path / "out").exists()


def test_unlabelled_images_are_refused_or_left_out_and_counted(tmp_path):
    faces = register(tmp_path / "faces", [0, -1, 3, -1])
    with pytest.raises(UserError, match=r"2 of 4 images have no label; .* --unlabelled skip"):
        build_lmdb([faces], tmp_path / "out")
    report = build_lmdb([faces], tmp_path / "out", unlabelled="skip", val=0, test=0)
    assert report["skipped_unlabelled"] == 2
    assert sorted(datum.label for _, datum in read(tmp_path / "out/train_lmdb")) == [0, 3]


def test_the_map_grows_and_transactions_are_many(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(database_writers, "_FIRST_MAP", 1 << 16)
    monkeypatch.setattr(database_writers, "_BATCH", 3)
    build_lmdb([faces], tmp_path / "out", encode="raw")
    assert len(read(tmp_path / "out/train_lmdb")) == 14


def test_an_lmdb_is_its_data_file_alone(faces, tmp_path):
    build_lmdb([faces], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/train_lmdb").iterdir()] == ["data.mdb"]


def test_a_long_name_is_cut_to_lmdbs_limit():
    assert len(datum_lmdb.key_of(1, "-" + "ü" * 400).encode()) == 510
    assert datum_lmdb.key_of(1, "ü" * 400).startswith("00000001_ü")


def count_encoded(monkeypatch, stop_at=None):
    """Count the faces that are encoded, and break off at one of them."""
    calls, encode = [], lmdb_builders.build.encode_face

    def counted(path, *options):
        if len(calls) + 1 == stop_at:
            raise KeyboardInterrupt
        calls.append(path)
        return encode(path, *options)

    monkeypatch.setattr(lmdb_builders.build, "encode_face", counted)
    return calls


@pytest.mark.parametrize("crops", ["random", "mirrored"])
def test_an_interrupted_build_goes_on_where_it_stopped(faces, tmp_path, monkeypatch, crops):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    options = {"encode": "png", "workers": 1, "crops": crops}
    records = 28 if crops == "random" else 42
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists(), "nothing half-made can be taken for complete"
    with monkeypatch.context() as patch:
        calls = count_encoded(patch)
        build_lmdb([faces], tmp_path / "out", **options)
    assert records - 11 <= len(calls) <= records - 4, "at least the first transaction was there already"
    build_lmdb([faces], tmp_path / "whole", **options)
    for split in ("train", "val", "test"):
        assert read(tmp_path / f"out/{split}_lmdb") == read(tmp_path / f"whole/{split}_lmdb")
    for name in ("manifest.parquet", "mean.binaryproto"):
        assert sha256_of(tmp_path / "out" / name) == sha256_of(tmp_path / "whole" / name)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(
        p.name for p in (tmp_path / "whole").iterdir()
    )
    assert not list(tmp_path.glob(".*"))


def test_another_build_starts_afresh(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", workers=1)
    calls = count_encoded(monkeypatch)
    build_lmdb([faces], tmp_path / "out", workers=1, seed=1)
    assert len(calls) == 28


def test_a_damaged_half_of_a_build_is_made_again(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(database_writers, "_BATCH", 4)
    with monkeypatch.context() as patch:
        count_encoded(patch, stop_at=12)
        with pytest.raises(KeyboardInterrupt):
            build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    (tmp_path / ".out.partial/train_lmdb/data.mdb").write_bytes(b"cut short")
    build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    assert len(read(tmp_path / "out/train_lmdb")) == 14


KILLED = """
import sys
from lmdb_builders import build
from pydeepexpr.caffe import database_writers

database_writers._BATCH = 4
encode, count = build.encode_face, 0

def slowly(*given):
    global count
    count += 1
    if count == 12:
        print("now", flush=True)
        sys.stdin.readline()  # for ever
    return encode(*given)

build.encode_face = slowly
build.build_lmdb([sys.argv[1]], sys.argv[2], encode="png", workers=1)
"""


def test_a_killed_build_is_not_taken_for_complete_and_goes_on(faces, tmp_path, monkeypatch):
    command = [sys.executable, "-c", KILLED, str(faces), str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        with pytest.raises(UserError, match=r"another process is at work on .*out"):
            build_lmdb([faces], tmp_path / "out", encode="png")
        process.kill()  # SIGKILL: nothing can be tidied up
    assert not (tmp_path / "out").exists()
    calls = count_encoded(monkeypatch)
    build_lmdb([faces], tmp_path / "out", encode="png", workers=1)
    assert 17 <= len(calls) <= 24, "28 faces, of which one or two transactions of four were there already"
    build_lmdb([faces], tmp_path / "whole", encode="png", workers=1)
    for split in ("train", "val", "test"):
        assert read(tmp_path / f"out/{split}_lmdb") == read(tmp_path / f"whole/{split}_lmdb")
    assert sha256_of(tmp_path / "out/mean.binaryproto") == sha256_of(tmp_path / "whole/mean.binaryproto")
    assert not list(tmp_path.glob(".*"))


def ten_views(image):
    """The papers' crops, cut by hand: centre and corners of 227 in 256 (the centre begins at 14), and mirrored."""
    five = [image[y : y + 227, x : x + 227] for y, x in ((14, 14), (0, 0), (0, 29), (29, 0), (29, 29))]
    return [view for crop in five for view in (crop, crop[:, ::-1])]


def test_five_crops_and_their_mirrors_are_written_as_passes(faces, tmp_path):
    out = tmp_path / "out"
    report = build_lmdb([faces], out, crops="five", encode="png")
    assert report["crops"] == "five" and sum(report["counts"]["train"].values()) == 14
    rows = pq.read_table(out / "manifest.parquet").to_pylist()
    train = [row for row in rows if row["split"] == "train"]
    records = read(out / "train_lmdb")
    assert len(records) == len(train) == 140
    for start in range(0, 140, 14):
        assert [row["source"] for row in train[start : start + 14]] == [row["source"] for row in train[:14]]
    for row, (key, datum) in zip(train, records, strict=True):
        assert key == row["key"] and datum.label == row["expression"] and (datum.height, datum.width) == (227, 227)
        expected = ten_views(cv2.imread(str(faces / row["path"])))[row["crop"]]
        np.testing.assert_array_equal(pixels_of(datum), expected)
    assert {(row["source"], row["crop"]) for row in train} == {
        (s, c) for s in {r["source"] for r in train} for c in range(10)
    }
    held = [row for row in rows if row["split"] != "train"]
    assert len(held) == 14 and {row["crop"] for row in held} == {0}
    for row, (_, datum) in zip(held, read(out / "val_lmdb") + read(out / "test_lmdb"), strict=True):
        np.testing.assert_array_equal(pixels_of(datum), ten_views(cv2.imread(str(faces / row["path"])))[0])
    assert read_mean(out / "mean.binaryproto").shape == (3, 227, 227)


def test_the_engine_and_the_lmdb_give_the_same_crops(faces, tmp_path):
    """What `tools/train.py --crops five` shows of whole faces in ten passes is what an LMDB of five crops holds."""
    from pydeepexpr import caffe

    build_lmdb([faces], tmp_path / "whole", encode="png")
    build_lmdb([faces], tmp_path / "crops", encode="png", crops="five")
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN } '
        "transform_param { crop_size: 227 mirror: true } "
        f'data_param {{ source: "{tmp_path / "whole/train_lmdb"}" batch_size: 14 backend: LMDB }} }}'
    )
    caffe.set_crops("five")
    try:
        engine = caffe.Net(str(net), caffe.TRAIN)
        shown = []
        for _ in range(10):
            engine.forward()
            shown += [image.astype(np.uint8).tobytes() for image in engine.blobs["data"].data.transpose(0, 2, 3, 1)]
    finally:
        caffe.set_crops("random")
    written = [np.ascontiguousarray(pixels_of(datum)).tobytes() for _, datum in read(tmp_path / "crops/train_lmdb")]
    assert len(shown) == len(written) == 140
    assert sorted(shown) == sorted(written)


def test_folds_test_every_image_once_and_divide_no_person(tmp_path):
    faces = register(tmp_path / "faces", subjects=[f"S{index // 2:02d}" for index in range(28)])
    tested = []
    for fold in range(4):
        report = build_lmdb([faces], tmp_path / f"{fold}", split="folds", folds=4, fold=fold, val=0.2, test=0.9)
        assert report["why_persons_mix"] == ""
        rows = pq.read_table(tmp_path / f"{fold}/manifest.parquet").to_pylist()
        assert len(rows) == 28
        assert all((row["split"] == "test") == (row["fold"] == fold) for row in rows)
        sides = {(row["subject"], row["split"]) for row in rows}
        assert len(sides) == 14, "nobody on two sides"
        tested += [row["source"] for row in rows if row["split"] == "test"]
    assert sorted(tested) == sorted(pq.read_table(faces / "manifest.parquet")["source"].to_pylist())


def test_who_may_be_on_two_sides_is_said(faces, tmp_path):
    report = build_lmdb([faces], tmp_path / "out", split="folds", folds=4, fold=1)
    assert report["why_persons_mix"] == "folder does not say who is who (28 images)"
    named = register(tmp_path / "named", subjects=["a", "b"] * 14)
    report = build_lmdb([named], tmp_path / "torn", split="random")
    assert report["why_persons_mix"] == "2 of 2 persons stand in several parts"
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "frames", split="blocks", gap=0)
    assert report["why_persons_mix"] is None, "characters are no persons"


def test_an_earlier_build_survives_a_failed_replacement(faces, tmp_path, monkeypatch):
    out = tmp_path / "out"
    build_lmdb([faces], out)
    before = (out / "build.json").read_bytes()

    resource = pytest.importorskip("resource")  # POSIX only
    monkeypatch.setattr(database_writers.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))  # writes beyond 2 MiB fail, as on a full disk
    try:
        with pytest.raises(UserError, match=r"cannot write .*out: No space left on device"):
            build_lmdb([faces], out, encode="raw", force=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (out / "build.json").read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_a_finished_build_is_left_as_it_is(faces, tmp_path, monkeypatch):
    first = build_lmdb([faces], tmp_path / "out")
    calls = count_encoded(monkeypatch)
    assert build_lmdb([faces], tmp_path / "out") == first and not calls


def test_force_replaces_an_earlier_build(faces, tmp_path):
    out = tmp_path / "out"
    build_lmdb([faces], out)
    with pytest.raises(UserError, match=r"out exists already; .* --force"):
        build_lmdb([faces], out, seed=1)
    build_lmdb([faces], out, seed=1, force=True)
    assert json.loads((out / "build.json").read_text())["options"]["seed"] == 1
    assert list(tmp_path.iterdir()) == [out]


def test_force_replaces_nothing_but_a_build(faces, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter1").write_text("words")
    with pytest.raises(UserError, match="was not made by build_lmdb"):
        build_lmdb([faces], tmp_path / "thesis", force=True)
    for place in (faces, faces.parent):
        with pytest.raises(UserError, match="holds the registered faces"):
            build_lmdb([faces], place, force=True)
    assert (tmp_path / "thesis/chapter1").read_text() == "words"


def _write(folder, name, data):
    (folder / name).write_bytes(data)


SPOILS = {
    "no folder": (lambda f: f.rename(f.with_name("moved")), "there is no folder .*tools/register.py"),
    "no manifest": (lambda f: (f / "manifest.parquet").unlink(), "has no manifest.parquet"),
    "manifest is text": (lambda f: _write(f, "manifest.parquet", b"path,label\n"), "no readable Parquet file"),
    "manifest is empty": (lambda f: _write(f, "manifest.parquet", b""), "no readable Parquet file"),
    "column missing": (lambda f: register(f, split=None), "has no column 'split'"),
    "labels are words": (lambda f: register(f, expression=["joy"] * 28), "'expression' is not int8"),
    "label 7": (lambda f: register(f, [0, 7]), "expression 7 is neither 0-6 nor -1"),
    "odd split": (lambda f: register(f, splits=["training"] * 28), "split 'training' is none of train, val, test"),
    "path twice": (lambda f: register(f, path=["faces/0/image 0.png"] * 28), r"lists faces/0/image 0.png 28 times"),
    "image missing": (lambda f: (f / "faces/0/image 0.png").unlink(), r"1 of 28 registered images are missing, first"),
    "image is text": (lambda f: _write(f, "faces/0/image 0.png", b"hello"), "image 0.png is no readable image"),
    "image is empty": (lambda f: _write(f, "faces/0/image 0.png", b""), "image 0.png is no readable image"),
    "image is small": (
        lambda f: cv2.imwrite(str(f / "faces/3/image 3.png"), np.zeros((48, 64), np.uint8)),
        "image 3.png is 64×48, not 256×256",
    ),
    "no rows": (lambda f: register(f, []), "no image falls to the training split"),
    "all unlabelled": (lambda f: register(f, [-1, -1]), "2 of 2 images have no label"),
    "no training rows": (lambda f: register(f, [1, 2], splits=["val"] * 2), "no image falls to the training split"),
}


@pytest.mark.parametrize("case", SPOILS)
def test_a_spoilt_folder_is_named_and_nothing_is_written(tmp_path, case):
    spoil, message = SPOILS[case]
    faces = register(tmp_path / "data/faces")
    spoil(faces)
    with pytest.raises(UserError, match=message) as caught:
        build_lmdb([faces], tmp_path / "target/out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("target/*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0.6, "test": 0.5}, "must leave some to train"),
        ({"val": -0.1}, "must not be negative"),
        ({"val": float("nan")}, "must leave some to train"),
        ({"quality": 0}, "JPEG quality 0 is not between 1 and 100"),
        ({"quality": 101}, "JPEG quality 101"),
        ({"seed": -1}, "the seed -1 is negative"),
        ({"workers": -2}, "-2 threads cannot work"),
        ({"encode": "gif"}, "encode 'gif' is none of jpg, png, raw"),
        ({"split": "halves"}, "split 'halves' is none of own, stratified, blocks, random, folds"),
        ({"crops": "seven"}, "crops 'seven' is none of random, centre, mirrored, five"),
        ({"split": "folds", "folds": 1}, "1 folds are no cross-validation"),
        ({"split": "folds", "folds": 29}, "28 persons .* cannot be divided into 29 folds"),
        ({"split": "folds", "fold": 5}, "there is no fold 5; there are 5, counted from 0"),
        ({"split": "folds", "fold": -1}, "there is no fold -1"),
        ({"split": "folds", "val": 0.8}, "must leave some to train"),
        ({"balance": "smote"}, "balance 'smote' is none of"),
        ({"unlabelled": "guess"}, "unlabelled 'guess' is none of error, skip"),
    ],
)
def test_an_option_out_of_range_is_named(faces, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        build_lmdb([faces], tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_bad_places_are_named(faces, tmp_path):
    with pytest.raises(UserError, match="no registered folder was given"):
        build_lmdb([], tmp_path / "out")
    with pytest.raises(UserError, match="is given 2 times"):
        build_lmdb([faces, faces / "."], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file is no folder, so .*file/out cannot be made"):
        build_lmdb([faces], tmp_path / "file/out")
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"out was not made by build_lmdb"):
        build_lmdb([faces], tmp_path / "out")


def test_manifests_that_do_not_fit_together_are_named(faces, tmp_path):
    other = register(tmp_path / "other", [3, 4], geometry=["a", "b"])
    with pytest.raises(UserError, match="the manifests do not fit together"):
        build_lmdb([faces, other], tmp_path / "out")


def test_the_tool_prints_the_counts(faces, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(faces), "--encode", "png", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert caught.value.code == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["train", "val", "test"]
    assert printed[8].split() == ["all", "14", "7", "7"]
    assert printed[-1].startswith("mean (B, G, R): 127.")


def test_the_tool_ends_with_one_line_and_status_2(tmp_path):
    command = [sys.executable, str(TOOL), str(tmp_path / "nowhere"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: there is no folder") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
