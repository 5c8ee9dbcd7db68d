"""Whether a feature store holds, to the last byte, what was written."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydeepexpr.features.format import (
    ARRAYS,
    FC7_FILE,
    FLOAT,
    array_file,
    meta_text,
    missing_bytes,
    parse_meta,
    raw_sizes,
    read_meta_bytes,
)

__all__ = ["verify"]

_BLOCK = 1 << 20  # bytes


def verify(path: str | os.PathLike) -> list[str]:
    """Compare every file of a store with the checksums in `meta.json`.

    Returns
    -------
    list of str
        What is damaged, a line each; empty where the store is whole.

    Raises
    ------
    UserError
        If there is no store at `path`, or `meta.json` cannot be understood.
    """
    path = Path(path)
    content = read_meta_bytes(path)
    meta = parse_meta(path, content)
    damages = [] if content == meta_text(meta) else [f"{path / 'meta.json'} has changed since it was written"]
    sizes = {**raw_sizes(meta), **{part["table"]: part["bytes"] for part in meta["parts"]}}
    for name, size in sizes.items():
        if missing := missing_bytes(path / name, size):
            damages.append(f"{path / name} is truncated: {missing} of {size} bytes are missing")
    for name, what, start, size, expected in _stretches(meta):
        file = path / name
        if not missing_bytes(file, start + size) and _sha256(file, start, size) != expected:
            damages.append(f"{file} has changed since it was written: {what}")
    return damages


def _stretches(meta: dict[str, Any]) -> Iterator[tuple[str, str, int, int, str]]:
    """Yield file, what, first byte, number of bytes and SHA-256 of everything that has a checksum of its own."""
    weights = meta["dims"]["prob"] * meta["dims"]["fc6"] * FLOAT.itemsize
    for number, model in enumerate(meta["models"]):
        yield FC7_FILE, f"the weights of {model['name']}", number * weights, weights, model["fc7"]
    first = 0
    for number, part in enumerate(meta["parts"], 1):
        what = f"part {number}, rows {first} to {first + part['rows'] - 1}"
        for name in ARRAYS:
            width = meta["dims"][name] * FLOAT.itemsize
            yield array_file(name), what, first * width, part["rows"] * width, part["sha256"][name]
        yield part["table"], what, 0, part["bytes"], part["sha256"]["table"]
        first += part["rows"]


def _sha256(file: Path, start: int, size: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        opened.seek(start)
        while size and (block := opened.read(min(size, _BLOCK))):
            digest.update(block)
            size -= len(block)
    return digest.hexdigest()
