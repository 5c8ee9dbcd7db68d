"""The papers' crops in LMDBs, and that the engine shows the same."""

import cv2
import numpy as np
import pyarrow.parquet as pq

from lmdb_builders.build import build_lmdb
from pydeepexpr.caffe.datum import read_mean
from tests.lmdb_builders.building.made_builds import pixels_of, read


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
