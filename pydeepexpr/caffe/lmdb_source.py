"""Reading an LMDB of Datums in order, round and round."""

import os
from collections.abc import Iterator

from pydeepexpr.caffe.datum_source import DatumSource
from pydeepexpr.caffe.lmdb_file import LmdbFile
from pydeepexpr.errors import UserError

__all__ = ["LmdbSource"]


class LmdbSource(DatumSource):
    """An LMDB opened for reading.

    Parameters
    ----------
    path : path-like
        The database: a folder that holds `data.mdb`, or the file itself.

    Raises
    ------
    UserError
        If it is absent, empty, truncated or no LMDB; when reading, if a page is damaged (`LmdbFile`).
    """

    kind = "LMDB"

    def __init__(self, path: str | os.PathLike):
        super().__init__(path)
        file = self.path / "data.mdb" if self.path.is_dir() else self.path
        if not file.exists():
            raise UserError(f"no LMDB at {self.path}; build it (tools/build_lmdb.py) or correct `source`")
        self._file = LmdbFile(file)
        if not len(self):
            raise UserError(f"the LMDB {self.path} is empty; build it again")

    def __len__(self) -> int:
        return len(self._file)

    def items(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) once through, in the order of the keys: every `step`-th record after the first `skip`."""
        return self._file.records(skip, step)
