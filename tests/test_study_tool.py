"""The command line of perceptual studies: what it writes, and how it refuses."""

import json
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.evaluation.study.checks import checks_of
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.evaluation.study.votes import Votes
from pydeepexpr.files import read_names

TOOLS = Path(__file__).parents[1] / "tools"


@pytest.fixture
def study(tmp_path, monkeypatch, capsys):
    """Run tools/study.py in a folder of its own; return its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["study.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(TOOLS / "study.py"), run_name="__main__")
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err

    return call


@pytest.fixture
def cast(tiny, tmp_path):
    """The stores of two characters, whose models were fine-tuned from the tiny one, with the LMDB of their pictures."""
    shutil.copytree(tiny.lmdb.parent, tmp_path / "cast" / "data")
    for name in ("ray", "mery"):
        shutil.copytree(tiny.store.path, tmp_path / "cast" / name)
        meta = tmp_path / "cast" / name / "meta.json"
        record = json.loads(meta.read_text())
        record["models"][0] |= {"name": name, "sha256": name * 8, "ancestry": [tiny.recogniser.identity.sha256]}
        meta.write_text(json.dumps(record))
    return [tmp_path / "cast" / "mery", tmp_path / "cast" / "ray"]


@pytest.fixture
def poses(tiny, tmp_path):
    """A registered folder of seven labelled images."""
    (tmp_path / "poses").mkdir()
    for number in range(7):
        cv2.imwrite(str(tmp_path / "poses" / f"{number}.png"), tiny.faces[number])
    columns = {
        "path": [f"{number}.png" for number in range(7)],
        "source": [f"ray/{number}.png" for number in range(7)],
        "character": ["ray"] * 7,
        "expression": pa.array(range(7), pa.int8()),
    }
    pq.write_table(pa.table(columns), tmp_path / "poses" / "manifest.parquet")
    return tmp_path / "poses"


def answer(folder, rater, choose):
    """Write what a page would save when `choose` answers a picture's intended expression; attentively."""
    key = Questionnaire.read(folder / "study.json")
    said = {question.identifier: choose(question.pictures[0].expression) for question in key.questions}
    said |= {name: check.wanted for name, check in checks_of(key).items()}
    names = {"version": 1, "study": key.identifier, "kind": key.kind, "session": rater, "rater": rater}
    answers = [{"question": name, "choice": choice} for name, choice in said.items()]
    Path(f"{rater}.json").write_text(json.dumps({**names, "answers": answers}))
    return f"{rater}.json"


def test_key_poses_from_faces_to_an_exclusion_list(study, poses, tmp_path):
    Path("names.txt").write_text("\n".join(f"ray/{number}.png" for number in (0, 3, 5)))
    status, out, _ = study("recognition", "--faces", poses, "--names", "names.txt", "--out", "asked", "--checks", 1)
    assert status == 0 and "asked/page.html: 3 questions, 1 attention checks" in out and "licences allow" in out
    files = [answer(tmp_path / "asked", "a", lambda right: right), answer(tmp_path / "asked", "b", lambda right: "joy")]
    written = ("--json", "votes.json", "--csv", "votes.csv", "--markdown", "votes.md")
    status, out, _ = study("read", "asked/study.json", *files, *written)
    assert status == 0 and out.startswith("2 sessions read, 2 counted.")
    assert Votes.read("votes.json").by == "2 people" and Path("votes.csv").exists() and Path("votes.md").exists()
    record = json.loads(Path("votes.json").read_text())
    assert [table["title"] for table in record["tables"]] == ["What people saw", "What people saw, by character"]
    status, out, _ = study("filter", "votes.json", "--out", "excluded.txt", "--kept", "kept.txt")
    assert status == 0 and "| all | 1 | 2 | 0 |" in out
    assert read_names("excluded.txt") == ["ray/0.png", "ray/5.png"] and read_names("kept.txt") == ["ray/3.png"]
    assert study("filter", "votes.json", "--agreement", 0.5, "--out", "none.txt")[0] == 0
    assert Path("none.txt").read_text().count("\n") == 1


