"""Writing and appending: a store holds all of what was appended or nothing of it, whatever happens meanwhile."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, append_store, verify, write_store
from tests.features.samples import HUMAN, MERY, RAY, TRANSFORM, assert_same, fc7_of, images, make_store, rows


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", (MERY, range(9))).path


batches = st.lists(st.integers(1, 5), min_size=1, max_size=3)
appended = st.lists(st.tuples(st.sampled_from([HUMAN, MERY, RAY]), batches), min_size=1, max_size=5)


@settings(max_examples=15, deadline=None)
@given(parts=appended)
def test_any_sequence_of_appends_holds_what_was_appended(tmp_path_factory, parts):
    path, first = tmp_path_factory.mktemp("appends") / "store", 0
    for model, sizes in parts:
        with (append_store if path.exists() else write_store)(path, model, fc7_of(model)) as writer:
            for size in sizes:
                writer.append(*images(range(first, first + size)))
                first += size
    opened = FeatureStore.open(path)
    fc6, prob, geometry, table = images(range(first))
    np.testing.assert_array_equal(opened.fc6, fc6)
    np.testing.assert_array_equal(opened.prob, prob)
    np.testing.assert_array_equal(opened.geometry, geometry)
    assert opened.rows.drop_columns("predicted").combine_chunks().equals(table)
    models = [model for model, sizes in parts for _ in range(sum(sizes))]
    assert [opened.models[number] for number in opened.model_numbers] == models
    assert opened.models == tuple(sorted(opened.models, key=models.index))
    assert verify(path) == []


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(1, 8), min_size=2, max_size=5))
def test_appends_of_one_model_equal_one_write(tmp_path_factory, sizes):
    folder, ends = tmp_path_factory.mktemp("equal"), np.cumsum(sizes).tolist()
    stretches = [range(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    by_parts = make_store(folder / "parts", *((MERY, stretch) for stretch in stretches))
    at_once = make_store(folder / "once", (MERY, range(ends[-1])))
    assert_same(by_parts, at_once)
    assert_same(by_parts.where(character="mery"), at_once.where(character="mery"))


def test_row_groups_are_written_as_they_fill(tmp_path):
    with write_store(tmp_path / "s", HUMAN, fc7_of(HUMAN)) as writer:
        for start in range(0, 10000, 1000):
            writer.append(*images(range(start, start + 1000)))
    assert pq.ParquetFile(tmp_path / "s" / "rows-00000.parquet").num_row_groups == 2
    assert FeatureStore.open(tmp_path / "s").rows["path"][9999].as_py() == "9999.png"


def test_predictions_are_those_of_what_is_stored(tmp_path):
    """Two probabilities that differ in double precision alone are a tie, which the first class wins."""
    fc6, _, geometry, table = images(range(1))
    prob = np.array([[0.1, 0.4, 0.4 + 1e-12, 0.1, 0, 0, 0]])
    with write_store(tmp_path / "s", HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(fc6, prob, geometry, table)
    opened = FeatureStore.open(tmp_path / "s")
    assert opened.predicted.tolist() == opened.prob.argmax(axis=1).tolist() == [1]


def test_an_interrupted_store_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_store(tmp_path / "s", HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(*images(range(4)))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_store_leaves_the_old_one(store):
    with pytest.raises(UserError, match="no image"), write_store(store, HUMAN, fc7_of(HUMAN)):
        pass
    assert FeatureStore.open(store).model == MERY
    assert list(store.parent.iterdir()) == [store]


def test_an_old_store_is_replaced(store):
    make_store(store, (HUMAN, range(9, 12)))
    with write_store(store, HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(*images(range(3)))
    opened = FeatureStore.open(store)
    assert opened.model == HUMAN and len(opened) == 3
    assert sorted(path.name for path in store.iterdir()) == [
        "fc6.f32", "fc7.f32", "geometry.f32", "meta.json", "prob.f32", "rows-00000.parquet"
    ]  # fmt: skip


def test_another_folder_is_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(UserError, match="is no feature store; choose another name"),
        write_store(tmp_path, HUMAN, fc7_of(HUMAN)),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_cannot_be_appended(tmp_path):
    fc6, prob, geometry, table = images(range(3))
    fc7 = fc7_of(HUMAN)
    with pytest.raises(UserError, match="no image"), write_store(tmp_path / "s", HUMAN, fc7) as writer:
        for wrong in [(fc6[:2], prob, geometry), (fc6, prob[:, :6], geometry), (fc6, prob, geometry[:, :8])]:
            with pytest.raises(UserError, match="cannot append shape"):
                writer.append(*wrong, table)
        for wrong in [(np.full_like(fc6, np.nan), prob), (fc6, np.full_like(prob, np.inf)), (fc6 * 1e300, prob)]:
            with np.errstate(all="ignore"), pytest.raises(UserError, match="diverged"):
                writer.append(*wrong, geometry, table)
        with pytest.raises(UserError, match="need the columns expression"):
            writer.append(fc6, prob, geometry, table.drop_columns("expression"))
    assert list(tmp_path.iterdir()) == []


def replaced(model, **changes):
    return type(model)(**{**vars(model), **changes})


@pytest.mark.parametrize(
    ("model", "fc7", "options", "message"),
    [
        (replaced(HUMAN, transform={**TRANSFORM, "scale": 1.0}), fc7_of(HUMAN), {}, "pixels prepared as .*1.0"),
        (HUMAN, np.zeros((7, 3)), {}, "holds fc6 of 2 numbers and 7 classes, human.* gives fc6 of 3 and 7"),
        (HUMAN, np.zeros((6, 2)), {}, "gives fc6 of 2 and 6; make a store of its own"),
        (HUMAN, fc7_of(HUMAN), {"layer": "pool5"}, "gives pool5 of 2 and 7"),
        (MERY, fc7_of(HUMAN), {}, r"FC7 weights of mery.caffemodel \(bbbbbbbb\) differ from those stored before"),
    ],
)
def test_models_that_do_not_fit_are_refused_and_nothing_changes(store, model, fc7, options, message):
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    with pytest.raises(UserError, match=message) as caught, append_store(store, model, fc7, **options) as writer:
        writer.append(*images(range(3)))
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in store.iterdir() if path.name != "lock"} == before


def test_a_mean_file_under_another_name_fits(tmp_path):
    transform = {"crop_size": 227, "mean_file": "data/mean.binaryproto", "mean_sha256": "f" * 64}
    make_store(tmp_path / "s", (replaced(HUMAN, transform=transform), range(2)))
    elsewhere = replaced(RAY, transform={**transform, "mean_file": "elsewhere.binaryproto"})
    assert len(make_store(tmp_path / "s", (elsewhere, range(2, 5)))) == 5


def test_appending_needs_a_store(tmp_path):
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match="is no feature store"), append_store(path, HUMAN, fc7_of(HUMAN)):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_store_is_not_appended_to(store):
    os.truncate(store / "prob.f32", 50)
    with pytest.raises(UserError, match=r"prob.f32 is truncated"), append_store(store, HUMAN, fc7_of(HUMAN)):
        pass


@pytest.mark.parametrize("write", [append_store, write_store])
def test_one_writer_at_a_time(store, write):
    with append_store(store, HUMAN, fc7_of(HUMAN)) as writer:
        with pytest.raises(UserError, match=r"another process is writing to .*store"), write(store, RAY, fc7_of(RAY)):
            pass
        writer.append(*images(range(9, 12)))
    assert FeatureStore.open(store).models == (MERY, HUMAN)


class Crash(BaseException):
    """What no code catches."""


@pytest.mark.parametrize("model", [MERY, HUMAN], ids=["same model", "another model"])
def test_wherever_an_append_ends_the_store_is_as_before_or_complete(tmp_path, monkeypatch, model):
    """A crash at every call that has to do with the disk, in turn."""
    reached = 0
    for crash_at in range(1, 100):
        store, calls = make_store(tmp_path / f"{crash_at}", (MERY, range(9))), 0

        def failing(original, crash_at=crash_at):
            def call(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls == crash_at:
                    raise Crash
                return original(*arguments, **options)

            return call

        with monkeypatch.context() as patched, contextlib.suppress(Crash):
            for name in ("fsync", "replace"):
                patched.setattr(os, name, failing(getattr(os, name)))
            patched.setattr(pq.ParquetWriter, "write_table", failing(pq.ParquetWriter.write_table))
            with append_store(store.path, model, fc7_of(model)) as writer:
                writer.append(*images(range(9, 13)))
                writer.append(*images(range(13, 20)))
        opened = FeatureStore.open(store.path)
        assert len(opened) in (9, 20) and verify(store.path) == []
        assert (
            opened.fc6[:, 0].tolist() == [*range(len(opened))] == [int(p[:-4]) for p in opened.rows["path"].to_pylist()]
        )
        again = make_store(store.path, (RAY, range(len(opened), len(opened) + 3)))
        assert again.fc6[:, 0].tolist() == [*range(len(opened) + 3)] and verify(store.path) == []
        assert again.models == (*opened.models, RAY)
        if calls < crash_at:
            break
        reached += 1
    assert calls < crash_at and reached >= 7  # each file, the folder, the rename


WRITER = """
import sys
from pydeepexpr.features import append_store, FeatureStore
from tests.features.samples import HUMAN, MERY, fc7_of, images
path, turns = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for turn in range(turns):
    model, first = (HUMAN, MERY)[turn % 2], len(FeatureStore.open(path))
    with append_store(path, model, fc7_of(model)) as writer:
        for start in range(first, first + 60, 20):
            writer.append(*images(range(start, start + 20)))
