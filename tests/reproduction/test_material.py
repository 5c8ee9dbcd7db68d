"""What is found to reproduce the papers with."""

from pathlib import Path

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.reproduction.material import demo_material, own_material


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def own(**options):
    places = {"people": Path("data/lmdb/human"), "model": Path("runs/human/human.caffemodel")}
    places |= {"registered": Path("data/registered/people"), "frames": Path("data/registered/FERG_DB_256")}
    return own_material(**places, tuned="fc6-map", division="blocks", stores=Path("out"), **options)


def test_without_a_demo_there_is_none():
    assert demo_material(Path("work/demo")) is None


def test_a_demo_that_was_not_finished_is_an_error():
    touch("demo/stores/performers/meta.json", "demo/stores/cast/mei/meta.json")
    with pytest.raises(UserError, match="was not run to its end; run it again"):
        demo_material(Path("demo"))


def test_a_finished_demo():
    touch(
        "demo/report.html", "demo/stores/performers/meta.json", *(f"demo/stores/cast/{who}/meta.json" for who in "ba")
    )
    found = demo_material(Path("demo"))
    assert found.asked == Path("demo/stores/performers") and list(found.characters) == ["a", "b"]
    assert found.division == "own" and list(found.runs) == ["human", "a", "b"] and len(found.truth) == 2


def test_without_test_images_of_people_there_is_nothing():
    assert own() is None


def test_own_characters_that_are_tuned():
    touch("data/lmdb/human/test_lmdb/data.mdb", "data/registered/people/kdef/manifest.parquet", "runs/human/log.csv")
    for who in ("mery", "ray", "aia"):
        touch(f"data/lmdb/FERG_DB_256-{who}/test_lmdb/data.mdb")
    touch("data/lmdb/FERG_DB_256/test_lmdb/data.mdb")  # of all characters together
    touch(*(f"runs/{who}-fc6-map/{who}-fc6-map.caffemodel" for who in ("mery", "ray")))  # aia is not tuned yet
    found = own(epochs=7)
    assert found.about == "your people and mery, ray"
    assert found.characters == {"mery": Path("out/mery"), "ray": Path("out/ray")}
    assert found.people == (Path("data/registered/people/kdef"),) and found.division == "blocks"
    assert found.runs == {"human": Path("runs/human")} and found.human_epochs == 7
    first, second, _ = (step.arguments[1:] for step in found.extraction)
    assert first == ("runs/human/human.caffemodel", "data/lmdb/human/test_lmdb", "out/people", "--device", "auto")
    assert second[:3] == (
        "runs/mery-fc6-map/mery-fc6-map.caffemodel",
        "data/lmdb/FERG_DB_256-mery/test_lmdb",
        "out/mery",
    )


def test_where_nobody_tests_those_who_validate_ask():
    touch("data/lmdb/human/val_lmdb/data.mdb")
    assert own().extraction[0].arguments[2] == "data/lmdb/human/val_lmdb"
    touch("data/lmdb/human/test_lmdb/data.mdb")
    assert own().extraction[0].arguments[2] == "data/lmdb/human/test_lmdb"


def test_without_own_characters_the_projects_cast_answers():
    touch("data/lmdb/human/test_lmdb/data.mdb")
    found = own()
    assert len(found.characters) == 8 and found.frames is None and found.runs == {}
    (step,) = found.extraction
    assert step.arguments[1] == "models/human.caffemodel" and "come with it" in found.about
