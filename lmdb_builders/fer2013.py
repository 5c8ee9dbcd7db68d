"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces, as folders of images or as the challenge's ``fer2013.csv``.

FER+ (Barsoum et al. 2016) had ten people look at each of these faces again. Its table of their votes, the rule by which
its authors elect an expression, and that its rows belong to those of ``fer2013.csv`` by their order alone, are known
from the authors' repository, github.com/microsoft/FERPlus (README, src/ferplus.py, issues 4, 5 and 17).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lmdb_builders import folder
from lmdb_builders.published import count_differences
from lmdb_builders.records import Option, Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of

__all__ = ["PUBLISHED", "READER", "columns", "differences", "read"]

#: Images of each expression, in label order, as they are counted in the challenge's table.
PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4965, 4830, 3171),
    "val": (467, 56, 496, 895, 607, 653, 415),
    "test": (491, 55, 528, 879, 626, 594, 416),
}

_NAMES = ("fer2013.csv", "icml_face_data.csv")
_VOTES = "fer2013new.csv"
_SIDE = 48

# The challenge's own numbers, in order.
_LABELS = [label_of(word) for word in ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")]

# What FER+ counts votes for, by its columns' names: the seven in label order, and what is none of them.
_CANDIDATES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise", "contempt", "unknown", "nf")


def read(root: Path, labels: str = "fer2013", least_share: float = 0.5, votes: str = "") -> Iterator[Record | Reject]:
    """Yield the images of FER2013.

    `root` is the CSV file, a folder that holds it, or folders ``train|val|test/angry|disgust|…``. Training is the split
    train, PublicTest val and PrivateTest test.

    An image keeps its name whoever labels it. Those to which FER+ gives none of the seven expressions are rejected;
    their rejects name the label of FER2013. Faces that FER+ took out (rows without a name) are never read with its
    labels.

    Parameters
    ----------
    root : path
    labels : {"fer2013", "ferplus-majority", "ferplus-soft"}
        Who says which expression an image shows. "ferplus-majority" is the rule of FER+'s authors: a candidate's single
        vote does not count, and of the votes that are left more than half must be for one candidate, where contempt,
        "unknown" and "not a face" are candidates as well. So a tie elects nobody. "ferplus-soft" counts every vote: the
        candidate that has more than any other is elected if its share of all votes is `least_share`.
    least_share : float
        For "ferplus-soft".
    votes : path, optional
        The table of votes; by default ``fer2013new.csv`` beside the table of images.

    Raises
    ------
    UserError
        If `root` is none of these, or the CSV's header lacks one of emotion, pixels, Usage; with labels of FER+ also if
        there are only folders, or no table of votes, or one that does not fit that of the images row by row.
    """
    root = Path(root)
    table = _table(root)
    if labels == "fer2013":
        return _rows(table) if table else folder.read(root, "fer2013")
    if not least_share <= 1:
        raise UserError(f"least_share is {least_share:g}; a share of the votes is at most 1")
    rules = {
        "ferplus-majority": (_majority, "no majority"),
        "ferplus-soft": (
            partial(_plurality, least_share=least_share),
            f"no expression has {least_share:g} of the votes",
        ),
    }
    return _elected(_ballots(root, table, votes), *rules[labels])


def columns(root: Path, labels: str = "fer2013", least_share: float = 0.5, votes: str = "") -> pa.Table | None:
    """Return the shares of FER+'s votes where its labels are used: `path` and `votes`, seven numbers in label order.

    They are shares of all votes: they sum to less than 1 where some went to contempt, "unknown" or "not a face".
    """
    if labels == "fer2013":
        return None
    root = Path(root)
    ballots = [(item.name, ballot.shares()) for item, ballot in _ballots(root, _table(root), votes)]
    names, shares = zip(*ballots, strict=True)
    return pa.table({"path": names, "votes": pa.array(shares, pa.list_(pa.float32()))})


def differences(root: Path, labels: str = "fer2013", least_share: float = 0.5, votes: str = "") -> list[str]:
    """Say which classes have other counts than published, by FER2013's own labels whichever are used."""
    images = [item for item in read(root) if isinstance(item, Record) and item.expression != UNLABELLED]
    missing = [split for split in PUBLISHED if all(image.split != split for image in images)]
    published = {
        f"{split} {expression}": count
        for split, counts in PUBLISHED.items()
        if split not in missing
        for expression, count in zip(EXPRESSIONS, counts, strict=True)
    }
    found = (f"{image.split} {EXPRESSIONS[image.expression]}".strip() for image in images)
    whole = [f"{split} is missing, published {sum(PUBLISHED[split]):,} images" for split in missing]
    return whole + count_differences(found, published)


def _table(root: Path) -> Path | None:
    return root if root.is_file() else next((root / name for name in _NAMES if (root / name).is_file()), None)


def _rows(table: Path) -> Iterator[Record | Reject]:
    """Yield a record or a reject for each row of the challenge's table."""
    rows = _cells(table)
    header = next(rows, [])
    emotion, pixels, usage = _places(header, ("emotion", "pixels", "usage"), table, "FER2013's table")
    number = -1
    for number, row in enumerate(rows):
        try:
            yield _record(number, row[emotion], row[pixels], row[usage])
        except IndexError:
            yield Reject(f"{table.name}/{number:05d}", f"the row has {len(row)} columns of {len(header)}")
        except UserError as error:
            yield Reject(f"{table.name}/{number:05d}", str(error))
    if number < 0:
        raise UserError(f"{table} holds no image")


def _cells(table: Path) -> Iterator[list[str]]:
    # Cut at the commas, not parsed as CSV: no cell holds one, and a quote left open spoils only its own row.
    with open(table, encoding="utf-8-sig", errors="replace") as file:
        yield from ([cell.strip(' "\n') for cell in line.split(",")] for line in file if line.strip())


def _places(header: list[str], names: Sequence[str], table: Path, what: str) -> list[int]:
    """Return in which columns these names stand, in any case of letters."""
    header = [name.lower() for name in header]
    missing = [name for name in names if name not in header]
    if missing:
        raise UserError(f"{table} is not {what}: its first line has no column {', '.join(missing)}")
    return [header.index(name) for name in names]


def _record(number: int, emotion: str, pixels: str, usage: str) -> Record:
    split = folder.SPLITS.get(usage.lower())
    if split is None:
        raise UserError(f"Usage {usage!r} is none of Training, PublicTest, PrivateTest")
    if emotion not in {str(i) for i in range(len(_LABELS))}:
        raise UserError(f"emotion {emotion!r} is no number from 0 to 6")
    label = _LABELS[int(emotion)]
    return Record(f"{split}/{EXPRESSIONS[label]}/{number:05d}", _Pixels(pixels), "fer2013", label, split=split)


@dataclass(frozen=True)
class _Pixels:
    """The numbers of one row, turned into an image only where it is wanted."""

    text: str

    def __call__(self) -> np.ndarray:
        try:
            values = np.array(self.text.split(), dtype=np.int64)
        except (ValueError, OverflowError):
            raise UserError("pixels holds something that is no whole number") from None
        if values.size != _SIDE * _SIDE:
            raise UserError(f"pixels holds {values.size} numbers; {_SIDE * _SIDE} are needed")
        if values.min() < 0 or values.max() > 255:
            raise UserError("pixels holds a number outside 0 to 255")
        return values.astype(np.uint8).reshape(_SIDE, _SIDE)


class _Ballot(NamedTuple):
    """A row of FER+'s table."""

    usage: str
    image: str  #: a name, or empty where FER+ took the image out
    votes: tuple[int, ...]  #: in the order of `_CANDIDATES`; empty where the row is damaged

    def shares(self) -> list[float] | None:
        """Return the seven expressions' shares of all votes; None if there are none."""
        total = sum(self.votes)
        return [count / total for count in self.votes[: len(EXPRESSIONS)]] if total else None


def _ballots(root: Path, table: Path | None, votes: str) -> Iterator[tuple[Record | Reject, _Ballot]]:
    """Yield the rows of both tables side by side."""
    if table is None:
        raise UserError(
            f"FER+ votes on the rows of {_NAMES[0]}, which is not in {root}; "
            "with folders of images only the labels fer2013 can be had"
        )
    source = Path(votes) if votes else table.with_name(_VOTES)
    if not source.is_file():
        raise UserError(f"there are no votes of FER+ at {source}; get {_VOTES} from github.com/microsoft/FERPlus")
    return _side_by_side(table, source)


def _side_by_side(table: Path, source: Path) -> Iterator[tuple[Record | Reject, _Ballot]]:
    ballots = _read_ballots(source)
    images = sum(1 for _ in _cells(table)) - 1
    if images != len(ballots):
        raise UserError(
            f"{source} votes on {len(ballots)} images, but {table} has {images}; they do not belong together"
        )
    for number, (item, ballot) in enumerate(zip(_rows(table), ballots, strict=True)):
        # The names that FER+ gives cannot tell: they fall behind the number of the row after a while.
        whole = isinstance(item, Record) and ballot.votes
        if whole and folder.SPLITS.get(ballot.usage.lower()) != item.split:
            raise UserError(
                f"row {number} is {ballot.usage or 'without Usage'} in {source}, but not in {table}; "
                "both must be in the published order"
            )
        yield item, ballot


def _read_ballots(source: Path) -> list[_Ballot]:
    rows = _cells(source)
    header = next(rows, [])
    places = _places(header, ("usage", "image name", *_CANDIDATES), source, "FER+'s table of votes")
    ballots = []
    for row in rows:
        row += [""] * (len(header) - len(row))
        usage, image, *counts = (row[place] for place in places)
        votes = tuple(map(int, counts)) if all(count.isdecimal() for count in counts) else ()
        ballots.append(_Ballot(usage, image, votes))
    return ballots


def _elected(
    ballots: Iterator[tuple[Record | Reject, _Ballot]], elect: Callable[[Sequence[int]], int | None], nobody: str
) -> Iterator[Record | Reject]:
    """Yield the images with the expressions that are elected, and rejects where none of the seven is."""
    for item, ballot in ballots:
        if isinstance(item, Reject):
            yield item
            continue
        winner = elect(ballot.votes) if ballot.votes else None
        if not ballot.votes:
            reason = "its row of votes is damaged"
        elif not ballot.image:
            reason = "the image was taken out"
        elif winner is None:
            reason = nobody
        elif winner >= len(EXPRESSIONS):
            reason = f"most votes are for {_CANDIDATES[winner]}"
        else:
            yield replace(item, expression=winner)
            continue
        yield Reject(item.name, f"FER+: {reason}", item.expression)


def _majority(votes: Sequence[int]) -> int | None:
    """Return who has more than half of the votes that are not single; None if nobody has."""
    counted = [count if count > 1 else 0 for count in votes]
    return next((place for place, count in enumerate(counted) if 2 * count > sum(counted)), None)


def _plurality(votes: Sequence[int], least_share: float) -> int | None:
    """Return who has more votes than anybody else, if these are at least a share of all votes; else None."""
    most = max(votes)
    alone = votes.count(most) == 1
    return votes.index(most) if alone and most / sum(votes) >= least_share else None


READER = Reader(
    read,
    about="fer2013.csv, or folders train|val|test/angry|…",
    licence="for research, from the ICML 2013 challenge (Goodfellow et al. 2013); images not to be passed on",
    places=("fer2013", "fer2013.csv", "icml_face_data.csv"),
    people=True,
    cropped=True,
    options={
        "labels": Option(
            "fer2013",
            "whose labels: the challenge's, or those that ten people's votes gave later (FER+, needs fer2013new.csv)",
            choices=("fer2013", "ferplus-majority", "ferplus-soft"),
        ),
        "least_share": Option(
            0.5, "for ferplus-soft: the share of all votes that an image's expression must have", least=0
        ),
        "votes": Option("", f"FER+'s table of votes, if it is not {_VOTES} beside the table of images"),
    },
    expected="35,887 images: 28,709 train, 3,589 public test (val), 3,589 private test (test)",
    differences=differences,
    columns=columns,
)
