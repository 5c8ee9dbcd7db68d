"""Results written down as they come in, so that an interrupted run can go on."""

import json
from pathlib import Path
from typing import Any

__all__ = ["Journal"]


class Journal:
    """The results of a long run, one JSON line each, in a folder of work that is not finished.

    Parameters
    ----------
    folder : Path
        Where the work grows. The results that its journal holds are taken up, up to a line that was cut short.

    Attributes
    ----------
    results : dict
        Each result by its ``source``.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.jsonl"
        self.results: dict[str, dict[str, Any]] = {}
        whole = self._take_up() if self.path.exists() else 0
        self._file = open(self.path, "ab")  # noqa: SIM115
        self._file.truncate(whole)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, result: dict[str, Any]) -> None:
        """Keep a result."""
        self.results[result["source"]] = result
        self._file.write(json.dumps(result).encode() + b"\n")
        self._file.flush()

    def _take_up(self) -> int:
        """Read the journal; return the number of bytes that are whole lines of it."""
        whole = 0
        with open(self.path, "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                result = json.loads(line)
                self.results[result["source"]] = result
                whole += len(line)
        return whole
