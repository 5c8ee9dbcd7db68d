"""What there is to reproduce the papers with: the demo's people and characters, or one's own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.errors import UserError
from pydeepexpr.stages import Step
from pydeepexpr.stores import CHARACTER_STORES

__all__ = ["PICTURES_LICENCE", "Material", "demo_material", "own_material"]

#: What is said wherever pictures of databases are shown.
PICTURES_LICENCE = (
    "the page holds pictures of the databases (FERG-DB, CK+, DISFA, KDEF, MMI, FER2013 …): show it only where their "
    "licences allow"
)

#: The accuracies of the project's own full run on the demo's material.
_EARLIER = "docs/tables/accuracy_demo_full.json"


@dataclass(frozen=True)
class Material:
    """People and characters, and what was made of them.

    Attributes
    ----------
    name : str
        Short, for folders: `demo`, `own`.
    about : str
        Who they are, in a line.
    asked : Path
        Feature store of the human test images.
    characters : mapping of str to Path
        Feature store of each character's test images.
    people : tuple of Path
        Registered folders of all the people's images.
    frames : Path, optional
        Registered folder of all the characters' frames.
    division : str
        Which rule of ``tools/build_lmdb.py --split`` keeps neighbouring frames of the characters apart.
    runs : mapping of str to Path
        The trainings' folders, by what they trained.
    truth : tuple of Path
        ``frames.parquet`` of renderings, which know the action units of every face; empty for photographs.
    human_epochs, character_epochs : float
        How long the full form trains each human and each character network.
    extraction : tuple of Step
        The commands that make the stores, where they are not there from elsewhere.
    earlier : Path, optional
        Accuracies of an earlier full run, shown with their date and command where none was made here.
    """

    name: str
    about: str
    asked: Path
    characters: Mapping[str, Path]
    people: tuple[Path, ...] = ()
    frames: Path | None = None
    division: str = "blocks"
    runs: Mapping[str, Path] = field(default_factory=dict)
    truth: tuple[Path, ...] = ()
    human_epochs: float = 50
    character_epochs: float = 50
    extraction: tuple[Step, ...] = ()
    earlier: Path | None = None

    @property
    def licensed(self) -> bool:
        """Whether its pictures are those of databases, and not rendered."""
        return not self.truth


def demo_material(folder: Path, epochs: float | None = None) -> Material | None:
    """Return what the demo has made in its folder; None where it has not been run.

    Parameters
    ----------
    folder : path
    epochs : float, optional
        Of each training of the full form; by default few, for an afternoon on two cores.

    Raises
    ------
    UserError
        If it was run, and not to its end.
    """
    if not folder.exists():
        return None
    stores = {path.parent.name: path.parent for path in sorted((folder / "stores/cast").glob("*/meta.json"))}
    asked = folder / "stores/performers"
    if not (folder / "report.html").is_file() or not (asked / "meta.json").is_file() or not stores:
        raise UserError(f"the demo in {folder} was not run to its end; run it again (make demo): it goes on")
    return Material(
        "demo",
        "rendered people and the project's own cast (make demo)",
        asked,
        stores,
        people=(folder / "registered/performers",),
        frames=folder / "registered/cast",
        division="own",
        runs={name: folder / "runs" / name for name in ("human", *stores)},
        truth=(folder / "performers/frames.parquet", folder / "RIG_DB_256/frames.parquet"),
        human_epochs=epochs or 4,
        character_epochs=epochs or 3,
        earlier=_found(_EARLIER),
    )


def own_material(
    people: Path,
    model: Path,
    registered: Path,
    frames: Path,
    tuned: str,
    division: str,
    stores: Path,
    device: str = "auto",
    *,
    epochs: float | None = None,
    lmdb: Path = Path("data/lmdb"),
    runs: Path = Path("runs"),
) -> Material | None:
    """Return what ``make train-human`` and ``make finetune`` have made; None where there are no people to ask.

    Without test images of people those that validate ask. Without characters of one's own, the project's cast answers,
    and its human network looks at the people.

    Parameters
    ----------
    people : path
        The folder of the people's LMDBs.
    model : path
        The human network.
    registered, frames : path
        The folder of the people's registered folders, and the characters' registered folder.
    tuned : str
        The stage of fine-tuning: a character's training is ``runs/CHARACTER-STAGE``.
    division : str
        As `Material` has it.
    stores : path
        Where the features of the test images go.
    device : {'auto', 'cpu', 'cuda'}
    epochs : float, optional
        Of each training of the full form; by default the papers' 50.
    lmdb, runs : path
        Where the characters' LMDBs and all trainings are.
    """
    asking = next((lmdb for lmdb in (people / "test_lmdb", people / "val_lmdb") if lmdb.is_dir()), None)
    if asking is None:
        return None
    each = {
        folder.name.removeprefix(f"{frames.name}-"): folder / "test_lmdb"
        for folder in sorted(lmdb.glob(f"{frames.name}-*"))
        if (folder / "test_lmdb").is_dir()
    }
    models = {who: runs / f"{who}-{tuned}" / f"{who}-{tuned}.caffemodel" for who in each}
    each = {who: place for who, place in each.items() if models[who].is_file()}
    asked, made = stores / "people", {who: stores / who for who in each}
    if each:
        about, cast = f"your people and {', '.join(each)}", made
    else:
        shipped = _found(CHARACTER_STORES)
        cast = {path.parent.name: path.parent for path in sorted(shipped.glob("*/meta.json"))} if shipped else {}
        about, model = "your people and the project's own cast, by the networks that come with it", _SHIPPED
    if not cast:
        return None
    trained = {"human": model.parent, **{who: models[who].parent for who in each}}
    return Material(
        "own",
        about,
        asked,
        cast,
        people=tuple(sorted(path.parent for path in registered.glob("*/manifest.parquet"))),
        frames=frames if each else None,
        division=division,
        runs={name: run for name, run in trained.items() if (run / "log.csv").is_file()},
        human_epochs=epochs or 50,
        character_epochs=epochs or 50,
        extraction=(
            _extraction(model, asking, asked, device),
            *(_extraction(models[who], each[who], made[who], device) for who in each),
        ),
    )


_SHIPPED = Path("models/human.caffemodel")


def _extraction(model: Path, lmdb: Path, store: Path, device: str) -> Step:
    words = (model, lmdb, store, "--device", device)
    arguments = (str(paths.find("tools/extract_features.py")), *map(str, words))
    reads = (model, lmdb.parent / "manifest.parquet")
    return Step(arguments, store / "meta.json", store, reads=reads)


def _found(path: str) -> Path | None:
    try:
        return paths.find(path)
    except UserError:
        return None
