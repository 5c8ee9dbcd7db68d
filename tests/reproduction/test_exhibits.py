"""The registry of tables and figures: its commands, and what each of them is made of."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pydeepexpr.reproduction.exhibits import EXHIBITS, Place, exhibit_stages
from pydeepexpr.reproduction.material import Material

BOTH = ("table", "figure")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def material():
    return Material(
        "demo",
        "rendered",
        Path("s/people"),
        {"mei": Path("s/mei"), "otis": Path("s/otis")},
        people=(Path("r/people"),),
        frames=Path("r/cast"),
        runs={"human": Path("runs/human")},
        truth=(Path("people.parquet"), Path("cast.parquet")),
    )


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def words(step):
    """Return a command with its tool's name alone."""
    return " ".join((Path(step.arguments[0]).stem, *step.arguments[1:]))


def commands(material, name):
    stages = exhibit_stages(material, Place(Path("out"), Path("votes")), BOTH)
    return [words(step) for stage in stages if stage.name == name for step in stage.steps()]


def test_every_exhibit_is_a_tool_that_takes_its_arguments(material, parsed_to_the_end):
    touch("votes/ranking/a.csv", "votes/recognition/b.json", "votes/expert/c.csv")
    stages = exhibit_stages(material, Place(Path("out"), Path("votes")), BOTH)
    parsed_to_the_end([step.arguments for stage in stages for step in stage.steps()])


def test_names_and_products_are_their_own(material):
    stages = exhibit_stages(material, Place(Path("out"), Path("votes")), BOTH)
    assert [stage.name for stage in stages] == [one.name for one in EXHIBITS]
    assert len({one.name for one in EXHIBITS}) == len(EXHIBITS)
    for stage in stages:
        for step in stage.steps():
            assert Path("out", stage.name) in step.product.parents


def test_kinds_are_made_apart(material):
    place = Place(Path("out"), Path("votes"))
    tables, figures = (exhibit_stages(material, place, [kind]) for kind in BOTH)
    assert {"table1", "accuracy", "figure9", "table2"} == {stage.name for stage in tables}
    assert {stage.name for stage in tables} & {stage.name for stage in figures} == {"figure9"}  # numbers and a chart
    assert len(tables) + len(figures) == len(EXHIBITS) + 1


def test_what_a_material_has_not_is_said(material):
    bare = replace(material, people=(), runs={})
    lacks = {stage.name: stage.lacks for stage in exhibit_stages(bare, Place(Path("out"), Path("votes")), BOTH)}
    assert {name for name, why in lacks.items() if why} == {"figure4", "curves"}
    assert "no registered photographs" in lacks["figure4"]


def test_table_1(material):
    assert commands(material, "table1") == [
        "evaluate table1 s/people s/mei s/otis --markdown out/table1/table1.md --csv out/table1/table1.csv "
        "--json out/table1/table1.json"
    ]


def test_accuracies_of_what_was_trained(material):
    quick = "evaluate accuracy --people s/people --tuned s/mei s/otis"
    outputs = (
        "--figures out/accuracy --markdown out/accuracy/accuracy.md --csv out/accuracy/accuracy.csv "
        "--json out/accuracy/accuracy.json"
    )
    touch("s/people/meta.json", "s/mei/meta.json", "s/otis/meta.json")
    earlier = replace(material, earlier=Path("e.json"))
    assert commands(earlier, "accuracy") == [f"{quick} --earlier e.json {outputs}"]
    touch("out/full/random/store/meta.json", "out/full/without-mei/store/meta.json")  # and without-otis is missing
    touch(*(f"out/full/human/fold{fold}/store/meta.json" for fold in (1, 2)))  # and no report yet: folds are missing
    assert commands(material, "accuracy") == [
        f"{quick} --random out/full/random/store --trained random=50 epochs {outputs}"
    ]
    touch("out/full/human/report.json", "out/full/apart/store/meta.json", "out/full/without-otis/store/meta.json")
    assert commands(earlier, "accuracy") == [
        f"{quick} --folds out/full/human/fold1/store out/full/human/fold2/store --random out/full/random/store "
        f"--apart out/full/apart/store --left-out out/full/without-mei/store out/full/without-otis/store "
        f"--trained folds=50 epochs random=50 epochs apart=50 epochs left-out=50 epochs {outputs}"
    ]


def test_the_ranking_study_without_people_has_the_rigs_order(material):
    drawn, ranked = commands(material, "figure9")
    assert drawn == "study ranking s/people s/mei s/otis --out out/figure9/study"
    assert ranked.startswith(
        "evaluate ranking out/figure9/study/study.json --true-order people.parquet cast.parquet --figure "
    )


def test_photographs_have_no_order_of_their_own(material):
    assert "--true-order" not in commands(replace(material, truth=()), "figure9")[-1]


def test_peoples_answers_are_read(material):
    touch("votes/ranking/b.csv", "votes/ranking/a.json", "votes/ranking/notes.txt", "votes/expert/x.CSV")
    _, expert, crowd, ranked = commands(material, "figure9")
    answers = "votes/ranking/a.json votes/ranking/b.csv"
    assert crowd == f"study read out/figure9/study/study.json {answers} --json out/figure9/ranking.json"
    assert expert.split()[3:5] == ["votes/expert/x.CSV", "--json"]
    assert "--expert out/figure9/expert.json --crowd out/figure9/ranking.json" in ranked and "--true" not in ranked
    touch("votes/recognition/a.csv")
    table = commands(material, "table2")[-1]
    assert table.startswith("evaluate table2 out/table2/votes.json --study out/table2/study/study.json --markdown")


def test_new_answers_are_noticed(material):
    """A step that reads files is made again when they change."""
    touch("votes/recognition/a.csv")
    stages = exhibit_stages(material, Place(Path("out"), Path("votes")), BOTH)
    steps = next(stage for stage in stages if stage.name == "table2").steps()
    assert Path("votes/recognition/a.csv") in steps[1].reads


def test_the_stages_can_be_recorded(material):
    record = [{"name": s.name, "about": s.about} for s in exhibit_stages(material, Place(Path("o"), Path("v")), BOTH)]
    assert json.loads(json.dumps(record)) == record
