"""The demo's report: one HTML file, with its pictures in it, of what one run of `pydeepexpr.demo` has made.

Every number is read from a JSON file of that run. What is not there is named, with the reason.
"""

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.html import card, missing, picture, section, table, write_page
from pydeepexpr.evaluation.run_record import RunRecord
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import LANDMARK_LICENCE

__all__ = ["TOP_1_GOAL", "write_report"]

#: The share of first matches by Jensen–Shannon alone that should carry the right expression.
TOP_1_GOAL = 0.75

_DETECTION_GOAL = 0.95
_PICTURE = 160  # pixels of a face in the cast's picture
_GROUND = 236.0


class Run(RunRecord):
    """What a run of the demo left in its folder."""

    def characters(self) -> list[str]:
        """Return the characters' names, in the order of the cast."""
        table1 = self.read("results/table1.json")
        rendered = self.read("RIG_DB_256/render.json")
        return list((table1 and table1["characters"]) or (rendered and rendered["characters"]) or [])

    def top_1(self) -> dict[str, Any] | None:
        """Return the record of retrieval by Jensen–Shannon alone."""
        record = self.read("results/retrieval.json")
        return next((one for one in record["settings"] if one["beta"] == 0), None) if record else None


def write_report(folder: Path) -> Path:
    """Write ``report.html`` about the demo's run in a folder and return its path."""
    run = Run(folder)
    parts: tuple[Callable[[Run], str], ...] = (
        _cast, _people, _training, _recognition, _sheets, _photograph, _scores, _times, _versions,
    )  # fmt: skip
    body = "".join(part(run) for part in parts)
    title, heading = "DeepExpr on rendered people and characters", "DeepExpr, made on this machine from nothing"
    return write_page(folder / "report.html", title, heading, _lead(), body, cards=_cards(run))


def _lead() -> str:
    return (
        "<p>DeepExpr (Aneja et al., ACCV 2016) looks at a photograph of a face and finds the frames of a stylized "
        "character that carry the same expression. Here all of it was built without any data: people and characters "
        "rendered from numbers, a network that learned seven expressions from the people’s faces, and its features "
        "tuned for each character. The people who ask below were never seen in training, and the characters answer "
        "with frames between key poses that were never trained on.</p>\n"
    )


def _cards(run: Run) -> str:
    top, scores = run.top_1(), run.read("results/table1.json")
    people, found = run.read("results/performers.json"), run.read("registered/performers/register.json")
    cards = []
    if top:
        said = "of the characters’ first answers, by Jensen–Shannon alone, carry the right expression"
        cards.append(card(f"{top['top_1']:.1%}", said, top["top_1"] >= TOP_1_GOAL, f"goal: {TOP_1_GOAL:.0%}"))
    if scores:
        ours, theirs = (scores["scores"][name]["average"] for name in ("js", "geometry"))
        said = f"is DeepExpr’s retrieval score (0 is best); geometry alone scores {theirs:.3f}"
        cards.append(card(f"{ours:.3f}", said, ours < theirs, "goal: DeepExpr below geometry"))
    if people:
        said = f"of {people['images']:,} photographs of unknown people are recognised"
        cards.append(card(f"{people['accuracy']:.1%}", said))
    if found:
        share = found["counts"]["detected"] / found["images"]
        said = "of the rendered people’s faces are found by dlib’s detector, as in photographs"
        cards.append(card(f"{share:.1%}", said, share >= _DETECTION_GOAL, f"goal: {_DETECTION_GOAL:.0%}"))
    return "".join(cards) or run.missing("the results", "scores")


def _cast(run: Run) -> str:
    frames = run.folder / "RIG_DB_256"
    if not (frames / "frames.parquet").is_file():
        return section("The cast", run.missing("the cast’s picture", "cast"))
    rows = _read_frames(frames)
    grid = {}
    for who in dict.fromkeys(row["character"] for row in rows):
        of = [row for row in rows if row["character"] == who]
        grid[who] = [_face(frames, _strongest(of, expression), f"{who}, {expression}") for expression in EXPRESSIONS]
    said = "<p>Each character’s most pronounced frame of each expression, and of neutral the calmest.</p>\n"
    return section("The cast", said, _faces(grid), run.command("RIG_DB_256/render.json"))


