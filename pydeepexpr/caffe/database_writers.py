"""New databases of records, written batch by batch as Caffe's `db` does."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb

from pydeepexpr.caffe import leveldb_source
from pydeepexpr.errors import UserError

__all__ = ["WRITERS", "LevelDbWriter", "LmdbWriter", "Writer"]

_BATCH = 1000  # records written at once, as Caffe does
_BATCH_BYTES = 64 << 20
_FIRST_MAP = 64 << 20


class Writer:
    """A database in a folder that is written batch by batch.

    Parameters
    ----------
    folder : Path
    before_write : callable, optional
        Called before a batch is written, with the number of records up to its end: whoever is killed later leaves one
        of these numbers of records in the database.
    """

    def __init__(self, folder: Path, before_write: Callable[[int], None] | None = None):
        self.folder = folder
        self._before_write = before_write
        self._batch: list[tuple[bytes, bytes]] = []
        self._bytes = self._count = 0

    def put(self, key: bytes, value: bytes) -> None:
        """Add a record."""
        self._batch.append((key, value))
        self._bytes += len(value)
        self._count += 1
        if len(self._batch) == _BATCH or self._bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._batch:
            if self._before_write:
                self._before_write(self._count)
            self._write(self._batch)
        self._batch, self._bytes = [], 0

    def _write(self, batch: list[tuple[bytes, bytes]]) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is left."""
        self._flush()

    def close(self) -> None:
        """Let go of the files, finished or not."""


class LmdbWriter(Writer):
    """An LMDB that real Caffe opens; it may hold records already."""

    def __init__(self, folder: Path, before_write: Callable[[int], None] | None = None):
        super().__init__(folder, before_write)
        # Nobody reads it yet: no lock file is needed and one flush at the end is enough.
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


class LevelDbWriter(Writer):
    """A LevelDB, by plyvel."""

    def __init__(self, folder: Path, before_write: Callable[[int], None] | None = None):
        super().__init__(folder, before_write)
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


#: Writers by backend.
WRITERS = {"lmdb": LmdbWriter, "leveldb": LevelDbWriter}
