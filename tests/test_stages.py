"""Work in stages: what is done, skipped, resumed, and how it fails."""

import json
from pathlib import Path

import pytest

from pydeepexpr.errors import ToldError, UserError
from pydeepexpr.stages import Stage, Step, call, run_stages


class Tools:
    """Stand-ins for commands: `make FILE TEXT` writes a file; the next one may be made to fail."""

    def __init__(self) -> None:
        self.called = []
        self.next = None

    def __call__(self, arguments, log):
        self.called.append(" ".join(arguments))
        if self.next is not None:
            failure, self.next = self.next, None
            return failure(Path(arguments[1]))
        target = Path(arguments[1])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(arguments[2])
        return 0


def stage(name: str, text: str = "x", *, lacks: str = "", names: tuple[str, ...] = ("one",)) -> Stage:
    def steps():
        files = [Path(name, which, "product") for which in names]
        return [Step(("make", str(file), text), file, file.parent, passing="*.part") for file in files]

    return Stage(name, f"makes {name}", steps, lacks)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Tools()


def run(tools, *stages):
    """Run stages and return what was called for it."""
    tools.called.clear()
    run_stages(stages, Path("record.json"), tools)
    return list(tools.called)


def test_each_is_done_once_in_order(tools, capsys):
    stages = stage("a"), stage("b", names=("one", "two"))
    assert run(tools, *stages) == ["make a/one/product x", "make b/one/product x", "make b/two/product x"]
    said = capsys.readouterr().out
    assert said.startswith("[1/2] a: makes a …\n      a: made in 0 s\n[2/2] b: makes b …\n")
    assert run(tools, *stages) == []
    assert capsys.readouterr().out == "[1/2] a: makes a: there already\n[2/2] b: makes b: there already\n"


def test_a_step_is_done_again_when_what_it_reads_has_changed(tools):
    read = Path("weights")

    def one() -> Stage:
        product = Path("a/product")
        return Stage("a", "makes a", lambda: [Step(("make", str(product), "x"), product, reads=(read,))])

    read.write_text("old")
    assert run(tools, one()) == ["make a/product x"]
    assert run(tools, one()) == []
    read.write_text("new")
    assert run(tools, one()) == ["make a/product x"]


def test_a_missing_product_is_made_again_alone(tools):
    stages = stage("a"), stage("b", names=("one", "two")), stage("c")
    run(tools, *stages)
    Path("b/two/product").unlink()
    assert run(tools, *stages) == ["make b/two/product x"]


def test_a_changed_command_makes_all_that_follow_again(tools):
    run(tools, stage("a"), stage("b"), stage("c"))
    Path("b/one/older").touch()
    assert run(tools, stage("a"), stage("b", "y"), stage("c")) == ["make b/one/product y", "make c/one/product x"]
    assert Path("b/one/product").read_text() == "y"
    assert not Path("b/one/older").exists(), "what was made otherwise is removed, and what lies with it"


def test_a_product_without_a_record_is_made_again(tools):
    Path("a/one").mkdir(parents=True)
    Path("a/one/product").write_text("somebody's")
    assert run(tools, stage("a")) == ["make a/one/product x"]
    Path("record.json").write_text("{}")
    assert run(tools, stage("a")) == ["make a/one/product x"]


def test_an_interrupted_command_goes_on_with_what_it_had(tools):
    def interrupted(product):
        product.parent.mkdir(parents=True)
        (product.parent / "half.part").touch()
        return 130

    tools.next = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(tools, stage("a"), stage("b"))
    assert not Path("a/one/product").exists() and Path("a/one/half.part").exists()
    assert json.loads(Path("record.json").read_text())["steps"]["a/one/product"]["finished"] is False
    left = []

    def look(product):
        left.extend(path.name for path in product.parent.iterdir())
        product.write_text("x")
        return 0

    tools.next = look
    assert run(tools, stage("a"), stage("b")) == ["make a/one/product x", "make b/one/product x"]
    assert left == ["half.part"], "the command finds what it needs to go on"
    assert not Path("a/one/half.part").exists(), "and that is gone when it is done"


def test_an_interrupted_command_does_not_go_on_from_another_ones_half(tools):
    def interrupted(product):
        product.parent.mkdir(parents=True)
        (product.parent / "half.part").touch()
        raise KeyboardInterrupt

    tools.next = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(tools, stage("a"))
    left = []

    def look(product):
        left.append(product.parent.exists())
        product.parent.mkdir(exist_ok=True)
        product.touch()
        return 0

    tools.next = look
    run(tools, stage("a", "other"))
    assert left == [False]


def test_time_adds_up_over_interruptions(tools, monkeypatch):
    clock = iter([0.0, 5.0, 100.0, 102.5])
    monkeypatch.setattr("pydeepexpr.stages.time.monotonic", lambda: next(clock))
    tools.next = lambda product: 130
    with pytest.raises(KeyboardInterrupt):
        run(tools, stage("a"))
    run(tools, stage("a"))
    assert json.loads(Path("record.json").read_text())["steps"]["a/one/product"]["seconds"] == 7.5


def test_what_cannot_be_done_is_left_out_and_says_why(tools, capsys):
    assert run(tools, stage("a", lacks="there is no b"), stage("c")) == ["make c/one/product x"]
    assert "[1/2] a: makes a: left out, there is no b\n" in capsys.readouterr().out
    assert json.loads(Path("record.json").read_text())["stages"][0]["lacks"] == "there is no b"


