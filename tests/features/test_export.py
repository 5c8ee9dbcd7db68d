"""What other programs read is what the store holds."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, append_store, export
from tests.features.samples import HUMAN, MERY, TRANSFORM, fc7_of, images, make_store


@pytest.fixture
def store(tmp_path):
    """Two models; the second's part lacks a column and has one more."""
    make_store(tmp_path / "store", (HUMAN, range(5)))
    with append_store(tmp_path / "store", MERY, fc7_of(MERY)) as writer:
        fc6, prob, geometry, table = images(range(5, 9), without=("character",))
        writer.append(fc6, prob, geometry, table.append_column("frame", pa.array([1, 2, 3, 4], pa.int32())))
    return FeatureStore.open(tmp_path / "store")


def test_a_table_of_everything(store, tmp_path):
    export(store, tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    for name in ("fc6", "prob", "geometry"):
        np.testing.assert_array_equal(np.array(table[name].to_pylist(), np.float32), getattr(store, name))
        assert table.schema.field(name).type.list_size == store.meta["dims"][name]
    assert table.select(store.rows.column_names).equals(store.rows)
    assert table["model"].to_pylist() == ["human.caffemodel"] * 5 + ["mery.caffemodel"] * 4
    assert table["model_sha256"].to_pylist() == ["a" * 64] * 5 + ["b" * 64] * 4
    lineage = json.loads(table.schema.metadata[b"pydeepexpr"])
    assert lineage["models"] == [HUMAN.record(), MERY.record()] and lineage["transform"] == TRANSFORM
    assert lineage["layer"] == "fc6" and len(lineage["provenance"]) == 2


def test_a_table_of_chosen_rows(store, tmp_path):
    export(store.where(model="mery", expression=["surprise", "unlabelled"]), tmp_path / "chosen.parquet")
    table = pq.read_table(tmp_path / "chosen.parquet")
    assert table["path"].to_pylist() == ["7.png", "8.png"]  # 0.png is unlabelled, but of the other model
    assert table["fc6"].to_pylist() == [[7, 3.5], [8, 4]] and table["frame"].to_pylist() == [3, 4]
    assert len(json.loads(table.schema.metadata[b"pydeepexpr"])["models"]) == 1


def test_a_large_table_is_written_in_row_groups(tmp_path):
    store = make_store(tmp_path / "s", (HUMAN, range(9000)))
    export(store, tmp_path / "t.parquet")
    file = pq.ParquetFile(tmp_path / "t.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(3)] == [4096, 4096, 808]
    np.testing.assert_array_equal(np.array(file.read()["fc6"].to_pylist(), np.float32), store.fc6)


def test_fc6_as_an_array(store, tmp_path):
    export(store, tmp_path / "fc6.npy")
    array = np.load(tmp_path / "fc6.npy", allow_pickle=False)
    np.testing.assert_array_equal(array, store.fc6)
    assert array.dtype == np.float32 and array.flags.c_contiguous
    export(store.where(split="train"), tmp_path / "fc6.npy")
    assert np.load(tmp_path / "fc6.npy")[:, 0].tolist() == [0, 1, 2, 3]


def test_all_arrays_in_a_folder(store, tmp_path):
    for chosen in (store, store.where(model="mery")):  # the second takes the place of the first
        export(chosen, tmp_path / "arrays")
        for name in ("fc6", "prob", "geometry", "fc7"):
            np.testing.assert_array_equal(np.load(tmp_path / "arrays" / f"{name}.npy"), getattr(chosen, name))
        rows = pq.read_table(tmp_path / "arrays" / "rows.parquet")
        assert rows["path"].to_pylist() == chosen.rows["path"].to_pylist()
        assert not {"fc6", "prob", "geometry"} & set(rows.column_names)
    assert len(list((tmp_path / "arrays").iterdir())) == 5


def test_what_cannot_be_written(store, tmp_path):
    with pytest.raises(UserError, match=r"cannot export to .*all\.csv: end it with \.parquet or \.npy"):
        export(store, tmp_path / "all.csv")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    for path in (tmp_path / "thesis", store.path):
        with pytest.raises(UserError, match="exists and is no earlier export"):
            export(store, path)
    assert len(FeatureStore.open(store.path)) == 9


def test_a_damaged_table_leaves_no_export(store, tmp_path):
    content = bytearray((store.path / "rows-00001.parquet").read_bytes())
    content[40] ^= 1
    (store.path / "rows-00001.parquet").write_bytes(content)
    for out in ("all.parquet", "arrays"):
        with pytest.raises(UserError, match="has changed since it was written"):
            export(store, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
