"""A table as Markdown, CSV and JSON."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.evaluation.table import Missing, Table

TABLE = Table(
    "A title",
    ("who", "images", "share", "score"),
    [
        ["ann", 1234, 0.5, 0.12345],
        ["bob", Missing("no pictures"), None, float("nan")],
        ["cid", 0, Missing("no pictures"), Missing("no luck")],
    ],
    {"share": ".1%"},
    "What it is.",
)


def test_markdown():
    assert TABLE.markdown() == (
        "What it is.\n\n"
        "| who | images | share | score |\n| --- | ---: | ---: | ---: |\n"
        "| ann | 1,234 | 50.0% | 0.123 |\n| bob | missing (1) | – | – |\n| cid | 0 | missing (1) | missing (2) |\n\n"
        "missing (1): no pictures.\n\nmissing (2): no luck.\n"
    )


def test_csv_has_numbers_in_full_and_reasons():
    rows = list(csv.reader(TABLE.csv().splitlines()))
    assert rows == [
        ["who", "images", "share", "score", "missing"],
        ["ann", "1234", "0.5", "0.12345", ""],
        ["bob", "", "", "", "no pictures"],
        ["cid", "0", "", "", "no pictures; no luck"],
    ]


def test_csv_without_gaps_has_no_column_for_them():
    assert Table("", ("a", "b"), [["x, y", 1]]).csv() == 'a,b\n"x, y",1\n'


def test_a_record_makes_the_same_table():
    again = Table.from_record(json.loads(json.dumps(TABLE.record(), allow_nan=False)))
    assert (again.markdown(), again.csv()) == (TABLE.markdown(), TABLE.csv())


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        Table("", ("a", "b"), [["x"]]).markdown()


cells = st.one_of(
    st.none(), st.floats(allow_infinity=False), st.integers(), st.builds(Missing, st.text("ab ", min_size=1))
)


@given(st.lists(st.tuples(st.text("xyz"), cells, cells), max_size=5))
def test_any_table_survives_its_record(rows):
    table = Table("t", ("a", "b", "c"), rows, last=True)
    again = Table.from_record(json.loads(json.dumps(table.record(), allow_nan=False)))
    assert (again.texts(), again.csv(), again.reasons()) == (table.texts(), table.csv(), table.reasons())
