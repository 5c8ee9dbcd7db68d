"""The demo: all of DeepExpr on rendered people and characters, for whoever has no database.

Every stage is what a user of real data types, with smaller numbers.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from pydeepexpr import paths
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.demo_report import write_report
from pydeepexpr.evaluation.lot import draw_of_each
from pydeepexpr.retrieval import DEFAULT_NORMALISATION
from pydeepexpr.stages import Stage, Step, run_stages
from pydeepexpr.stores import CHARACTER_STORES

__all__ = ["FINETUNE", "Scale", "demo", "demo_stages", "fast_precision", "pick_queries"]

#: Which reading of the papers' fine-tuning is taken (docs/decisions.md).
FINETUNE = "fc6-map"

_QUERIES = 3  # people on each sheet


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes
    ----------
    performers, frames : int
        People, and photographs of each.
    cast_frames : int
        Frames a character.
    epochs, finetune_epochs : float
        Passes of the human network through its images, and of each character's layers through theirs. The rate drops
        once, after three quarters of them.
    precision : {'fp32', 'bf16'}
        What the networks are trained in.
    """

    performers: int = 200
    frames: int = 15
    cast_frames: int = 600
    epochs: float = 8
    finetune_epochs: float = 30
    precision: str = "fp32"


def demo(folder: Path, scale: Scale) -> Path:
    """Do everything that is not done yet in `folder`; return the report.

    Raises
    ------
    UserError
        If a number is not above 0, or a stage fails.
    """
    for name, value in vars(scale).items():
        if name != "precision" and value <= 0:
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {value:g}")
    _copy_photograph(folder / "astronaut.png")
    run_stages(demo_stages(folder, scale), folder / "stages.json")
    return write_report(folder)


def demo_stages(folder: Path, scale: Scale, characters: Sequence[str] | None = None) -> list[Stage]:
    """Return the table of stages.

    Parameters
    ----------
    folder : path
        Everything is made below it (docs/formats.md describes what the tools write).
    scale : Scale
    characters : sequence of str, optional
        By default the cast.
    """
    names = _cast() if characters is None else characters
    people, frames = folder / "performers", folder / "RIG_DB_256"
    faces, registered = folder / "registered/performers", folder / "registered/cast"
    lmdb, results, stores = folder / "lmdb", folder / "results", folder / "stores/cast"
    human, asked = folder / "runs/human/human.caffemodel", folder / "stores/performers"
    tuned = {name: folder / f"runs/{name}/{name}.caffemodel" for name in names}
    answers = ("--characters", "all", "--model", human, "--stores", stores)

    def performers() -> list[Step]:
        options = ("--performers", scale.performers, "--frames", scale.frames)
        return [_step(people / "render.json", "render_rig", people, *options)]

    def detect() -> list[Step]:
        return [
            _step(faces / "register.json", "register", people, faces),
            _step(lmdb / "performers/build.json", "build_lmdb", faces, lmdb / "performers"),
        ]

    def train() -> list[Step]:
        options = ("--solver", "solvers/human.prototxt", "--precision", scale.precision)
        return [_training(human, lmdb / "performers", scale.epochs, *options)]

    def cast() -> list[Step]:
        return [_step(frames / "render.json", "render_rig", frames, "--frames", scale.cast_frames)]

    def register() -> list[Step]:
        first = _step(registered / "register.json", "register", "--database", "rig", frames, registered)
        each = [
            _step(lmdb / name / "build.json", "build_lmdb", "--character", name, registered, lmdb / name)
            for name in names
        ]
        return [first, *each]

    def finetune() -> list[Step]:
        options = ("--solver", "solvers/finetune.prototxt", "--deploy", "prototxt/finetune_deploy.prototxt")
        options += ("--stage", FINETUNE, "--weights", human, "--crops", "mirrored", "--once")
        options += ("--precision", scale.precision)
        return [_training(tuned[name], lmdb / name, scale.finetune_epochs, *options) for name in names]

    def features() -> list[Step]:
        models = {asked: (human, "performers"), **{stores / name: (tuned[name], name) for name in names}}
        return [
            _step(store / "meta.json", "extract_features", model, lmdb / data / "test_lmdb", store)
            for store, (model, data) in models.items()
        ]

    def scores() -> list[Step]:
        known = {"performers": asked, **{name: stores / name for name in names}}
        recognised = [
            _step(file := results / f"{name}.json", "evaluate", "recognition", store, "--json", file)
            for name, store in known.items()
        ]
        each, one, how = [stores / name for name in names], results / "table1.json", DEFAULT_NORMALISATION
        top = results / "retrieval.json"
        return [
            *recognised,
            _step(one, "evaluate", "table1", asked, *each, "--json", one),
            _step(top, "evaluate", "retrieval", *each, asked, "--top", 1, "--normalise", how, "--json", top),
        ]

    def sheets() -> list[Step]:
        chosen = pick_queries(faces / "manifest.parquet", _QUERIES)
        return [
            _retrieval(results / f"{expression}.jpg", *(people / name for name in queries), *answers)
            for expression, queries in chosen.items()
        ]

    def photograph() -> list[Step]:
        return [_retrieval(results / "astronaut.jpg", folder / "astronaut.png", *answers)]

    def shipped() -> list[Step]:
        asks = _retrieval(results / "astronaut-shipped.jpg", folder / "astronaut.png", "--characters", "all")
        return [replace(asks, reads=tuple(sorted(paths.find(CHARACTER_STORES).glob("*/meta.json"))))]

    shots, of_cast = scale.performers * scale.frames, scale.cast_frames * len(names)
    return [
        Stage("performers", f"render {shots:,} photographs of {scale.performers:,} people", performers),
        Stage("faces", "find and register their faces as in any photographs, write LMDBs divided by person", detect),
        Stage("human network", f"train it on them from nothing, {scale.epochs:g} epochs", train),
        Stage("cast", f"render {of_cast:,} frames of {len(names)} characters", cast),
        Stage("frames", "register them, write each character's LMDBs, divided by key pose", register),
        Stage("fine-tuning", f"lead each one’s features to the people’s, {scale.finetune_epochs:g} epochs", finetune),
        Stage("features", "what the networks say of the test images", features),
        Stage("scores", "recognition, retrieval and the papers' Table 1", scores),
        Stage("sheets", "the characters' answers to people never seen, an expression a sheet", sheets),
        Stage("photograph", "their answers to a real photograph", photograph),
        Stage("shipped model", "the answers of the networks that come with the project", shipped, _why_not_shipped()),
    ]


