"""The page: every table and figure that is there, what is missing with its reason, and nothing from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from pydeepexpr.evaluation.table import Missing, Table
from pydeepexpr.files import write_json
from pydeepexpr.reproduction.exhibits import EXHIBITS
from pydeepexpr.reproduction.material import Material
from pydeepexpr.reproduction.page import write_index

VOID = {"img", "meta", "br"}


class Page(HTMLParser):
    """The text, links and pictures of a page; fails on tags that do not close."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open, self.said, self.links, self.images, self.anchors = [], [], [], [], []
        self.feed(path.read_text())
        assert not self.open
        self.text = re.sub(r"\s+", " ", " ".join(self.said))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a":
            (self.links if "href" in attrs else self.anchors).append(attrs.get("href") or attrs["id"])
        if tag == "img":
            self.images.append(attrs)
        assert tag not in ("script", "link", "iframe")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


@pytest.fixture
def report(tmp_path):
    """A run with Table 1, a figure, and an exhibit that failed."""
    out = tmp_path / "report"
    rows = [["joy", 0.5, Missing("nobody <voted>")], ["average", 0.25, None]]
    table = Table("Scores", ("expression", "ours", "people"), rows, said="0 is best & 1 is worst.", last=True)
    papers = {"js": {"average": 0.187}, "geometry": {"average": 0.355}}
    scores = {"scores": {"js": {"average": 0.015}, "geometry": {"average": 0.25}}, "papers": papers}
    write_json(out / "demo/accuracy/accuracy.json", {"divisions": {"left-out": {"accuracy": 0.5}}, "tables": []})
    write_json(out / "demo/table1/table1.json", {**scores, "tables": [table.record()]})
    (out / "demo/table1/table1.csv").write_text(table.csv())
    (out / "demo/figure7").mkdir()
    cv2.imwrite(str(out / "demo/figure7/best.png"), np.zeros((40, 60, 3), np.uint8))
    steps = {
        str(out / "demo/table1/table1.json"): {"stage": "table1", "command": ["python", "tools/evaluate.py", "table1"]},
        str(out / "demo/figure7/best.json"): {"stage": "figure7", "command": ["python", "tools/figures.py", "best"]},
    }
    steps = {name: {**step, "seconds": 30.0, "finished": True} for name, step in steps.items()}
    lacks = {"embedding": "scikit-learn is not installed"}
    stages = [{"name": one.name, "about": one.title, "lacks": lacks.get(one.name, "")} for one in EXHIBITS]
    write_json(out / "demo/stages.json", {"stages": stages, "steps": steps})
    return out


def material(name="demo", **what):
    return Material(name, f"the people of {name}", Path("s"), {"mei": Path("c")}, truth=(Path("t"),), **what)


def test_what_is_there_is_shown(report):
    page = Page(write_index(report, [material()]))
    assert "joy 0.500 missing (1)" in page.text and "0 is best & 1 is worst." in page.text
    assert "Missing: (1) — nobody <voted>." in page.text
    assert "python tools/evaluate.py table1" in page.text and "python tools/figures.py best" in page.text
    assert "0.015 retrieval score by DeepExpr (0 is best); papers 0.187" in page.text
    assert "50.0% recognised, character: one that it has never seen; nobody has published one" in page.text
    (image,) = page.images
    assert image["src"].startswith("data:image/jpeg") and image["alt"] == "Figure 7: the best match of every character"
    assert "1.0 minutes" in page.text and "the people of demo" in page.text


def test_what_is_missing_has_its_reason(report):
    text = Page(write_index(report, [material()])).text
    assert "Missing: People and characters in one space — scikit-learn is not installed." in text
    assert "Missing: Table 2: recognised by people — it was not made yet: make tables." in text
    assert "Missing: Figure 4: registered faces — it was not made yet: make figures." in text


def test_every_link_leads_somewhere(report):
    page = Page(write_index(report, [material()]))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside == set(page.anchors) == {f"demo-{one.name}" for one in EXHIBITS}
    files = [link for link in page.links if not link.startswith("#")]
    assert files == [
        "demo/accuracy/accuracy.json",
        "demo/table1/table1.csv",
        "demo/table1/table1.json",
        "demo/figure7/best.png",
    ]
    assert all((report / link).is_file() for link in files)


def test_trainings_are_timed_apart(report):
    steps = {"a": {"stage": "human", "seconds": 5400.0}, "b": {"stage": "random", "seconds": 1800.0}}
    stages = [{"name": name, "about": "", "lacks": ""} for name in ("human", "random")]
    write_json(report / "demo/full/stages.json", {"stages": stages, "steps": steps})
    text = Page(write_index(report, [material()])).text
    assert "The trainings of the full form: 2.0 hours" in text and "demo: human 5,400" in text


def test_photographs_of_databases_are_named_as_such(report):
    assert "show it only" not in Page(write_index(report, [material()])).text
    both = [material(), Material("own", "your people", Path("s"), {"mery": Path("c")})]
    page = Page(write_index(report, both))
    text = page.text
    assert "FERG-DB, CK+, DISFA, KDEF, MMI, FER2013 …): show it only where their licences allow" in text
    assert len(page.anchors) == 2 * len(EXHIBITS) and "own: Table 1: retrieval score 0" in text
