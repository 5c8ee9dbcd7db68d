"""LMDBs, good and bad. A damaged one must be refused: reading beyond its end would kill the process."""

import gc
import itertools
import subprocess
import sys
import threading

import lmdb
import numpy as np
import pytest

from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

DATUMS = [pb.Datum(label=number, data=bytes([number]) * 5000) for number in range(7)]  # two pages each


@pytest.fixture
def path(make_lmdb):
    return make_lmdb(DATUMS)


def labels(pairs, count=None):
    return [datum.label for _, datum in itertools.islice(pairs, count)]


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
    assert labels(LmdbSource(path).cycle(skip), 20) == [(skip + i) % 7 for i in range(20)]


def test_two_readers_of_one_lmdb_do_not_disturb_each_other(path):
    one, other = LmdbSource(path), LmdbSource(path / "data.mdb")
    first, second = one.cycle(), other.cycle(3)
    assert [next(first)[1].label, next(second)[1].label, next(first)[1].label] == [0, 3, 1]
    del one, first
    gc.collect()
    assert labels(second, 3) == [4, 5, 6]


def test_an_lmdb_is_let_go_with_its_last_reader(path):
    # LMDB forbids a process to open a file twice: it could not be written here if a reader had stayed
    source = LmdbSource(path)
    del source
    gc.collect()
    with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
        transaction.put(b"z", pb.Datum(label=7).SerializeToString())
    assert len(LmdbSource(path)) == 8


def test_a_file_that_is_being_closed_is_waited_for(path):
    """What a thread that lets its last reader go looks like to the others, for a moment: open, but nobody's."""
    closing = lmdb.open(str(path / "data.mdb"), subdir=False, readonly=True, lock=False)
    threading.Timer(0.3, closing.close).start()
    assert labels(LmdbSource(path).records()) == [0, 1, 2, 3, 4, 5, 6]


def test_reading_leaves_no_file_behind(path):
    (path / "lock.mdb").unlink()
    labels(LmdbSource(path).records())
    assert [entry.name for entry in path.iterdir()] == ["data.mdb"]


def test_absent_databases(tmp_path):
    assert "no LMDB at" in refused(tmp_path / "none") and "correct `source`" in refused(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    assert "no LMDB at" in refused(tmp_path / "folder")
    (tmp_path / "folder" / "data.mdb").mkdir()
    assert "is damaged or no LMDB" in refused(tmp_path / "folder")


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
    assert done.returncode == 1 and f"UserError: the LMDB {path} is truncated" in done.stderr


def test_an_lmdb_without_records(make_lmdb):
    path = make_lmdb([])
    assert f"the LMDB {path} is empty; build it again" == refused(path)


def test_a_record_that_is_no_datum(make_lmdb):
    path = make_lmdb([*DATUMS[:2], b"\xff\xff\xff"])
    assert f"record b'00000002' of the LMDB {path} is no Datum; build it again" == refused(path)
