"""tools/browse.py: what it prints and draws, and what it complains about."""

import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from lmdb_builders import READERS
from tests.lmdb_builders.browse.made_folders import make, picture, small, where, with_rejects

TOOL = Path(__file__).parents[3] / "tools" / "browse.py"


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run tools/browse.py; return its exit status, what it prints and what it complains about."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["browse.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        return ended.value.code, *capsys.readouterr()

    return call


def test_the_tool_counts(tool, tmp_path):
    faces = with_rejects(make(tmp_path / "faces"), tmp_path, ["a,no face was found,joy,"] * 2)
    status, said, _ = tool(faces)
    lines = [line.split() for line in said.splitlines()]
    assert status == 0 and lines[0] == ["fer2013", "kdef"]
    assert ["joy", "2", "1"] in lines and ["unlabelled", "0", "1"] in lines and ["all", "3", "3"] in lines
    assert "       3  poor-fit: the landmarks fit a frontal face badly" in said
    assert said.endswith("reasons of rejects\n       2  no face was found\n")
    _, said, _ = tool(faces, "--label", "joy")
    assert ["all", "2", "1"] in [line.split() for line in said.splitlines()] and "rejects" not in said
    _, said, _ = tool(faces, "--rejects")
    assert ["joy", "2"] in [line.split() for line in said.splitlines()] and "no face was found" in said


def test_the_tool_draws(tool, faces, tmp_path):
    out = tmp_path / "sheet.png"
    status, said, _ = tool(
        faces, out, "--label", "joy", "--label", "anger", "--sort", "fit", "--limit", 2, "--size", 100
    )
    assert status == 0
    assert said.splitlines() == [
        f"4 of 6 faces selected, 2 drawn: {out}",
        f"fer2013: {READERS['fer2013'].licence}",
        f"kdef: {READERS['kdef'].licence}",
    ]
    sheet = cv2.imread(str(out))
    assert where(sheet, small(picture(1)))[0] < where(sheet, small(picture(2)))[0]  # a block each: anger, joy
    status, said, complaint = tool(faces, out, "--flag", "enlarged")
    assert (status, said) == (2, "") and complaint.startswith("error: none of 6 faces has the flag enlarged; there are")


def test_what_only_browsing_needs_is_not_imported_elsewhere():
    code = """if True:
        import sys
        import lmdb_builders.build, lmdb_builders.register
        sys.exit(not {"lmdb_builders.browse", "matplotlib", "PIL.ImageDraw"}.isdisjoint(sys.modules))"""
    subprocess.run([sys.executable, "-c", code], cwd=TOOL.parents[1], check=True)
