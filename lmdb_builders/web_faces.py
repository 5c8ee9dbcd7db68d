"""web_faces (github.com/muxspace/facial_expressions): faces in the wild, in folders named by expression."""

from functools import partial

from lmdb_builders import folder
from lmdb_builders.records import Reader

__all__ = ["READER"]

READER = Reader(
    partial(folder.read, database="web_faces"),
    about="folders named by expression",
    licence="Apache-2.0, as github.com/muxspace/facial_expressions gives them",
    places=("web_faces",),
    people=True,
    held_out=("docs/web_faces_queries.txt", "docs/web_faces_validation.txt"),
)
