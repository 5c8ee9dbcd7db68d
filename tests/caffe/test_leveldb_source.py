"""LevelDBs of Datums, as plyvel writes them."""

import itertools

import numpy as np
import pytest

from pydeepexpr import caffe
from pydeepexpr.caffe import leveldb_source
from pydeepexpr.caffe.leveldb_source import LevelDbSource
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from tests.caffe.conftest import raw_datum

TEXT = """layer {{ name: "{name}" type: "Data" top: "{name}" top: "{name}_label"
  data_param {{ source: "{path}" batch_size: 4 {more} }} }}"""


def test_without_plyvel_one_line_says_what_to_do(make_net, tmp_path, monkeypatch):
    monkeypatch.setattr(leveldb_source, "plyvel", None)
    with pytest.raises(UserError, match=r"needs plyvel; install it \(pip install 'pydeepexpr\[leveldb\]'\) or convert"):
        make_net(TEXT.format(name="data", path=tmp_path, more=""))


@pytest.fixture
def path(tmp_path, images):
    plyvel = pytest.importorskip("plyvel", reason="the extra `leveldb` (plyvel) is not installed")
    path = tmp_path / "leveldb"
    with plyvel.DB(str(path), create_if_missing=True) as database:
        for label, image in enumerate(images):
            database.put(b"%08d" % label, raw_datum(image, label).SerializeToString())
        database.compact_range()
    return path


def labels(cycle, count):
    return [pb.Datum.FromString(value).label for _, value in itertools.islice(cycle, count)]


def test_records_come_in_the_order_of_their_keys(path):
    source = LevelDbSource(path)
    assert len(source) == 13
    assert [(key, datum.label) for key, datum in source.records()] == [(b"%08d" % n, n) for n in range(13)]
    assert [datum.label for _, datum in source.records(skip=11)] == [11, 12]


@pytest.mark.parametrize(("skip", "step"), [(0, 1), (5, 1), (13, 1), (700, 1), (1, 2), (6, 20)])
def test_a_cycle_begins_again_after_the_last(path, skip, step):
    assert labels(LevelDbSource(path).cycle(skip, step), 20) == [(skip + i * step) % 13 for i in range(20)]


def test_a_net_reads_it_with_two_layers(make_net, path, images):
    """LEVELDB is the default backend of caffe.proto."""
    text = TEXT.format(name="one", path=path, more="") + TEXT.format(name="other", path=path, more="backend: LEVELDB")
    net = make_net(text, caffe.TRAIN)
    for step in range(5):
        net.forward()
        numbers = (4 * step + np.arange(4)) % 13
        for name in ("one", "other"):
            np.testing.assert_array_equal(net.blobs[name].data, images[numbers].transpose(0, 3, 1, 2))
            np.testing.assert_array_equal(net.blobs[f"{name}_label"].data, numbers)


def refused(path):
    with pytest.raises(UserError) as error:
        list(LevelDbSource(path).records())
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_databases_that_are_none(path, tmp_path):
    plyvel = leveldb_source.plyvel
    assert "no LevelDB at" in refused(tmp_path / "none")
    plyvel.DB(str(tmp_path / "empty"), create_if_missing=True).close()
    assert "is empty" in refused(tmp_path / "empty")
    with plyvel.DB(str(path)):
        assert "cannot open the LevelDB" in refused(path) and "already held by process" in refused(path)
    (path / "CURRENT").write_text("nonsense")
    assert "cannot open the LevelDB" in refused(path)


def test_damaged_records(path):
    """LevelDB's checksums find a byte that changed."""
    (table,) = path.glob("*.ldb")
    content = bytearray(table.read_bytes())
    content[100] ^= 1
    table.write_bytes(content)
    assert "is damaged" in refused(path) or "cannot open" in refused(path)


def test_a_record_that_is_no_datum(path):
    with leveldb_source.plyvel.DB(str(path)) as database:
        database.put(b"00000003", b"\xff\xff\xff")
    assert f"record b'00000003' of the LevelDB {path} is no Datum" in refused(path)
