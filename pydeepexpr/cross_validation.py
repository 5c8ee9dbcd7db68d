"""Cross-validation: every fold tests once what the others taught; by the commands that a user types."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.folds import write_report
from pydeepexpr.stages import Stage, Step, run_stages

__all__ = ["Plan", "cross_validate", "fold_stages"]


@dataclass(frozen=True)
class Plan:
    """What is validated, and how each fold is trained.

    Attributes
    ----------
    registered : tuple of Path
        Registered folders; folds are made over their union.
    folds : int
    val : float
        Share of the images that validates during the training; nothing is chosen by them.
    build, train : tuple of str
        Further arguments of ``tools/build_lmdb.py`` and ``tools/train.py``.
    device : str
        Of training and extraction.
    """

    registered: tuple[Path, ...]
    folds: int = 5
    val: float = 0.13
    build: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    device: str = "auto"


def cross_validate(plan: Plan, out: Path) -> str:
    """Do what is not done yet in the folder `out`; return the report as Markdown.

    Raises
    ------
    UserError
        If a registered folder has no manifest, there are fewer than two folds, or a command fails.
    """
    if plan.folds < 2:
        raise UserError(f"--folds {plan.folds} is no cross-validation; give 2 or more")
    for folder in plan.registered:
        if not (folder / "manifest.parquet").is_file():
            raise UserError(f"{folder} has no manifest.parquet; make it with tools/register.py")
    run_stages(fold_stages(plan, out), out / "stages.json")
    return write_report(out, plan.registered, plan.folds)


def fold_stages(plan: Plan, out: Path) -> list[Stage]:
    """Return one stage a fold: LMDBs, training, features of the images that test. The LMDBs are removed after it."""
    return [
        Stage(f"fold {fold + 1}", "train on the others, test on it", _steps(plan, out, fold))
        for fold in range(plan.folds)
    ]


def _steps(plan: Plan, out: Path, fold: int):
    folder = out / f"fold{fold + 1}"
    data, run, store = folder / "lmdb", folder / "human", folder / "store"
    model, registered = run / "human.caffemodel", [str(one) for one in plan.registered]
    divided = ("--split", "folds", "--folds", plan.folds, "--fold", fold, "--val", plan.val, *plan.build)
    device = ("--device", plan.device)

    def steps() -> Sequence[Step]:
        return [
            Step(
                _command("build_lmdb", *registered, data, *divided),
                data / "build.json",
                data,
                reads=tuple(one / "manifest.parquet" for one in plan.registered),
                scaffold=True,
            ),
            Step(
                _command("train", "--data", data, "--out", run, "--resume", *device, *plan.train),
                model,
                run,
                passing="*_iter_*",
            ),
            Step(_command("extract_features", model, data / "test_lmdb", store, *device), store / "meta.json", store),
        ]

    return steps


def _command(tool: str, *arguments: object) -> tuple[str, ...]:
    return (str(paths.find(f"tools/{tool}.py")), *map(str, arguments))
