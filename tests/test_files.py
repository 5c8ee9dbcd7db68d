"""Files that are whole or absent."""

import hashlib
import os
import stat

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_directory, atomic_file, provenance, read_names, sha256_of


def test_a_file_appears_when_complete(tmp_path):
    with atomic_file(tmp_path / "new" / "a.bin") as partial:
        partial.write_bytes(b"whole")
        assert not (tmp_path / "new" / "a.bin").exists()
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"whole"
    assert os.listdir(tmp_path / "new") == ["a.bin"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "a.bin") as partial:
        partial.write_bytes(b"half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.bin").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with atomic_file(tmp_path / "a") as partial:
            partial.write_text("x")
        with atomic_directory(tmp_path / "d"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_a_directory_takes_the_place_of_the_old_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    with atomic_directory(tmp_path / "d") as partial:
        (partial / "new").touch()
        assert (tmp_path / "d" / "old").exists()
    assert os.listdir(tmp_path / "d") == ["new"]
    assert os.listdir(tmp_path) == ["d"]


def test_a_failure_leaves_the_old_directory(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(ValueError, match="half"), atomic_directory(tmp_path / "d") as partial:
        (partial / "new").touch()
        raise ValueError("half")
    assert os.listdir(tmp_path) == ["d"] and os.listdir(tmp_path / "d") == []


def test_sha256_of_more_than_one_block(tmp_path):
    content = os.urandom(3 * (1 << 20) + 17)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_provenance_names_no_folder():
    record = provenance()
    assert "/" not in record["command"][0]
    assert {"python", "numpy", "torch"} <= set(record["versions"])


def test_names_are_read_without_comments(tmp_path):
    (tmp_path / "list.txt").write_text("# drawn by lot\njoy/ä 1.jpg\n\n  fear/2.jpg  \n", encoding="utf-8")
    assert read_names(tmp_path / "list.txt") == ["joy/ä 1.jpg", "fear/2.jpg"]


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe joy"])
def test_a_list_without_names_is_an_error(tmp_path, content):
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"list\.txt"):
        read_names(tmp_path / "list.txt")
