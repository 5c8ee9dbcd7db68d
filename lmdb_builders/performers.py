"""The project's own people: what ``tools/render_rig.py --performers`` writes, in folders named by expression."""

from collections.abc import Iterator
from pathlib import Path

from lmdb_builders import folder
from lmdb_builders.records import Reader, Record

__all__ = ["READER", "read"]


def read(root: Path) -> Iterator[Record]:
    """Yield the images below `root` as `folder.read` does, with the persons and splits of ``frames.parquet``."""
    return folder.read(root, "performers")


READER = Reader(
    read,
    about="what tools/render_rig.py --performers writes",
    licence="your own renderings",
    places=("performers",),
)