def pick_queries(manifest: Path, each: int, seed: int = 0) -> dict[str, list[str]]:
    """Choose photographs of the test persons by lot, among those in which a face was found.

    Parameters
    ----------
    manifest : path
        `manifest.parquet` of a registered folder.
    each : int
        How many an expression, at most; all of different persons.
    seed : int

    Returns
    -------
    dict of str to list of str
        `source` names by expression; an expression without such photographs is left out.
    """
    columns = ["source", "expression", "subject", "split", "face"]
    rows = pq.read_table(manifest, columns=columns, partitioning=None).to_pylist()
    asking = [row for row in rows if row["split"] == "test" and row["face"] == "detected"]
    drawn = draw_of_each(asking, each, seed)
    return {name: [asking[number]["source"] for number in numbers] for name, numbers in drawn.items()}


def fast_precision() -> str:
    """Return the precision that is fast in training here: bf16 where Linux names a processor that has it, else fp32."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()
    return "bf16" if flags & {"avx512_bf16", "amx_bf16"} else "fp32"


def _step(product: Path, tool: str, *arguments: object) -> Step:
    """A tool whose product lies in a folder of its own, unless it is named in the arguments itself."""
    place = product if product in arguments else product.parent
    return Step((str(paths.find(f"tools/{tool}.py")), *map(str, arguments)), product, place)


def _training(model: Path, data: Path, epochs: float, *options: object) -> Step:
    length = ("--epochs", f"{epochs:g}", "--drop-every", f"{0.75 * epochs:g}", "--resume")
    made = _step(model, "train", *options, "--data", data, "--out", model.parent, *length)
    return Step(made.arguments, model, model.parent, passing="*_iter_*")


def _retrieval(sheet: Path, *arguments: object) -> Step:
    record = sheet.with_suffix(".json")  # written after the sheet
    return _step(record, "retrieve", *arguments, "--sheet", sheet, "--json", record)


def _cast() -> list[str]:
    from pydeepexpr.rig.cast import CAST  # compiles what the rig needs, and --help shall not wait for it

    return list(CAST)


def _copy_photograph(target: Path) -> None:
    """Put scikit-image's photograph of Eileen Collins (NASA, public domain) at a place of the demo's own."""
    import skimage.data

    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(skimage.data.__file__).parent / "astronaut.png", target)


def _why_not_shipped() -> str:
    """Return why the project's own networks cannot answer, or nothing where they can."""
    try:
        found = any(paths.find(CHARACTER_STORES).glob("*/meta.json"))
    except UserError:
        found = False
    return "" if found else f"{CHARACTER_STORES} holds no features of characters"
