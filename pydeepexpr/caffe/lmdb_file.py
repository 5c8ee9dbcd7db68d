"""LMDB files read in plain Python, every number in them checked before it is followed.

The lmdb library trusts a file's contents: a flipped bit in a page makes it read beyond the map, which ends the process.
Here damage is an error that says so. The format is that of LMDB 0.9 (data version 1, 64 bits, little-endian).
"""

import os
import struct
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from pydeepexpr.errors import UserError

__all__ = ["LmdbFile"]

_HEADER = struct.Struct(
    "<QHHHH"
)  # page number, pad, flags, then the end of the node offsets and the start of the nodes
_OVERFLOW_HEADER = struct.Struct("<QHHI")  # page number, pad, flags, pages
_DATABASE = "IHHQQQQQ"  # pad, flags, depth, branch, leaf and overflow pages, entries, root
_META = struct.Struct(f"<IIQQ{_DATABASE}{_DATABASE}QQ")  # magic, version, address, map size; last page, transaction
_NODE = struct.Struct("<HHHH")  # three times 16 bits of data size and flags, or of a child's page number; key size
_PAGE_NUMBER = struct.Struct("<Q")

_MAGIC, _VERSION = 0xBEEFC0DE, 1
_BRANCH, _LEAF, _OVERFLOW, _META_PAGE = 1, 2, 4, 8
_KIND = 0xF | 0x20 | 0x40  # the flags that tell kinds of pages apart; the last two are of duplicates
_ELSEWHERE, _OTHER_NODES = 1, 2 | 4  # the value lies on overflow pages; sub-databases and duplicates
_NO_ROOT = (1 << 64) - 1
_DEEPEST = 32
_PAGE_SIZES = 512, 1 << 15
_SHORTEST = 2 * _PAGE_SIZES[0]  # two meta pages


class _Meta(NamedTuple):
    page_size: int
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


