"""Results written down as they come in, so that an interrupted run can go on."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from pydeepexpr.errors import UserError

__all__ = ["Journal"]


class Journal:
    """The results of a long run, one JSON line each, in a folder of work that is not finished.

    Parameters
    ----------
    folder : Path
        Where the work grows. If it holds the journal of the same run, its results are taken up; otherwise it is
        emptied.
    run : dict
        What the run was made from. Another value is another run.

    Attributes
    ----------
    results : dict
        Each result by its ``source``.
    """

    def __init__(self, folder: Path, run: dict[str, Any]) -> None:
        self.path = folder / "journal.jsonl"
        self.results: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(OSError, ValueError), open(self.path, encoding="utf-8") as file:
            if json.loads(file.readline()) == run:
                for line in file:  # a last line that was cut short ends it with a ValueError
                    result = json.loads(line)
                    self.results[result["source"]] = result
        try:
            if not self.results:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise UserError(f"cannot write in {folder}: {error.strerror}") from None
        for line in (run, *self.results.values()):
            self._write(line)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, result: dict[str, Any]) -> None:
        """Keep a result."""
        self.results[result["source"]] = result
        self._write(result)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
