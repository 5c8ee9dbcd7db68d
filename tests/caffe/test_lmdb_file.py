"""LMDB's file format, read without its library: held against that library, and damaged in every way."""

import random
import struct
from itertools import islice

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydeepexpr.caffe.lmdb_file import LmdbFile
from pydeepexpr.errors import UserError

PAGE = 4096
# Offsets in data.mdb (lmdb.h and mdb.c of LMDB 0.9): a page's header has 16 bytes, then the meta page says
FLAGS, MAGIC, VERSION, PAGE_SIZE = 10, 16, 20, 40
MAIN_FLAGS, DEPTH, ENTRIES, ROOT, LAST = 92, 94, 120, 128, 136


def write(path, records, delete=(), commits=1):
    """Write records in some transactions with the lmdb library; return the file."""
    records = list(records)
    path.mkdir(exist_ok=True)
    with lmdb.open(str(path), map_size=1 << 28, sync=False) as env:
        for start in range(commits):
            with env.begin(write=True) as transaction:
                for key, value in records[start::commits]:
                    transaction.put(key, value)
        with env.begin(write=True) as transaction:
            for key in delete:
                transaction.delete(key)
    return path / "data.mdb"


def read_by_lmdb(file):
    with lmdb.open(str(file), subdir=False, readonly=True, lock=False) as env, env.begin() as transaction:
        return list(transaction.cursor())


def patched(file, changes):
    """Overwrite the file: {offset: bytes}."""
    content = bytearray(file.read_bytes())
    for offset, new in changes.items():
        content[offset : offset + len(new)] = new
    file.write_bytes(content)


def in_both_metas(offset, new):
    return {offset: new, PAGE + offset: new}


def read(file):
    return list(LmdbFile(file).records())


def refused(file):
    with pytest.raises(UserError) as error:
        read(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


KEYS = st.binary(min_size=1, max_size=60)
VALUES = st.one_of(st.binary(max_size=40), st.integers(0, 20_000).map(lambda size: bytes(size)))


@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, max_size=200), st.integers(1, 4), st.data())
def test_it_reads_what_the_library_reads(tmp_path_factory, records, commits, data):
    deleted = data.draw(st.lists(st.sampled_from(sorted(records)), unique=True)) if records else []
    file = write(tmp_path_factory.mktemp("lmdb"), records.items(), deleted, commits)
    wanted = read_by_lmdb(file)
    assert wanted == sorted((key, value) for key, value in records.items() if key not in deleted)
    found = LmdbFile(file)
    assert len(found) == len(wanted) and list(found.records()) == wanted


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """A tree of four levels."""
    records = [(f"{n:06d}_{'k' * 300}".encode(), f"value {n}".encode()) for n in range(2000)]
    file = write(tmp_path_factory.mktemp("deep"), records)
    assert struct.unpack_from("<H", file.read_bytes(), PAGE + DEPTH) == (4,)
    return file, records


def test_a_deep_tree(deep):
    file, records = deep
    assert read(file) == records


@pytest.mark.parametrize(
    ("skip", "step"), [(0, 1), (1, 1), (1999, 1), (2000, 1), (9999, 1), (0, 7), (5, 613), (3, 5000)]
)
def test_every_so_many_records(deep, skip, step):
    file, records = deep
    assert list(LmdbFile(file).records(skip, step)) == records[skip::step]


def test_values_of_every_size_around_a_page(tmp_path):
    records = [
        (f"{size:06d}".encode(), bytes([size % 251]) * size)
        for size in (*range(1990, 2060), *range(4060, 4110), 70_000)
    ]
    assert read(write(tmp_path, records)) == records


def test_an_empty_database(tmp_path):
    assert len(LmdbFile(write(tmp_path, []))) == 0 and read(tmp_path / "data.mdb") == []
    assert read(write(tmp_path / "emptied", [(b"a", b"b")], delete=[b"a"])) == []


