"""The project's own people: what ``tools/render_rig.py --performers`` writes, in folders named by expression."""

from functools import partial

from lmdb_builders import folder
from lmdb_builders.records import Reader

__all__ = ["READER"]

READER = Reader(
    partial(folder.read, database="performers"),
    about="what tools/render_rig.py --performers writes",
    licence="your own renderings",
    places=("performers",),
)