"""


@pytest.fixture
def writing(store):
    """Start a process that appends 60 images at a time to the store."""
    make_store(store, (HUMAN, range(9, 60)))
    started = []

    def start(turns):
        command = [sys.executable, "-c", WRITER, str(store), str(turns)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]))
        assert started[-1].stdout.readline() == b"ready\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def check_whole(store):
    opened = FeatureStore.open(store)
    numbers = np.arange(len(opened))
    assert len(opened) % 60 == 0
    np.testing.assert_array_equal(opened.fc6[:, 0], numbers)
    np.testing.assert_array_equal(opened.predicted, numbers % 7)
    assert opened.rows["path"].to_pylist() == rows(numbers.tolist())["path"].to_pylist()
    return opened


def test_reading_while_another_process_appends(store, writing):
    process, seen, kept = writing(15), set(), check_whole(store)
    while process.poll() is None:
        seen.add(len(check_whole(store)))
        assert verify(store) == []
    assert process.returncode == 0 and len(check_whole(store)) == 60 * 16
    assert len(seen) > 2  # it was read while it grew
    assert len(kept) == 60 and kept.fc6[:, 0].tolist() == [*range(60)]


def test_a_writer_that_is_killed_costs_what_it_was_writing_and_nothing_else(store, writing):
    chance = random.Random(2016)
    for _ in range(4):
        process, before = writing(1000), len(FeatureStore.open(store))
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(check_whole(store)) >= before and verify(store) == []
    make_store(store, (RAY, range(len(check_whole(store)), len(check_whole(store)) + 60)))
    assert check_whole(store).models == (MERY, HUMAN, RAY) and verify(store) == []
