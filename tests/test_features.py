"""The feature store: what is written is read, memory is mapped, and every damage is named."""

import json
import shutil
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, write_store
from pydeepexpr.lineage import ModelIdentity

TRANSFORM = {"scale": 0.015625, "mean_value": [104.0, 117.0, 123.0], "crop_size": 227}
HUMAN = ModelIdentity("human.caffemodel", "a" * 64, (), TRANSFORM)
MERY = ModelIdentity("mery.caffemodel", "b" * 64, ("c" * 64, "a" * 64), TRANSFORM)
FC7 = np.arange(14, dtype=np.float32).reshape(7, 2)


def rows(numbers) -> pa.Table:
    names = [f"{number}.png" for number in numbers]
    labels = pa.array([number % 8 - 1 for number in numbers], pa.int8())
    return pa.table({"path": names, "source": names, "expression": labels, "key": names})


def parts(numbers):
    numbers = np.asarray(numbers)
    prob = np.eye(7)[numbers % 7]
    geometry = np.where(numbers[:, None] % 2, np.nan, np.ones((1, 9)))
    return np.column_stack([numbers, numbers * 0.5]), prob, geometry, rows(numbers)


@pytest.fixture
def store(tmp_path):
    with write_store(tmp_path / "store", MERY, FC7, lmdb="../val_lmdb") as writer:
        writer.append(*parts(range(4)))
        writer.append(*parts(range(4, 9)))
    return tmp_path / "store"


def test_what_is_written_is_read(store):
    opened = FeatureStore.open(store)
    assert len(opened) == 9
    assert opened.meta["layer"] == "fc6" and opened.meta["lmdb"] == "../val_lmdb"
    assert opened.meta["dims"] == {"fc6": 2, "prob": 7, "geometry": 9}
    np.testing.assert_array_equal(opened.fc6, parts(range(9))[0].astype(np.float32))
    np.testing.assert_array_equal(opened.prob, parts(range(9))[1])
    np.testing.assert_array_equal(opened.geometry, parts(range(9))[2])
    np.testing.assert_array_equal(opened.fc7, FC7)
    assert opened.predicted.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert opened.labels.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, -1]
    assert opened.rows["path"].to_pylist()[8] == "8.png"
    assert opened.model == MERY


def test_arrays_are_read_only_memory_maps(store):
    opened = FeatureStore.open(store)
    assert all(isinstance(array, np.memmap) for array in (opened.fc6, opened.prob, opened.geometry))
    with pytest.raises(ValueError):
        opened.fc6[0] = 1


def test_bytes_and_rows_beyond_the_count_are_ignored(store):
    meta = json.loads((store / "meta.json").read_text())
    (store / "meta.json").write_text(json.dumps({**meta, "rows": 5}))
    opened = FeatureStore.open(store)
    assert opened.fc6.shape == (5, 2) and len(opened.predicted) == 5 and opened.rows.num_rows == 5


def test_row_groups_are_written_as_they_fill(tmp_path):
    with write_store(tmp_path / "s", HUMAN, FC7) as writer:
        for start in range(0, 10000, 1000):
            writer.append(*parts(range(start, start + 1000)))
    assert pq.ParquetFile(tmp_path / "s" / "rows.parquet").num_row_groups == 2
    assert FeatureStore.open(tmp_path / "s").rows["path"][9999].as_py() == "9999.png"


def test_opening_takes_milliseconds(tmp_path):
    with write_store(tmp_path / "s", HUMAN, FC7) as writer:
        for start in range(0, 50000, 5000):
            writer.append(*parts(range(start, start + 5000)))
    FeatureStore.open(tmp_path / "s")
    started = time.perf_counter()
    FeatureStore.open(tmp_path / "s")
    assert time.perf_counter() - started < 0.05