def test_the_copy_that_the_library_makes(tmp_path):
    write(tmp_path, [(b"%d" % n, bytes(n)) for n in range(300)], delete=[b"7"], commits=3)
    (tmp_path / "copy").mkdir()
    with lmdb.open(str(tmp_path)) as env:
        env.copy(str(tmp_path / "copy"), compact=True)
    assert read(tmp_path / "copy" / "data.mdb") == read(tmp_path / "data.mdb")


@pytest.fixture
def file(tmp_path):
    """Seven records on one leaf page, the first three on pages of their own too."""
    return write(tmp_path, [(b"%d" % n, bytes([n]) * (9000 if n < 3 else 100)) for n in range(7)])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (in_both_metas(MAGIC, b"x"), "it has not the magic number of one"),
        ({MAGIC: b"x"}, "it has not the magic number of one"),
        ({FLAGS: b"\0"}, "it has not the magic number of one"),
        (in_both_metas(VERSION, b"\2"), "its version is 2, not 1"),
        (in_both_metas(VERSION, struct.pack("<I", 999)), "its version is 999, not 1"),
        ({PAGE + PAGE_SIZE: struct.pack("<I", 0)}, "its pages have 0 bytes"),
        ({PAGE + PAGE_SIZE: struct.pack("<I", 4097)}, "its pages have 4097 bytes"),
        ({PAGE + PAGE_SIZE: struct.pack("<I", 1 << 31)}, "its pages have 2147483648 bytes"),
        ({PAGE_SIZE: struct.pack("<I", 0)}, None),
        ({PAGE_SIZE: struct.pack("<I", 1 << 31)}, "is truncated"),
        (in_both_metas(LAST, struct.pack("<Q", 1 << 63)), "is truncated"),
        ({PAGE + LAST: b"\3"}, "page 3 does not hold the value"),
        ({PAGE + MAIN_FLAGS: b"\4"}, "has keys of another kind than Caffe's"),
        ({PAGE + DEPTH: b"\0"}, "is none of the tree"),
        ({PAGE + DEPTH: b"\2"}, "is none of the tree"),
        ({PAGE + DEPTH: b"\xff\xff"}, "its tree of depth 65535 holds 7 records"),
        ({PAGE + ENTRIES: b"\x08"}, "it holds 7 of its 8 records"),
        ({PAGE + ENTRIES: b"\x06"}, "it holds more than its 6 records"),
        ({PAGE + ENTRIES: b"\x00"}, "holds 0 records"),
        ({PAGE + ENTRIES: b"\xff" * 8}, "are more than it has room for"),
        ({PAGE + ROOT: b"\xff" * 8}, "its tree of depth 1 holds 7 records"),
        ({PAGE + ROOT: b"\x00"}, "it has no page 0"),
        ({PAGE + ROOT: b"\x01"}, "it has no page 1"),
        ({PAGE + ROOT: b"\xfe" * 8}, "it has no page"),
        ({PAGE + ROOT: b"\x03"}, "page 3 is none of the tree"),
    ],
)
def test_damaged_meta_pages(file, changes, said):
    root = struct.unpack_from("<Q", file.read_bytes(), PAGE + ROOT)[0]
    assert root not in (0, 1, 3)
    patched(file, changes)
    if said is None:  # the newer page is the other one
        assert "damaged" in refused(file)
    else:
        assert said in refused(file)


def leaf_of(file):
    """Return the offset in the file of its one leaf page, and in it of its nodes."""
    content = file.read_bytes()
    start = PAGE * struct.unpack_from("<Q", content, PAGE + ROOT)[0]
    count = (struct.unpack_from("<H", content, start + 12)[0] - 16) // 2
    return start, struct.unpack_from(f"<{count}H", content, start + 16)


