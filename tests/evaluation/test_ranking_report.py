"""Figure 9 from files to files."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.ranking_report import PAPERS, report_ranking
from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire
from pydeepexpr.evaluation.study.votes import Ranked, Votes

RANKS = {"deepexpr": (1, 2, 3, 4, 5), "js": (5, 4, 3, 2, 1), "geometry": (2, 1, 3, 4, 5)}


@pytest.fixture
def study(tmp_path):
    """Two sets of five, of joy and of fear, with the same ranks."""
    questions = []
    for number, expression in enumerate(("joy", "fear")):
        pictures = tuple(
            Picture(
                f"p{number}{place}",
                f"mery/{number}{place}.png",
                "mery",
                expression,
                {name: ranks[place] for name, ranks in RANKS.items()},
            )
            for place in range(5)
        )
        questions.append(Question(f"q{number}", pictures, Picture(f"a{number}", f"{number}.png", "", expression)))
    settings = {"origin": {"data": "rig, 10 images", "split": "test", "model": "human.caffemodel"}}
    Questionnaire("ranking", tuple(questions), settings).write(tmp_path / "study.json")
    return tmp_path / "study.json"


def vote(study, path, *sets, by="50 people, Borda count"):
    questions = {
        f"q{number}": Ranked(50, {f"p{number}{place}": float(rank) for place, rank in enumerate(ranks)})
        for number, ranks in enumerate(sets)
    }
    Votes("ranking", Questionnaire.read(study).identifier, by, 50, questions).write(path)
    return path


def test_everything_is_written(study, tmp_path):
    # ρ of DeepExpr 1 and −1, of JS −1 and 1, of geometry 0.9 and −0.9.
    crowd = vote(study, tmp_path / "crowd.json", RANKS["deepexpr"], RANKS["js"])
    expert = vote(study, tmp_path / "expert.json", RANKS["deepexpr"], RANKS["geometry"], by="G. F.")
    files = {name: tmp_path / f"out.{name}" for name in ("json", "markdown", "csv")}
    text = report_ranking(
        study, expert=expert, crowd=crowd, figure=[tmp_path / "out.png", tmp_path / "out.pdf"], **files
    )
    assert text == files["markdown"].read_text()
    assert "deviate by 0.500 and 0.408, and the same face comes first in 20% of the sets" in text
    assert "| DeepExpr | expert: G. F. | 0.950 | 0.071 |" in text  # 1 and 0.9
    assert "| DeepExpr | crowd: 50 people, Borda count | 0.000 | 1.414 |" in text
    assert "| papers | expert | 0.773 | 0.336 | 0.934 | 0.706 | 0.355 | 0.910 |" in text
    assert "| papers | crowd | 0.793 | 0.356 | 0.942 | 0.716 | 0.343 | 0.927 |" in text
    assert "| papers, 2019 | expert and crowd |" in text and "| 93% |" in text
    assert "| joy | 1 | 1.000 | -1.000 | 0.900 |" in text and "| anger | 0 | – | – | – |" in text
    assert "human.caffemodel" in text and "missing" not in text
    record = json.loads(files["json"].read_text())
    assert record["correlations"]["crowd"]["deepexpr"]["spearman"]["sets"] == {"q0": 1.0, "q1": -1.0}
    assert record["correlations"]["crowd"]["geometry"]["kendall"]["mean"] == pytest.approx(0)
    assert len(record["tables"]) == 3 and record["provenance"]["command"]
    rows = list(csv.reader(files["csv"].read_text().splitlines()))
    assert ["DeepExpr", "expert: G. F.", "0.95"] in [row[:3] for row in rows]
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "out.pdf").read_bytes()[:4] == b"%PDF"


def test_what_is_missing_says_why(study, tmp_path):
    text = report_ranking(study, json=tmp_path / "out.json", figure=tmp_path / "out.svg")
    assert "missing (1): no expert ranked the sets; make the study with tools/study.py ranking" in text
    assert (
        "missing (2): no answers of people were collected; make the study with tools/study.py ranking and read them "
        "with tools/study.py read." in text
    )
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["correlations"]["crowd"]["missing"].startswith("no answers of people")
    drawn = (tmp_path / "out.svg").read_text()
    assert "(a) expert" in drawn and "missing: no answers of people" in drawn


def test_the_true_order_stands_in_for_an_expert(study, tmp_path):
    """The query at 0, faces at 0.1, 0.2 … in one unit: the order of DeepExpr."""
    frames = {f"{number}.png": 0.0 for number in range(2)}
    frames |= {f"mery/{number}{place}.png": 0.1 * (place + 1) for number in range(2) for place in range(5)}
    units = [[value] + [0.0] * 47 for value in frames.values()]
    pq.write_table(pa.table({"path": list(frames), "action_units": units}), tmp_path / "frames.parquet")
    text = report_ranking(study, true_order=[tmp_path / "frames.parquet"])
    assert "| DeepExpr | expert: distance between rig action units (known, no person) | 1.000 | 0.000 |" in text


def test_what_does_not_fit(study, tmp_path):
    votes = vote(study, tmp_path / "votes.json", RANKS["js"])
    with pytest.raises(UserError, match="--true-order stands in for an expert; give it or --expert"):
        report_ranking(study, expert=votes, true_order=["frames.parquet"])
    with pytest.raises(UserError, match="end the name in one of"):
        report_ranking(study, figure=tmp_path / "out.gif")
    with pytest.raises(UserError, match=r"cannot read .*none\.json"):
        report_ranking(tmp_path / "none.json")
    with pytest.raises(UserError, match=r"study\.json holds no votes"):
        report_ranking(study, crowd=study)
    with pytest.raises(UserError, match=r"votes\.json"):
        report_ranking(votes)


def test_the_papers_values():
    """As in section 5.2 of Aneja et al. 2016."""
    assert PAPERS["expert"] == {"spearman": (0.773, 0.336, 0.934), "kendall": (0.706, 0.355, 0.910)}
    assert PAPERS["crowd"] == {"spearman": (0.793, 0.3561, 0.942), "kendall": (0.716, 0.343, 0.927)}


def test_the_tool_takes_what_its_help_shows(parsed_to_the_end):
    order = ["--true-order", "a/frames.parquet", "b/frames.parquet", "--figure", "out.png", "out.pdf"]
    parsed_to_the_end(
        [
            ["tools/evaluate.py", "ranking", "study.json", "--expert", "e.json", "--crowd", "votes.json"],
            ["tools/evaluate.py", "ranking", "study.json", *order, "--json", "out.json"],
            ["tools/evaluate.py", "table2", "votes.json", "--study", "study.json", "--csv", "out.csv"],
            ["tools/evaluate.py", "table2"],
        ]
    )
