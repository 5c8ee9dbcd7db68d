"""Databases by the name of their backend, and writing new ones, whole or not at all."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import lmdb

from pydeepexpr.caffe import leveldb_source
from pydeepexpr.caffe.commands.flags import Flag
from pydeepexpr.caffe.leveldb_source import LevelDbSource
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_directory

__all__ = ["BACKEND", "SOURCES", "Writer", "new_database"]

#: Readers by backend.
SOURCES = {"lmdb": LmdbSource, "leveldb": LevelDbSource}
BACKEND = Flag("lmdb", "the database's kind", choices=tuple(SOURCES))

_BATCH = 1000  # records written at once, as Caffe does
_BATCH_BYTES = 64 << 20
_FIRST_MAP = 64 << 20


class Writer:
    """A new database in a folder, written batch by batch."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._batch: list[tuple[bytes, bytes]] = []
        self._bytes = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record."""
        self._batch.append((key, value))
        self._bytes += len(value)
        if len(self._batch) == _BATCH or self._bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            self._write(self._batch)
        self._batch, self._bytes = [], 0

    def _write(self, batch: list[tuple[bytes, bytes]]) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is left."""
        self._flush()

    def close(self) -> None:
        """Let go of the files, finished or not."""


class _LmdbWriter(Writer):
    def __init__(self, folder: Path):
        super().__init__(folder)
        # No reader can be there yet: no lock file is needed and one flush at the end is enough.
        self._env = lmdb.open(os.fspath(folder), map_size=_FIRST_MAP, lock=False, sync=False, metasync=False)

    def _write(self, batch: list[tuple[bytes, bytes]]) -> None:
        """Write a batch in one transaction, in a map that is doubled until it fits."""
        while True:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in batch:
                        transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._env.set_mapsize(2 * self._env.info()["map_size"])
            except lmdb.Error as error:
                if shutil.disk_usage(self.folder).free < sum(len(value) for _, value in batch):
                    # LMDB calls the short write on a full disk an input/output error.
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder)) from error
                raise

    def finish(self) -> None:
        super().finish()
        self._env.sync(True)

    def close(self) -> None:
        self._env.close()


class _LevelDbWriter(Writer):
    def __init__(self, folder: Path):
        super().__init__(folder)
        if leveldb_source.plyvel is None:
            raise UserError(
                "writing a LevelDB needs plyvel; install it (pip install 'pydeepexpr[leveldb]') or use lmdb"
            )
        self._db = leveldb_source.plyvel.DB(os.fspath(folder), create_if_missing=True)

    def _write(self, batch: list[tuple[bytes, bytes]]) -> None:
        with self._db.write_batch() as transaction:
            for key, value in batch:
                transaction.put(key, value)

    def close(self) -> None:
        self._db.close()


_WRITERS = {"lmdb": _LmdbWriter, "leveldb": _LevelDbWriter}


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
    with atomic_directory(path) as folder, contextlib.closing(_WRITERS[backend](folder)) as writer:
        yield writer
        writer.finish()
