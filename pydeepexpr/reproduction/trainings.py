"""The trainings that the papers' accuracies need: hours of work, which resume where they were interrupted.

They end with feature stores; what is counted in those is the exhibits' matter, and changes without training anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.reproduction.material import Material
from pydeepexpr.stages import Stage, Step

__all__ = ["Training", "character_trainings", "training_stages"]


@dataclass(frozen=True)
class Training:
    """One character network and what it is tested on.

    Attributes
    ----------
    name : str
        Its folder: `random`, `apart`, `without-mery`.
    about : str
    division : tuple of str
        Arguments of ``tools/build_lmdb.py``.
    """

    name: str
    about: str
    division: tuple[str, ...]


def character_trainings(material: Material) -> list[Training]:
    """Return the table of character networks: two divisions of all frames, and each character left out once."""
    apart = ("--split", material.division)
    left_out = [
        Training(f"without-{name}", f"tested on {name}, which it has never seen", (*apart, "--hold-out", name))
        for name in material.characters
    ]
    return [
        Training("random", "frames divided at random, as the papers seem to", ("--split", "random")),
        Training("apart", "neighbouring frames kept on one side", apart),
        *left_out,
    ]


def training_stages(material: Material, folder: Path, precision: str, device: str = "auto") -> list[Stage]:
    """Return what is trained, a stage each: the human network fold by fold, then the character networks.

    Parameters
    ----------
    material : Material
        Without `people` the human network is left out, without `frames` the characters' are.
    folder : path
        ``human`` in it is the cross-validation's; each character network has a folder by its name.
    precision : {'fp32', 'bf16'}
    device : {'auto', 'cpu', 'cuda'}
    """
    how = ("--precision", precision, "--device", device)
    stages = []
    if material.people:
        human = folder / "human"
        command = _command("cross_validate", *material.people, "--out", human, *_length(material.human_epochs), *how)
        reads = tuple(one / "manifest.parquet" for one in material.people)
        step = Step(command, human / "report.json", human, reads=reads)
        stages.append(Stage("human", "five folds, each person in one", lambda: [step]))
    if material.frames:
        for one in character_trainings(material):
            steps = _steps(material, folder / one.name, one, (*_length(material.character_epochs), *how), device)
            stages.append(Stage(one.name, one.about, steps))
    return stages


def _steps(
    material: Material, folder: Path, one: Training, how: tuple[str, ...], device: str
) -> Callable[[], Sequence[Step]]:
    data, run, store = folder / "lmdb", folder / "character", folder / "store"
    model, frames = run / "character.caffemodel", material.frames
    networks = ("--solver", "solvers/character.prototxt", "--deploy", "prototxt/character_deploy.prototxt")

    def steps() -> Sequence[Step]:
        built = _command("build_lmdb", frames, data, *one.division)
        reads = (frames / "manifest.parquet",)
        return [
            Step(built, data / "build.json", data, reads=reads, scaffold=True),
            Step(_command("train", *networks, "--data", data, "--out", run, "--resume", *how), model, run, "*_iter_*"),
            Step(
                _command("extract_features", model, data / "test_lmdb", store, "--device", device),
                store / "meta.json",
                store,
            ),
        ]

    return steps


def _length(epochs: float) -> tuple[str, ...]:
    """Return the papers' schedule, or a short one whose rate drops once, after three quarters."""
    drop = 10 if epochs > 20 else 0.75 * epochs
    return ("--epochs", f"{epochs:g}", "--drop-every", f"{drop:g}")


def _command(tool: str, *arguments: object) -> tuple[str, ...]:
    return (str(paths.find(f"tools/{tool}.py")), *map(str, arguments))
