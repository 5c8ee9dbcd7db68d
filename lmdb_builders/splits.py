"""Who trains and who tests: stratified by expression, and nobody on two sides."""

import zlib
from collections.abc import Hashable, Sequence

import numpy as np

from pydeepexpr.errors import UserError

__all__ = [
    "BALANCES",
    "SPLITS",
    "assign_splits",
    "block_splits",
    "fold_splits",
    "folds_of",
    "group_ids",
    "partition",
    "training_order",
]

SPLITS = ("train", "val", "test")

#: How the training classes are evened out: not at all, down to the rarest class, up to the commonest one.
BALANCES = ("none", "undersample", "oversample")


def group_ids(database: Sequence[str], subject: Sequence[str], sequence: Sequence[str]) -> np.ndarray:
    """Number what must stay together: a person's images; where the person is unknown, a sequence's; else one image.

    Returns
    -------
    ndarray of int, shape (N,)
        Equal numbers for rows that belong together. The same subject name in two databases means two persons.
    """
    seen: dict[Hashable, int] = {}
    keys = (
        (base, "subject", who) if who else (base, "sequence", clip) if clip else row
        for row, (base, who, clip) in enumerate(zip(database, subject, sequence, strict=True))
    )
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.int64)


def partition(
    labels: np.ndarray, groups: np.ndarray, shares: Sequence[float], seed: int, *, origins: np.ndarray | None = None
) -> np.ndarray:
    """Divide images into parts of the given shares, class by class, without dividing a group.

    Groups of several images go first, largest first, each to the part that lacks its classes and its origin most.
    Images that stand alone then fill every class up to its share, so that rounding errors do not add up over the
    classes.

    Parameters
    ----------
    labels, groups : ndarray of int, shape (N,)
        Class and group (see `group_ids`) of each image.
    shares : sequence of float
        One share a part, summing to 1. Five shares of 0.2 make five folds.
    seed : int
        The same seed gives the same parts.
    origins : ndarray of int, shape (N,), optional
        What else groups are to be spread evenly by, such as their database: without it a small database among large
        ones may fall into one part. By default all are of one, which evens out the parts' sizes.

    Returns
    -------
    ndarray of int, shape (N,)
        The part of each image, 0 to len(shares) - 1. A part of share 0 receives nothing.
    """
    labels, groups = np.asarray(labels, dtype=np.int64), np.asarray(groups, dtype=np.int64)
    rng = np.random.default_rng((seed, 0))
    classes, label = np.unique(labels, return_inverse=True)
    names, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    origin = np.zeros_like(label) if origins is None else np.unique(origins, return_inverse=True)[1]
    content = np.c_[_counts(group, label), _counts(group, origin)]
    totals = content.sum(axis=0)
    lacking = np.outer(totals, shares)  # class (and origin) × part, shrinks while images are placed
    part = np.full(len(names), -1, dtype=np.int64)

    several = rng.permutation(np.flatnonzero(sizes > 1))
    for index in several[np.argsort(-sizes[several], kind="stable")]:
        part[index] = np.argmax((content[index] / totals) @ lacking)
        lacking[:, part[index]] -= content[index]

    carry = np.zeros(len(shares))
    for column in range(len(classes)):
        alone = rng.permutation(np.flatnonzero((sizes == 1) & (content[:, column] == 1)))
        wanted = lacking[column] + carry
        counts = _whole_numbers(wanted, len(alone))
        carry = wanted - counts
        part[alone] = np.repeat(np.arange(len(shares)), counts)
    return part[group]