def test_an_interrupted_store_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_store(tmp_path / "s", HUMAN, FC7) as writer:
        writer.append(*parts(range(4)))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_store_leaves_the_old_one(store):
    with pytest.raises(UserError, match="no image"), write_store(store, HUMAN, FC7):
        pass
    assert FeatureStore.open(store).model == MERY
    assert list(store.parent.iterdir()) == [store]


def test_an_old_store_is_replaced(store):
    with write_store(store, HUMAN, FC7) as writer:
        writer.append(*parts(range(3)))
    assert FeatureStore.open(store).model == HUMAN


def test_another_folder_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is no feature store; choose another name"), write_store(tmp_path, HUMAN, FC7):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_what_cannot_be_appended(tmp_path):
    fc6, prob, geometry, table = parts(range(3))
    with pytest.raises(UserError, match="no image"), write_store(tmp_path / "s", HUMAN, FC7) as writer:
        for wrong in [(fc6[:2], prob, geometry), (fc6, prob[:, :6], geometry), (fc6, prob, geometry[:, :8])]:
            with pytest.raises(UserError, match="cannot append shape"):
                writer.append(*wrong, table)
        with pytest.raises(UserError, match="diverged"):
            writer.append(np.full_like(fc6, np.nan), prob, geometry, table)
    with (
        pytest.raises(UserError, match="need the columns expression"),
        write_store(tmp_path / "s", HUMAN, FC7) as writer,
    ):
        writer.append(fc6, prob, geometry, table.drop_columns("expression"))
    assert list(tmp_path.iterdir()) == []


def _truncate(name):
    def damage(store):
        data = (store / name).read_bytes()
        (store / name).write_bytes(data[: len(data) - 4])

    return damage


def _remove(name):
    return lambda store: (store / name).unlink()


def _meta(**changes):
    def damage(store):
        meta = json.loads((store / "meta.json").read_text())
        (store / "meta.json").write_text(json.dumps({**meta, **changes}))

    return damage


def _pickled_fc7(store):
    np.save(store / "fc7.npy", np.array([[object()]]), allow_pickle=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("meta.json"), "no meta.json"),
        (_remove("fc6.f32"), r"fc6.f32 is truncated: 0 bytes where 9 rows need 72"),
        (_truncate("fc6.f32"), r"fc6.f32 is truncated: 68 bytes where 9 rows need 72"),
        (_truncate("prob.f32"), "prob.f32 is truncated"),
        (_truncate("geometry.f32"), "geometry.f32 is truncated"),
        (_remove("fc7.npy"), "fc7.npy is missing or cannot be read"),
        (_truncate("fc7.npy"), "fc7.npy is missing or cannot be read"),
        (_pickled_fc7, "fc7.npy is missing or cannot be read"),
        (_remove("rows.parquet"), "rows.parquet is missing or truncated"),
        (_truncate("rows.parquet"), "rows.parquet is missing or truncated"),
        (lambda store: pq.write_table(rows(range(9)), store / "rows.parquet"), "lacks the columns predicted"),
        (_meta(rows=10), "truncated|holds 9 rows"),
        (_meta(rows=-1), "incomplete"),
        (_meta(rows="9"), "incomplete"),
        (_meta(rows=True), "incomplete"),
        (_meta(dims=[7, 2]), "incomplete"),
        (_meta(dims={"fc6": 3, "prob": 7, "geometry": 9}), "meta.json says"),
        (_meta(model={"name": "x"}), "incomplete"),
        (_meta(transform=None), "incomplete"),
        (_meta(version=99), "version 99"),
        (lambda store: (store / "meta.json").write_text("{"), "incomplete"),
        (lambda store: (store / "meta.json").write_bytes(b"\xff\xfe"), "incomplete"),
        (shutil.rmtree, "no feature store"),
    ],
)
def test_damage_is_named(store, damage, message):
    damage(store)
    with pytest.raises(UserError, match=message) as caught:
        FeatureStore.open(store)
    assert "\n" not in str(caught.value)
