"""Answers as CSV and Parquet."""

import csv
import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.tables import TABLE_COLUMNS, write_table
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.performance import Answer, Moment
from pydeepexpr.pipeline import Query, Retriever
from pydeepexpr.video import Frame


@pytest.fixture
def moments(tiny):
    """Three frames: with two faces, without one, and with an image that stands in for a face."""
    fc6, prob = tiny.recogniser.features(tiny.faces[:1])
    landmarks = np.arange(98.0).reshape(49, 2)
    seen = (tiny.faces[0], np.array([1.0, 2, 3, 4]), landmarks, np.full(9, 0.5), 0.0, 2.0, fc6[0], prob[0])
    query = Query("film.mp4", *seen, stand_in=False)
    retriever = Retriever(tiny.store, tiny.recogniser)

    def answer(query):
        return Answer(query, {"mery": retriever.retrieve(query, 2), "ray": retriever.retrieve(query, 1)})

    stand_in = dataclasses.replace(query, stand_in=True, geometry=np.full(9, np.nan), score=float("nan"))
    answers = [[answer(query), answer(dataclasses.replace(query, number=4))], [], [answer(stand_in)]]
    return [Moment(Frame(number, number / 25, None), these) for number, these in enumerate(answers)]


def written(path, moments):
    with write_table(path, {"normalisation": "l1"}) as table:
        for moment in moments:
            table.append("film.mp4", moment)
    return path


def test_a_csv_has_a_row_a_match_and_one_without_a_face(moments, tmp_path):
    with written(tmp_path / "t.csv", moments).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == TABLE_COLUMNS.names
    said = [(row["frame"], row["face_id"], row["success"], row["store"], row["rank"]) for row in rows]
    faces = [("mery", "1"), ("mery", "2"), ("ray", "1")]
    expected = [("0", face, "1", *match) for face in ("0", "4") for match in faces]
    expected += [("1", "", "0", "", "")] + [("2", "0", "0", *match) for match in faces]
    assert said == expected
    assert [row["timestamp"] for row in rows[::6]] == ["0", "0.04"] and {row["filename"] for row in rows} == {
        "film.mp4"
    }


def test_columns_hold_what_their_names_say(moments, tmp_path):
    row = pq.read_table(written(tmp_path / "t.parquet", moments)).to_pylist()[1]
    query, match = moments[0].answers[0].query, moments[0].answers[0].matches["mery"][1]
    assert [row[f"box_{edge}"] for edge in ("left", "top", "right", "bottom")] == [1, 2, 3, 4]
    assert [(row[f"x_{number}"], row[f"y_{number}"]) for number in range(49)] == [(2 * n, 2 * n + 1) for n in range(49)]
    assert row["confidence"] == 0.5  # of a score of 0
    np.testing.assert_allclose([row[name] for name in EXPRESSIONS], query.prob)
    assert row["predicted"] == EXPRESSIONS[query.predicted]
    assert (row["rank"], row["js_rank"], row["js"], row["match_row"]) == (2, match.js_rank, match.divergence, match.row)
    assert (row["match_key"], row["match_path"], row["match_source"]) == (match.key, match.path, match.source)
    assert (row["match_predicted"], row["match_label"]) == (EXPRESSIONS[match.predicted], EXPRESSIONS[match.label])


def test_what_is_not_known_is_empty(moments, tmp_path):
    rows = pq.read_table(written(tmp_path / "t.parquet", moments)).to_pylist()
    for row in (rows[6], rows[7]):
        assert (row["success"], row["confidence"]) == (0, 0)
        assert {row[name] for name in ("box_left", "x_0", "y_48", "geometric", "phi")} == {None}
    assert rows[7]["predicted"] and rows[6]["predicted"] is None
    assert b"nan" not in written(tmp_path / "t.csv", moments).read_bytes()


def test_both_formats_say_the_same_and_parquet_how_it_came_about(moments, tmp_path):
    table = pq.read_table(written(tmp_path / "t.parquet", moments))
    assert json.loads(table.schema.metadata[b"pydeepexpr"]) == {"normalisation": "l1"}
    with written(tmp_path / "t.csv", moments).open(newline="", encoding="utf-8") as file:
        for given, row in zip(csv.DictReader(file), table.to_pylist(), strict=True):
            for name, value in row.items():
                if isinstance(value, float):
                    assert float(given[name]) == pytest.approx(value, rel=1e-6)
                else:
                    assert given[name] == ("" if value is None else str(value))


def test_a_long_table_is_written_as_it_comes(moments, tmp_path):
    path = tmp_path / "t.parquet"
    with write_table(path, {}) as table:
        for _ in range(700):
            table.append("film.mp4", moments[0])
            assert len(table._waiting) < 1024 + 6
    assert pq.ParquetFile(path).metadata.num_row_groups == 5 and len(pq.read_table(path)) == 4200


def test_nothing_to_tell_is_a_table_without_rows(tmp_path):
    assert len(pq.read_table(written(tmp_path / "t.parquet", []))) == 0
    assert written(tmp_path / "t.csv", []).read_text().startswith('"filename","frame","face_id","timestamp"')


def test_an_error_leaves_nothing_behind(moments, tmp_path):
    with pytest.raises(ZeroDivisionError), write_table(tmp_path / "t.csv", {}) as table:
        table.append("film.mp4", moments[0])
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t.xlsx", "t", "csv"])
def test_other_endings(tmp_path, name):
    with pytest.raises(UserError, match=r"end the name in one of: \.csv, \.parquet"), write_table(tmp_path / name, {}):
        pass
