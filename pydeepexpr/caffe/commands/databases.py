"""Databases by the name of their backend, and writing new ones, whole or not at all."""

import contextlib
import os
from collections.abc import Iterator

from pydeepexpr.caffe.commands.flags import Flag
from pydeepexpr.caffe.database_writers import WRITERS, Writer
from pydeepexpr.caffe.leveldb_source import LevelDbSource
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_directory

__all__ = ["BACKEND", "SOURCES", "new_database"]

#: Readers by backend.
SOURCES = {"lmdb": LmdbSource, "leveldb": LevelDbSource}
BACKEND = Flag("lmdb", "the database's kind", choices=tuple(SOURCES))


@contextlib.contextmanager
def new_database(path: str | os.PathLike, backend: str) -> Iterator[Writer]:
    """Yield a database to fill that stands at `path` once the block ends well.

    Raises
    ------
    UserError
        If something is at `path` already, or the backend is not installed.
    """
    if os.path.lexists(path):
        raise UserError(f"{os.fspath(path)} is there already; remove it or choose another name")
    with atomic_directory(path) as folder, contextlib.closing(WRITERS[backend](folder)) as writer:
        yield writer
        writer.finish()
