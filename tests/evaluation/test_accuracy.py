"""Accuracies of several divisions: by hand, from earlier files, and what is missing."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.accuracy import DIVISIONS, accuracy_of, accuracy_tables, read_accuracies
from pydeepexpr.evaluation.report import report_accuracy


def store(labels, predicted, subject="", sequence="", made="2026-11-27T10:00:00+00:00"):
    """What is asked of a feature store; `subject` and `sequence` hold a letter an image, or are the same for all."""
    names = [(list(one) if len(one) == len(labels) else [one] * len(labels)) for one in (subject, sequence)]
    rows = pa.table({"database": ["kdef"] * len(labels), "subject": names[0], "sequence": names[1]})
    parts = ({"provenance": {"made": made}},)
    return SimpleNamespace(labels=np.array(labels), predicted=np.array(predicted), rows=rows, parts=parts)


def test_folds_by_hand():
    """3 of 4 in one fold, 1 of 2 in the other: 4 of 6 in all, 62.5 % ± 17.7 % over the folds (|75 − 50| / √2)."""
    folds = {
        "fold1": store([3, 3, 0, 6, -1], [3, 3, 1, 6, 3], "aabbc"),
        "fold2": store([0, 2], [0, 3], "de", made="2026-11-28T10:00:00+00:00"),
    }
    its = accuracy_of(folds, "4 epochs")
    assert its.result.accuracy == 4 / 6 and its.result.total == 6
    assert its.each == {"fold1": 0.75, "fold2": 0.5}
    assert its.confusion[0, 1] == its.confusion[2, 3] == its.confusion[0, 0] == 1 and its.confusion[3, 3] == 2
    record = its.record()
    assert record["mean"] == pytest.approx(0.625) and record["deviation"] == pytest.approx(0.25 / np.sqrt(2))
    assert its.made.startswith("2026-11-28")
    table = accuracy_tables({"folds": its})[0].markdown()
    assert "| human: five folds, each person in one | 66.67% |" in table
    assert "| 85.27% | 6 | 62.5% ± 17.7% over 2 folds | 4 epochs | 2026-11-28 |" in table


def test_persons_are_resampled_and_sequences_where_there_are_none():
    """A person who is all right and one who is all wrong: each is drawn twice in a quarter of the draws."""
    labels, predicted = [3] * 20, [3] * 10 + [0] * 10
    for names in ({"subject": "a" * 10 + "b" * 10}, {"sequence": "a" * 10 + "b" * 10}):
        its = accuracy_of({"one": store(labels, predicted, **names)})
        assert (its.low, its.high) == (0, 1)
    alone = accuracy_of({"one": store(labels, predicted)})
    assert 0.2 < alone.low < 0.35 and 0.65 < alone.high < 0.8  # 0.5 ± 1.96 · √(0.25 / 20) = 0.28 to 0.72


def test_what_was_not_measured_is_missing_with_its_reason():
    whole, classes = accuracy_tables({"people": accuracy_of({"one": store([3, 0], [3, 3])})})
    rows = {row[0]: row for row in whole.texts()}
    assert rows[DIVISIONS["folds"].about][1:3] == ["missing (1)", "–"]
    assert rows[DIVISIONS["random"].about][3] == "89.02%" and rows[DIVISIONS["left-out"].about][3] == "–"
    assert "make reproduce FULL=1" in whole.reasons()[0]
    assert classes.columns == ("expression", "people") and classes.texts()[3] == ["joy", "100.0%"]
    assert classes.texts()[1] == ["disgust", "–"]


def test_characters_stand_side_by_side():
    seen = accuracy_of({"mery": store([3, 0], [3, 0]), "ray": store([3, 0], [3, 3])})
    unseen = accuracy_of({"mery": store([3, 0], [0, 3])})
    by_character = accuracy_tables({"tuned": seen, "left-out": unseen})[-1]
    assert by_character.texts() == [["mery", "0.0%", "100.0%"], ["ray", "–", "50.0%"]]


def test_an_earlier_result_is_shown_with_date_and_command(tiny, tmp_path):
    earlier, now = tmp_path / "earlier.json", tmp_path / "now.json"
    stores = {"apart": [tiny.store.path], "people": [tiny.store.path]}
    report_accuracy(stores, trained={"apart": "3 epochs"}, json=earlier)
    record = json.loads(earlier.read_text())
    record["provenance"]["command"] = ["tools/evaluate.py", "accuracy", "full"]
    record["divisions"]["apart"]["made"] = "2020-02-02T00:00:00+00:00"
    earlier.write_text(json.dumps(record))
    text = report_accuracy({"people": [tiny.store.path]}, earlier=earlier, json=now, figures=tmp_path / "figures")
    hits = (tiny.store.labels == tiny.store.predicted).mean()
    assert f"{DIVISIONS['apart'].about} | {hits:.2%} |" in text and "| 3 epochs | 2020-02-02* |" in text
    assert "* From an earlier full run (2020-02-02: tools/evaluate.py accuracy full)." in text
    # Read again from the result of that, it still says which command made it.
    again = read_accuracies(now)
    assert again["apart"].command == "tools/evaluate.py accuracy full"
    assert again["people"].command != again["apart"].command
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == [f"confusion-{name}.{end}" for name in ("apart", "people") for end in ("pdf", "png")]


def test_a_long_command_is_told_in_brief(tiny, tmp_path):
    report_accuracy({"people": [tiny.store.path]}, json=tmp_path / "e.json")
    record = json.loads((tmp_path / "e.json").read_text())
    record["provenance"]["command"] = ["tools/evaluate.py", "accuracy", "--people", "s" * 100]
    (tmp_path / "e.json").write_text(json.dumps(record))
    said = read_accuracies(tmp_path / "e.json")["people"].command
    assert said == "tools/evaluate.py accuracy …, the whole command in e.json"


def test_stores_of_characters_go_by_their_names(tiny, tmp_path):
    """The rows of `tiny` name no character, so that its folder names it."""
    report_accuracy({"tuned": [tiny.store.path]}, json=tmp_path / "a.json")
    assert list(json.loads((tmp_path / "a.json").read_text())["divisions"]["tuned"]["each"]) == ["store"]


@pytest.mark.parametrize(
    "content", [None, "[]", "{}", '{"divisions": {}}', '{"divisions": {"apart": {}}, "provenance": {}}', "x"]
)
def test_no_earlier_result(tmp_path, content):
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json"):
        read_accuracies(tmp_path / "a.json")


def test_nothing_to_count():
    with pytest.raises(UserError, match="name one, for instance --people STORE"):
        report_accuracy({"people": [], "apart": []})