def _people(run: Run) -> str:
    photographs = run.folder / "performers"
    record = run.read("registered/performers/register.json")
    if not (photographs / "frames.parquet").is_file() or not record:
        return section("The people", run.missing("the people’s pictures", "faces"))
    rows, grid = _read_frames(photographs), {}
    for split, title in (("train", "to learn from"), ("test", "to ask with")):
        of = [row for row in rows if row["split"] == split]
        who = list(dict.fromkeys(row["subject"] for row in of))
        turns = [who[label % len(who)] for label in range(len(EXPRESSIONS))] if who else []
        grid[title] = [
            _face(photographs, _strongest([row for row in of if row["subject"] == person], expression), expression)
            for person, expression in zip(turns, EXPRESSIONS, strict=False)
        ]
    counts, people = record["counts"], len({row["subject"] for row in rows})
    said = (
        f"<p>{record['images']:,} photographs of {people:,} rendered people. Faces were looked "
        f"for as in any photographs: {counts['detected']:,} found, {counts['rejected']:,} left "
        "out. Whole persons, not photographs, are divided into training, validation and test.</p>\n"
    )
    made = run.command("performers/render.json", "registered/performers/register.json", "lmdb/performers/build.json")
    return section("The people", said, _faces(grid), made)


def _training(run: Run) -> str:
    names = [name for name in run.characters() if (run.folder / f"runs/{name}/curve.png").is_file()]
    human, made = run.folder / "runs/human/curve.png", run.command("runs/human/human.caffemodel")
    if not human.is_file():
        return section("Training", run.missing("the human network’s curve", "human network"))
    parts = [picture(human, "loss and accuracy of the human network", 1080), made, "<h3>Fine-tuning</h3>\n"]
    if names:
        curves = (picture(run.folder / f"runs/{name}/curve.png", f"the curve of {name}", 640) for name in names)
        parts += [f'<div class="curves">{"".join(curves)}</div>\n']
        parts += [run.command(f"runs/{names[0]}/{names[0]}.caffemodel"), _small("and so for each character.")]
    else:
        parts.append(run.missing("the characters’ curves", "fine-tuning"))
    return section("Training", *parts)


def _recognition(run: Run) -> str:
    records = {name: run.read(f"results/{name}.json") for name in ("performers", *run.characters())}
    known = {name: record for name, record in records.items() if record}
    title = "Who is recognised"
    if not known:
        return section(title, run.missing("the accuracies", "scores"))
    rows = [
        ["people" if name == "performers" else name, f"{record['images']:,}", _percent(record["accuracy"])]
        + [_percent(record["classes"][expression]["accuracy"]) for expression in EXPRESSIONS]
        for name, record in known.items()
    ]
    said = (
        "<p>Test images whose expression the network names rightly: of people who are in no training image, by the "
        "human network; of characters between key poses that are in none, by the character’s own. Photographs without "
        "a face found are not among them.</p>\n"
    )
    gone = [run.missing(f"the accuracy of {name}", "scores") for name in records if name not in known]
    shown = run.command(*(f"results/{name}.json" for name in list(known)[:2]))
    return section(title, said, table(["", "images", "all", *EXPRESSIONS], rows), *gone, shown)


def _sheets(run: Run) -> str:
    parts = [
        "<p>Left, photographs of people never seen in training, drawn by lot; beside them each character’s best frame, "
        "as in figure 7 of the paper. The coloured bar and the bold word are the predicted expression; true ones, "
        "which ranking never sees, stand in grey.</p>\n"
    ]
    for expression in EXPRESSIONS:
        parts.append(f"<h3>{expression}</h3>\n{_sheet(run, expression, 'sheets')}")
    return section("Seven expressions, people ask and characters answer", *parts)


def _photograph(run: Run) -> str:
    said = (
        "<p>Eileen Collins, astronaut (NASA, public domain; scikit-image ships the picture). First by the networks "
        "made here, which have never seen a real face and may well be wrong; then by those that come with the "
        "project, which learned from real photographs.</p>\n"
    )
    parts = [said]
    for title, name, stage in (
        ("By the networks made here", "astronaut", "photograph"),
        ("By the networks that come with the project", "astronaut-shipped", "shipped model"),
    ):
        parts.append(f"<h3>{title}</h3>\n{_sheet(run, name, stage)}")
    return section("A real photograph", *parts)


def _scores(run: Run) -> str:
    record, top = run.read("results/table1.json"), run.top_1()
    title = "Retrieval scores, as in the papers’ Table 1"
    parts = []
    if record:
        ours, papers, names = record["scores"], record["papers"], [*EXPRESSIONS, "average"]
        head = ["", "geometry", "DeepExpr", "DeepExpr, sorted by geometry", "papers: geometry", "papers: DeepExpr"]
        columns = [ours["geometry"], ours["js"], ours["js-geometry"], papers["geometry"], papers["js"]]
        rows = [[name, *(_score(column[name]) for column in columns)] for name in names]
        parts.append(
            f"<p>How far down a character’s frames of the right expression stand, on average over "
            f"{sum(record['queries'].values()):,} photographs of unknown people and {len(record['characters'])} "
            f"characters: 0 is best, {_mean(record['chance'].values())} is chance. The papers’ values are of real "
            "people and FERG-DB.</p>\n"
        )
        parts += [table(head, rows, last=True), run.command("results/table1.json")]
    else:
        parts.append(run.missing("the retrieval scores", "scores"))
    if top:
        rows = [[name, _percent(its["top_1"])] for name, its in top["stores"].items()]
        rows.append(["mean", _percent(top["top_1"])])
        parts.append(
            "<h3>The first answer</h3>\n<p>How often the frame that Jensen–Shannon divergence alone puts first carries "
            f"the photograph’s expression, of {top['queries']:,} photographs; the classifier names "
            f"{top['classifier_accuracy']:.1%} of them rightly. No predicted label takes part in this ranking.</p>\n"
        )
        parts += [table(["", "right"], rows, last=True), run.command("results/retrieval.json")]
    else:
        parts.append(run.missing("how often the first answer is right", "scores"))
    return section(title, *parts)


