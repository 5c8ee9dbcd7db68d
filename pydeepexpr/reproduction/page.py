"""The page of a reproduction: every table and figure with its command, and what is missing with its reason."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from pydeepexpr.evaluation.accuracy import DIVISIONS
from pydeepexpr.evaluation.html import card, missing, picture, section, table, write_page
from pydeepexpr.evaluation.run_record import RunRecord
from pydeepexpr.evaluation.table import Table
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.files import provenance
from pydeepexpr.reproduction.exhibits import EXHIBITS, Exhibit
from pydeepexpr.reproduction.material import PICTURES_LICENCE, Material

__all__ = ["write_index"]

_WIDE = 1900  # pixels of a figure on the page
_CARDS = ("folds", "people", "apart", "left-out")  # divisions whose accuracy stands on top
_FILES = (".pdf", ".png", ".md", ".csv", ".json", ".html")


def write_index(out: Path, materials: Sequence[Material]) -> Path:
    """Write ``index.html`` about the materials whose exhibits lie in folders of their names; return its path."""
    runs = {material.name: RunRecord(out / material.name) for material in materials}
    parts = [_contents(materials)]
    for material in materials:
        run = runs[material.name]
        if len(materials) > 1:
            parts.append(f"<h2>{escape(material.about)}</h2>\n")
        parts += [_exhibit(out, material, run, one) for one in EXHIBITS]
    parts += [_times(out, materials, runs), _licences(materials)]
    first = runs[materials[0].name]
    title = "The DeepExpr papers, regenerated"
    return write_page(out / "index.html", title, title, _lead(materials), "".join(parts), cards=_cards(first))


def _lead(materials: Sequence[Material]) -> str:
    who = "; ".join(material.about for material in materials)
    return (
        "<p>The tables and figures of Aneja et al., <i>Modeling Stylized Character Expressions via Deep Learning</i> "
        "(ACCV 2016), and its 2019 follow-up, made anew by this project from the data at hand: "
        f"{escape(who)}. The papers’ own values, of real people and FERG-DB, stand beside: they were measured on other "
        "data, so that the numbers may be compared in their order, not in their size. What could not be made is named, "
        "with the reason. Figures 1, 3 and 10 show other people’s work and are left out.</p>\n"
    )


def _cards(run: RunRecord) -> str:
    """Return the numbers that a reader looks for first, of what is there."""
    cards = []
    if scores := run.read("table1/table1.json"):
        for name, by in (("js", "DeepExpr"), ("geometry", "geometry alone")):
            ours, theirs = scores["scores"][name]["average"], scores["papers"][name]["average"]
            cards.append(card(_number(ours, ".3f"), f"retrieval score by {by} (0 is best); papers {theirs:.3f}"))
    found = (run.read("accuracy/accuracy.json") or {}).get("divisions", {})
    for name, division in DIVISIONS.items():
        if name in found and name in _CARDS:
            papers = f"papers {division.papers:.1%}" if division.papers else "nobody has published one"
            cards.append(card(_number(found[name]["accuracy"], ".1%"), f"recognised, {division.about}; {papers}"))
    return "".join(cards)


def _contents(materials: Sequence[Material]) -> str:
    items = "".join(
        f'<li><a href="#{material.name}-{one.name}">{escape(one.title)}</a></li>\n'
        for material in materials
        for one in EXHIBITS
    )
    return f"<nav>{section('On this page', f'<ol>{items}</ol>')}</nav>\n"


def _exhibit(out: Path, material: Material, run: RunRecord, one: Exhibit) -> str:
    folder = out / material.name / one.name
    parts = [f'<a id="{material.name}-{one.name}"></a><p>{escape(one.about)}</p>\n']
    records = [run.read(f"{one.name}/{path.name}") for path in sorted(folder.glob("*.json"))]
    tables = [table for record in records if isinstance(record, dict) for table in record.get("tables", [])]
    pictures = sorted(folder.glob("*.png"))
    if why := run.lacks(one.name):
        parts.append(missing(one.title, why))
    elif not tables and not pictures:
        parts.append(missing(one.title, f"it was not made yet: make {one.kinds[0]}s"))
    parts += [_picture(path, one.title) for path in pictures if not path.name.startswith("confusion")]
    parts += [_table(Table.from_record(record)) for record in tables]
    if confusions := [path for path in pictures if path.name.startswith("confusion")]:
        parts.append("<h3>What is mistaken for what</h3>\n")
        parts += [_picture(path, "confusion matrix") for path in confusions]
    made = [product for product, step in run.steps.items() if step["stage"] == one.name and step["finished"]]
    parts += [_links(out, folder), run.command(*(str(Path(product).relative_to(run.folder)) for product in made))]
    return section(one.title, *parts)


def _picture(path: Path, said: str) -> str:
    return f'<div class="wide">{picture(path, said, _WIDE, "figure")}</div>\n'


def _table(one: Table) -> str:
    said = f"<p>{escape(one.said)}</p>\n" if one.said else ""
    reasons = "".join(missing(f"({number})", why) for number, why in enumerate(one.reasons(), 1))
    return f"<h3>{escape(one.title)}</h3>\n{said}{table(one.columns, one.texts(), last=one.last)}{reasons}"


def _links(out: Path, folder: Path) -> str:
    """Link what lies in an exhibit's folder, so that the page may be moved together with it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in _FILES]
    links = (f'<a href="{escape(path.relative_to(out).as_posix())}">{escape(path.name)}</a>' for path in paths)
    return f'<p class="files">Files: {", ".join(links)}</p>\n' if paths else ""


def _times(out: Path, materials: Sequence[Material], runs: dict[str, RunRecord]) -> str:
    rows, parts = [], []
    for material in materials:
        run = runs[material.name]
        rows += [[f"{material.name}: {one.title}", f"{run.seconds(one.name):,.0f}"] for one in EXHIBITS]
        full = RunRecord(out / material.name / "full")
        if full.steps:
            trained = [[f"{material.name}: {one['name']}", f"{full.seconds(one['name']):,.0f}"] for one in full.stages]
            hours = sum(step["seconds"] for step in full.steps.values()) / 3600
            parts += [f"<h3>The trainings of the full form: {hours:.1f} hours</h3>\n", table(["", "seconds"], trained)]
    total = sum(run.seconds(one.name) for run in runs.values() for one in EXHIBITS)
    said = f"<p>{total / 60:.1f} minutes, the trainings apart.</p>\n"
    return section("What it took", said, table(["", "seconds"], rows), *parts)


def _licences(materials: Sequence[Material]) -> str:
    made: dict[str, Any] = provenance()
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    landmarks = escape(LANDMARK_LICENCE[0].upper() + LANDMARK_LICENCE[1:])
    said = (
        f"<p>Made {escape(made['made'])} with {escape(versions)}.</p>\n<p>The code and the rendered people and "
        f"characters are under the MIT licence. <b>{landmarks}</b>. "
    )
    if any(material.licensed for material in materials):
        said += f"{escape(PICTURES_LICENCE[0].upper() + PICTURES_LICENCE[1:])}. "
    return section("Versions and licences", f"{said}</p>\n")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
