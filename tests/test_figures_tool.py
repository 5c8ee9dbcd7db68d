"""tools/figures.py: what its commands take, what they write, and how they refuse."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.test_training_log import LOG

ROOT = Path(__file__).parents[1]
STORES = ("human", "mery", "ray", "--normalise", "l1", "--siblings", "--seed", "7")


@pytest.fixture
def tool(monkeypatch, capsys):
    """Run tools/figures.py; return its status and what it wrote to stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["figures.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "tools/figures.py"), run_name="__main__")
        return ended.value.code, capsys.readouterr().err

    return call


def test_every_command_takes_its_arguments(parsed_to_the_end):
    out = ("--out", "f.png", "f.pdf", "--json", "f.json")
    tool = str(ROOT / "tools/figures.py")
    parsed_to_the_end(
        [
            (tool, "faces", "people", "cast", "--seed", "7", *out),
            (tool, "networks", *out),
            (tool, "networks", "net.prototxt", "--stage", "fc7", *out),
            (tool, "retrievals", *STORES[:2], "--expression", "joy", "--top", "5", *STORES[3:], *out),
            (tool, "best", *STORES, "--expressions", "joy", "fear", *out),
            (tool, "comparison", *STORES, "--expressions", "joy", "--model-names", "geometry", "DeepExpr", *out),
            (tool, "embedding", *STORES, "--points", "500", "--nearest", "1", "5", *out),
            (tool, "curves", "runs/human", "runs/mery", *out),
        ]
    )


def test_files_are_written(tool, tmp_path):
    (tmp_path / "human").mkdir()
    (tmp_path / "human" / "train.log").write_text(LOG)
    files = [tmp_path / f"c.{ending}" for ending in ("png", "pdf")]
    assert tool("curves", tmp_path / "human", "--out", *files, "--json", tmp_path / "c.json")[0] == 0
    assert [file.read_bytes()[:4] for file in files] == [b"\x89PNG", b"%PDF"]
    record = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    assert record["figure"] == "curves" and record["runs"]["human"]["iterations"] == 40
    assert record["provenance"]["command"][:2] == ["figures.py", "curves"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("curves", "absent"), "error: absent holds no training"),
        (("faces", "absent"), "error: cannot read absent/manifest.parquet"),
        (("networks", "--stage", "fc9"), "knows no stage 'fc9'; it has: fc7"),
        (("networks", "absent.prototxt"), "error: there is no absent.prototxt"),
        (("best", "absent", "absent"), "error: "),
        (("retrievals", "absent", "absent"), "error: "),
        (("embedding", "absent", "absent"), "error: "),
    ],
)
def test_mistakes_are_told_in_a_line(tool, tmp_path, arguments, said):
    status, error = tool(*arguments, "--out", tmp_path / "x.png", "--json", tmp_path / "x.json")
    assert status == 2 and said in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_ending_is_checked_before_anything_is_read(tool, tmp_path):
    status, error = tool("best", "absent", "absent", "--out", tmp_path / "x.png", tmp_path / "x.doc")
    assert status == 2 and f"error: cannot draw {tmp_path / 'x.doc'}; end the name in one of" in error
