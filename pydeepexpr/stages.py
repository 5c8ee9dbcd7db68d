"""Work in stages: each is some commands, each with a product, and what is there already is not made again.

A command's product counts as made when the record says that this very command ended well, after the very same commands
before it, and the product is still there. A command that was interrupted is run again as it is: the project's tools
write whole files or go on where they stopped. What another command left at its place is removed first.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydeepexpr
from pydeepexpr.errors import ToldError, UserError
from pydeepexpr.files import sha256_of, write_json

__all__ = ["Stage", "Step", "call", "run_stages"]


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    arguments : tuple of str
        What a user types after ``python``: a tool and its arguments.
    product : Path
        The file that appears when the command has done its work, and not before.
    place : Path, optional
        The folder that is the command's own, removed when what lies there was made otherwise; by default the product.
    passing : str
        A pattern of files in `place` that serve to go on after an interruption and are removed at the end.
    reads : tuple of Path
        Files that no stage makes: where their contents change, the command is run again.
    scaffold : bool
        The later steps of its stage alone need the product: it is removed after them, and not missed.
    """

    arguments: tuple[str, ...]
    product: Path
    place: Path | None = None
    passing: str = ""
    reads: tuple[Path, ...] = ()
    scaffold: bool = False


@dataclass(frozen=True)
class Stage:
    """Commands that belong together.

    Attributes
    ----------
    name : str
    about : str
        What it makes, in a line.
    steps : callable
        Returns its steps when its turn comes: they may depend on what the stages before it made.
    lacks : str
        Why it cannot be done here; it is left out then.
    """

    name: str
    about: str
    steps: Callable[[], Sequence[Step]]
    lacks: str = ""


def run_stages(
    stages: Sequence[Stage],
    record: Path,
    run: Callable[[tuple[str, ...], Path], int] | None = None,
    *,
    independent: bool = False,
) -> dict[str, dict]:
    """Do what is not done yet, one stage after another, and say so.

    Parameters
    ----------
    stages : sequence of Stage
    record : path
        The JSON file that keeps what was done: under `stages` the name, `about` and `lacks` of each, under `steps` by
        product its stage, command, seconds, and whether it finished. What the commands print goes to a `.log` beside.
    run : callable, optional
        Called with a step's arguments and the log; returns the exit status. By default `call`.
    independent : bool
        Whether no stage builds on another: then a change of one leaves the others as they are, and one that fails
        ends with its reason as its `lacks` in the record, and the next one goes on.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    UserError
        If a command ends with another exit status than 0 (`ToldError` if that is 2: the command has told why), or ends
        well and its product is not there.
    """
    steps = _known(record)
    done = {"stages": [{"name": one.name, "about": one.about, "lacks": one.lacks} for one in stages], "steps": steps}
    key, log = pydeepexpr.__version__, record.with_suffix(".log")
    for number, stage in enumerate(stages, 1):
        title = f"[{number:{len(str(len(stages)))}}/{len(stages)}] {stage.name}: {stage.about}"
        if stage.lacks:
            print(f"{title}: left out, {stage.lacks}", flush=True)
            continue
        try:
            last = _run_stage(stage, title, key, done, record, lambda arguments: (run or call)(arguments, log))
        except UserError as error:
            if not independent:
                raise
            done["stages"][number - 1]["lacks"] = str(error)
            print(f"{title}: left out, {error}", flush=True)
        else:
            key = key if independent else last
    write_json(record, done)
    return done


def call(arguments: tuple[str, ...], log: Path, hear: Callable[[str], None] | None = None) -> int:
    """Run a tool with this Python; what it prints is added to `log`. Return its exit status.

    Its progress and errors are shown; with `hear` this is called with each of their lines, too, and a terminal's
    progress bars become lines.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"\n$ python {' '.join(arguments)}\n")
        file.flush()
        errors = {"stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"} if hear else {}
        with subprocess.Popen([sys.executable, *arguments], stdout=file, **errors) as process:
            try:
                for line in process.stderr or ():
                    sys.stderr.write(line)
                    hear(line)
                return process.wait()
            except KeyboardInterrupt:
                process.wait()  # Ctrl-C reached it, too: it keeps what it has done
                raise


def _run_stage(
    stage: Stage, title: str, key: str, done: dict, record: Path, run: Callable[[tuple[str, ...]], int]
) -> str:
    """Do what is missing of a stage; return the key of its last step."""
    keyed, steps = [], done["steps"]
    for step in stage.steps():
        made_of = (key, *step.arguments, *map(sha256_of, step.reads))
        key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()
        keyed.append((key, step))
    missing = _missing(keyed, steps)
    print(f"{title} …" if missing else f"{title}: there already", flush=True)
    for its, step in missing:
        _make(stage.name, step, its, done, record, run)
    for _, step in keyed:
        if step.scaffold:
            _remove(step.place or step.product)
    if missing:
        took = sum(steps[str(step.product)]["seconds"] for _, step in missing)
        print(f"{'':{title.index(']') + 1}} {stage.name}: made in {took:.0f} s", flush=True)
    return key


def _make(stage: str, step: Step, key: str, done: dict, record: Path, run: Callable[[tuple[str, ...]], int]) -> None:
    """Run one command and keep the record, before and after."""
    steps, name, place = done["steps"], str(step.product), step.place or step.product
    begun = steps.get(name, {})
    spent = begun.get("seconds", 0.0) if begun.get("key") == key and not begun.get("finished") else None
    if spent is None:
        _remove(place)
    entry = {"stage": stage, "command": ["python", *step.arguments], "key": key}
    steps[name] = {**entry, "seconds": spent or 0.0, "finished": False}
    write_json(record, done)
    started = time.monotonic()
    try:
        status = run(step.arguments)
    finally:
        steps[name]["seconds"] = round((spent or 0.0) + time.monotonic() - started, 1)
        write_json(record, done)
    if status == 130:
        raise KeyboardInterrupt
    if status:
        kind = ToldError if status == 2 else UserError
        raise kind(f"the stage {stage} ended with the exit status {status}: {' '.join(entry['command'])}")
    if not step.product.exists():
        raise UserError(f"the stage {stage} has not made {step.product}: {' '.join(entry['command'])}")
    for passing in sorted(place.glob(step.passing)) if step.passing else ():
        passing.unlink()
    steps[name]["finished"] = True
    write_json(record, done)


def _known(record: Path) -> dict[str, dict]:
    """Return the steps of an earlier run by product; none where there is no record, or it is damaged."""
    try:
        return dict(json.loads(record.read_text(encoding="utf-8"))["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _missing(keyed: Sequence[tuple[str, Step]], known: dict[str, dict]) -> list[tuple[str, Step]]:
    """Return the steps that are to be run, with their keys: a scaffold only where a later one of its stage is."""
    missing: list[tuple[str, Step]] = []
    for key, step in reversed(keyed):
        if (missing or not step.scaffold) and not _is_made(step, known.get(str(step.product)), key):
            missing.insert(0, (key, step))
    return missing


def _is_made(step: Step, known: dict | None, key: str) -> bool:
    return known is not None and known["finished"] and known["key"] == key and step.product.exists()


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