class LmdbFile:
    """The records of an LMDB's main database, in the order of its keys, as it was when it was opened.

    Opening reads the two meta pages only. Every other page is checked when it is reached: that it lies in the file, its
    own number and kind, that offsets and sizes stay inside it, that the tree is as deep as it says and holds as many
    records. What cannot be seen without a checksum is a changed byte within a key or a value.

    Parameters
    ----------
    file : Path
        `data.mdb`.

    Raises
    ------
    UserError
        If it cannot be read, is no LMDB or damaged, or is shorter than its last page; when iterating, if a page is
        damaged.
    """

    def __init__(self, file: Path):
        self.path = file
        try:
            self._handle = os.open(file, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"cannot read the LMDB {file}: {error.strerror}") from None
        weakref.finalize(self, os.close, self._handle)
        self._size = os.fstat(self._handle).st_size
        if self._size < _SHORTEST:
            self._damaged(f"a file of {self._size} bytes")
        first = self._meta(0)
        self._meta_page = max(first, self._meta(first.page_size), key=lambda meta: meta.transaction)
        self._check_meta()

    def __len__(self) -> int:
        return self._meta_page.entries

    def records(self, skip: int = 0, step: int = 1) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) of every `step`-th record after the first `skip`. Values between them are not read."""
        place, wanted = 0, skip
        for page in self._leaves():
            offsets = self._offsets(page)
            end = place + len(offsets)
            if end > len(self):
                self._damaged(f"it holds more than its {len(self)} records")
            for offset in offsets[wanted - place :: step]:
                yield self._record(page, offset)
                wanted += step
            place = end
        if place != len(self):
            self._damaged(f"it holds {place} of its {len(self)} records")

    def _damaged(self, how: str) -> NoReturn:
        raise UserError(f"{self.path} is damaged or no LMDB ({how}); build it again")

    def _read(self, offset: int, size: int) -> bytes:
        try:
            content = os.pread(self._handle, size, offset)
            while 0 < len(content) < size:  # the system reads at most 2 GiB at a time
                if not (more := os.pread(self._handle, size - len(content), offset + len(content))):
                    break
                content += more
        except OSError as error:
            raise UserError(f"cannot read the LMDB {self.path}: {error.strerror}") from None
        if len(content) < size:
            raise UserError(f"the LMDB {self.path} is truncated; build it again")
        return content

    def _meta(self, offset: int) -> _Meta:
        _, _, flags, _, _ = _HEADER.unpack(self._read(offset, _HEADER.size))
        fields = _META.unpack(self._read(offset + _HEADER.size, _META.size))
        magic, version = fields[:2]
        if not flags & _META_PAGE or magic != _MAGIC:
            self._damaged("it has not the magic number of one")
        if version != _VERSION:
            self._damaged(f"its version is {version}, not {_VERSION}")
        free, main = fields[4:12], fields[12:20]
        return _Meta(free[0], *main[1:3], *main[6:8], *fields[20:])

    def _check_meta(self) -> None:
        meta = self._meta_page
        size = meta.page_size
        if size & (size - 1) or not _PAGE_SIZES[0] <= size <= _PAGE_SIZES[1]:
            self._damaged(f"its pages have {size} bytes")
        if (meta.last_page + 1) * size > self._size:
            raise UserError(f"the LMDB {self.path} is truncated; build it again")
        if meta.flags:
            raise UserError(f"the LMDB {self.path} has keys of another kind than Caffe's (flags {meta.flags:#x})")
        if (meta.root == _NO_ROOT) != (not meta.entries) or meta.depth > _DEEPEST:
            self._damaged(f"its tree of depth {meta.depth} holds {meta.entries} records")
        if meta.entries > (meta.last_page + 1) * size // _NODE.size:
            self._damaged(f"{meta.entries} records are more than it has room for")

    def _leaves(self) -> Iterator[bytes]:
        """Yield the leaf pages in the order of their keys."""
        meta = self._meta_page
        below = [iter(() if meta.root == _NO_ROOT else (meta.root,))]  # the pages to come, at every depth
        while below:
            number = next(below[-1], None)
            if number is None:
                below.pop()
            elif len(below) == meta.depth:
                yield self._page(number, _LEAF)
            else:
                page = self._page(number, _BRANCH)
                below.append(iter([self._child(page, offset) for offset in self._offsets(page)]))

    def _page(self, number: int, kind: int) -> bytes:
        """Return a page of the tree whose header and node offsets are sound."""
        meta = self._meta_page
        if not 2 <= number <= meta.last_page:
            self._damaged(f"it has no page {number}")
        page = self._read(number * meta.page_size, meta.page_size)
        own, _, flags, lower, upper = _HEADER.unpack_from(page)
        nodes = lower - _HEADER.size
        if own != number or flags & _KIND != kind or nodes < 2 or nodes % 2 or not lower <= upper <= meta.page_size:
            self._damaged(f"page {number} is none of the tree")
        return page

    @staticmethod
    def _offsets(page: bytes) -> tuple[int, ...]:
        """Return where the nodes of a page begin."""
        count = (_HEADER.unpack_from(page)[3] - _HEADER.size) // 2
        return struct.unpack_from(f"<{count}H", page, _HEADER.size)

    def _node(self, page: bytes, offset: int) -> tuple[int, int, int, int, int]:
        """Return the three numbers of a node, and where its key and what follows it begin."""
        if not _HEADER.size <= offset <= len(page) - _NODE.size:
            self._damaged("a record lies outside its page")
        low, high, flags, key_size = _NODE.unpack_from(page, offset)
        key = offset + _NODE.size
        if key + key_size > len(page):
            self._damaged("a key lies outside its page")
        return low, high, flags, key, key + key_size

    def _child(self, page: bytes, offset: int) -> int:
        low, high, higher, _, _ = self._node(page, offset)
        return low | high << 16 | higher << 32

    def _record(self, page: bytes, offset: int) -> tuple[bytes, bytes]:
        low, high, flags, key, value = self._node(page, offset)
        size = low | high << 16
        end = value + (_PAGE_NUMBER.size if flags & _ELSEWHERE else size)
        if flags & _OTHER_NODES:
            raise UserError(f"the LMDB {self.path} holds databases or duplicates within it; Caffe's hold records only")
        if end > len(page):
            self._damaged("a value lies outside its page")
        if flags & _ELSEWHERE:
            return page[key:value], self._overflow(_PAGE_NUMBER.unpack_from(page, value)[0], size)
        return page[key:value], page[value:end]

    def _overflow(self, number: int, size: int) -> bytes:
        """Return a value that fills pages of its own."""
        meta = self._meta_page
        if not 2 <= number <= meta.last_page:
            self._damaged(f"it has no page {number}")
        start = number * meta.page_size
        own, _, flags, pages = _OVERFLOW_HEADER.unpack(self._read(start, _OVERFLOW_HEADER.size))
        room = min(pages, meta.last_page + 1 - number) * meta.page_size - _OVERFLOW_HEADER.size
        if own != number or flags & _KIND != _OVERFLOW or size > room:
            self._damaged(f"page {number} does not hold the value that it should")
        return self._read(start + _OVERFLOW_HEADER.size, size)
