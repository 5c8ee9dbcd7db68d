"""The demo's table of stages, what it asks with, and its command line."""

import runpy
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr import demo as demo_module
from pydeepexpr.demo import Scale, demo_stages, fast_precision, pick_queries
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import write_json

ROOT = Path(__file__).parents[1]


def write_manifest(path: Path, persons: int = 4) -> None:
    rows = [
        {
            "source": f"{name}/p{person}_{n}.png",
            "expression": label,
            "subject": f"p{person}",
            "split": split,
            "face": face,
        }
        for label, name in enumerate(EXPRESSIONS)
        for person in range(persons)
        for n, (split, face) in enumerate([("test", "detected"), ("test", "whole-image"), ("train", "detected")])
        if name != "fear" or split == "train"
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture
def stages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest(Path("d/registered/performers/manifest.parquet"))
    scale = Scale(performers=3, frames=14, cast_frames=70, epochs=2, finetune_epochs=4, precision="bf16")
    return {stage.name: stage for stage in demo_stages(Path("d"), scale, ("ann", "bob"))}


def test_every_stage_is_a_tool_that_takes_its_arguments(stages, parsed_to_the_end):
    """Each tool's own parser reads the command up to the end; what it would do is not done."""
    commands = [step.arguments for stage in stages.values() for step in stage.steps()]
    parsed_to_the_end(commands)
    assert len(commands) == 1 + 2 + 1 + 1 + 3 + 2 + 3 + 5 + 6 + 1 + 1


def test_products_are_what_the_next_stage_takes(stages):
    """What is named in a command below the demo's folder was made by an earlier one, or by this one."""
    made = {Path("d/astronaut.png")}
    for stage in stages.values():
        for step in stage.steps():
            made |= {step.product, step.place, *step.product.parents}
            for word in step.arguments:
                if word.startswith("d/") and not word.startswith("d/results/"):
                    inside = Path(word)
                    assert inside in made or any(parent in made and parent != Path("d") for parent in inside.parents), (
                        word
                    )


def test_products_are_apart(stages):
    steps = [step for stage in stages.values() for step in stage.steps()]
    places = [step.place for step in steps]
    assert len({step.product for step in steps}) == len(set(places)) == len(steps)
    assert not any(one in other.parents for one in places for other in places), "removing one would remove another"


def test_scale_reaches_the_commands(stages):
    (train,) = stages["human network"].steps()
    words = " ".join(train.arguments)
    assert "--precision bf16" in words and "--epochs 2 --drop-every 1.5 --resume" in words and train.passing
    assert "--performers 3 --frames 14" in " ".join(stages["performers"].steps()[0].arguments)
    assert stages["cast"].steps()[0].arguments[-2:] == ("--frames", "70")
    tune = " ".join(stages["fine-tuning"].steps()[1].arguments)
    assert "--weights d/runs/human/human.caffemodel --crops mirrored --once --precision bf16" in tune
    assert "--data d/lmdb/bob --out d/runs/bob --epochs 4 --drop-every 3" in tune
    assert "42 photographs of 3 people" in stages["performers"].about and "140 frames" in stages["cast"].about


def test_shipped_stage_says_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_module.paths, "find", lambda name: tmp_path / name)
    assert demo_stages(Path("d"), Scale(), ())[-1].lacks == "models/stores holds no features of characters"
    (tmp_path / "models/stores/ann").mkdir(parents=True)
    (tmp_path / "models/stores/ann/meta.json").touch()
    assert demo_stages(Path("d"), Scale(), ())[-1].lacks == ""


def test_queries_are_of_other_people_and_of_the_test_alone(tmp_path):
    write_manifest(tmp_path / "m.parquet")
    chosen = pick_queries(tmp_path / "m.parquet", 3)
    assert set(chosen) == set(EXPRESSIONS) - {"fear"}, "fear has no test photograph"
    for name, sources in chosen.items():
        assert len(sources) == len({source.partition("_")[0] for source in sources}) == 3
        assert all(source.startswith(f"{name}/") and source.endswith("_0.png") for source in sources)
    assert chosen == pick_queries(tmp_path / "m.parquet", 3)
    assert any(pick_queries(tmp_path / "m.parquet", 3, seed) != chosen for seed in range(1, 5))


def test_precision_follows_the_processor(monkeypatch):
    said = "flags\t: fpu avx512_bf16 sse\n"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: said)
    assert fast_precision() == "bf16"
    said = "flags\t: fpu avx2 avx512_bf16x\n"
    assert fast_precision() == "fp32"

    def absent(self, **_):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", absent)
    assert fast_precision() == "fp32"


@pytest.fixture
def tool(tmp_path, monkeypatch, capfd):
    """Run tools/demo.py with stand-ins for the stages; return status, output, errors."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, script="print('hi')"):
        from pydeepexpr.stages import Stage, Step

        product = Path("out/x")
        step = Step(("-c", f"import sys, pathlib; pathlib.Path({str(product)!r}).touch(); {script}"), product)
        monkeypatch.setattr(demo_module, "demo_stages", lambda *_: [Stage("only", "does it", lambda: [step])])
        monkeypatch.setattr(sys, "argv", ["demo.py", "--out", "out", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "tools/demo.py"), run_name="__main__")
        return ended.value.code, *capfd.readouterr()

    return run


def test_the_last_line_is_the_report(tool):
    status, out, err = tool()
    assert status == 0 and err == ""
    assert out.splitlines() == ["[1/1] only: does it …", out.splitlines()[1], "out/report.html"]
    assert Path("out/report.html").is_file() and Path("out/astronaut.png").is_file()
    assert "hi" in Path("out/stages.log").read_text()
    assert tool()[1].splitlines() == ["[1/1] only: does it: there already", "out/report.html"]


@pytest.mark.parametrize("option", ["--performers", "--frames", "--cast-frames", "--epochs", "--finetune-epochs"])
def test_numbers_above_0(tool, option):
    status, out, err = tool(option, "0")
    assert (status, out, err) == (2, "", f"error: {option} must be above 0, not 0\n")
    assert not Path("out").exists()


def test_a_command_that_says_why_it_failed_is_not_repeated(tool):
    status, out, err = tool(script="sys.exit('error: no room' and print('error: no room', file=sys.stderr) or 2)")
    assert (status, err) == (2, "error: no room\n")
    assert out == "[1/1] only: does it …\n"


def test_a_command_that_dies_is_named(tool):
    status, _, err = tool(script="sys.exit(7)")
    assert status == 2 and err.startswith("error: the stage only ended with the exit status 7: python -c ")
    assert err.count("\n") == 1


def test_a_damaged_record_begins_anew(tool):
    Path("out").mkdir()
    write_json("out/stages.json", [1])
    assert tool()[0] == 0
