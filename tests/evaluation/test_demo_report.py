"""The demo's report from small made files: every number of them, what is missing, and nothing from outside."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.demo_report import write_report
from pydeepexpr.evaluation.html import command, missing, picture, table
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.files import write_json

VOID = {"img", "meta", "br"}


class Page(HTMLParser):
    """The text of a page, its images, what it asks for from elsewhere; fails on tags that do not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.said, self.images, self.outside = [], [], [], []
        self.feed(text)
        assert not self.open
        self.text = re.sub(r"\s+", " ", " ".join(self.said))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        for name in ("src", "href", "srcset", "action", "data"):
            if name in attrs and not attrs[name].startswith("data:"):
                self.outside.append(attrs[name])
        if tag in ("script", "link", "iframe", "object"):
            self.outside.append(tag)
        if tag == "img":
            self.images.append(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.said.append(data)


def recognised(images: int, accuracy: float, first: float) -> dict:
    """A record whose classes' accuracies count up from `first` by thousandths; the last class has no image."""
    classes = {name: {"accuracy": first + label / 1000} for label, name in enumerate(EXPRESSIONS)}
    classes["surprise"]["accuracy"] = None
    return {"images": images, "accuracy": accuracy, "classes": classes}


def column(first: float, average: float) -> dict:
    return {**{name: first + label / 1000 for label, name in enumerate(EXPRESSIONS)}, "average": average}


def write_frames(folder: Path, column: str, who: tuple[str, ...]) -> None:
    rows = []
    for split, name in zip(("train", "test"), who, strict=True):
        for expression in EXPRESSIONS:
            for n, strength in enumerate((0.1, 0.9)):
                path = f"{name}_{expression}_{n}.png"
                folder.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(folder / path), np.full((8, 8, 4), 100 + 100 * n, np.uint8))
                row = {"path": path, "expression": expression, "split": split, "action_units": [strength]}
                rows.append({**row, "character": "", "subject": "", column: name})
    pq.write_table(pa.Table.from_pylist(rows), folder / "frames.parquet")


def sheet(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((20, 40, 3), np.uint8))


@pytest.fixture
def folder(tmp_path):
    """A run of the demo in which only the stage of the shipped model was left out."""
    provenance = {"made": "2020-02-02T02:02:02+00:00", "versions": {"python": "3.99", "torch": "8.7.6"}}
    names = ("performers", "human network", "cast", "scores")
    stages = [{"name": name, "about": f"about {name}", "lacks": ""} for name in names]
    stages.append({"name": "shipped model", "about": "the others", "lacks": "models/stores is bare"})
    made = {"performers/render.json": 61.5, "RIG_DB_256/render.json": 90.5, "results/table1.json": 4.0}
    steps = {
        str(tmp_path / product): {"stage": stage, "command": ["python", "made", product], "seconds": seconds}
        for stage, (product, seconds) in zip(("performers", "cast", "scores"), made.items(), strict=True)
    }
    write_json(tmp_path / "stages.json", {"stages": stages, "steps": steps})
    write_frames(tmp_path / "performers", "subject", ("p1", "p2"))
    write_frames(tmp_path / "RIG_DB_256", "character", ("ann", "bob"))
    write_json(tmp_path / "RIG_DB_256/render.json", {"characters": ["ann", "bob"]})
    counts = {"detected": 1901, "rejected": 99}
    write_json(
        tmp_path / "registered/performers/register.json", {"images": 2000, "counts": counts, "provenance": provenance}
    )
    results = tmp_path / "results"
    for name, record in {
        "performers": recognised(301, 0.6543, 0.111),
        "ann": recognised(91, 0.7654, 0.222),
        "bob": recognised(92, 0.8765, 0.333),
    }.items():
        write_json(results / f"{name}.json", record)
    scores = {"geometry": column(0.401, 0.4444), "js": column(0.101, 0.1234), "js-geometry": column(0.501, 0.5561)}
    papers = {"geometry": column(0.601, 0.6666), "js": column(0.701, 0.7777)}
    chance = {**dict.fromkeys(EXPRESSIONS, 0.42), "fear": None}
    queries = dict.fromkeys(EXPRESSIONS, 143)
    table1 = {
        "scores": scores,
        "papers": papers,
        "chance": chance,
        "queries": queries,
        "characters": {"ann": 0, "bob": 0},
    }
    write_json(results / "table1.json", {**table1, "provenance": provenance})
    alone = {"beta": 0.0, "top_1": 0.7531, "queries": 1001, "classifier_accuracy": 0.9135}
    alone["stores"] = {"ann": {"top_1": 0.7042}, "bob": {"top_1": 0.8023}}
    write_json(results / "retrieval.json", {"settings": [{**alone, "beta": 1.0, "top_1": 0.0001}, alone]})
    for name in (*EXPRESSIONS, "astronaut"):
        sheet(results / f"{name}.jpg")
    for name in ("human", "ann", "bob"):
        sheet(tmp_path / f"runs/{name}/curve.png")
    return tmp_path


def read(folder: Path) -> Page:
    report = write_report(folder)
    assert report == folder / "report.html"
    return Page(report.read_text(encoding="utf-8"))


