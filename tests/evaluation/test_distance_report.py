"""The study's tables, record and figure, and its command."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr.evaluation.distance_report import distance_tables, report_distance
from pydeepexpr.evaluation.distance_study import DistanceStudy, distance_study

TOOL = Path(__file__).parents[2] / "tools" / "evaluate.py"


@pytest.fixture
def evaluate(monkeypatch, capsys):
    """Run `tools/evaluate.py distance`; return its exit status, output and errors."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", "distance", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOL), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


def test_a_table_by_hand():
    """Four queries of anger: geometry turns two first matches right, over the store, and costs the score a little."""
    top, score = np.zeros((2, 1, 2, 2, 4))
    top[0, :, 0], top[0, :, 1] = (1, 0, 0, 0), ((1, 0, 0, 0), (1, 1, 1, 0))
    score[0, :, 0], score[0, :, 1] = (0.1, 0.2, 0.3, 0.4), ((0.1, 0.2, 0.3, 0.4), (0.11, 0.21, 0.31, 0.41))
    study = DistanceStudy(np.zeros(4, int), np.ones(4, bool), ("l1",), (0.0, np.inf), {"top_1": top, "score": score}, 0)
    lines = "".join(table.markdown() for table in distance_tables(study)).splitlines()
    assert "| l1 | 25.0% | – | 0.250 | – |" in lines
    assert "| 0 | 25.0% ± 25.0 | 25.0% ± 25.0 |" in lines
    assert "| ∞ | +0.0 ± 0.0 | +50.0 ± 28.9 |" in lines  # √(1/3) / √4: within twice its error
    assert "| ∞ | +0.000 ± 0.000 | **+0.010 ± 0.000** |" in lines


def test_the_command(tiny, evaluate, tmp_path):
    files = {kind: tmp_path / name for kind, name in (("json", "d.json"), ("markdown", "d.md"), ("figure", "d.png"))}
    options = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    status, out, _ = evaluate(tiny.store.path, tiny.store.path, "--top", 5, "--ratios", 3, 0.3, *options)
    assert status == 0 and out.rstrip() == files["markdown"].read_text().rstrip()
    assert out.startswith("23 queries (store, tiny.caffemodel) against 23 images of the store store; the classifier")
    assert "8 of all these have no landmarks" in out and "evaluate.py distance" in out
    assert cv2.imread(str(files["figure"])).shape[1] > 1000
    record = json.loads(files["json"].read_text())
    study = distance_study(tiny.store, {"store": tiny.store}, 5, ratios=[0.3, 3])
    assert record["queries"] == 23 and record["classifier_accuracy"] == pytest.approx(study.classified.mean())
    assert len(record["settings"]) == 3 * 2 * 4
    by_reading = {
        (one["normalisation"], one["within"], one["alpha"], one["beta"]): one["top_5"] for one in record["settings"]
    }
    assert by_reading["softmax", "store", 1.0, 3.0]["mean"] == pytest.approx(study.mean("top_5")[0][1, 1, 2])
    change, error = study.change_by_geometry("top_5")
    found = by_reading["class-weight", "label", 0.0, 1.0]
    assert found["change"] == pytest.approx(change[2, 0, -1])
    assert found["standard_error_of_change"] == pytest.approx(error[2, 0, -1])
    for setting in record["settings"]:
        percent = f"{setting['top_5']['mean']:.1%}"
        assert (setting["beta"] != 0) or percent in out


@pytest.mark.parametrize("normalisations", [["l1"], ["class-weight", "l1"]])
@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_figures_of_fewer_readings(tiny, tmp_path, normalisations, ending):
    figure = tmp_path / f"d{ending}"
    text = report_distance(
        tiny.store.path, [tiny.store.path], top=1, normalise=normalisations, ratios=[], figure=figure
    )
    assert figure.stat().st_size > 5000
    assert text.count("| ∞ |") == 2  # top 1, score
    if ending == ".svg":
        drawn = figure.read_text()
        assert all(f">{how}</text>" in drawn for how in normalisations) and "classifier" in drawn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--figure", "d.bmp"], "cannot draw d.bmp"),
        (["--top", "24"], "cannot return the top 24"),
        (["--ratios", "0"], "ratios β/α must be positive numbers; 0 and infinity are always studied"),
        (["--ratios", "-2"], "ratios β/α must be positive"),
        (["--ratios", "nan"], "ratios β/α must be positive"),
        (["--normalise", "l2"], "invalid choice: 'l2'"),
        (["--ratios", "many"], "invalid float value: 'many'"),
    ],
)
def test_a_mistake_is_one_line(tiny, evaluate, options, message):
    status, out, err = evaluate(tiny.store.path, tiny.store.path, *options)
    assert (status, out) == (2, "") and message in err.splitlines()[-1]


def test_queries_that_cannot_be_opened(tiny, evaluate, tmp_path):
    (tmp_path / "list.txt").write_text("joy/1.png\n")
    assert "is a list of names; say with --root" in evaluate(tmp_path / "list.txt", tiny.store.path)[2]
    assert evaluate(tmp_path / "absent.txt", tiny.store.path, "--root", tmp_path)[0] == 2
    assert "is no feature store" in evaluate(tiny.store.path, tmp_path)[2]


def test_retrieval_without_a_label_is_a_reading(tiny, monkeypatch, capsys, tmp_path):
    """`evaluate.py retrieval` with the sort over the store, by φ: the study's own share."""
    options = ["--top", 5, "--beta", 3, "--sort-by", "phi", "--sort-within", "store", "--json", tmp_path / "r.json"]
    arguments = ["retrieval", tiny.store.path, tiny.store.path, *options]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
    with pytest.raises(SystemExit):
        runpy.run_path(str(TOOL), run_name="__main__")
    capsys.readouterr()
    study = distance_study(tiny.store, {"store": tiny.store}, 5, ratios=[3])
    sorted_ = [one for one in json.loads((tmp_path / "r.json").read_text())["settings"] if one["beta"]]
    assert [one["within"] for one in sorted_] == ["store"] * 3
    assert [one["top_5"] for one in sorted_] == pytest.approx(study.mean("top_5")[0][:, 1, 1].tolist())
