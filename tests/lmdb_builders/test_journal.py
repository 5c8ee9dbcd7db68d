"""What a run has done is found again, whatever way it ended."""

import math

import pytest

from lmdb_builders.journal import Journal


def test_results_are_taken_up_by_their_source(tmp_path):
    first = {"source": "顔 1.jpg", "score": float("nan"), "quality": ["faint"]}
    with Journal(tmp_path) as journal:
        assert journal.results == {}
        journal.add(first)
        journal.add({"source": "b", "reason": "two\nlines"})
        assert journal.path.read_bytes().count(b"\n") == 2, "a result is on disk before the next is worked on"
    with Journal(tmp_path) as journal:
        journal.add({"source": "c"})
    with Journal(tmp_path) as journal:
        assert list(journal.results) == ["顔 1.jpg", "b", "c"]
        assert journal.results["b"]["reason"] == "two\nlines"
        assert math.isnan(journal.results["顔 1.jpg"]["score"])


@pytest.mark.parametrize("lost", range(1, 16))
def test_a_line_cut_short_anywhere_is_forgotten_and_overwritten(tmp_path, lost):
    """The second line has 15 bytes with its end; without them all there is nothing to forget."""
    with Journal(tmp_path) as journal:
        journal.add({"source": "a"})
        journal.add({"source": "b"})
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-lost])
    with Journal(tmp_path) as journal:
        assert list(journal.results) == ["a"]
        journal.add({"source": "b"})
    assert journal.path.read_bytes() == content


def test_an_empty_journal(tmp_path):
    (tmp_path / "journal.jsonl").touch()
    with Journal(tmp_path) as journal:
        assert journal.results == {}
