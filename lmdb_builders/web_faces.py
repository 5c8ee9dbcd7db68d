"""web_faces (github.com/muxspace/facial_expressions): faces in the wild, in folders named by expression."""

from collections.abc import Iterator
from pathlib import Path

from lmdb_builders import folder
from lmdb_builders.records import Reader, Record

__all__ = ["READER", "read"]


def read(root: Path) -> Iterator[Record]:
    """Yield the images below `root` as `folder.read` does."""
    return folder.read(root, "web_faces")


READER = Reader(
    read,
    about="folders named by expression",
    licence="Apache-2.0, as github.com/muxspace/facial_expressions gives them",
    places=("web_faces",),
    people=True,
    held_out=("docs/web_faces_queries.txt", "docs/web_faces_validation.txt"),
)
