"""Databases as they lie in one folder: which are there, and what became of them."""

import fnmatch
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmdb_builders import READERS
from lmdb_builders.register import FOUND, register
from pydeepexpr import paths
from pydeepexpr.errors import UserError

__all__ = ["PEOPLE", "Database", "collect", "describe", "find_databases", "held_out"]

#: The databases that are looked for where none is named.
PEOPLE = tuple(name for name, reader in READERS.items() if reader.people)

_REASONS = 6  # reasons of rejects, and differences, that are printed


class Database(NamedTuple):
    """A database of the registry."""

    name: str
    place: Path | None  #: where it lies; None where it was not found
    summary: dict[str, Any] | None = None  #: what its register.json holds, once it is registered


def find_databases(root: str | os.PathLike, names: Sequence[str] = ()) -> list[Database]:
    """Look for databases in a folder.

    Parameters
    ----------
    root : path
        The folder that holds them, each under one of its usual names (`Reader.places`); or one of them itself.
    names : sequence of str
        Which to look for. If none is named, those of people are, and it is no error that some are missing.

    Raises
    ------
    UserError
        If there is no such folder, a name is none of the registry's or comes twice, a named database is missing, or
        none is found. The message says where it was looked for, and who lets whom have it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the one that holds the databases")
    for name in names:
        if name not in READERS or not READERS[name].places:
            known = ", ".join(known for known, reader in READERS.items() if reader.places)
            raise UserError(f"there is no database {name!r}; known are {known}")
        if names.count(name) > 1:
            raise UserError(f"{name} is named twice; name each database once")
    found = [Database(name, _place(root, READERS[name].places)) for name in names or PEOPLE]
    missing = [one.name for one in found if one.place is None]
    if names and missing:
        raise UserError("; ".join(_not_found(name, root) for name in missing))
    if len(missing) == len(found):
        raise UserError(f"none of {', '.join(PEOPLE)} is in {root}; name its folder as in docs/databases.md")
    return found


def collect(
    databases: Iterable[Database],
    out: str | os.PathLike,
    *,
    options: Mapping[str, Mapping[str, str]] | None = None,
    workers: int | None = None,
    limit: int | None = None,
) -> list[Database]:
    """Register the databases that were found, each into a folder of its name in `out`; leave those that are done.

    Parameters
    ----------
    databases : iterable of Database
        As `find_databases` returns them.
    out : path
    options : dict, optional
        By database, what its reader leaves to its user.
    workers, limit : int, optional
        As `register` has them.

    Returns
    -------
    list of Database
        The same, with their summaries.

    Raises
    ------
    UserError
        If a database cannot be read, or options are given for one that is not taken.
    """
    databases, options = list(databases), options or {}
    taken = [one.name for one in databases if one.place is not None]
    if unused := sorted(set(options) - set(taken)):
        raise UserError(f"options are given for {', '.join(unused)}, but taken are {', '.join(taken)}")
    return [
        one._replace(
            summary=register(
                one.name, one.place, Path(out, one.name), options=options.get(one.name), workers=workers, limit=limit
            )
        )
        if one.place is not None
        else one
        for one in databases
    ]


def held_out(databases: Iterable[Database]) -> list[Path]:
    """Return the lists of images of these databases that are kept for evaluations and must not be trained on."""
    return [paths.find(name) for one in databases if one.place is not None for name in READERS[one.name].held_out]


def describe(database: Database, root: str | os.PathLike) -> str:
    """Say in lines of text what was found of a database, what was expected, and what was rejected and why."""
    if database.summary is None:
        return f"{database.name}: skipped, {_not_found(database.name, Path(root))}"
    counts, differences = database.summary["counts"], database.summary["differences"]
    expressions = ", ".join(f"{name} {count:,}" for name, count in counts["expressions"].items())
    how = ", ".join(f"{count:,} {FOUND[name]}" for name in FOUND if (count := counts[name.replace("-", "_")]))
    persons = f"{counts['subjects']:,} persons" if counts["subjects"] else "it does not say who is who"
    quality = ", ".join(f"{flag} {count:,}" for flag, count in counts["quality"].items())
    lines = [
        f"{database.name}: {database.place}",
        f"expected: {database.summary['expected'] or 'whatever there is'}",
        f"found:    {database.summary['images']:,} images, {counts['accepted']:,} faces ({how}); {persons}",
        f"          {expressions}",
        f"rejected: {counts['rejected']:,}{' (rejects.csv)' if counts['rejected'] else ''}",
        *_some(f"          {count:,}: {reason}" for reason, count in counts["reasons"].items()),
        *([f"doubtful: {quality}"] if quality else []),
        *_some(f"differs from the published: {line}" for line in differences),
        f"licence:  {READERS[database.name].licence}",
    ]
    return lines[0] + "\n" + textwrap.indent("\n".join(lines[1:]), "  ")


def _place(root: Path, names: Sequence[str]) -> Path | None:
    """Return where a database of these names lies in `root`, or `root` if it is called so itself."""
    inside = sorted(root.iterdir())
    for name in names:
        for path in (*inside, root.resolve()):
            if fnmatch.fnmatchcase(path.name.lower(), name.lower()) and not path.name.startswith("."):
                return path
    return None


def _not_found(name: str, root: Path) -> str:
    reader = READERS[name]
    return f"{name} is not in {root} (looked for {', '.join(reader.places)}); licence: {reader.licence}"


def _some(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    more = len(lines) - _REASONS
    return [*lines[:_REASONS], *([f"          and {more} more"] if more > 0 else [])]