def test_studies_of_what_stores_return(study, tiny, cast):
    status, out, _ = study("recognition", tiny.store.path, *cast, "--each", 1, "--out", "table2", "--title", "Hello")
    assert status == 0 and "14 questions" in out and "<title>Hello</title>" in Path("table2/page.html").read_text()
    asked = Questionnaire.read("table2/study.json")
    assert sorted({question.pictures[0].character for question in asked.questions}) == ["mery", "ray"]
    arguments = ("ranking", tiny.store.path, *cast, "--sets", 4, "--size", 3, "--hits", "--contact", "a@b.c")
    status, out, _ = study(*arguments, "--out", "figure9")
    assert status == 0 and "4 questions" in out
    asked = Questionnaire.read("figure9/study.json")
    assert [len(question.pictures) for question in asked.questions] == [3] * 4
    assert len(list(Path("figure9/pictures").iterdir())) == 16 and Path("figure9/hits.csv").exists()
    study(*arguments, "--out", "again", "--normalise", "l1")
    assert Questionnaire.read("again/study.json").settings["normalisation"] == "l1"


def test_voting_schemes_and_attention(study, tiny, cast):
    study("ranking", tiny.store.path, *cast, "--sets", 2, "--size", 3, "--out", ".", "--checks", 1)
    key = Questionnaire.read("study.json")
    orders = {one.identifier: [picture.identifier for picture in one.pictures] for one in key.questions}
    orders |= {name: list(check.wanted)[::-1] for name, check in checks_of(key).items()}
    answers = [{"question": name, "order": order} for name, order in orders.items()]
    record = {"version": 1, "study": key.identifier, "session": "1", "rater": "a", "answers": answers}
    Path("a.json").write_text(json.dumps(record))
    status, out, err = study("read", "study.json", "a.json", "--json", "votes.json")
    assert (status, out) == (2, "") and "failed an attention check: 1" in err and not Path("votes.json").exists()
    arguments = ("read", "study.json", "a.json", "--json", "votes.json", "--keep-inattentive", "--voting", "kemeny")
    assert study(*arguments)[0] == 0
    votes = Votes.read("votes.json")
    assert votes.by == "1 person, Kemeny's rule"
    assert [sorted(ranks.values()) for ranks in votes.ranks.values()] == [[1, 2, 3]] * 2
    status, _, err = study("filter", "votes.json", "--out", "x.txt")
    assert status == 2 and "these votes rank faces" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recognition", "--out", "x"], "from one source: stores, --results, --faces; given: none"),
        (["ranking", "store", "--results", "a.json", "--out", "x"], "given: stores and --results"),
        (["ranking", "store", "--out", "x"], "name the stores of the characters"),
        (["recognition", "store", "--names", "a.txt", "--out", "x"], "--names chooses among --faces"),
        (["recognition", "--faces", "absent", "--out", "x"], "absent holds no manifest.parquet"),
        (
            ["recognition", "--faces", "poses", "--names", "absent", "--out", "x"],
            "cannot read the list of names absent",
        ),
        (["recognition", "--faces", "poses", "--checks", "8", "--out", "x"], "--checks 0 to 7"),
        (["recognition", "--faces", "poses", "--per-rater", "0", "--out", "x"], "--per-rater 0"),
        (["ranking", "--results", "absent.json", "--out", "x"], "absent.json"),
        (["ranking", "absent", "absent", "--out", "x"], "absent"),
        (["read", "absent.json", "a.json"], "cannot read absent.json"),
        (["filter", "absent.json", "--out", "x"], "cannot read absent.json"),
    ],
)
def test_bad_input_is_one_line_and_status_2(study, poses, arguments, message):
    before = sorted(Path().rglob("*"))
    status, out, err = study(*arguments)
    assert (status, out) == (2, "") and sorted(Path().rglob("*")) == before
    assert err.startswith("error: ") and message in err and err.count("\n") == 1


def test_examples_of_the_help_are_read(parsed_to_the_end):
    text = (TOOLS / "study.py").read_text().split('"""')[1]
    commands = [line.split()[1:] for line in text.splitlines() if line.startswith("python ")]
    assert len(commands) == 6
    parsed_to_the_end([[str(TOOLS / "study.py"), *arguments[1:]] for arguments in commands])
