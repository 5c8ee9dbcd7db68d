"""Everything that the data at hand allows, and the page that shows it."""

from collections.abc import Sequence
from pathlib import Path

from pydeepexpr.errors import UserError
from pydeepexpr.reproduction.exhibits import Place, exhibit_stages
from pydeepexpr.reproduction.material import PICTURES_LICENCE, Material
from pydeepexpr.reproduction.page import write_index
from pydeepexpr.reproduction.trainings import training_stages
from pydeepexpr.stages import Stage, call, run_stages

__all__ = ["reproduce"]


def reproduce(
    materials: Sequence[Material],
    out: Path,
    *,
    kinds: Sequence[str] = ("table", "figure"),
    votes: Path = Path("data/votes"),
    full: bool = False,
    precision: str = "fp32",
    device: str = "auto",
) -> str:
    """Do what is not done yet of the materials' tables and figures, and write ``index.html``; say what is there.

    Parameters
    ----------
    materials : sequence of Material
    out : path
        A folder a material in it, with a folder an exhibit.
    kinds : sequence of {'table', 'figure'}
        What to make; the page shows the rest as it was.
    votes : path
        Folders ``ranking``, ``expert`` and ``recognition`` of people's answers, if there are any.
    full : bool
        Also train what the papers' accuracies need.
    precision, device : str
        Of the trainings.

    Raises
    ------
    UserError
        If there is no material. An exhibit that cannot be made is named on the page, with the reason.
    """
    if not materials:
        raise UserError(
            "nothing to reproduce the papers with: run make demo, which needs no data, or make data for your people"
        )
    place = {material.name: Place(out / material.name, votes) for material in materials}
    missing = []
    for material in materials:
        _extract(material, place[material.name].folder)
        if full:
            missing += _train(material, place[material.name].folder, precision, device)
        stages = exhibit_stages(material, place[material.name], kinds)
        record = place[material.name].folder / "stages.json"
        missing += _lacking(run_stages(stages, record, _call, independent=True))
    lines = [f"missing: {line}" for line in missing]
    if any(material.licensed for material in materials):
        lines.append(f"licences: {PICTURES_LICENCE}")
    return "\n".join([*lines, str(write_index(out, materials))])


def _extract(material: Material, folder: Path) -> None:
    """Make the feature stores of test images that nobody else has made."""
    if material.extraction:
        stage = Stage("features", "what the networks say of the test images", lambda: material.extraction)
        run_stages([stage], folder / "features.json")


def _train(material: Material, folder: Path, precision: str, device: str) -> list[str]:
    """Train what the accuracies need; return what could not be."""
    stages = training_stages(material, folder / "full", precision, device)
    return _lacking(run_stages(stages, folder / "full/stages.json", independent=True))


def _lacking(done: dict) -> list[str]:
    return [f"{stage['name']}, {stage['lacks']}" for stage in done["stages"] if stage["lacks"]]


def _call(arguments: tuple[str, ...], log: Path) -> int:
    """Run a tool and raise what it says where it fails, so that the page can say it, too."""
    said: list[str] = []
    status = call(arguments, log, said.append)
    if status not in (0, 130):
        reason = next((line for line in reversed(said) if line.strip()), "")
        raise UserError(reason.removeprefix("error: ").strip() or f"its command ended with the exit status {status}")
    return status
