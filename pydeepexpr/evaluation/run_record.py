"""What a run in stages left behind, as a page needs it: its files, the commands that made them, what is missing."""

import json
from pathlib import Path
from typing import Any

from pydeepexpr.evaluation.html import command, missing

__all__ = ["RunRecord"]


class RunRecord:
    """A folder with the ``stages.json`` of `pydeepexpr.stages.run_stages`.

    Attributes
    ----------
    folder : Path
    stages : list of dict
        The name, `about` and `lacks` of each.
    steps : dict
        By product: its stage, command, seconds, and whether it finished.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record = self.read("stages.json") or {}
        self.stages: list[dict[str, str]] = record.get("stages", [])
        self.steps: dict[str, dict[str, Any]] = record.get("steps", {})

    def read(self, name: str) -> Any:
        """Return what a JSON file holds; None where it is missing or damaged."""
        try:
            return json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def command(self, *names: str) -> str:
        """Return the commands that made files, as HTML."""
        made = (self.steps.get(str(self.folder / name)) for name in names)
        return command(*(step["command"] for step in made if step))

    def lacks(self, stage: str) -> str:
        """Return why a stage was left out; nothing where it was not."""
        return next((one["lacks"] for one in self.stages if one["name"] == stage), "")

    def missing(self, what: str, stage: str) -> str:
        """Say that something is missing and what became of its stage."""
        return missing(what, self.lacks(stage) or f"the stage “{stage}” has not run to its end")

    def seconds(self, stage: str) -> float:
        """Return how long a stage's commands took."""
        return sum(step["seconds"] for step in self.steps.values() if step["stage"] == stage)