def _counts(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return how often each pair of numbers stands at the same place, rows×columns."""
    counts = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return counts


def _whole_numbers(wanted: np.ndarray, total: int) -> np.ndarray:
    """Round `wanted` to whole numbers of the given total, by largest remainders; negative wishes get nothing."""
    wanted = np.maximum(wanted, 0)
    if total == 0 or wanted.sum() == 0:
        return np.zeros(len(wanted), dtype=np.int64)
    wanted = wanted * (total / wanted.sum())
    counts = np.floor(wanted + 1e-9).astype(np.int64)
    short = total - counts.sum()
    counts[np.argsort(counts - wanted, kind="stable")[:short]] += 1
    return counts


def assign_splits(
    labels: np.ndarray,
    groups: np.ndarray,
    own: Sequence[str],
    *,
    val: float,
    test: float,
    seed: int,
    origins: np.ndarray | None = None,
) -> np.ndarray:
    """Name the split of each image: its database's own one where there is one, a drawn one elsewhere.

    Parameters
    ----------
    labels, groups, origins : ndarray of int, shape (N,)
        As in `partition`.
    own : sequence of str
        The database's own split of each image; empty where it has none. An image without one whose group
        already stands in a split follows it there.
    val, test : float
        Shares of the images that remain.
    seed : int
        The same seed gives the same splits.

    Returns
    -------
    ndarray of str, shape (N,)

    Examples
    --------
    >>> assign_splits([0, 0, 1], [0, 1, 2], ["val", "", ""], val=0, test=0, seed=0).tolist()
    ['val', 'train', 'train']
    """
    _check_shares(val, test)
    labels, groups = np.asarray(labels), np.asarray(groups)
    home: dict[int, str] = {}
    for group, name in zip(groups.tolist(), own, strict=True):
        if name:
            home.setdefault(group, name)
    known = [name or home.get(group, "") for group, name in zip(groups.tolist(), own, strict=True)]
    splits = np.array(known, dtype="<U5")  # five letters: room for "train"
    free = splits == ""
    beside = None if origins is None else origins[free]
    parts = partition(labels[free], groups[free], (1 - val - test, val, test), seed, origins=beside)
    splits[free] = np.array(SPLITS)[parts]
    return splits


def folds_of(
    labels: np.ndarray, groups: np.ndarray, folds: int, seed: int, *, origins: np.ndarray | None = None
) -> np.ndarray:
    """Number the fold of each image for cross-validation, 0 to `folds` - 1, as `partition` divides them.

    Raises
    ------
    UserError
        If there are fewer than two folds, or so few groups that a fold would be empty.
    """
    if folds < 2:
        raise UserError(f"{folds} folds are no cross-validation; give 2 or more")
    if (count := len(np.unique(groups))) < folds:
        raise UserError(
            f"{count} persons (or images without one) cannot be divided into {folds} folds; give fewer folds"
        )
    parts = partition(labels, groups, [1 / folds] * folds, seed, origins=origins)
    if empty := folds - len(np.unique(parts)):
        raise UserError(f"{empty} of {folds} folds would be empty; give fewer folds")
    return parts


def fold_splits(
    labels: np.ndarray,
    groups: np.ndarray,
    fold_of: np.ndarray,
    fold: int,
    *,
    val: float,
    seed: int,
    origins: np.ndarray | None = None,
) -> np.ndarray:
    """Name the split of each image where one fold tests, a share of the others validates and the rest trains.

    Parameters
    ----------
    labels, groups, origins : ndarray of int, shape (N,)
        As in `partition`: those who validate are no persons who train, either.
    fold_of : ndarray of int, shape (N,)
        As `folds_of` gives it.
    fold : int
        Number of the fold that tests, from 0.
    val : float
        Share of all images.
    seed : int
        The same seed gives the same splits.

    Returns
    -------
    ndarray of str, shape (N,)

    Raises
    ------
    UserError
        If there is no such fold, or nothing would be left to train on.
    """
    fold_of = np.asarray(fold_of)
    folds = int(fold_of.max()) + 1
    if not 0 <= fold < folds:
        raise UserError(f"there is no fold {fold}; there are {folds}, counted from 0")
    _check_shares(val, 1 / folds)
    tests = np.where(fold_of == fold, "test", "").tolist()
    return assign_splits(labels, groups, tests, val=val / (1 - 1 / folds), test=0, seed=seed, origins=origins)


def block_splits(
    sequences: Sequence[str], frames: np.ndarray, *, val: float, test: float, gap: int, seed: int
) -> np.ndarray:
    """Cut each sequence into one block of neighbouring frames a split, and leave a gap between two blocks.

    For sequences whose neighbours are nearly alike and name nothing by which they could be kept together: an animator's
    key poses with frames interpolated between them.

    Parameters
    ----------
    sequences : sequence of str, length N
        Which sequence each image belongs to.
    frames : ndarray of int, shape (N,)
        Its place in it.
    val, test : float
        Shares of the images of each sequence that no gap takes.
    gap : int
        How many images to leave out between two blocks: as many as lie between two key poses.
    seed : int
        Decides the order of the blocks in each sequence; a sequence is cut alike whichever others there are.

    Returns
    -------
    ndarray of str, shape (N,)
        Empty for the images in gaps.

    Raises
    ------
    UserError
        If shares or gap are out of range, or a sequence is shorter than its gaps.
    """
    _check_shares(val, test)
    if gap < 0:
        raise UserError(f"the gap of {gap} frames is negative; give 0 or more")
    shares = {"train": 1 - val - test, "val": val, "test": test}
    names, which = np.unique(np.asarray(sequences, dtype=object), return_inverse=True)
    splits = np.full(len(which), "", dtype="<U5")
    for index, name in enumerate(names):
        rows = np.flatnonzero(which == index)
        rows = rows[np.argsort(np.asarray(frames)[rows], kind="stable")]
        rng = np.random.default_rng((seed, zlib.crc32(name.encode())))
        order = rng.permutation([split for split in SPLITS if shares[split] > 0])
        kept = len(rows) - gap * (len(order) - 1)
        if kept < len(order):
            raise UserError(
                f"the sequence {name} has {len(rows)} images, too few for {len(order)} blocks with gaps of {gap}; "
                "lower --gap"
            )
        start = 0
        for split, count in zip(order, _whole_numbers(np.array([shares[s] for s in order]), kept), strict=True):
            splits[rows[start : start + count]] = split
            start += count + gap
    return splits


def _check_shares(val: float, test: float) -> None:
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise UserError(f"the shares val {val:g} and test {test:g} must not be negative and must leave some to train")


def training_order(labels: np.ndarray, balance: str, seed: int) -> np.ndarray:
    """Balance and shuffle the training images.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    balance : {"none", "undersample", "oversample"}
        "undersample" draws as many images from each class as the rarest one has; "oversample" repeats images,
        each as often as its class-mates or once more, until each class has as many as the commonest one.
    seed : int
        The same seed gives the same order.

    Returns
    -------
    ndarray of int
        Indices into `labels`, in the order in which Caffe's Data layer shall read the images.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng((seed, 1))
    chosen = np.arange(len(labels))
    if balance != "none" and len(labels):
        members = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
        size = (min if balance == "undersample" else max)(len(indices) for indices in members)
        chosen = np.concatenate([np.resize(indices, size) for indices in members])
    return rng.permutation(chosen)
