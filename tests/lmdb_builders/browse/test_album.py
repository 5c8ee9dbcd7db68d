"""What is read of registered folders, of LMDBs and of rejects, and what cannot be."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmdb_builders import READERS, Reader, Record, Reject
from lmdb_builders.browse import grouped, open_album, select
from lmdb_builders.build import build_lmdb
from pydeepexpr.errors import UserError
from tests.lmdb_builders.browse.made_folders import make, picture, with_rejects


def test_records_are_found_by_their_keys(faces, tmp_path):
    build_lmdb([faces], tmp_path / "out", encode="png", unlabelled="skip")
    album = open_album(tmp_path / "out")
    for place, name in enumerate(album.column("source")):
        np.testing.assert_array_equal(album.picture(place), picture(int(Path(name).stem)))
    swapped = album.table.take(pa.array([1, 0, 2, 3, 4]))
    pq.write_table(swapped, tmp_path / "out/manifest.parquet")
    with pytest.raises(UserError, match=r"the manifest lists 00000001_.* where its LMDB does not; build it again"):
        open_album(tmp_path / "out").picture(0)


def test_rejects_that_are_no_files_are_read_as_records(tmp_path, monkeypatch):
    items = [Record("rows/1", picture(1), "rows"), Reject("rows/2", "five votes")]
    monkeypatch.setitem(READERS, "rows", Reader(lambda root: iter(items), about="", licence="mine"))
    rows = ["rows/1,no face was found,,", "rows/2,five votes,,"]
    out = with_rejects(make(tmp_path / "faces"), tmp_path / "rows.csv", rows, "rows")
    album = open_album(out, rejects=True)
    np.testing.assert_array_equal(album.picture(0), picture(1))
    assert album.picture(1) is None


def test_old_rejects_have_no_labels(tmp_path):
    out = with_rejects(make(tmp_path), tmp_path, [])
    (out / "rejects.csv").write_text("path,reason\na.png,no face was found\n")
    assert open_album(out, rejects=True).table.to_pylist() == [
        {"source": "a.png", "reason": "no face was found", "expression": -1, "subject": "", "database": "folder"}
    ]


def test_folders_that_cannot_be(faces, records, tmp_path):
    with pytest.raises(UserError, match=r"there is no .*manifest.parquet; give a folder that tools/register.py"):
        open_album(tmp_path)
    with pytest.raises(UserError, match="holds LMDBs, which know no rejects; give the registered folder"):
        open_album(records, rejects=True)
    with pytest.raises(UserError, match=r"has no readable rejects.csv and register.json; register the folder anew"):
        open_album(faces, rejects=True)
    with pytest.raises(UserError, match="reasons are the rejects'; add --rejects"):
        grouped(open_album(faces), np.arange(6), "reason")
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="cannot be read"):
        open_album(tmp_path)
    rejected = open_album(with_rejects(make(tmp_path / "faces"), tmp_path, []), rejects=True)
    with pytest.raises(UserError, match="has no rejects"):
        select(rejected, {})
    rejected = open_album(with_rejects(tmp_path / "faces", tmp_path, ["a,b,,"]), rejects=True)
    with pytest.raises(UserError, match="of rejects no 'split' is known"):
        select(rejected, {"split": ["train"]})
