"""Reading an LMDB of Datums in order, round and round."""

import gc
import os
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import lmdb
from google.protobuf.message import DecodeError

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["LmdbSource"]


_CLOSING = 10.0  # seconds that another thread may take to close a file whose last reader has gone


class _Environment:
    """An open LMDB, closed when nobody uses it any more."""

    def __init__(self, file: Path):
        self.env = lmdb.open(str(file), subdir=False, readonly=True, lock=False)


_open_environments: "weakref.WeakValueDictionary[tuple[int, int], _Environment]" = weakref.WeakValueDictionary()


def _open(file: Path) -> _Environment:
    """Open a database file, or return it open: LMDB forbids a process to open one file twice."""
    status = file.stat()
    key = status.st_dev, status.st_ino
    deadline = time.monotonic() + _CLOSING
    while True:
        if (environment := _open_environments.get(key)) is not None:
            return environment
        try:
            environment = _open_environments[key] = _Environment(file)
            return environment
        except lmdb.Error as error:
            if "already open" not in str(error) or time.monotonic() > deadline:
                raise UserError(f"{file} is damaged or no LMDB ({error}); build it again") from None
        gc.collect()
        time.sleep(0.01)


class LmdbSource:
    """An LMDB opened for reading.

    Parameters
    ----------
    path : path-like
        The database: a folder that holds `data.mdb`, or the file itself.

    Raises
    ------
    UserError
        If it is absent, empty, truncated or no LMDB.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        file = self.path / "data.mdb" if self.path.is_dir() else self.path
        if not file.exists():
            raise UserError(f"no LMDB at {self.path}; build it (tools/build_lmdb.py) or correct `source`")
        self._shared = _open(file)
        self._env = self._shared.env
        # A page beyond the file's end would end the process on reading, without an error to catch.
        pages = self._env.info()["last_pgno"] + 1
        if pages * self._env.stat()["psize"] > file.stat().st_size:
            raise UserError(f"the LMDB {self.path} is truncated; build it again")
        if not len(self):
            raise UserError(f"the LMDB {self.path} is empty; build it again")

    def __len__(self) -> int:
        return self._env.stat()["entries"]

    def records(self, skip: int = 0) -> Iterator[tuple[bytes, pb.Datum]]:
        """Yield (key, Datum) once through, in the order of the keys, after the first `skip`."""
        with self._env.begin(buffers=True) as transaction:
            for i, (key, value) in enumerate(transaction.cursor()):
                if i >= skip:
                    yield bytes(key), self._parse(key, value)

    def cycle(self, skip: int = 0) -> Iterator[tuple[bytes, pb.Datum]]:
        """Yield (key, Datum) for ever, starting again at the end, after the first `skip`."""
        skip %= len(self)
        while True:
            yield from self.records(skip)
            skip = 0

    def _parse(self, key: memoryview, value: memoryview) -> pb.Datum:
        try:
            return pb.Datum.FromString(bytes(value))
        except DecodeError:
            raise UserError(f"record {bytes(key)!r} of the LMDB {self.path} is no Datum; build it again") from None
