"""Images in folders named by their expression, with or without an outer level of splits."""

import os
from collections.abc import Iterator
from pathlib import Path

from lmdb_builders.frames import Frame, read_frames
from lmdb_builders.records import Reader, Record
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of
from pydeepexpr.images import is_image_name

__all__ = ["READER", "SPLITS", "read"]

#: The split that a folder's name (or FER2013's Usage) stands for.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "publictest": "val",
    "test": "test",
    "testing": "test",
    "privatetest": "test",
}


def read(root: Path, database: str = "folder") -> Iterator[Record]:
    """Yield the images below `root` in the order of their names.

    ``ROOT/joy/**/1.jpg`` or ``ROOT/train/joy/**/1.jpg``, where an expression may go by any name that `label_of` knows.
    Images that lie in `root` itself are unlabelled. Files that are not called like images, and hidden files and
    folders, are passed over. Where there is ``ROOT/frames.parquet`` (docs/formats.md), the images it names have its
    subject and its split; their faces are detected all the same.

    Raises
    ------
    UserError
        If there is no such folder, no image in it, or a folder that names neither an expression nor a split.
    """
    root = Path(root)
    listed = read_frames(root)
    found = False
    for folder, split, label in _classes(root):
        paths = _images(folder) if label != UNLABELLED else sorted(p for p in folder.iterdir() if _is_image(p))
        for path in paths:
            found = True
            name = path.relative_to(root).as_posix()
            known = listed.get(name, Frame())
            yield Record(name, path, database, label, known.subject, split=known.split or split)
    if not found:
        raise UserError(f"no image in {root}; it should hold folders named {', '.join(EXPRESSIONS)}")


def _classes(root: Path) -> list[tuple[Path, str, int]]:
    """Return the folders that hold images: path, split, label."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    folders = _subfolders(root)
    classes = [(root, "", UNLABELLED)]
    if folders and all(f.name.lower() in SPLITS for f in folders):
        for folder in folders:
            split = SPLITS[folder.name.lower()]
            classes += [(folder, split, UNLABELLED)]
            classes += [(f, split, _label(f, root)) for f in _subfolders(folder)]
        return classes
    return classes + [(f, "", _label(f, root)) for f in folders]


def _label(folder: Path, root: Path) -> int:
    try:
        return label_of(folder.name)
    except UserError:
        name = folder.relative_to(root).as_posix()
        known = ", ".join(EXPRESSIONS)
        raise UserError(
            f"the folder {name!r} in {root} names no expression; name it one of {known} (or a common synonym), "
            "inside train, val and test if the database is split"
        ) from None


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__MACOSX")))


def _images(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield from (path for path in map(Path(where).joinpath, sorted(files)) if _is_image(path))


def _is_image(path: Path) -> bool:
    return is_image_name(path) and path.is_file()


READER = Reader(
    read,
    about="folders named by expression, inside train, val and test if split",
    licence="your images', whatever it is",
)
