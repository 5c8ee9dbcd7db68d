"""The run of everything: failures are named and stop nothing."""

import json
from pathlib import Path

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.reproduction import reproduce as module
from pydeepexpr.reproduction.exhibits import EXHIBITS
from pydeepexpr.reproduction.material import Material
from pydeepexpr.reproduction.reproduce import reproduce
from pydeepexpr.stages import Step


@pytest.fixture
def material(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("s/people", "s/mei"):
        Path(name).mkdir(parents=True)
        Path(name, "meta.json").write_text("{}")
    return Material("demo", "rendered", Path("s/people"), {"mei": Path("s/mei")})


def test_without_material():
    with pytest.raises(UserError, match="run make demo"):
        reproduce([], Path("out"))


def test_every_exhibit_is_made_or_missing(material, monkeypatch):
    """A tool that writes what it is asked for with --json or --out, but Table 1's, which fails."""
    called = []

    def tool(arguments, log):
        called.append([Path(arguments[0]).stem, *arguments[1:]])
        if "table1" in arguments:
            raise UserError("no query has a label")
        product = Path(arguments[arguments.index("--json") + 1]) if "--json" in arguments else None
        product = product or Path(arguments[arguments.index("--out") + 1], "study.json")
        product.parent.mkdir(parents=True, exist_ok=True)
        product.write_text("{}")
        return 0

    monkeypatch.setattr(module, "_call", tool)
    said = reproduce([material], Path("out")).splitlines()
    assert said[-1] == "out/index.html" and Path("out/index.html").is_file()
    assert said[:-1] == [
        "missing: figure4, no registered photographs of people are at hand",
        "missing: curves, no training’s log is at hand",
        "missing: table1, no query has a label",
        "licences: the page holds pictures of the databases (FERG-DB, CK+, DISFA, KDEF, MMI, FER2013 …): show it only "
        "where their licences allow",
    ]
    stages = json.loads(Path("out/demo/stages.json").read_text())["stages"]
    assert [stage["name"] for stage in stages] == [one.name for one in EXHIBITS]
    assert "Missing:</b> Table 1: retrieval score — no query has a label" in Path("out/index.html").read_text()
    called.clear()
    reproduce([material], Path("out"))
    assert [words[1] for words in called] == ["table1"]  # the others are there already


def test_features_come_first_and_their_failure_ends_it(material, monkeypatch, capfd):
    step = Step(("-c", "import sys; sys.exit(2)"), Path("s/x"))
    object.__setattr__(material, "extraction", (step,))
    with pytest.raises(UserError, match="features ended with the exit status 2"):
        reproduce([material], Path("out"))


def test_a_tools_own_words_are_the_reason(tmp_path, capsys):
    script = tmp_path / "tool.py"
    script.write_text(
        "import sys\nprint('a table')\nprint('12/40', file=sys.stderr)\n"
        "print('error: no query of joy; name another', file=sys.stderr)\nsys.exit(2)\n"
    )
    with pytest.raises(UserError, match=r"^no query of joy; name another$"):
        module._call((str(script), "x"), tmp_path / "log")
    assert capsys.readouterr().err == "12/40\nerror: no query of joy; name another\n"
    assert (tmp_path / "log").read_text() == f"\n$ python {script} x\na table\n"


def test_a_tool_that_ends_well_or_is_interrupted(tmp_path):
    assert module._call(("-c", "print(1)"), tmp_path / "log") == 0
    assert module._call(("-c", "import sys; sys.exit(130)"), tmp_path / "log") == 130
    with pytest.raises(UserError, match="exit status 3"):
        module._call(("-c", "import sys; sys.exit(3)"), tmp_path / "log")
