"""The project's own characters: what ``tools/render_rig.py`` writes, in the folders of FERG-DB."""

from collections.abc import Iterator
from pathlib import Path

from lmdb_builders import ferg
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.faces import CHARACTER_ALIGNMENT

__all__ = ["READER", "read"]


def read(root: Path) -> Iterator[Record | Reject]:
    """Yield the frames below `root` as `ferg.read` does, with the landmarks and splits of ``frames.parquet``."""
    return ferg.read(root, "rig")


READER = Reader(
    read,
    about="what tools/render_rig.py writes: the same folders, with frames.parquet",
    licence="your own renderings",
    places=("RIG_DB_256",),
    cropped=True,
    alignment=CHARACTER_ALIGNMENT,
    columns=ferg.parameters,
)
