"""Which registered faces are taken: of which characters, named in no list, labelled."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lmdb_builders.registered import RegisteredFaces
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.files import read_names

__all__ = ["UNLABELLED_RULES", "labelled", "of_characters", "without"]

UNLABELLED_RULES = ("error", "skip")


def of_characters(faces: RegisteredFaces, characters: list[str]) -> RegisteredFaces:
    """Return the faces of the characters that are named; all where none is."""
    if not characters:
        return faces
    column = faces.column("character")
    for name in characters:
        if name not in column:
            known = ", ".join(sorted(set(column) - {""})) or "none"
            raise UserError(f"there is no character {name!r} among the registered faces; there are: {known}")
    return faces.take([row for row, name in enumerate(column) if name in characters])


def without(faces: RegisteredFaces, lists: Iterable[str | os.PathLike]) -> tuple[RegisteredFaces, dict[str, int]]:
    """Return the faces that no list names, and how many each list took away, by the list's file name."""
    sources = faces.column("source")
    keep, taken = set(range(len(sources))), {}
    for path in lists:
        names = set(read_names(path))
        found = {row for row, source in enumerate(sources) if source in names}
        if not found:
            raise UserError(f"{os.fspath(path)} excludes nothing: no image has a name such as {min(names)}")
        taken[Path(path).name] = len(found)
        keep -= found
    return (faces.take(sorted(keep)) if taken else faces), taken


def labelled(faces: RegisteredFaces, unlabelled: str) -> tuple[RegisteredFaces, int]:
    """Return the faces that have a label, and how many have none."""
    labels = np.array(faces.column("expression"), dtype=np.int64)
    keep = np.flatnonzero(labels != UNLABELLED)
    left_out = len(labels) - len(keep)
    if left_out and unlabelled == "error":
        raise UserError(f"{left_out} of {len(labels)} images have no label; leave them out with --unlabelled skip")
    return (faces.take(keep.tolist()) if left_out else faces), left_out
