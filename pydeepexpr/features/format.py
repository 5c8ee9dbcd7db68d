"""The files of a feature store, and `meta.json`, which says what in them counts (docs/formats.md)."""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = [
    "ARRAYS",
    "FC7_FILE",
    "FLOAT",
    "GEOMETRY",
    "NEEDED_COLUMNS",
    "VERSION",
    "array_file",
    "check_size",
    "meta_text",
    "missing_bytes",
    "parse_meta",
    "raw_sizes",
    "read_meta",
    "read_meta_bytes",
    "read_table",
    "sync",
    "table_file",
    "write_meta",
]

VERSION = 2
GEOMETRY = 9
ARRAYS = ("fc6", "prob", "geometry")
FC7_FILE = "fc7.f32"
FLOAT = np.dtype("<f4")
NEEDED_COLUMNS = ("path", "source", "expression", "key", "predicted")

_META = "meta.json"


def array_file(name: str) -> str:
    """Return the file of one of `ARRAYS`, which holds the rows of all parts."""
    return f"{name}.f32"


def table_file(number: int) -> str:
    """Return the file of the table of a part, which are counted from 0."""
    return f"rows-{number:05d}.parquet"


def raw_sizes(meta: dict[str, Any]) -> dict[str, int]:
    """Return how many bytes of each raw file count; what an interrupted writer left beyond is ignored."""
    dims = meta["dims"]
    sizes = {array_file(name): meta["rows"] * dims[name] * FLOAT.itemsize for name in ARRAYS}
    return {**sizes, FC7_FILE: len(meta["models"]) * dims["prob"] * dims["fc6"] * FLOAT.itemsize}


def read_meta(path: Path) -> dict[str, Any]:
    """Return the contents of a store's `meta.json`.

    Raises
    ------
    UserError
        If there is no store at `path`, or `meta.json` is of another version, cannot be read or is incomplete.
    """
    return parse_meta(path, read_meta_bytes(path))


def read_meta_bytes(path: Path) -> bytes:
    """Return the bytes of a store's `meta.json`; raise as `read_meta` does."""
    try:
        return (path / _META).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} is no feature store (no meta.json); make one with tools/extract_features.py") from None
    except OSError as error:
        raise UserError(f"cannot read {path / _META}: {error.strerror}") from None


def parse_meta(path: Path, content: bytes) -> dict[str, Any]:
    """Return what the bytes of a `meta.json` say; raise as `read_meta` does."""
    try:
        meta = json.loads(content.decode("utf-8"))
        if meta["version"] != VERSION:
            raise UserError(f"{path} is a feature store of version {meta['version']}, not {VERSION}; extract it again")
        if not _is_whole(meta):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path / _META} cannot be read or is incomplete; extract the store again") from None
    return meta


def write_meta(path: Path, meta: dict[str, Any]) -> None:
    """Write `meta.json`, whole or not at all, and see that it is on the disk."""
    with atomic_file(path / _META) as partial:
        partial.write_bytes(meta_text(meta))
        sync(partial)
    sync(path)


def meta_text(meta: dict[str, Any]) -> bytes:
    """Return the bytes of a `meta.json`: its entries, and last the SHA-256 of its text without that entry."""
    entries = {name: value for name, value in meta.items() if name != "sha256"}
    return _json({**entries, "sha256": hashlib.sha256(_json(entries)).hexdigest()})


def read_table(path: Path, part: dict[str, Any]) -> pa.Table:
    """Return the rows of a part of a store.

    Raises
    ------
    UserError
        If the file is missing, or not the one that was written.
    """
    file = path / part["table"]
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}; extract the store again") from None
    if hashlib.sha256(content).hexdigest() != part["sha256"]["table"]:
        raise UserError(f"{file} has changed since it was written; open the store again, or extract it again")
    return pq.read_table(io.BytesIO(content))


def missing_bytes(file: Path, size: int) -> int:
    """Return how many of the `size` bytes that count a file lacks."""
    return max(0, size - (file.stat().st_size if file.is_file() else 0))


def check_size(file: Path, size: int) -> None:
    """Refuse a file that is shorter than `size` bytes."""
    if missing := missing_bytes(file, size):
        raise UserError(f"{file} is truncated: {missing} of {size} bytes are missing; extract the store again")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _is_whole(meta: dict[str, Any]) -> bool:
    """Whether every entry that reading relies on is there and of its type; KeyError and such say no as well."""
    models, parts = meta["models"], meta["parts"]
    counts = [meta["rows"], *(meta["dims"][name] for name in ARRAYS), *(part["rows"] for part in parts)]
    texts = [meta["layer"], *(part["table"] for part in parts)]
    texts += [text for model in models for text in (model["name"], model["sha256"], model["fc7"], *model["ancestry"])]
    texts += [part["sha256"][name] for part in parts for name in (*ARRAYS, "table")]
    return (
        all(type(count) is int and count > 0 for count in counts)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(entry, dict) for entry in (meta["transform"], *(part["provenance"] for part in parts)))
        and all(isinstance(model["ancestry"], list) for model in models)
        and all(isinstance(part.get("lmdb", ""), str) and Path(part["table"]).name == part["table"] for part in parts)
        and all(type(part["bytes"]) is int and part["bytes"] > 0 for part in parts)
        and all(type(part["model"]) is int and 0 <= part["model"] < len(models) for part in parts)
        and sum(part["rows"] for part in parts) == meta["rows"]
    )
