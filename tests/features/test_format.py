"""Every damage that opening can see is named, in one line."""

import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore
from pydeepexpr.features.format import meta_text, parse_meta, read_meta
from tests.features.samples import HUMAN, MERY, make_store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", (MERY, range(4)), (HUMAN, range(4, 9))).path


def _truncate(name, by=4):
    def damage(store):
        data = (store / name).read_bytes()
        (store / name).write_bytes(data[: len(data) - by])

    return damage


def _remove(name):
    return lambda store: (store / name).unlink()


def _meta(edit):
    def damage(store):
        meta = json.loads((store / "meta.json").read_text())
        edit(meta)
        (store / "meta.json").write_text(json.dumps(meta))

    return damage


def _set(*keys_and_value):
    *keys, last, value = keys_and_value

    def edit(meta):
        for key in keys:
            meta = meta[key]
        meta[last] = value

    return _meta(edit)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove("meta.json"), "no meta.json"),
        (_remove("fc6.f32"), r"fc6.f32 is truncated: 72 of 72 bytes are missing"),
        (_truncate("fc6.f32"), r"fc6.f32 is truncated: 4 of 72 bytes are missing"),
        (_truncate("fc6.f32", 1), r"fc6.f32 is truncated: 1 of 72 bytes are missing"),
        (_truncate("prob.f32"), "prob.f32 is truncated: 4 of 252"),
        (_truncate("geometry.f32"), "geometry.f32 is truncated: 4 of 324"),
        (_remove("fc7.f32"), "fc7.f32 is truncated: 112 of 112"),
        (_truncate("fc7.f32"), "fc7.f32 is truncated: 4 of 112"),
        (_remove("rows-00001.parquet"), "rows-00001.parquet is truncated"),
        (_truncate("rows-00000.parquet", 1), "rows-00000.parquet is truncated: 1 of"),
        (_set("rows", 10), "incomplete"),
        (_set("rows", -1), "incomplete"),
        (_set("rows", "9"), "incomplete"),
        (_set("rows", True), "incomplete"),
        (_set("dims", [7, 2]), "incomplete"),
        (_set("dims", {"fc6": 3, "prob": 7, "geometry": 9}), "fc6.f32 is truncated: 36 of 108"),
        (_set("dims", {"fc6": 3}), "incomplete"),
        (_set("layer", None), "incomplete"),
        (_set("transform", None), "incomplete"),
        (_set("models", []), "incomplete"),
        (_set("models", 0, {"name": "x"}), "incomplete"),
        (_set("models", 0, "ancestry", "abc"), "incomplete"),
        (_set("models", 0, "sha256", 7), "incomplete"),
        (_set("parts", []), "incomplete"),
        (_set("parts", 0, "rows", 5), "incomplete"),
        (_set("parts", 0, "model", 2), "incomplete"),
        (_set("parts", 0, "model", -1), "incomplete"),
        (_set("parts", 0, "model", True), "incomplete"),
        (_set("parts", 0, "table", "../rows-00000.parquet"), "incomplete"),
        (_set("parts", 0, "bytes", 1.5), "incomplete"),
        (_set("parts", 0, "bytes", 1 << 30), "rows-00000.parquet is truncated"),
        (_set("parts", 0, "sha256", {}), "incomplete"),
        (_set("parts", 0, "lmdb", 7), "incomplete"),
        (_set("parts", 0, "provenance", None), "incomplete"),
        (_set("parts", None), "incomplete"),
        (_set("version", 1), "version 1, not 2; extract it again"),
        (_set("version", 99), "version 99"),
        (lambda store: (store / "meta.json").write_text("{"), "incomplete"),
        (lambda store: (store / "meta.json").write_text("[]"), "incomplete"),
        (lambda store: (store / "meta.json").write_text("[" * 100000), "incomplete"),
        (lambda store: (store / "meta.json").write_text('{"version": ' + "9" * 10000), "incomplete"),
        (lambda store: (store / "meta.json").write_bytes(b"\xff\xfe"), "incomplete"),
        (lambda store: (_remove("meta.json")(store), (store / "meta.json").mkdir()), "cannot read .*meta.json"),
        (shutil.rmtree, "no feature store"),
        (lambda store: (shutil.rmtree(store), store.write_text("")), "no feature store"),
    ],
)
def test_damage_is_named(store, damage, message):
    damage(store)
    with pytest.raises(UserError, match=message) as caught:
        FeatureStore.open(store)
    assert "\n" not in str(caught.value)


def test_bytes_beyond_what_counts_are_ignored(store):
    for name in ("fc6.f32", "prob.f32", "geometry.f32", "fc7.f32"):
        with (store / name).open("ab") as file:
            file.write(b"left by a writer that was killed")
    (store / "rows-00002.parquet").write_bytes(b"half a table")
    opened = FeatureStore.open(store)
    assert opened.fc6.shape == (9, 2) and opened.rows.num_rows == 9 and opened.models == (MERY, HUMAN)


def test_a_table_that_was_changed_is_not_read(store):
    opened = FeatureStore.open(store)
    content = bytearray((store / "rows-00001.parquet").read_bytes())
    content[40] ^= 1
    (store / "rows-00001.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"rows-00001.parquet has changed since it was written"):
        _ = opened.rows


def test_meta_is_written_as_it_is_read(store):
    assert meta_text(read_meta(store)) == (store / "meta.json").read_bytes()


@given(data=st.data())
def test_any_flipped_bit_of_meta_is_an_error_or_seen(tmp_path_factory, data):
    content = meta_text(read_meta(_shared(tmp_path_factory)))
    place = data.draw(st.integers(0, len(content) * 8 - 1))
    flipped = bytearray(content)
    flipped[place // 8] ^= 1 << place % 8
    try:
        meta = parse_meta(tmp_path_factory.getbasetemp(), bytes(flipped))
    except UserError:
        return
    assert meta_text(meta) != bytes(flipped)


def _shared(tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "format_store"
    return path if path.exists() else make_store(path, (MERY, range(4)), (HUMAN, range(4, 9))).path
