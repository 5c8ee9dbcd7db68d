"""FERG-DB (Aneja et al. 2016), the frames of stylized characters, and whatever is rendered into the same folders."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from lmdb_builders import frames as rendered
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of
from pydeepexpr.faces import CHARACTER_ALIGNMENT
from pydeepexpr.images import is_image_name

__all__ = ["PUBLISHED", "READER", "differences", "parameters", "read"]

#: Images of each expression, in label order, as FERG-DB's authors count them.
PUBLISHED = {
    "aia": (1644, 1596, 1116, 1232, 1200, 1469, 1746),
    "bonnie": (2059, 2088, 1255, 1438, 1243, 1506, 1682),
    "jules": (1479, 1321, 1858, 1317, 1344, 1475, 1961),
    "malcolm": (1100, 1190, 1018, 1089, 1083, 1034, 1065),
    "mery": (1428, 911, 1035, 1140, 941, 1045, 1058),
    "ray": (1459, 1465, 1137, 1114, 1128, 1098, 1200),
}

_ROOTS = ("FERG_DB_256", "RIG_DB_256")
_AT_REST = 5  # neutral frames to look for landmarks in; neighbours are alike, so they are taken from all over
_NAMED = 5  # missing numbers that are named one by one


class _Sequence(NamedTuple):
    """One character with one expression: a folder."""

    character: str
    label: int
    folder: Path

    def frames(self) -> dict[int, Path]:
        """Return the frames by their number, in order."""
        pattern = re.compile(rf"{re.escape(self.folder.name)}_([1-9][0-9]*)\.png")
        found = {int(match[1]): path for path in self.folder.iterdir() if (match := pattern.fullmatch(path.name))}
        return dict(sorted(found.items()))

    def strays(self, frames: dict[int, Path]) -> list[Path]:
        """Return the other files that are called like images."""
        known = set(frames.values())
        return sorted(path for path in self.folder.iterdir() if is_image_name(path) and path not in known)


def read(root: Path, database: str = "ferg") -> Iterator[Record | Reject]:
    """Yield the frames below `root`, by character, expression and number.

    ``ROOT/mery/mery_joy/mery_joy_1.png``; `root` may also be the folder that holds ``FERG_DB_256`` or ``RIG_DB_256``.
    Where there is ``ROOT/frames.parquet`` (docs/formats.md), the frames it names have its landmarks and its split.
    Hidden files, and folders that hold no character, are passed over; so are numbers that do not occur.

    Raises
    ------
    UserError
        If there is no such folder, no character in it, a folder of a character that names no expression, or a
        ``frames.parquet`` that cannot be used.
    """
    root = _database(Path(root))
    sequences = _sequences(root)
    listed = rendered.read_frames(root)
    at_rest = {sequence.character: _some(sequence.frames()) for sequence in sequences if _is_neutral(sequence)}
    for sequence in sequences:
        frames = sequence.frames()
        for number, path in frames.items():
            name = path.relative_to(root).as_posix()
            known = listed.pop(name, rendered.Frame())
            yield Record(
                name,
                path,
                database,
                sequence.label,
                sequence=sequence.folder.name,
                frame=number,
                split=known.split,
                character=sequence.character,
                landmarks=known.landmarks,
                at_rest=at_rest.get(sequence.character, ()),
            )
        for path in sequence.strays(frames):
            yield Reject(path.relative_to(root).as_posix(), f"it is not called {sequence.folder.name}_NUMBER.png")
    for name in listed:
        yield Reject(name, f"{rendered.TABLE} names it, but there is no such file")


def parameters(root: Path) -> pa.Table | None:
    """Return what the frames below `root` are rendered again from, by their path; None if that is not known."""
    return rendered.parameters(_database(Path(root)))


def differences(root: Path) -> list[str]:
    """Say how the frames below `root` differ from the published FERG-DB: counts, and numbers that are left out."""
    sequences = _sequences(_database(Path(root)))
    found = {(sequence.character, sequence.label): list(sequence.frames()) for sequence in sequences}
    characters = dict.fromkeys([*PUBLISHED, *(sequence.character for sequence in sequences)])
    lines = []
    for character in characters:
        if character not in PUBLISHED:
            lines.append(f"{character} is none of the published characters")
        elif not any(name == character for name, _ in found):
            lines.append(f"{character} is missing; published with {sum(PUBLISHED[character])} images")
            continue
        for label, expression in enumerate(EXPRESSIONS):
            numbers = found.get((character, label), [])
            if character in PUBLISHED and len(numbers) != PUBLISHED[character][label]:
                lines.append(
                    f"{character}_{expression}: {len(numbers)} images, published {PUBLISHED[character][label]}"
                )
            if numbers and (gaps := sorted(set(range(1, numbers[-1] + 1)) - set(numbers))):
                more = f" and {len(gaps) - _NAMED} more" if len(gaps) > _NAMED else ""
                lines.append(f"{character}_{expression}: no number {', '.join(map(str, gaps[:_NAMED]))}{more}")
    return lines


def _database(root: Path) -> Path:
    return next((root / name for name in _ROOTS if (root / name).is_dir()), root)


def _sequences(root: Path) -> list[_Sequence]:
    """Return the folders of frames, by character and expression."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    found = []
    for character in _folders(root):
        inner = [folder for folder in _folders(character) if folder.name.startswith(f"{character.name}_")]
        found += [_Sequence(character.name, _label(folder, character.name), folder) for folder in inner]
    if not any(sequence.frames() for sequence in found):
        raise UserError(f"no frame of a character in {root}; they should lie as mery/mery_joy/mery_joy_1.png in it")
    return sorted(found)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _label(folder: Path, character: str) -> int:
    try:
        return label_of(folder.name.removeprefix(f"{character}_"))
    except UserError as error:
        raise UserError(f"the folder {folder} names no expression: {error}") from None


def _is_neutral(sequence: _Sequence) -> bool:
    return EXPRESSIONS[sequence.label] == "neutral"


def _some(frames: dict[int, Path]) -> tuple[Path, ...]:
    """Return a few frames from all over a sequence, the first among them."""
    return tuple(frames.values())[:: max(1, len(frames) // _AT_REST)][:_AT_REST]


READER = Reader(
    read,
    about="FERG_DB_256, as CHARACTER/CHARACTER_EXPRESSION/CHARACTER_EXPRESSION_N.png",
    licence="for research, by its authors on request (Aneja et al. 2016, FERG-DB); images not to be passed on",
    places=("FERG_DB_256",),
    cropped=True,
    alignment=CHARACTER_ALIGNMENT,
    expected=f"{sum(map(sum, PUBLISHED.values())):,} images of {len(PUBLISHED)} characters",
    differences=differences,
)