def test_every_number_is_there(folder):
    text = read(folder).text
    for said in (
        # the cards: reached is reached
        "75.3% of the characters’ first answers", "✓ goal: 75%", "0.123 is DeepExpr’s retrieval score",
        "geometry alone scores 0.444", "✓ goal: DeepExpr below geometry", "65.4% of 301 photographs",
        "95.0%", "✓ goal: 95%",
        # the people
        "2,000 photographs of 2 rendered people", "1,901 found, 99 left out",
        # recognition, the class without images as a dash
        "people 301 65.4% 11.1% 11.2% 11.3% 11.4% 11.5% 11.6% –", "ann 91 76.5% 22.2%", "bob 92 87.6% 33.3%",
        # Table 1, beside the papers, and chance
        "anger 0.401 0.101 0.501 0.601 0.701", "surprise 0.407 0.107 0.507 0.607 0.707",
        "average 0.444 0.123 0.556 0.667 0.778", "1,001 photographs of unknown people and 2 characters",
        "0.420 is chance",
        # the first answer, by Jensen–Shannon alone
        "of 1,001 photographs; the classifier names 91.3%", "ann 70.4%", "bob 80.2%", "mean 75.3%",
        # times, versions, licences
        "What it took: 2.6 minutes", "performers 62", "human network –", "cast 90", "all 156",
        "2020-02-02T02:02:02+00:00", "python 3.99, torch 8.7.6", "bars commercial use",
        # commands
        "python made performers/render.json", "python made results/table1.json",
    ):  # fmt: skip
        assert said in text, said
    assert "0.0%" not in text.replace("95.0%", ""), "the sorted ranking is not the criterion"


def test_it_needs_nothing_from_outside(folder):
    page = read(folder)
    assert page.outside == []
    assert "http" not in write_report(folder).read_text(encoding="utf-8")
    assert len(page.images) == 14 + 14 + 3 + 8
    assert all(image["alt"] and image["src"].startswith("data:image/jpeg;base64,") for image in page.images)


def test_what_could_not_be_made_says_why(folder):
    assert "Missing: the sheet astronaut-shipped — models/stores is bare." in read(folder).text
    for name in ("table1.json", "retrieval.json", "bob.json", "joy.jpg"):
        (folder / "results" / name).unlink()
    text = read(folder).text
    assert "Missing: the retrieval scores — the stage “scores” has not run to its end." in text
    assert "Missing: how often the first answer is right —" in text
    assert "Missing: the accuracy of bob —" in text and "ann 91 76.5%" in text
    assert "Missing: the sheet joy —" in text
    assert "goal: 75%" not in text and "retrieval score" not in text.split("The cast")[0]


def test_goals_that_were_missed(folder):
    record = {"beta": 0, "top_1": 0.7499, "queries": 1, "classifier_accuracy": 1.0, "stores": {}}
    write_json(folder / "results/retrieval.json", {"settings": [record]})
    found = folder / "registered/performers/register.json"
    write_json(found, {"images": 1000, "counts": {"detected": 949, "rejected": 51}})
    text = read(folder).text
    assert "✗ goal: 75%" in text and "✗ goal: 95%" in text and "✓ goal: DeepExpr below geometry" in text


def test_an_empty_folder_gives_a_report_that_misses_everything(tmp_path):
    page = read(tmp_path)
    assert page.text.count("Missing:") >= 15 and page.images == []


def test_a_damaged_picture_is_named(folder):
    (folder / "results/anger.jpg").write_bytes(b"no picture")
    assert "Missing: the characters’ answers: anger —" in read(folder).text


def test_a_damaged_table_of_frames_is_named(folder):
    (folder / "RIG_DB_256/frames.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"cannot read .*RIG_DB_256/frames\.parquet: .*; remove .*RIG_DB_256"):
        write_report(folder)


def test_the_strongest_frame_is_shown_and_of_neutral_the_calmest(folder):
    images = [image for image in read(folder).images if image["alt"].startswith("ann, ")]
    shade = {}
    for image in images:
        data = np.frombuffer(base64.b64decode(image["src"].partition(",")[2]), np.uint8)
        shade[image["alt"]] = float(cv2.imdecode(data, cv2.IMREAD_COLOR).mean())
    # grey 200 at opacity 200/255 before 236, and grey 100 at 100/255
    assert shade["ann, joy"] == pytest.approx(236 - 36 * 200 / 255, abs=2)
    assert shade["ann, neutral"] == pytest.approx(236 - 136 * 100 / 255, abs=2)


def test_pieces():
    assert "&lt;b&gt;" in table(["", "<b>"], [["a", "1"]]) and 'class="last"' in table(["x"], [["a"], ["b"]], last=True)
    assert missing("a<", "b") == '<p class="missing"><b>Missing:</b> a&lt; — b.</p>\n'
    assert command() == "" and "<code>python &#x27;a &amp;&#x27;</code><code>b</code>" in command(
        ["python", "a &"], ["b"]
    )
    drawn = picture(np.zeros((30, 60, 3), np.uint8), 'a "b"', 20, "sheet")
    assert 'width="20" height="10" alt="a &quot;b&quot;" class="sheet"' in drawn
    assert 'width="60" height="30"' in picture(np.zeros((30, 60, 3), np.uint8), "", 100)
