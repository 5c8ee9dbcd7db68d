"""Readers of image databases, and what makes LMDBs of them. `READERS` is the list of the databases that are known."""

from functools import partial

from lmdb_builders import fer2013, ferg, folder
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.faces import CHARACTER_ALIGNMENT

__all__ = ["READERS", "Reader", "Record", "Reject"]

READERS = {
    "folder": Reader(
        folder.read,
        False,
        "folders named by expression, inside train, val and test if split",
        "your images', whatever it is",
    ),
    "fer2013": Reader(
        fer2013.read,
        True,
        "fer2013.csv, or folders train|val|test/angry|…",
        "for research, from the ICML 2013 challenge (Goodfellow et al. 2013); the images are not for redistribution",
    ),
    "ferg": Reader(
        ferg.read,
        True,
        "FERG_DB_256, as CHARACTER/CHARACTER_EXPRESSION/CHARACTER_EXPRESSION_N.png",
        "for research, by its authors on request (Aneja et al. 2016, FERG-DB); the images are not for redistribution",
        alignment=CHARACTER_ALIGNMENT,
        differences=ferg.differences,
    ),
    "rig": Reader(
        partial(ferg.read, database="rig"),
        True,
        "what tools/render_rig.py writes: the same folders, with frames.parquet",
        "your own renderings",
        alignment=CHARACTER_ALIGNMENT,
        columns=ferg.parameters,
    ),
}
