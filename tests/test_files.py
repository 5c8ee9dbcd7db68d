"""Files that are whole or absent."""

import hashlib
import os
import stat
import subprocess
import sys

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.files import (
    atomic_directory,
    atomic_file,
    provenance,
    read_json,
    read_names,
    resumable_directory,
    sha256_of,
)


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


MADE_OF = {"options": {"size": 3, "names": ("a", "b")}, "limit": None}


def test_work_that_may_be_interrupted_takes_its_place_when_complete(tmp_path):
    out = tmp_path / "new" / "out"
    with resumable_directory(out, MADE_OF) as partial:
        assert partial == out.with_name(".out.partial") and not out.exists()
        (partial / "a").write_text("1")
    assert os.listdir(out) == ["a"], "neither plan nor lock"
    assert os.listdir(out.parent) == ["out"]
    with resumable_directory(out, MADE_OF) as partial:
        assert not (partial / "a").exists(), "what is complete is not gone on with"
        assert (out / "a").read_text() == "1"
        (partial / "b").touch()
    assert os.listdir(out) == ["b"] and os.listdir(out.parent) == ["out"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_work_that_failed_goes_on_with_what_it_had(tmp_path, failure):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with pytest.raises(failure), resumable_directory(out, MADE_OF) as partial:
        (partial / "half").write_text("1")
        raise failure
    assert os.listdir(out) == ["old"]
    with resumable_directory(out, {"limit": None, "options": {"names": ["a", "b"], "size": 3}}) as partial:
        assert (partial / "half").read_text() == "1", "of the same: what JSON holds is compared, in any order"
    assert os.listdir(out) == ["half"] and os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("plan", [None, "", "[1", '{"limit": 1}'])
def test_work_on_something_else_begins_with_nothing(tmp_path, plan):
    """Also where the plan is damaged: nobody knows then what the half is of. What a link points to stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/kept").touch()
    with pytest.raises(ValueError), resumable_directory(tmp_path / "out", MADE_OF) as partial:
        (partial / "half").touch()
        (partial / "folder/in").mkdir(parents=True)
        (partial / "link").symlink_to(tmp_path / "elsewhere")
        raise ValueError
    made_of = MADE_OF if plan is not None else {**MADE_OF, "limit": 2}
    if plan is not None:
        (partial / "plan.json").write_text(plan)
    with resumable_directory(tmp_path / "out", made_of) as partial:
        assert sorted(os.listdir(partial)) == ["lock", "plan.json"]
    assert os.listdir(tmp_path / "elsewhere") == ["kept"]


def test_nobody_else_works_on_it_meanwhile(tmp_path):
    code = (
        "import sys\nfrom pydeepexpr.files import resumable_directory\n"
        "with resumable_directory(sys.argv[1], {}): print('in', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        (tmp_path / ".out.partial/half").touch()
        with pytest.raises(UserError, match=r"another process is at work on .*out"):
            resumable_directory(tmp_path / "out", {"other": 1}).__enter__()
        assert (tmp_path / ".out.partial/half").exists(), "its work is not touched"
        process.kill()
    with resumable_directory(tmp_path / "out", {}) as partial:
        assert (partial / "half").exists(), "the lock went with the process, and its work is taken up"
        with pytest.raises(UserError, match="another process"):
            resumable_directory(tmp_path / "out", {}).__enter__()


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write in .*file"), resumable_directory(tmp_path / "file/out", {}):
        pass


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


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot read"), (b"{", "no JSON file; give the key"), (b"\xff", "no JSON")]
)
def test_a_json_file_that_cannot_be_read_is_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_json(tmp_path / "a.json", "the key")


def test_json_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"ö": [1, null]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json", "it") == {"ö": [1, None]}