def _times(run: Run) -> str:
    if not run.steps:
        return section("What it took", missing("the times", "the record stages.json is not there"))
    rows, total = [], 0.0
    for stage in run.stages:
        mine = [step for step in run.steps.values() if step["stage"] == stage["name"]]
        seconds = run.seconds(stage["name"])
        total += seconds
        rows.append([stage["name"], f"{seconds:,.0f}" if mine else "–"])
    rows.append(["all", f"{total:,.0f}"])
    abouts = "".join(
        f"<li><b>{escape(one['name'])}</b>: {escape(one['about'])}{_left_out(one)}</li>\n" for one in run.stages
    )
    return section(
        f"What it took: {total / 60:.1f} minutes",
        f"<ol>\n{abouts}</ol>\n",
        table(["stage", "seconds"], rows, last=True),
        _small("Every command and its time are in stages.json beside this page, what they printed in stages.log."),
    )


def _left_out(stage: dict[str, str]) -> str:
    return f" — left out: {escape(stage['lacks'])}" if stage["lacks"] else ""


def _versions(run: Run) -> str:
    record = run.read("results/table1.json") or run.read("registered/performers/register.json")
    versions = record["provenance"]["versions"] if record else {}
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    licences = (
        "<p>The code is under the MIT licence, and so are the rendered people and characters. "
        f"<b>{escape(LANDMARK_LICENCE[0].upper() + LANDMARK_LICENCE[1:])}</b>. The networks that come with the project "
        "learned from FER2013, which is for research, and are for research as well; those made here learned from "
        "rendered images alone. The astronaut’s photograph is NASA’s, in the public domain.</p>\n"
    )
    made = f"<p>Made {escape(record['provenance']['made'])} with {escape(said)}.</p>\n" if record else ""
    return section("Versions and licences", made or run.missing("the versions", "scores"), licences)


def _sheet(run: Run, name: str, stage: str) -> str:
    if not (run.folder / f"results/{name}.jpg").is_file():
        return run.missing(f"the sheet {name}", stage)
    image = picture(run.folder / f"results/{name}.jpg", f"the characters’ answers: {name}", 1800, "sheet")
    return f'<div class="wide">{image}</div>\n{run.command(f"results/{name}.json")}'


def _read_frames(folder: Path) -> list[dict[str, Any]]:
    columns = ["path", "character", "subject", "expression", "split", "action_units"]
    path = folder / "frames.parquet"
    try:
        return pq.read_table(path, columns=columns, partitioning=None).to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"cannot read {path}: {reason}; remove {folder} and run the demo again") from None


def _strongest(rows: list[dict[str, Any]], expression: str) -> str | None:
    """Return the path of the frame that shows an expression the most."""
    of = [row for row in rows if row["expression"] == expression]
    choose = min if expression == "neutral" else max
    return choose(of, key=lambda row: sum(row["action_units"]))["path"] if of else None


def _face(folder: Path, path: str | None, said: str) -> str:
    """Return a frame as a small picture, what is transparent before light grey."""
    image = None if path is None else cv2.imread(str(folder / path), cv2.IMREAD_UNCHANGED)
    if image is None:
        return "–"
    if image.ndim == 3 and image.shape[2] == 4:
        alpha = image[..., 3:] / 255.0
        image = np.rint(image[..., :3] * alpha + _GROUND * (1.0 - alpha)).astype(np.uint8)
    return picture(image, said, _PICTURE)


def _faces(grid: dict[str, list[str]]) -> str:
    """Return rows of small pictures, a column an expression."""
    head = "".join(f"<th>{expression}</th>" for expression in ("", *EXPRESSIONS))
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
        for name, cells in grid.items()
    )
    return f'<div class="wide"><table class="faces">\n<tr>{head}</tr>\n{rows}</table></div>\n'


def _small(said: str) -> str:
    return f'<p class="small">{escape(said)}</p>\n'


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _mean(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return _score(sum(known) / len(known) if known else None)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
