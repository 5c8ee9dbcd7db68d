"""From an LMDB to a store: rows joined by key, damage named, nothing half-written."""

import dataclasses
import json
import runpy
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from pydeepexpr.extraction import extract
from pydeepexpr.features import FeatureStore, verify


@pytest.fixture
def data(tiny, tmp_path):
    """A copy of the LMDB and its manifest that a test may damage."""
    shutil.copytree(tiny.root / "data", tmp_path / "data")
    return tmp_path / "data"


def test_every_image_has_its_features_and_its_row(tiny):
    store = tiny.store
    assert len(store) == 23
    fc6, prob = tiny.recogniser.features(tiny.faces)
    np.testing.assert_allclose(store.fc6, fc6, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(store.prob, prob, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(store.predicted, prob.argmax(axis=1))
    np.testing.assert_array_equal(store.fc7, tiny.recogniser.fc7)
    assert store.rows["key"].to_pylist() == tiny.keys
    assert store.rows["path"].to_pylist() == [f"faces/joy/{number}.png" for number in range(23)]
    assert store.labels.tolist() == [number % 7 for number in range(23)]
    assert not {"landmarks", "geometry"} & set(store.rows.column_names)
    assert store.model == tiny.recogniser.identity


def test_geometry_of_a_stand_in_is_unknown(tiny):
    np.testing.assert_allclose(tiny.store.geometry, tiny.geometry)
    assert np.isnan(tiny.store.geometry[4]).all()


@pytest.mark.parametrize("batch", [1, 23, 100])
def test_the_batch_changes_nothing(tiny, tmp_path, batch):
    store = extract(tiny.recogniser, tiny.lmdb, tmp_path / "store", batch=batch)
    np.testing.assert_allclose(store.fc6, tiny.store.fc6, rtol=1e-5, atol=1e-6)
    assert store.rows.equals(tiny.store.rows)


def test_an_lmdb_of_caffes_own_tools_has_no_manifest(tiny, data, tmp_path):
    (data / "manifest.parquet").unlink()
    store = extract(tiny.recogniser, data / "val_lmdb", tmp_path / "store")
    assert store.rows["source"].to_pylist()[:2] == ["joy/0.png", "joy/1.png"]
    assert store.labels.tolist() == [number % 7 for number in range(23)]
    assert np.isnan(store.geometry).all()


def _edit_manifest(edit):
    def damage(data):
        path = data / "manifest.parquet"
        pq.write_table(edit(pq.read_table(path)), path)

    return damage


def _put(key, value):
    def damage(data):
        with lmdb.open(str(data / "val_lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
            transaction.put(key, value)

    return damage


def _truncate_lmdb(data):
    file = data / "val_lmdb" / "data.mdb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _labels_off_by_one(table):
    column = pa.array([(label + 1) % 7 for label in table["expression"].to_pylist()], pa.int8())
    return table.set_column(table.column_names.index("expression"), "expression", column)


SMALL = pb.Datum(channels=3, height=2, width=2, data=bytes(12), label=5).SerializeToString()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: shutil.rmtree(data / "val_lmdb"), "no LMDB at"),
        (_truncate_lmdb, "truncated|damaged"),
        (lambda data: (data / "manifest.parquet").write_bytes(b"PAR1"), r"manifest\.parquet cannot be read"),
        (_edit_manifest(lambda table: table.drop_columns("key")), "lacks the columns key"),
        (_edit_manifest(lambda table: table.slice(0, 10)), "does not list 00000009_joy/9.png"),
        (_edit_manifest(lambda table: table.take(list(range(23, -1, -1)))), "does not list 00000000_joy/0.png"),
        (_edit_manifest(lambda table: table.filter(pc.equal(table["split"], "train"))), "does not list 00000000"),
        (_edit_manifest(_labels_off_by_one), "gives 00000000_joy/0.png label 1, the LMDB 0"),
        (_put(b"00000005_joy/5.png", b"\xff\xff\xff"), "no Datum"),
        (_put(b"00000005_joy/5.png", pb.Datum(encoded=True, data=b"no image").SerializeToString()), "decode"),
        (_put(b"00000005_joy/5.png", SMALL), "joy/5.png is 2×2, smaller than the crop of 227"),
    ],
)
def test_damage_is_named_and_leaves_nothing(tiny, data, tmp_path, damage, message):
    damage(data)
    with pytest.raises(UserError, match=message) as caught:
        extract(tiny.recogniser, data / "val_lmdb", tmp_path / "store")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_an_empty_batch(tiny, tmp_path):
    with pytest.raises(UserError, match="at least one image"):
        extract(tiny.recogniser, tiny.lmdb, tmp_path / "store", batch=0)


def test_the_store_says_where_its_images_are(tiny):
    meta = json.loads((tiny.store.path / "meta.json").read_text())
    assert (tiny.store.path / meta["parts"][0]["lmdb"]).resolve() == tiny.lmdb.resolve()


@pytest.fixture
def other(tiny):
    """The tiny model as if it were another."""
    return SimpleNamespace(
        **{name: getattr(tiny.recogniser, name) for name in ("fc7", "transform", "features")},
        identity=dataclasses.replace(tiny.recogniser.identity, name="other.caffemodel", sha256="e" * 64),
    )


def test_more_images_and_more_models_are_appended(tiny, data, tmp_path, other):
    """A new store where there is none, then another LMDB by the same model, then the first by another one."""
    store = tmp_path / "store"
    assert len(extract(tiny.recogniser, tiny.lmdb, store, append=True)) == 23
    assert len(extract(tiny.recogniser, data / "val_lmdb", store, append=True)) == 46
    appended = extract(other, tiny.lmdb, store, append=True)
    assert [model.name for model in appended.models] == ["tiny.caffemodel", "other.caffemodel"]
    assert appended.rows["key"].to_pylist() == tiny.keys * 3
    for start in (0, 23, 46):
        np.testing.assert_allclose(appended.fc6[start : start + 23], tiny.store.fc6, rtol=1e-5, atol=1e-6)
    assert [(store / part["lmdb"]).resolve() for part in appended.meta["parts"]] == [
        tiny.lmdb.resolve(),
        (data / "val_lmdb").resolve(),
        tiny.lmdb.resolve(),
    ]


def test_the_tool_appends(tiny, data, tmp_path, monkeypatch, capsys):
    tool = Path(__file__).parents[1] / "tools" / "extract_features.py"
    for images, options, count in ((tiny.lmdb, (), 23), (data / "val_lmdb", ("--append",), 46), (tiny.lmdb, (), 23)):
        command = ["extract_features.py", tiny.weights, images, tmp_path / "store", "--device", "cpu", *options]
        monkeypatch.setattr(sys, "argv", [*map(str, command)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(tool), run_name="__main__")
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"{tmp_path / 'store'}: {count} images, FC6 of 16\n"


def test_the_same_images_by_the_same_model_are_not_appended_twice(tiny, tmp_path):
    store = tmp_path / "store"
    extract(tiny.recogniser, tiny.lmdb, store)
    with pytest.raises(
        UserError, match=r"holds the features of .*val_lmdb by tiny.* already \(part 1\).*leave --append"
    ):
        extract(tiny.recogniser, tiny.lmdb, store, append=True)
    assert len(extract(tiny.recogniser, tiny.lmdb, store)) == 23


def test_an_append_that_fails_leaves_the_store_as_it_was(tiny, data, tmp_path):
    store = extract(tiny.recogniser, tiny.lmdb, tmp_path / "store")
    _put(b"00000022_joy/22.png", SMALL)(data)
    with pytest.raises(UserError, match="smaller than the crop"):
        extract(tiny.recogniser, data / "val_lmdb", store.path, append=True, batch=4)
    assert len(FeatureStore.open(store.path)) == 23 and verify(store.path) == []
