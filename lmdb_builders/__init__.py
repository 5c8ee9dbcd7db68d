"""Readers of image databases, and what makes LMDBs of them. `READERS` is the list of the databases that are known."""

from lmdb_builders import fer2013, ferg, folder, rig, web_faces
from lmdb_builders.records import Option, Reader, Record, Reject

__all__ = ["READERS", "Option", "Reader", "Record", "Reject"]

READERS = {
    "folder": folder.READER,
    "fer2013": fer2013.READER,
    "web_faces": web_faces.READER,
    "ferg": ferg.READER,
    "rig": rig.READER,
}
