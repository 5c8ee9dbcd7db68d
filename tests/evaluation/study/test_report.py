"""Studies from files to files: a key and a page, answers, votes, and a list for the next training."""

import json

import numpy as np
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of
from pydeepexpr.evaluation.study.drawing import Drawn
from pydeepexpr.evaluation.study.page import shown_pictures
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.report import report_answers, report_filter, write_study
from pydeepexpr.evaluation.study.votes import Votes
from pydeepexpr.files import read_names
from pydeepexpr.images import read_image


def answer(study, folder, rater, choose):
    """Write what a page would save when `choose` says the answer to a picture's intended expression."""
    said = {question.identifier: choose(question.pictures[0].expression) for question in study.questions}
    said |= {name: check.wanted for name, check in checks_of(study).items()}
    answers = [{"question": name, "position": 1, "choice": choice, "seconds": 1} for name, choice in said.items()]
    names = {"study": study.identifier, "kind": study.kind, "session": f"s-{rater}", "rater": rater}
    path = folder / f"{rater}.json"
    path.write_text(json.dumps({"version": 1, **names, "answers": answers}))
    return path


def test_from_a_study_to_a_list(recognition, pictures, tmp_path):
    said = write_study(Drawn(recognition, pictures(recognition)), tmp_path / "study")
    assert "7 questions, 2 attention checks" in said and "licences" in said and "do not give it to raters" in said
    study = Questionnaire.read(tmp_path / "study" / "study.json")
    assert study.questions == recognition.questions
    files = [answer(study, tmp_path, "a", lambda right: right), answer(study, tmp_path, "b", lambda right: "joy")]
    written = {name: tmp_path / f"votes.{name}" for name in ("json", "csv", "markdown")}
    text = report_answers(tmp_path / "study" / "study.json", [*files, files[0]], **written)
    assert text.startswith("3 sessions read, 2 counted.\nleft out, the same session, read again: 1\n")
    votes = Votes.read(written["json"])
    assert {one.intended: one.share for one in votes.questions.values()} == {
        expression: 1.0 if expression == "joy" else 0.5
        for expression in ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
    }
    # 7 of 7 and 1 of 7 recognised: 8 of 14
    assert "| all | 7 | 14 | 57.1% |" in written["markdown"].read_text()
    assert "all,7,14,0.5714285714285714" in written["csv"].read_text()
    assert "| all | 1 | 6 | 0 |" in report_filter(written["json"], tmp_path / "out.txt", kept=tmp_path / "kept.txt")
    assert read_names(tmp_path / "kept.txt") == ["joy/1.png"] and len(read_names(tmp_path / "out.txt")) == 6


def test_a_key_is_not_written_over(recognition, ranking, pictures, tmp_path):
    write_study(Drawn(recognition, pictures(recognition)), tmp_path)
    key = (tmp_path / "study.json").read_bytes()
    with pytest.raises(UserError, match="holds another study"):
        write_study(Drawn(ranking, pictures(ranking)), tmp_path)
    with pytest.raises(UserError, match="holds another study"):
        write_study(Drawn(recognition, pictures(recognition)), tmp_path, checks=3)
    assert (tmp_path / "study.json").read_bytes() == key
    write_study(Drawn(recognition, pictures(recognition)), tmp_path, title="The same one")


def test_a_page_that_fails_leaves_nothing(recognition, tmp_path):
    def absent():
        raise UserError("there is no such file")

    drawn = Drawn(recognition, dict.fromkeys(shown_pictures(recognition), absent))
    with pytest.raises(UserError, match="no such file"):
        write_study(drawn, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_what_mechanical_turk_needs_for_single_questions(ranking, pictures, tmp_path):
    write_study(Drawn(ranking, pictures(ranking)), tmp_path, hits=True)
    names = sorted(path.stem for path in (tmp_path / "pictures").iterdir())
    assert names == shown_pictures(ranking)
    rows = (tmp_path / "hits.csv").read_text().splitlines()[1:]
    assert sorted(name for row in rows for name in row.split(",")[1:]) == names
    assert np.ptp(read_image(tmp_path / "pictures" / f"{names[0]}.jpg")) <= 2
