"""Registered folders in, LMDBs out, read back with the lmdb module and Caffe's own messages."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
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
from tests.lmdb_builders.building.made_builds import pixels_of, read, register

TOOL = Path(__file__).parents[3] / "tools" / "build_lmdb.py"


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
