"""The project's own characters: what ``tools/render_rig.py`` writes, in the folders of FERG-DB."""

from functools import partial

from lmdb_builders import ferg
from lmdb_builders.records import Reader
from pydeepexpr.faces import CHARACTER_ALIGNMENT

__all__ = ["READER"]

READER = Reader(
    partial(ferg.read, database="rig"),
    about="what tools/render_rig.py writes: the same folders, with frames.parquet",
    licence="your own renderings",
    places=("RIG_DB_256",),
    cropped=True,
    alignment=CHARACTER_ALIGNMENT,
    columns=ferg.parameters,
)
