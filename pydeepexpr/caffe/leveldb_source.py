"""Reading a LevelDB of Datums in order, round and round. Needs `plyvel`, the extra `leveldb`."""

import os
import weakref
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from pathlib import Path

from pydeepexpr.caffe.datum_source import DatumSource
from pydeepexpr.errors import UserError

try:
    import plyvel
except ImportError:
    plyvel = None

__all__ = ["LevelDbSource"]


class _Database:
    """An open LevelDB, closed when nobody uses it any more."""

    def __init__(self, folder: Path):
        try:
            self.db = plyvel.DB(str(folder), paranoid_checks=True)
        except (plyvel.Error, OSError) as error:
            raise UserError(f"cannot open the LevelDB {folder} ({_said(error)})") from None


#: LevelDB lets a process open a database once: layers that read the same one share it.
_open_databases: "weakref.WeakValueDictionary[Path, _Database]" = weakref.WeakValueDictionary()


def _open(folder: Path) -> _Database:
    if (database := _open_databases.get(folder)) is None:
        database = _open_databases[folder] = _Database(folder)
    return database


def _said(error: Exception) -> str:
    """Return what LevelDB says, which plyvel leaves as bytes."""
    said = error.args[0] if error.args else error
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


class LevelDbSource(DatumSource):
    """A LevelDB opened for reading. It keeps checksums, which are verified.

    Parameters
    ----------
    path : path-like
        The database's folder. LevelDB writes its log there, so it must be writable, and no other process may use it.

    Raises
    ------
    UserError
        If plyvel is not installed, or the database is absent, in use, empty or damaged.
    """

    kind = "LevelDB"

    def __init__(self, path: str | os.PathLike):
        super().__init__(path)
        if plyvel is None:
            raise UserError(
                f"reading the LevelDB {self.path} needs plyvel; install it (pip install 'pydeepexpr[leveldb]') or "
                "convert the data and say `backend: LMDB`"
            )
        if not (self.path / "CURRENT").exists():
            raise UserError(f"no LevelDB at {self.path}; build it, correct `source` or say `backend: LMDB`")
        self._database = _open(self.path.resolve())
        if next(self.items(), None) is None:
            raise UserError(f"the LevelDB {self.path} is empty; build it again")

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self.items())

    def __len__(self) -> int:
        """Return the number of records, counted by reading them all, once."""
        return self._count

    def items(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) once through, in the order of the keys: every `step`-th record after the first `skip`."""
        try:
            yield from islice(self._database.db.iterator(verify_checksums=True, fill_cache=False), skip, None, step)
        except plyvel.Error as error:
            raise UserError(f"the LevelDB {self.path} is damaged ({_said(error)}); build it again") from None
