"""Readers of image databases, and what makes LMDBs of them. `READERS` is the list of the databases that are known."""

from lmdb_builders import fer2013, folder
from lmdb_builders.records import Reader, Record, Reject

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
}
