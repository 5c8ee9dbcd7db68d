"""LMDBs of Datums, good and bad."""

import gc
import itertools
import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "caffe" / "data"
DATUMS = [pb.Datum(label=number, data=bytes([number]) * 5000) for number in range(7)]  # two pages each


@pytest.fixture
def path(make_lmdb):
    return make_lmdb(DATUMS)


def labels(pairs, count=None):
    return [datum.label for _, datum in itertools.islice(pairs, count)]


def cycled(cycle, count):
    return [pb.Datum.FromString(value).label for _, value in itertools.islice(cycle, count)]


def refused(path):
    with pytest.raises(UserError) as error:
        source = LmdbSource(path)
        labels(source.records())
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_records_come_in_the_order_of_their_keys(path):
    source = LmdbSource(path)
    assert len(source) == 7
    assert [(key, datum) for key, datum in source.records()] == [(b"%08d" % i, datum) for i, datum in enumerate(DATUMS)]
    assert labels(source.records(skip=5)) == [5, 6] and labels(source.records(skip=7)) == []


def test_the_file_itself_may_be_named(path):
    assert labels(LmdbSource(path / "data.mdb").records()) == list(range(7))


@pytest.mark.parametrize("skip", [0, 1, 6, 7, 8, 700])
def test_a_cycle_begins_again_after_the_last(path, skip):
    assert cycled(LmdbSource(path).cycle(skip), 20) == [(skip + i) % 7 for i in range(20)]


@given(st.integers(0, 40), st.integers(1, 20))
def test_a_cycle_of_every_so_many_records(skip, step):
    source = LmdbSource(GOLDEN / "raw_lmdb")  # 13 records
    keys = [key for key, _ in source.items()]
    wanted = [keys[(skip + i * step) % 13] for i in range(30)]
    assert [key for key, _ in itertools.islice(source.cycle(skip, step), 30)] == wanted


def test_two_readers_of_one_lmdb_do_not_disturb_each_other(path):
    one, other = LmdbSource(path), LmdbSource(path / "data.mdb")
    first, second = one.cycle(), other.cycle(3)
    assert [cycled(each, 1) for each in (first, second, first)] == [[0], [3], [1]]
    del one, first
    gc.collect()
    assert cycled(second, 3) == [4, 5, 6]


def test_an_lmdb_is_let_go_with_its_last_reader(path):
    files = len(list(Path("/proc/self/fd").iterdir()))
    source = LmdbSource(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == files + 1
    del source
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_what_is_read_is_what_was_there_at_first(path):
    source = LmdbSource(path)
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        transaction.put(b"z", pb.Datum(label=7).SerializeToString())
    assert len(LmdbSource(path)) == 8 and labels(source.records()) == [0, 1, 2, 3, 4, 5, 6]


def test_reading_leaves_no_file_behind(path):
    (path / "lock.mdb").unlink()
    labels(LmdbSource(path).records())
    assert [entry.name for entry in path.iterdir()] == ["data.mdb"]


def test_absent_databases(tmp_path):
    assert "no LMDB at" in refused(tmp_path / "none") and "correct `source`" in refused(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    assert "no LMDB at" in refused(tmp_path / "folder")
    (tmp_path / "folder" / "data.mdb").mkdir()
    assert "cannot read the LMDB" in refused(tmp_path / "folder")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"not an LMDB\n" * 1000,
        bytes(8192),
        np.random.default_rng(0).bytes(65536),
        b"\xde\xc0\xef\xbe" * 4096,
    ],
    ids=["empty", "a byte", "text", "zeros", "noise", "magic numbers"],
)
def test_files_that_are_no_lmdb(tmp_path, content):
    path = tmp_path / "lmdb"
    path.mkdir()
    (path / "data.mdb").write_bytes(content)
    assert "is damaged or no LMDB" in refused(path)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
def test_a_truncated_lmdb(path, share):
    file = path / "data.mdb"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    said = refused(path)
    assert "is truncated; build it again" in said or "is damaged or no LMDB" in said


def test_a_truncated_lmdb_ends_no_process(path):
    """In a process of its own: a bus error would end this one."""
    file = path / "data.mdb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    code = f"from pydeepexpr.caffe.lmdb_source import LmdbSource; list(LmdbSource({str(path)!r}).records())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"UserError: the LMDB {file} is truncated" in done.stderr


def test_an_lmdb_without_records(make_lmdb):
    path = make_lmdb([])
    assert f"the LMDB {path} is empty; build it again" == refused(path)


def test_a_record_that_is_no_datum(make_lmdb):
    path = make_lmdb([*DATUMS[:2], b"\xff\xff\xff"])
    assert f"record b'00000002' of the LMDB {path} is no Datum; build it again" == refused(path)
