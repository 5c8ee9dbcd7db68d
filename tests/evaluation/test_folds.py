"""The report of a cross-validation, worked by hand on the stores of two folds."""

import json

import numpy as np
import pyarrow as pa
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.folds import spread, write_report
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import write_store
from pydeepexpr.files import write_json
from pydeepexpr.lineage import ModelIdentity

MODEL = ModelIdentity("human.caffemodel", "a" * 64, (), {"scale": 1.0, "mean_value": [0.0], "crop_size": 227})
ANGER, DISGUST, JOY, SADNESS = 0, 1, 3, 5
#: What is and what was predicted: 3 of 4 right in the first fold, 2 of 5 in the second.
FOLDS = [
    ([ANGER, ANGER, JOY, JOY], [ANGER, DISGUST, JOY, JOY]),
    ([ANGER, JOY, JOY, SADNESS, SADNESS], [ANGER, JOY, ANGER, JOY, ANGER]),
]
PERSONS = [["x", "x", "y", "y"], ["z"] * 5]


def write_folds(out, persons=PERSONS):
    for fold, ((labels, predicted), who) in enumerate(zip(FOLDS, persons, strict=True)):
        count = len(labels)
        rows = {
            "path": [f"{fold}/{n}.png" for n in range(count)],
            "source": [f"{fold}/{n}.png" for n in range(count)],
            "expression": pa.array(labels, pa.int8()),
            "database": ["kdef"] * count,
            "subject": who,
            "fold": pa.array([fold] * count, pa.int8()),
            "key": [f"{n}" for n in range(count)],
        }
        with write_store(out / f"fold{fold + 1}/store", MODEL, np.zeros((7, 2), np.float32)) as writer:
            writer.append(np.zeros((count, 2)), np.eye(7)[predicted], np.zeros((count, 9)), pa.table(rows))
    return out


@pytest.fixture
def registered(tmp_path):
    """Two folders with a rejected image of anger, one of joy, and one of which nothing is known."""
    header = "path,reason,expression,subject\n"
    for name, lines in (("ckplus", "1.png,x,anger,S1\n2.png,x,,S1\n"), ("kdef", "3.png,x,joy,\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rejects.csv").write_text(header + lines)
    return [tmp_path / "ckplus", tmp_path / "kdef"]


def test_report_by_hand(tmp_path, registered):
    """Of two numbers the deviation of a sample is their distance by √2."""
    out = write_folds(tmp_path / "out")
    write_json(out / "stages.json", {"steps": {"a": {"seconds": 1.5}, "b": {"seconds": 2.25}}})
    write_json(out / "fold1/human/human.json", {"iterations": 50})
    text = write_report(out, registered, 2)
    record = json.loads(
        (out / "report.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
    )
    assert [one["accuracy"] for one in record["folds"]] == [3 / 4, 2 / 5]
    assert record["accuracy"] == {"mean": pytest.approx(0.575), "deviation": pytest.approx(0.35 / np.sqrt(2))}
    classes = record["classes"]
    assert list(classes) == list(EXPRESSIONS)
    assert classes["anger"] == {"mean": 0.75, "deviation": pytest.approx(0.5 / np.sqrt(2))}  # 1 of 2, 1 of 1
    assert classes["joy"] == {"mean": 0.75, "deviation": pytest.approx(0.5 / np.sqrt(2))}  # 2 of 2, 1 of 2
    assert classes["sadness"] == {"mean": 0.0, "deviation": None}, "in one fold alone"
    assert classes["fear"] == {"mean": None, "deviation": None}
    whole = record["whole"]
    assert (whole["images"], whole["rejected"], whole["unlabelled"]) == (11, 2, 1)
    assert whole["accuracy"] == 5 / 11 and whole["accuracy_of_accepted"] == 5 / 9
    assert whole["classes"]["sadness"]["predicted_as"] == {name: int(name in ("anger", "joy")) for name in EXPRESSIONS}
    assert record["persons"] == "subject-independent"
    assert (record["iterations"], record["seconds"]) == ([50, None], 3.8)
    assert record["registered"] == ["ckplus", "kdef"] and record["models"][0]["sha256"] == "a" * 64

    assert text == (out / "report.md").read_text()
    lines = text.splitlines()
    assert lines[:3] == [
        "Accuracy 57.50% ± 24.75% (mean and standard deviation of 2 folds; subject-independent).",
        "Of all 11 images 45.45% were recognised; 2 of them were rejected before and count as wrong.",
        "The paper reports 85.27%, subject-independent, on CK+, DISFA, KDEF and MMI.",
    ]
    assert "| anger | 3 | 50.0% | 100.0% | 75.0% ± 35.4% |" in lines
    assert "| sadness | 2 | – | 0.0% | 0.0% ± – |" in lines
    assert "| fear | 0 | – | – | – ± – |" in lines
    assert "| all | 9 | 75.0% | 40.0% | 57.5% ± 24.7% |" in lines
    assert "| sadness | 1 | 0 | 0 | 1 | 0 | 0 | 0 |" in lines
    assert (out / "confusion.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("persons", "said"),
    [
        ([["x", "x", "y", "y"], ["x"] * 5], "1 of 2 persons stand in several parts"),
        ([["x", "x", "y", "y"], ["z", "z", "", "", ""]], "kdef does not say who is who (3 images)"),
    ],
)
def test_persons_on_two_sides_are_told_wherever_the_number_is(tmp_path, registered, persons, said):
    out = write_folds(tmp_path / "out", persons)
    assert f"2 folds; not subject-independent: {said})." in write_report(out, registered, 2).splitlines()[0]
    assert json.loads((out / "report.json").read_text())["persons"] == f"not subject-independent: {said}"


def test_spread():
    assert spread([0.25, 0.75, float("nan"), 0.5]) == (0.5, 0.25)
    mean, deviation = spread([0.5, float("nan")])
    assert mean == 0.5 and np.isnan(deviation)
    assert np.isnan(spread([])).all()


def test_a_fold_that_is_missing(tmp_path, registered):
    with pytest.raises(UserError, match="fold3/store"):
        write_report(write_folds(tmp_path / "out"), registered, 3)
    assert not (tmp_path / "out/report.json").exists()
