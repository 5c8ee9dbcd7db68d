"""KDEF, the Karolinska Directed Emotional Faces (Lundqvist, Flykt and Öhman 1998): its pictures from straight ahead.

The database's own pages (kdef.se) say what the letters of a name mean, and that each of 70 people was photographed
twice with every expression, in the sessions A and B. Public loaders (hachreak/remokit and others) agree on the folders
into which the archive unpacks, on the two files with wrong names, and that some pictures are wholly black, all of them
side views.
"""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from lmdb_builders.published import count_differences, name_differences
from lmdb_builders.records import Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of
from pydeepexpr.images import is_image_name

__all__ = ["READER", "SUBJECTS", "differences", "read"]

#: Everybody whom KDEF shows.
SUBJECTS = [f"{sex}{number:02d}" for sex in "FM" for number in range(1, 36)]

_SESSIONS = "AB"
_EXPRESSIONS = ("AF", "AN", "DI", "HA", "NE", "SA", "SU")
_START = re.compile(rf"[{_SESSIONS}](?P<subject>[FM]\d\d)(?P<expression>{'|'.join(_EXPRESSIONS)})?")
_PICTURE = re.compile(rf"{_START.pattern}(?P<angle>S|HL|HR|FL|FR)")

# So two half profiles were published, AF31SAHL and AM31SUHR.
_MISNAMED = {"AF31V", "AM31H"}


def read(root: Path) -> Iterator[Record | Reject]:
    """Yield the pictures below `root` that were taken from straight ahead, in the order of their paths.

    ``ROOT/**/AF01ANS.JPG``, in any folders and any case of letters: session A or B, sex F or M, person 01 to 35, one of
    AF AN DI HA NE SA SU, angle S. Both sessions of a person are one subject, F01. Other angles, hidden files, the
    averaged faces in a folder AKDEF, and the two side views that were published under wrong names are passed over. A
    picture that lies there twice is read once.

    Raises
    ------
    UserError
        If there is no such folder, or no such picture in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    seen: dict[str, str] = {}
    for path in _images(root):
        name, code = path.relative_to(root).as_posix(), path.stem.upper()
        match = _PICTURE.fullmatch(code)
        known = match or _START.match(code)
        subject = known["subject"] if known else ""
        label = label_of(known["expression"]) if known and known["expression"] else UNLABELLED
        if code in _MISNAMED or (match and match["angle"] != "S"):
            continue
        if not match or label == UNLABELLED:
            yield Reject(name, "it is not called SESSION SEX PERSON EXPRESSION ANGLE, as AF01ANS is", label, subject)
        elif code in seen:
            yield Reject(name, f"the same picture is {seen[code]}", label, subject)
        else:
            seen[code] = name
            yield Record(name, path, "kdef", label, subject)
    if not seen:
        raise UserError(f"no picture from straight ahead in {root}; they should lie as KDEF/AF01/AF01ANS.JPG in it")


def differences(root: Path) -> list[str]:
    """Say how the copy at `root` differs from the published KDEF: counts by expression, people, single pictures."""
    records = [item for item in read(root) if isinstance(item, Record)]
    subjects = {record.subject for record in records}
    every = len(SUBJECTS) * len(_SESSIONS)
    published = (session + who + what + "S" for session, who, what in product(_SESSIONS, SUBJECTS, _EXPRESSIONS))
    return [
        *count_differences((EXPRESSIONS[record.expression] for record in records), dict.fromkeys(EXPRESSIONS, every)),
        *name_differences("subjects", subjects, SUBJECTS),
        *name_differences(
            "pictures of the others",
            (record.image.stem.upper() for record in records if record.subject in SUBJECTS),
            (code for code in published if code[1:4] in subjects),
        ),
    ]


def _images(root: Path) -> list[Path]:
    paths = (path for path in root.rglob("*") if is_image_name(path) and path.is_file())
    return sorted(path for path in paths if not any(map(_is_passed_over, path.relative_to(root).parts[:-1])))


def _is_passed_over(folder: str) -> bool:
    return folder.startswith((".", "__MACOSX")) or folder.upper() == "AKDEF"


READER = Reader(
    read,
    about="KDEF/AF01/AF01ANS.JPG and the like, angle S",
    licence="for researchers, non-commercial, from Karolinska Institutet (kdef.se); images not to be passed on",
    places=("KDEF_and_AKDEF", "KDEF"),
    people=True,
    expected=f"{len(SUBJECTS) * 2 * len(EXPRESSIONS)} images of {len(SUBJECTS)} people, "
    f"{len(SUBJECTS) * 2} of each expression",
    differences=differences,
)
