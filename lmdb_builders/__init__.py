"""Readers of image databases, and what makes LMDBs of them. `READERS` is the list of the databases that are known."""

from lmdb_builders import ck_plus, disfa, fer2013, ferg, folder, kdef, mmi, performers, rig, web_faces
from lmdb_builders.records import Option, Reader, Record, Reject

__all__ = ["READERS", "Option", "Reader", "Record", "Reject"]

READERS = {
    "ckplus": ck_plus.READER,
    "disfa": disfa.READER,
    "kdef": kdef.READER,
    "mmi": mmi.READER,
    "fer2013": fer2013.READER,
    "web_faces": web_faces.READER,
    "ferg": ferg.READER,
    "rig": rig.READER,
    "performers": performers.READER,
    "folder": folder.READER,
}