def test_failures(tools):
    tools.next = lambda product: 2
    with pytest.raises(ToldError, match="stage a ended with the exit status 2: python make a/one/product x"):
        run(tools, stage("a"), stage("b"))
    assert tools.called == ["make a/one/product x"]
    tools.next = lambda product: 7
    with pytest.raises(UserError, match="stage a ended with the exit status 7") as error:
        run(tools, stage("a"))
    assert not isinstance(error.value, ToldError)
    tools.next = lambda product: 0
    with pytest.raises(UserError, match="stage a has not made"):
        run(tools, stage("a"))


def test_steps_are_asked_for_when_their_turn_comes(tools):
    second = Stage("b", "", lambda: [Step(("make", "b", Path("a/one/product").read_text()), Path("b"))])
    assert run(tools, stage("a", "z"), second) == ["make a/one/product z", "make b z"]


def scaffolded(text: str = "x", reads: tuple[Path, ...] = ()) -> tuple[Stage, Stage]:
    """A stage whose first step only serves the second and third, with a folder of its own; and one after it."""

    def steps():
        data, model, store = Path("a/data/product"), Path("a/model"), Path("a/store")
        return [
            Step(("make", str(data), "d"), data, data.parent, reads=reads, scaffold=True),
            Step(("make", str(model), text), model),
            Step(("make", str(store), "s"), store),
        ]

    return Stage("a", "makes a", steps), stage("b")


DATA, MODEL, STORE, B = "make a/data/product d", "make a/model x", "make a/store s", "make b/one/product x"


def test_a_scaffold_is_removed_and_not_missed(tools, capsys):
    assert run(tools, *scaffolded()) == [DATA, MODEL, STORE, B]
    assert not Path("a/data").exists() and Path("a/model").exists()
    capsys.readouterr()
    assert run(tools, *scaffolded()) == []
    assert capsys.readouterr().out == "[1/2] a: makes a: there already\n[2/2] b: makes b: there already\n"


@pytest.mark.parametrize(("gone", "made"), [("a/model", [DATA, MODEL]), ("a/store", [DATA, STORE])])
def test_a_scaffold_is_made_again_for_a_later_step(tools, gone, made):
    run(tools, *scaffolded())
    Path(gone).unlink()
    assert run(tools, *scaffolded()) == made
    assert not Path("a/data").exists() and run(tools, *scaffolded()) == []


def test_a_scaffold_stands_until_its_stage_is_done(tools):
    """The second step fails: the data that it needs are there when it is run again, and are not made twice."""
    make = tools.__call__

    def failing(arguments, log):
        if arguments[1] == "a/store" and tools.next != "over":
            tools.next = None
            return 130
        tools.next = None
        return make(arguments, log)

    with pytest.raises(KeyboardInterrupt):
        run_stages(scaffolded(), Path("record.json"), failing)
    assert Path("a/data/product").exists()
    assert run(tools, *scaffolded()) == [STORE, B]
    assert not Path("a/data").exists()


def test_a_scaffold_of_other_contents_or_for_another_command(tools):
    read = Path("manifest")
    read.write_text("old")
    run(tools, *scaffolded(reads=(read,)))
    read.write_text("new")
    assert run(tools, *scaffolded(reads=(read,))) == [DATA, MODEL, STORE, B]
    assert run(tools, *scaffolded("y", (read,))) == [DATA, "make a/model y", STORE, B]
    assert not Path("a/data").exists()


def test_a_scaffold_that_was_left_standing_is_removed_all_the_same(tools):
    run(tools, *scaffolded())
    Path("a/data").mkdir()
    assert run(tools, *scaffolded()) == [] and not Path("a/data").exists()


def test_call_runs_this_python_and_keeps_what_it_prints(tmp_path, capfd):
    log = tmp_path / "new" / "stages.log"
    script = "import sys; print('said'); print('shown', file=sys.stderr); sys.exit(3)"
    assert call(("-c", script), log) == 3
    assert call(("-c", "print('more')"), log) == 0
    assert log.read_text().count("said\n") == 1 and log.read_text().endswith("more\n")
    assert capfd.readouterr() == ("", "shown\n")


def independent(tools, *stages):
    """Run stages that do not build on one another; return what was called, and the record's stages by name."""
    tools.called.clear()
    done = run_stages(stages, Path("record.json"), tools, independent=True)
    return list(tools.called), {one["name"]: one["lacks"] for one in done["stages"]}


def test_a_change_of_one_independent_stage_leaves_the_others(tools):
    independent(tools, stage("a"), stage("b"))
    assert independent(tools, stage("a", "y"), stage("b"))[0] == ["make a/one/product y"]
    assert run(tools, stage("a", "z"), stage("b")) == ["make a/one/product z", "make b/one/product x"]


def test_an_independent_stage_that_fails_is_noted_and_the_others_go_on(tools, capsys):
    tools.next = lambda target: 1
    called, lacks = independent(tools, stage("a"), stage("b"))
    assert called == ["make a/one/product x", "make b/one/product x"]
    assert lacks["b"] == "" and lacks["a"].startswith("the stage a ended with the exit status 1")
    assert json.loads(Path("record.json").read_text())["stages"][0]["lacks"] == lacks["a"]
    assert "[1/2] a: makes a: left out, the stage a ended" in capsys.readouterr().out
    # Run again, it is tried again, and what it lacked is forgotten.
    assert independent(tools, stage("a"), stage("b")) == (["make a/one/product x"], {"a": "", "b": ""})


def test_ctrl_c_ends_independent_stages_too(tools):
    tools.next = lambda target: 130
    with pytest.raises(KeyboardInterrupt):
        independent(tools, stage("a"), stage("b"))
    assert tools.called == ["make a/one/product x"]
