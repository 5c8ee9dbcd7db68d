"""Studies from what `tools/retrieve.py --json` recorded."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.results import record_of, record_of_cast
from pydeepexpr.evaluation.study.drawing import draw_ranking, draw_recognition
from pydeepexpr.evaluation.study.recorded import from_results
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.pipeline import Retriever, look


@pytest.fixture
def recorded(tiny, tmp_path):
    """A photograph whose face fills its middle half, and what two characters returned for it, as files."""
    photograph = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photo.png"), photograph)
    seen = look(tiny.recogniser, tiny.faces[0], "as-is")
    box, geometry = np.array([100.0, 50.0, 200.0, 150.0]), tiny.geometry[0]
    query = dataclasses.replace(seen, name=str(tmp_path / "photo.png"), box=box, geometry=geometry)
    retriever = Retriever(tiny.store, tiny.recogniser)
    found = {"mery": retriever.retrieve(query, 23), "ray": retriever.retrieve(query, 9)}
    write(tmp_path / "cast.json", record_of_cast(dict.fromkeys(found, retriever), [(query, found)]))
    write(tmp_path / "one.json", record_of(retriever, [(query, found["ray"])]))
    return tmp_path, photograph, query, found


def write(path, record):
    path.write_text(json.dumps(record))


def test_ranks_are_the_recorded_ones(recorded):
    folder, _, query, found = recorded
    source = from_results([folder / "cast.json"])
    assert source.characters == ["mery", "ray"]
    assert [(one.source, one.label) for one in source.queries] == [(query.name, query.predicted)]
    assert source.settings["query_labels"] == "predicted"
    for name, matches in found.items():
        shown = source.retrieve(0, name)
        assert shown.sources == [match.source for match in matches]
        assert shown.ranks["deepexpr"].tolist() == list(range(1, len(matches) + 1))
        assert np.argsort(shown.ranks["js"]).tolist() == np.argsort([match.js_rank for match in matches]).tolist()
        geometric = np.nan_to_num([match.geometric for match in matches], nan=np.inf)
        assert np.argsort(shown.ranks["geometry"], kind="stable").tolist() == np.argsort(geometric).tolist()
        assert shown.labels.tolist() == [match.label for match in matches]


def test_a_photograph_is_cropped_around_its_face(recorded):
    """The box is 100 wide and high, so 35 are added on each side: columns 65 to 235, rows 15 to 185."""
    folder, photograph, _, _ = recorded
    face = from_results([folder / "cast.json"]).queries[0].picture()
    np.testing.assert_array_equal(face, photograph[15:185, 65:235])


def test_pictures_of_matches_come_from_the_store(tiny, recorded):
    folder, _, _, found = recorded
    shown = from_results([folder / "cast.json"]).retrieve(0, "ray")
    for place, match in enumerate(found["ray"]):
        np.testing.assert_array_equal(shown.picture(place), tiny.faces[match.row])


def test_a_record_of_one_store_is_of_one_character(recorded):
    folder, _, _, found = recorded
    source = from_results([folder / "one.json"])
    assert source.characters == ["store"]  # the folder's name
    assert source.retrieve(0, "store").sources == [match.source for match in found["ray"]]


def test_several_records_are_one_source(recorded):
    folder = recorded[0]
    source = from_results([folder / "cast.json", folder / "cast.json"])
    assert len(source.queries) == 2
    study = draw_recognition(source).questionnaire
    assert len(study.questions) == 4 and study.settings["query_labels"] == "predicted"


def test_a_ranking_is_drawn_from_what_was_retrieved(recorded):
    folder, _, query, found = recorded
    wanted = [match.source for match in found["mery"] if match.label == query.predicted]
    study = draw_ranking(from_results([folder / "cast.json"]), sets=1, size=len(wanted)).questionnaire
    (question,) = study.questions
    assert sorted(picture.source for picture in question.pictures) == sorted(wanted)
    best = min(question.pictures, key=lambda picture: picture.ranks["deepexpr"])
    assert best.source == wanted[0] and best.expression == EXPRESSIONS[query.predicted]


def test_another_store_in_its_place_is_found_out(tiny, recorded):
    folder = recorded[0]
    record = json.loads((folder / "one.json").read_text())
    record["queries"][0]["matches"][2]["source"] = "joy/other.png"
    write(folder / "one.json", record)
    with pytest.raises(UserError, match="is not the store that the matches came from"):
        from_results([folder / "one.json"])
    record["queries"][0]["matches"][2]["row"] = 23
    write(folder / "one.json", record)
    with pytest.raises(UserError, match="is not the store that the matches came from"):
        from_results([folder / "one.json"])


def test_another_photograph_in_its_place_is_found_out(recorded):
    folder = recorded[0]
    cv2.imwrite(str(folder / "photo.png"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(UserError, match="is not the one that was asked with"):
        from_results([folder / "cast.json"]).queries[0].picture()
    (folder / "photo.png").unlink()
    with pytest.raises(UserError, match=r"cannot show the photograph .*photo\.png: there is no such file"):
        from_results([folder / "cast.json"]).queries[0].picture()


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.pop("queries"),
        lambda record: record.pop("normalisation"),
        lambda record: record.update(stores=None),
        lambda record: record.update(stores={"mery": {}}),
        lambda record: record["queries"][0].pop("matches"),
        lambda record: record["queries"][0].pop("name"),
        lambda record: record["queries"][0].update(box=[1, 2, 3]),
        lambda record: record["queries"][0].update(box="left"),
        lambda record: record["queries"][0].update(predicted="bored"),
        lambda record: record["queries"][0]["matches"].pop("ray"),
        lambda record: record["queries"][0]["matches"]["ray"][0].pop("js"),
        lambda record: record["queries"][0]["matches"]["ray"][0].update(row="first"),
        lambda record: record["queries"][0]["matches"]["ray"][0].update(rank=None),
        lambda record: record["queries"][0]["matches"]["ray"][0].update(label="bored"),
        lambda record: record["queries"].clear(),
    ],
)
def test_a_damaged_record_is_refused(recorded, damage):
    path = recorded[0] / "cast.json"
    record = json.loads(path.read_text())
    damage(record)
    write(path, record)
    with pytest.raises(UserError, match=r"cast\.json"):
        from_results([path])


def test_what_is_no_record_is_refused(recorded, tmp_path):
    folder = recorded[0]
    with pytest.raises(UserError, match="no results were given"):
        from_results([])
    with pytest.raises(UserError, match=r"differs from .* in stores; draw from one alone"):
        from_results([folder / "cast.json", folder / "one.json"])
    with pytest.raises(UserError, match=r"cannot read .*none\.json"):
        from_results([tmp_path / "none.json"])
    for text in ("", "[]", "{}", '{"store": 3}'):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(UserError, match=r"bad\.json"):
            from_results([tmp_path / "bad.json"])
    record = json.loads((folder / "one.json").read_text())
    shutil.rmtree(tmp_path / "gone", ignore_errors=True)
    record["store"]["path"] = str(tmp_path / "gone")
    write(folder / "one.json", record)
    with pytest.raises(UserError, match="gone is no feature store"):
        from_results([folder / "one.json"])
