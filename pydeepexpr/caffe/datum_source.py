"""Databases of Datums: what LMDBs and LevelDBs have in common."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["DatumSource"]


class DatumSource(ABC):
    """A database opened for reading, its records in the order of their keys.

    Attributes
    ----------
    kind : str
        What errors call it.
    path : Path
    """

    kind: str

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of records."""

    @abstractmethod
    def items(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) once through: every `step`-th record after the first `skip`."""

    def records(self, skip: int = 0) -> Iterator[tuple[bytes, pb.Datum]]:
        """Yield (key, Datum) once through, after the first `skip`."""
        for key, value in self.items(skip):
            yield key, self.datum(key, value)

    def cycle(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of every `step`-th record for ever, the first following the last, after `skip` records."""
        while True:
            if skip:
                skip %= len(self)
            for item in self.items(skip, step):
                yield item
                skip += step
            skip -= len(self)

    def datum(self, key: bytes, value: bytes) -> pb.Datum:
        """Return a record's value as a Datum."""
        try:
            return pb.Datum.FromString(value)
        except DecodeError:
            raise UserError(f"record {key!r} of the {self.kind} {self.path} is no Datum; build it again") from None