@pytest.mark.parametrize(
    ("place", "new", "said"),
    [
        (lambda leaf, nodes: leaf, b"\x77", "is none of the tree"),
        (lambda leaf, nodes: leaf + 10, b"\x01", "is none of the tree"),
        (lambda leaf, nodes: leaf + 10, b"\x22", "is none of the tree"),
        (lambda leaf, nodes: leaf + 12, b"\x01\x00", "is none of the tree"),
        (lambda leaf, nodes: leaf + 12, b"\x11\x00", "is none of the tree"),
        (lambda leaf, nodes: leaf + 12, b"\xfe\xff", "is none of the tree"),
        (lambda leaf, nodes: leaf + 14, b"\xff\xff", "is none of the tree"),
        (lambda leaf, nodes: leaf + 16, b"\x00\x00", "a record lies outside its page"),
        (lambda leaf, nodes: leaf + 16, b"\xff\xff", "a record lies outside its page"),
        (lambda leaf, nodes: leaf + 16, struct.pack("<H", PAGE - 7), "a record lies outside its page"),
        (lambda leaf, nodes: leaf + nodes[3] + 6, b"\xff\xff", "a key lies outside its page"),
        (lambda leaf, nodes: leaf + nodes[3], b"\xff\xff\xff\x7f", "a value lies outside its page"),
        (lambda leaf, nodes: leaf + nodes[3] + 4, b"\x02", "holds databases or duplicates within it"),
        (lambda leaf, nodes: leaf + nodes[3] + 4, b"\x01", "it has no page"),
        (lambda leaf, nodes: leaf + nodes[0], b"\xff\xff\xff\xff", "does not hold the value that it should"),
        (lambda leaf, nodes: leaf + nodes[0] + 9, b"\xff" * 8, "it has no page"),
        (lambda leaf, nodes: leaf + nodes[0] + 9, bytes(8), "it has no page 0"),
        (lambda leaf, nodes: leaf + nodes[0] + 9, b"\x05", "does not hold the value that it should"),
    ],
)
def test_damaged_leaves(file, place, new, said):
    leaf, nodes = leaf_of(file)
    patched(file, {place(leaf, nodes): new})
    assert said in refused(file)


def test_a_branch_that_leads_to_itself_or_twice_to_a_leaf(deep):
    file, _ = deep
    content = file.read_bytes()
    root = struct.unpack_from("<Q", content, PAGE + ROOT)[0]
    first, second = (root * PAGE + offset for offset in struct.unpack_from("<2H", content, root * PAGE + 16))
    try:
        patched(file, {second: struct.pack("<HHH", root & 0xFFFF, root >> 16, 0)})
        assert "is none of the tree" in refused(file)
        patched(file, {second: content[first : first + 6]})
        assert "records" in refused(file)
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_is_an_error_or_goes_unseen_in_keys_and_values(tmp_path, deep, file, seed):
    """Bytes changed, pages swapped, the end cut off: hundreds of files, none of which may end the process."""
    rng = random.Random(seed)
    sound = [file.read_bytes(), deep[0].read_bytes()]
    target = tmp_path / "damaged.mdb"
    outcomes = set()
    for _ in range(150):
        content = bytearray(rng.choice(sound))
        for _ in range(rng.choice((1, 1, 3, 30))):
            place = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(len(content) // PAGE) * PAGE
            place = min(place + rng.choice((0, rng.randrange(64))), len(content) - 1)
            content[place] = rng.choice((0, 255, rng.randrange(256), content[place] ^ 1 << rng.randrange(8)))
        if rng.random() < 0.2:
            del content[rng.randrange(len(content)) :]
        target.write_bytes(content)
        try:
            outcomes.add(len(list(islice(LmdbFile(target).records(), 10_000))) < 10_000)
        except UserError as error:
            assert str(target) in str(error) and "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {True, "refused"}


def test_it_gets_shorter_while_it_is_read(file):
    records = LmdbFile(file).records()
    next(records)
    with open(file, "r+b") as opened:
        opened.truncate(3 * PAGE)
    with pytest.raises(UserError, match="is truncated; build it again"):
        list(records)


def test_a_file_of_zeros_and_noise(tmp_path):
    for content in (bytes(5000), np.random.default_rng(0).bytes(50_000), b"#", b""):
        (tmp_path / "x").write_bytes(content)
        assert "is damaged or no LMDB" in refused(tmp_path / "x")
