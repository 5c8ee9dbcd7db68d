"""Which images are looked at, in which order and which groups, and how many there are of everything."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import chain

import numpy as np
import pyarrow as pa

from lmdb_builders import READERS
from lmdb_builders.browse.album import NAMES, Album, open_album
from lmdb_builders.quality import FLAGS
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of

__all__ = ["BY", "SORTS", "SORT_COLUMNS", "counts", "grouped", "licences", "select"]

#: What a sheet may be divided by; "reason" is the rejects'.
BY = ("label", "database", "split", "fold", "face", "character", "flag", "reason")
#: The orders of a sheet, and how they are told.
SORTS = {
    "manifest": "as in the manifest",
    "fit": "worst landmark fit first",
    "score": "least sure detection first",
    "random": "at random",
}
#: The manifest's columns that orders follow.
SORT_COLUMNS = {"fit": "fit_error", "score": "score"}

_ORDER = (*NAMES, *FLAGS)


def select(album: Album, wanted: Mapping[str, Collection[str]], sort: str = "manifest", seed: int = 0) -> np.ndarray:
    """Return the rows that have one of the wanted words of every filter, in order.

    Parameters
    ----------
    album : Album
    wanted : dict of str to collection of str
        By the names of `FILTERS`; one that wants nothing lets all pass. Labels may go by any name of `label_of`.
    sort : str
        One of `SORTS`. Rows whose key is unknown come last; rows alike keep the manifest's order.
    seed : int
        For "random".

    Returns
    -------
    ndarray of int

    Raises
    ------
    UserError
        If a word is known of no image, or no row is left.
    """
    rows = np.arange(len(album.table))
    if not len(rows):
        raise UserError(f"{album.folder} has no {album.kind}")
    for what, chosen in wanted.items():
        if chosen:
            rows = _having(album, rows, what, chosen)
    if sort == "random":
        if seed < 0:
            raise UserError(f"the seed {seed} is negative; give 0 or more")
        return np.random.default_rng(seed).permutation(rows)
    if sort in SORT_COLUMNS:
        keys = np.array(album.column(SORT_COLUMNS[sort]), np.float64)[rows]  # None becomes NaN, which is sorted last
        return rows[np.argsort(-keys if sort == "fit" else keys, kind="stable")]
    return rows


def _having(album: Album, rows: np.ndarray, what: str, chosen: Collection[str]) -> np.ndarray:
    if what == "label":
        chosen = [word if word == "unlabelled" else EXPRESSIONS[label_of(word)] for word in chosen]
    if what == "flag" and (unknown := sorted(set(chosen) - set(FLAGS))):
        raise UserError(f"there is no flag {unknown[0]!r}; the flags are: {', '.join(FLAGS)}")
    words = album.words(what)
    kept = [row for row in rows if not set(chosen).isdisjoint(words[row])]
    known = set(chain.from_iterable(words))
    if missing := [word for word in chosen if not kept or word not in known]:
        there = Counter(chain.from_iterable(words[row] for row in rows))
        listed = [f"{word} ({count:,})" for word, count in there.most_common(12)] or ["none"]
        more = ["…"] if len(there) > len(listed) else []
        raise UserError(
            f"none of {len(rows):,} {album.kind} has the {what} {' or '.join(missing)}; "
            f"there are: {', '.join(listed + more)}"
        )
    return np.array(kept)


def grouped(album: Album, rows: np.ndarray, by: str | None) -> dict[str, np.ndarray]:
    """Return rows by what they have of `by` (one of `BY`), each group in their order; all under "" without it.

    Labels and flags stand in their own order, anything else in that of the alphabet, and rows that have nothing last.
    """
    if by is None:
        return {"": rows}
    words, groups, nothing = album.words(by), {}, []
    for row in rows:
        for word in words[row]:
            groups.setdefault(word, []).append(row)
        if not words[row]:
            nothing.append(row)
    order = [word for word in _ORDER if word in groups] if by in ("label", "flag") else sorted(groups)
    named = {word: np.array(groups[word]) for word in order}
    return {**named, f"no {by}": np.array(nothing)} if nothing else named


def licences(album: Album, rows: Iterable[int]) -> list[str]:
    """Return, for every database that the rows are of, who lets whom use its images."""
    names = album.table["database"].take(pa.array(rows)).unique().to_pylist()
    known = {name: READERS[name].licence if name in READERS else "its licence is not known here" for name in names}
    return [f"{name}: {licence}" for name, licence in known.items()]


def counts(album: Album, rows: np.ndarray) -> str:
    """Return how many rows have which label in which database, which flags and which reasons, as text.

    The reasons of rejects are told beside the faces, too, if all of these are counted.
    """
    labels, databases = album.words("label"), album.column("database")
    cells = Counter()
    for row in rows:
        for name in (*labels[row], "all"):
            cells[name, databases[row]] += 1
    heads = sorted({head for _, head in cells})
    lines = [" " * 10 + "".join(f"{head:>12}" for head in heads)]
    for name in (*NAMES, "all"):
        lines.append(f"{name:10}" + "".join(f"{cells[name, head]:12,}" for head in heads))
    if album.kind == "rejects":
        return "\n".join(lines + _tally(album, rows, "reason"))
    if "quality" in album.table.column_names:
        lines += _tally(album, rows, "flag")
    if len(rows) == len(album.table) and (album.folder / "rejects.csv").is_file():
        rejects = open_album(album.folder, rejects=True)
        lines += _tally(rejects, np.arange(len(rejects.table)), "reason")
    return "\n".join(lines)


def _tally(album: Album, rows: np.ndarray, what: str) -> list[str]:
    words = album.words(what)
    tally = Counter(chain.from_iterable(words[row] for row in rows)).most_common()
    told = [f"{count:8,}  {word}: {FLAGS[word]}" if word in FLAGS else f"{count:8,}  {word}" for word, count in tally]
    return ["", f"{what}s of {album.kind}", *(told or ["    none"])]
