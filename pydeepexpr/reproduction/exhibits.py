"""The registry of the papers' tables and figures: how each is made by the project's own commands.

Every exhibit has a folder of its own, where its tables lie as JSON, Markdown and CSV and its figures as PNG and PDF.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.reproduction.material import Material
from pydeepexpr.reproduction.trainings import character_trainings
from pydeepexpr.stages import Stage, Step

__all__ = ["EXHIBITS", "Exhibit", "Place", "exhibit_stages"]


@dataclass(frozen=True)
class Place:
    """Where exhibits find and leave things.

    Attributes
    ----------
    folder : Path
        The material's: each exhibit's folder lies in it, and the trainings' folder ``full``.
    votes : Path
        Collected answers: ``ranking``, ``expert`` and ``recognition`` in it hold CSV and JSON files.
    """

    folder: Path
    votes: Path


@dataclass(frozen=True)
class Exhibit:
    """A table or a figure.

    Attributes
    ----------
    name : str
        Its folder.
    kinds : tuple of {'table', 'figure'}
        Whether ``make tables``, ``make figures`` or both make it.
    title : str
    about : str
        What it shows and how it is to be read.
    steps : callable
        Returns the commands, which write into the folder that they are given.
    lacks : callable
        Says why it cannot be made of a material; nothing where it can.
    """

    name: str
    kinds: tuple[str, ...]
    title: str
    about: str
    steps: Callable[[Material, Place, Path], Sequence[Step]]
    lacks: Callable[[Material], str] = lambda material: ""


def exhibit_stages(material: Material, place: Place, kinds: Sequence[str]) -> list[Stage]:
    """Return a stage an exhibit of these kinds, none of which builds on another."""
    return [
        Stage(
            one.name,
            one.title,
            lambda one=one: one.steps(material, place, place.folder / one.name),
            one.lacks(material),
        )
        for one in EXHIBITS
        if set(one.kinds) & set(kinds)
    ]


def _table1(material: Material, place: Place, folder: Path) -> list[Step]:
    return [_table(folder / "table1", "table1", *_stores(material), reads=_metas(material))]


def _accuracy(material: Material, place: Place, folder: Path) -> list[Step]:
    full = place.folder / "full"
    trained = {one.name: full / one.name / "store" for one in character_trainings(material)}
    of = {
        "people": [material.asked],
        "tuned": [*material.characters.values()],
        "folds": sorted(full.glob("human/fold*/store")) if (full / "human/report.json").is_file() else [],
        "random": [trained["random"]],
        "apart": [trained["apart"]],
        "left-out": [store for name, store in trained.items() if name.startswith("without-")],
    }
    there = {
        name: stores for name, stores in of.items() if stores and all((one / "meta.json").is_file() for one in stores)
    }
    words = [word for name, stores in there.items() for word in (f"--{name}", *stores)]
    if material.earlier and len(there) < len(of):
        words += ["--earlier", material.earlier]
    epochs = {
        "folds": material.human_epochs,
        **dict.fromkeys(("random", "apart", "left-out"), material.character_epochs),
    }
    if full_ones := [f"{name}={epochs[name]:g} epochs" for name in there if name in epochs]:
        words += ["--trained", *full_ones]
    reads = tuple(store / "meta.json" for stores in there.values() for store in stores)
    return [_table(folder / "accuracy", "accuracy", *words, "--figures", folder, reads=reads)]


def _figure9(material: Material, place: Place, folder: Path) -> list[Step]:
    study = folder / "study/study.json"
    asked = _step(study, "study", "ranking", *_stores(material), "--out", study.parent, reads=_metas(material))
    steps, words = [Step(asked.arguments, study, study.parent, reads=asked.reads)], []
    for option, name in (("--expert", "expert"), ("--crowd", "ranking")):
        if answers := _answers(place.votes / name):
            votes = folder / f"{name}.json"
            steps.append(_step(votes, "study", "read", study, *answers, "--json", votes, reads=answers))
            words += [option, votes]
    if material.truth and "--expert" not in words:
        words += ["--true-order", *material.truth]
    figure = ("--figure", folder / "figure9.png", folder / "figure9.pdf")
    return [*steps, _table(folder / "figure9", "ranking", study, *words, *figure, reads=material.truth)]


def _table2(material: Material, place: Place, folder: Path) -> list[Step]:
    study = folder / "study/study.json"
    asked = _step(study, "study", "recognition", *_stores(material), "--out", study.parent, reads=_metas(material))
    steps, words = [Step(asked.arguments, study, study.parent, reads=asked.reads)], []
    if answers := _answers(place.votes / "recognition"):
        votes = folder / "votes.json"
        steps.append(_step(votes, "study", "read", study, *answers, "--json", votes, reads=answers))
        words = [votes]
    return [*steps, _table(folder / "table2", "table2", *words, "--study", study)]


def _figure(name: str, *words: object) -> Callable[[Material, Place, Path], Sequence[Step]]:
    """Return the steps of a figure that is drawn from the stores."""

    def steps(material: Material, place: Place, folder: Path) -> list[Step]:
        return [_drawing(folder / name, name, *_stores(material), *words, reads=_metas(material))]

    return steps


def _faces(material: Material, place: Place, folder: Path) -> list[Step]:
    reads = tuple(one / "manifest.parquet" for one in material.people)
    return [_drawing(folder / "faces", "faces", *material.people, reads=reads)]


def _networks(material: Material, place: Place, folder: Path) -> list[Step]:
    return [_drawing(folder / "networks", "networks")]


def _retrievals(material: Material, place: Place, folder: Path) -> list[Step]:
    first = next(iter(material.characters.values()))
    return [_drawing(folder / "retrievals", "retrievals", material.asked, first, reads=_metas(material))]


def _curves(material: Material, place: Place, folder: Path) -> list[Step]:
    reads = tuple(run / "log.csv" for run in material.runs.values())
    return [_drawing(folder / "curves", "curves", *material.runs.values(), reads=reads)]


def _step(product: Path, tool: str, *words: object, reads: Sequence[Path] = ()) -> Step:
    return Step((str(paths.find(f"tools/{tool}.py")), *map(str, words)), product, reads=tuple(reads))


def _table(files: Path, *words: object, reads: Sequence[Path] = ()) -> Step:
    """An evaluation that writes its tables in three forms, the JSON last."""
    outputs = ("--markdown", files.with_suffix(".md"), "--csv", files.with_suffix(".csv"))
    record = files.with_suffix(".json")
    return _step(record, "evaluate", *words, *outputs, "--json", record, reads=reads)


def _drawing(files: Path, *words: object, reads: Sequence[Path] = ()) -> Step:
    """A figure in two forms, and the record of what is on it."""
    outputs = ("--out", files.with_suffix(".png"), files.with_suffix(".pdf"))
    record = files.with_suffix(".json")
    return _step(record, "figures", *words, *outputs, "--json", record, reads=reads)


def _stores(material: Material) -> tuple[Path, ...]:
    return (material.asked, *material.characters.values())


def _metas(material: Material) -> tuple[Path, ...]:
    return tuple(store / "meta.json" for store in _stores(material))


def _answers(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in (".csv", ".json"))


#: In the order of the page.
EXHIBITS = (
    Exhibit(
        "figure5",
        ("figure",),
        "Figure 5: the three networks",
        "Drawn from the prototxts that train them. What fine-tuning learns is set apart; all else is the human "
        "network’s.",
        _networks,
    ),
    Exhibit(
        "figure4",
        ("figure",),
        "Figure 4: registered faces",
        "Faces as the networks see them: found, and mapped onto the average frontal face.",
        _faces,
        lambda material: "" if material.people else "no registered photographs of people are at hand",
    ),
    Exhibit(
        "curves",
        ("figure",),
        "Training curves",
        "Loss and accuracy while the networks learned.",
        _curves,
        lambda material: "" if material.runs else "no training’s log is at hand",
    ),
    Exhibit(
        "accuracy",
        ("table",),
        "Recognition accuracy",
        "How often a network names the right expression of images that it has never seen. What ‘never seen’ means is "
        "the division: persons apart, neighbouring frames apart, or a character left out altogether.",
        _accuracy,
    ),
    Exhibit(
        "table1",
        ("table",),
        "Table 1: retrieval score",
        "How far down the ranking of a character’s frames those of the right expression stand (equation 6). Each human "
        "test image asks each character.",
        _table1,
    ),
    Exhibit(
        "figure6",
        ("figure",),
        "Figure 6: retrieved for a query of joy",
        "The first matches by Jensen–Shannon divergence, and the same in the order of geometry.",
        _retrievals,
    ),
    Exhibit(
        "figure7",
        ("figure",),
        "Figure 7: the best match of every character",
        "An expression a row; the person who asks is on the left. People and queries are drawn by lot.",
        _figure("best"),
    ),
    Exhibit(
        "figure8",
        ("figure",),
        "Figure 8: geometry alone against DeepExpr",
        "The best match by the nine measures alone and by DeepExpr, for disgust and fear as in the paper.",
        _figure("comparison", "--expressions", "disgust", "fear"),
    ),
    Exhibit(
        "comparison",
        ("figure",),
        "Both models, every expression",
        "The same for all seven expressions.",
        _figure("comparison", "--expressions", *EXPRESSIONS),
    ),
    Exhibit(
        "embedding",
        ("figure",),
        "People and characters in one space",
        "FC6 of people and characters, laid out by t-SNE so that neighbours in Jensen–Shannon divergence stay "
        "neighbours.",
        _figure("embedding"),
    ),
    Exhibit(
        "figure9",
        ("table", "figure"),
        "Figure 9: ranking correlation",
        "Thirty times five frames with the query’s expression, ranked by the system and by people. Of rendered faces "
        "the action units are known: the order by distance between them stands in the expert’s place, until an "
        "expert’s answers are there. No person has seen it, and frames between the same two key poses hardly differ.",
        _figure9,
    ),
    Exhibit(
        "table2",
        ("table",),
        "Table 2: recognised by people",
        "How many people recognise the expression of the best matches. Only people can fill it: give them the study’s "
        "page.html, and put what they save into the folder of votes.",
        _table2,
    ),
)
