"""What went into a training set, for a person's eyes: any selection of a manifest, or of the rejects, as a sheet."""

import csv
import functools
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFont

from lmdb_builders import READERS, Record
from lmdb_builders.build import CROP_SIZE
from lmdb_builders.quality import FLAGS
from pydeepexpr.caffe.crops import crops_of
from pydeepexpr.caffe.datum import datum_to_image
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.sheet import Tile
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RULE, rgb
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of
from pydeepexpr.faces import FACE_SIZE
from pydeepexpr.files import atomic_file
from pydeepexpr.images import read_image

__all__ = [
    "BY",
    "FILTERS",
    "SORTS",
    "Album",
    "contact_sheet",
    "counts",
    "draw",
    "grouped",
    "landmarks_of",
    "licences",
    "open_album",
    "select",
]

#: What images are chosen by, and the manifest's column that says it.
FILTERS = {
    "label": "expression",
    "database": "database",
    "subject": "subject",
    "split": "split",
    "fold": "fold",
    "face": "face",
    "character": "character",
    "flag": "quality",
}
#: What a sheet may be divided by; "reason" is the rejects'.
BY = ("label", "database", "split", "fold", "face", "character", "flag", "reason")
#: The orders of a sheet, and how they are told.
SORTS = {
    "manifest": "as in the manifest",
    "fit": "worst landmark fit first",
    "score": "least sure detection first",
    "random": "at random",
}

_NAMES = (*EXPRESSIONS, "unlabelled")  # the label -1 is the last
_ORDER = {word: place for place, word in enumerate((*_NAMES, *FLAGS))}
_KEYS = {"fit": ("fit_error", -1), "score": ("score", 1)}
_NEEDED = {"path", "source", "database", "expression", "split"}
_COLUMNS = {*_NEEDED, *FILTERS.values(), "score", "fit_error", "landmarks", "transform", "key", "crop"}
_FORMATS = (".png", ".jpg", ".jpeg")
_CUTS = ("centre", "top left", "top right", "bottom left", "bottom right")  # as `crops_of` has them

_MARGIN, _GAP, _BAR, _LINE, _HEAD = 24, 10, 4, 15, 30  # of a sheet, in pixels
_FEWEST, _MOST = 4, 10  # images in a line


@dataclass(frozen=True)
class Album:
    """The images of a folder.

    Attributes
    ----------
    folder : Path
    table : pyarrow.Table
        One row an image.
    picture : callable
        Returns a row's image, uint8 BGR; None where a rejected one cannot be read.
    kind : {"faces", "records", "rejects"}
        Registered faces, those of an LMDB, or what was rejected.
    """

    folder: Path
    table: pa.Table
    picture: Callable[[int], "np.ndarray | None"]
    kind: str

    def column(self, name: str) -> list:
        """Return a column as Python values.

        Raises
        ------
        UserError
            If there is none.
        """
        if name in self.table.column_names:
            return self.table[name].to_pylist()
        if self.kind == "rejects":
            raise UserError(f"of rejects no {name!r} is known")
        if name == "fold":
            raise UserError(f"{self.folder} has no folds; give a folder of tools/build_lmdb.py --split folds")
        if name == "reason":
            raise UserError("reasons are the rejects'; add --rejects")
        then = " and build the LMDB again" if self.kind == "records" else ""
        raise UserError(f"{self.folder} has no column {name!r}; register the folder anew with tools/register.py{then}")

    def words(self, what: str) -> list[list[str]]:
        """Return what each image has of `what`, one of `FILTERS` or `BY`: a label, any number of flags …"""
        values = self.column(FILTERS.get(what, what))
        if what == "flag":
            return [flags or [] for flags in values]
        if what == "label":
            return [[_NAMES[UNLABELLED if label is None else label]] for label in values]
        return [[str(value)] if value not in (None, "", -1) else [] for value in values]


def open_album(folder: str | os.PathLike, *, rejects: bool = False) -> Album:
    """Open a folder of tools/register.py or tools/build_lmdb.py, or the rejects of the former.

    Raises
    ------
    UserError
        If it is neither, or what is read of it is damaged.
    """
    folder = Path(folder)
    table = _read_manifest(folder)
    if "key" in table.column_names:
        if rejects:
            raise UserError(f"{folder} holds LMDBs, which know no rejects; give the registered folder")
        return Album(folder, table, _of_lmdbs(folder, table), "records")
    if rejects:
        run, table = _read_rejects(folder)
        return Album(folder, table, _of_database(run, table["source"].to_pylist()), "rejects")
    return Album(folder, table, _of_files(folder, table["path"].to_pylist()), "faces")


def _read_manifest(folder: Path) -> pa.Table:
    path = folder / "manifest.parquet"
    if not path.is_file():
        raise UserError(f"there is no {path}; give a folder that tools/register.py or tools/build_lmdb.py has made")
    try:
        with pq.ParquetFile(path) as file:
            names = set(file.schema_arrow.names)
            if missing := _NEEDED - names:
                raise UserError(
                    f"{path} lacks {', '.join(sorted(missing))}; register the folder anew with tools/register.py"
                )
            table = file.read(columns=sorted(_COLUMNS & names))
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if None in (databases := table["database"].to_pylist()) or "" in databases:
        raise UserError(f"{path} has rows without a database; register the folder anew with tools/register.py")
    for label in set(table["expression"].to_pylist()) - {None}:
        if not UNLABELLED <= label < len(EXPRESSIONS):
            raise UserError(f"{path}: expression {label} is neither 0-{len(EXPRESSIONS) - 1} nor {UNLABELLED}")
    return table


def _read_rejects(folder: Path) -> tuple[dict[str, Any], pa.Table]:
    """Return what register.json says of the run, and the rejects as a table."""
    try:
        run = json.loads((folder / "register.json").read_text(encoding="utf-8"))
        database, _ = run["database"], run["root"]
        with open(folder / "rejects.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        labels = [row.get("expression") for row in rows]
        columns = {
            "source": [row["path"] for row in rows],
            "reason": [row["reason"] for row in rows],
            "expression": pa.array([EXPRESSIONS.index(word) if word else UNLABELLED for word in labels], pa.int8()),
            "subject": [row.get("subject") or "" for row in rows],
            "database": [database] * len(rows),
        }
    except (OSError, ValueError, KeyError):
        raise UserError(f"{folder} has no readable rejects.csv and register.json; register the folder anew") from None
    return run, pa.table(columns)


def _of_files(folder: Path, paths: list[str]) -> Callable[[int], np.ndarray]:
    def picture(row: int) -> np.ndarray:
        try:
            return read_image(folder / paths[row])
        except UserError as error:
            raise UserError(f"{folder / paths[row]}: {error}; register the folder anew") from None

    return picture


def _of_lmdbs(folder: Path, table: pa.Table) -> Callable[[int], np.ndarray]:
    keys, splits = table["key"].to_pylist(), np.array(table["split"].to_pylist())
    places = np.zeros(len(splits), np.int64)
    for split in np.unique(splits):  # within each the rows stand in the order of the keys
        places[splits == split] = np.arange((splits == split).sum())

    @functools.cache
    def source(split: str) -> LmdbSource:
        return LmdbSource(folder / f"{split}_lmdb")

    def picture(row: int) -> np.ndarray:
        key, datum = next(source(splits[row]).records(skip=int(places[row])), (b"", None))
        if key != keys[row].encode():
            raise UserError(f"{folder}: the manifest lists {keys[row]} where its LMDB does not; build it again")
        return datum_to_image(datum, cv2.IMREAD_COLOR)

    return picture


def _of_database(run: dict[str, Any], names: list[str]) -> Callable[[int], "np.ndarray | None"]:
    root = Path(run["root"])

    @functools.cache
    def records() -> dict[str, Record]:
        """Return those that are no files of their own: rows of a table, frames of a video."""
        wanted = set(names)
        items = READERS[run["database"]].read(root, **run.get("options", {}))
        return {item.name: item for item in items if item.name in wanted and isinstance(item, Record)}

    def picture(row: int) -> np.ndarray | None:
        try:
            if (root / names[row]).is_file():
                return read_image(root / names[row])
            return records()[names[row]].read()
        except (RuntimeError, OSError, KeyError, cv2.error):  # KeyError: neither a file nor a record
            return None

    return picture


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
    if sort in _KEYS:
        column, sign = _KEYS[sort]
        keys = np.array(album.column(column), np.float64)[rows]  # None becomes NaN, which is sorted last
        return rows[np.argsort(sign * keys, kind="stable")]
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
    words, groups = album.words(by), {}
    for row in rows:
        for word in words[row] or [f"no {by}"]:
            groups.setdefault(word, []).append(row)
    order = sorted(groups, key=lambda word: (word == f"no {by}", _ORDER.get(word, len(_ORDER)), word))
    return {word: np.array(groups[word]) for word in order}


def landmarks_of(row: Mapping[str, Any]) -> np.ndarray:
    """Return where the 49 landmarks lie on a row's image: x, y in pixels of the face, or of the crop that it holds."""
    matrix = np.reshape(row["transform"], (2, 3))
    points = np.reshape(row["landmarks"], (-1, 2)) @ matrix[:, :2].T + matrix[:, 2]
    if row.get("crop", -1) >= 0:
        cut = crops_of((FACE_SIZE, FACE_SIZE), CROP_SIZE, "five")[row["crop"]]
        points -= cut.left, cut.top
        if cut.mirror:
            points[:, 0] = CROP_SIZE - 1 - points[:, 0]
    return points


def licences(album: Album, rows: Iterable[int]) -> list[str]:
    """Return, for every database that the rows are of, who lets whom use its images."""
    names = album.table["database"].take(pa.array(rows)).unique().to_pylist()
    known = {name: READERS[name].licence if name in READERS else "its licence is not known here" for name in names}
    return [f"{name}: {licence}" for name, licence in known.items()]


def counts(album: Album, rows: np.ndarray) -> str:
    """Return how many rows have which label in which database, which flags and which reasons, as text.

    The reasons of rejects are told beside the faces, too, if all of these are counted.
    """
    labels, databases = album.words("label"), album.words("database")
    cells = Counter((*labels[row], *databases[row]) for row in rows)
    heads = sorted({head for _, head in cells})
    lines = [" " * 10 + "".join(f"{head:>12}" for head in heads)]
    for name in _NAMES:
        lines.append(f"{name:10}" + "".join(f"{cells[name, head]:12,}" for head in heads))
    sums = [sum(cells[name, head] for name in _NAMES) for head in heads]
    lines.append(f"{'all':10}" + "".join(f"{number:12,}" for number in sums))
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


def draw(
    album: Album,
    groups: Mapping[str, np.ndarray],
    out: str | os.PathLike,
    *,
    title: str = "",
    value: str | None = None,
    landmarks: bool = False,
    limit: int = 60,
    pages: int = 1,
    side: int = 150,
) -> dict[Path, int]:
    """Draw images of each group, equally many where there are, on one sheet or several.

    Parameters
    ----------
    album : Album
    groups : dict of str to array of int
        Rows by heading, of `grouped`.
    out : path
        PNG or JPEG. Further sheets are called ``NAME-2.png``, ``NAME-3.png`` …
    title : str
    value : {"fit", "score"}, optional
        A number to show with each.
    landmarks : bool
        Draw the landmarks.
    limit : int
        The most images a sheet holds.
    pages : int
        The most sheets.
    side : int
        Of an image, in pixels.

    Returns
    -------
    dict of Path to int
        The sheets, and how many images each shows.

    Raises
    ------
    UserError
        If the name does not end as a picture's, a number is out of its range, or what is to be drawn is not known.
    """
    out = Path(out)
    if out.suffix.lower() not in _FORMATS:
        raise UserError(f"cannot draw {out}; end the name in one of: {', '.join(_FORMATS)}")
    ranges = {"number of images": (limit, 1, 1000), "number of sheets": (pages, 1, 1000), "size": (side, 80, 512)}
    for what, (number, least, most) in ranges.items():
        if not least <= number <= most:
            raise UserError(f"the {what} must be {least} to {most}, got {number}")
    if len(groups) > limit:
        raise UserError(f"{len(groups)} groups do not fit on a sheet of {limit} images; choose fewer")
    for column in ("landmarks", "transform") if landmarks else ():
        album.column(column)
    share = limit // len(groups)
    total = len(np.unique(np.concatenate([*groups.values()])))  # a face may have several flags
    sheets = min(pages, max(-(-len(rows) // share) for rows in groups.values()))
    drawn = {}
    for number in range(sheets):
        shown = {name: rows[number * share : (number + 1) * share] for name, rows in groups.items()}
        blocks = [
            (name, f"{len(rows):,} of {len(groups[name]):,}", _tiles(album, rows, value, landmarks, side))
            for name, rows in shown.items()
            if len(rows)
        ]
        count = sum(map(len, shown.values()))
        note = f"{count:,} of {total:,}" + (f", sheet {number + 1} of {sheets}" if sheets > 1 else "")
        small = ["Not to be passed on, unless a licence says so.", *licences(album, np.concatenate([*shown.values()]))]
        path = out.with_stem(f"{out.stem}-{number + 1}") if number else out
        with atomic_file(path) as partial:
            contact_sheet(title, note, blocks, small, side).save(partial, quality=92)
        drawn[path] = count
    return drawn


def _tiles(album: Album, rows: np.ndarray, value: str | None, landmarks: bool, side: int) -> list[Tile]:
    tiles = []
    for place, row in zip(rows.tolist(), album.table.take(pa.array(rows)).to_pylist(), strict=True):
        picture, reason = album.picture(place), row.get("reason", "")
        image = None if picture is None else _fitted(picture, side)
        if landmarks and row["transform"] and row["landmarks"]:
            _dot(image, (landmarks_of(row) + 0.5) * (side / len(picture)) - 0.5)
        label = UNLABELLED if row["expression"] is None else row["expression"]
        said = list(row.get("quality") or [])
        if value and not np.isnan(number := row[_KEYS[value][0]] or np.nan):
            said.insert(0, f"{value} {number:.2f}")
        lines = [_NAMES[label], row["source"], ", ".join(said)]
        if row.get("crop", -1) >= 0:
            lines.append(_CUTS[row["crop"] // 2] + ", mirrored" * (row["crop"] % 2))
        if reason:
            lines.append("the image cannot be read" if image is None else reason)
        tiles.append(Tile(image, label, lines=tuple(lines), name=reason))
    return tiles


def _fitted(image: np.ndarray, side: int) -> np.ndarray:
    """Return an image as large as it fits into a light square."""
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    square = np.full((side, side, 3), 240, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    square[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=how)
    return square


def _dot(image: np.ndarray, points: np.ndarray) -> None:
    radius = max(1.2, image.shape[0] / 125)
    for x, y in np.rint(points * 16).astype(int).tolist():  # in sixteenths of a pixel
        cv2.circle(image, (x, y), round(radius * 16), (90, 255, 120), cv2.FILLED, cv2.LINE_AA, shift=4)


def contact_sheet(
    title: str, note: str, blocks: Sequence[tuple[str, str, Sequence[Tile]]], small: Sequence[str], side: int
) -> Image.Image:
    """Return a sheet of blocks of tiles below one another, in lines of equal length.

    Parameters
    ----------
    title, note : str
        At the top.
    blocks : sequence of (str, str, sequence of Tile)
        Heading, a note beside it, and the tiles. A block without a heading has none drawn.
    small : sequence of str
        Small print at the foot.
    side : int
        Of the tiles' square images, in pixels.
    """
    most = max(len(tiles) for _, _, tiles in blocks)
    columns = max(_FEWEST, -(-most // -(-most // _MOST)))
    inner = columns * (side + _GAP) - _GAP
    captions = [[_caption(tile, side) for tile in tiles] for _, _, tiles in blocks]
    tall = side + _BAR + 3 + _LINE * max(map(len, chain.from_iterable(captions))) + _GAP
    heights = [-(-len(tiles) // columns) * tall + _HEAD * bool(heading) for heading, _, tiles in blocks]
    top = _wrapped(title, _font(16, bold=True), inner)
    foot = list(chain.from_iterable(_wrapped(line, _font(10), inner) for line in small))
    height = 2 * _MARGIN + 22 * len(top) + _HEAD + sum(heights) + 14 * len(foot)
    sheet = Image.new("RGB", (inner + 2 * _MARGIN, height), "white")
    pen, y = ImageDraw.Draw(sheet), _MARGIN
    pen.text((_MARGIN, y), "\n".join(top), INK, _font(16, bold=True))
    y += 22 * len(top)
    pen.text((_MARGIN, y), note, FAINT, _font(12))
    y += _HEAD
    for (heading, beside, tiles), said, high in zip(blocks, captions, heights, strict=True):
        start = y
        if heading:
            font = _font(14, bold=True)
            heading, *more = _wrapped(heading, font, inner - 120)  # leaves room for the note
            heading += " …" if more else ""
            pen.line((_MARGIN, y, _MARGIN + inner - 1, y), RULE)
            pen.text((_MARGIN, y + 22), heading, INK, font, "ls")
            pen.text((_MARGIN + font.getlength(heading) + 10, y + 22), beside, FAINT, _font(12), "ls")
            start += _HEAD
        for number, (tile, caption) in enumerate(zip(tiles, said, strict=True)):
            line, column = divmod(number, columns)
            _draw_tile(sheet, pen, tile, caption, _MARGIN + column * (side + _GAP), start + line * tall, side)
        y += high
    pen.text((_MARGIN, y), "\n".join(foot), FAINT, _font(10))
    return sheet


def _draw_tile(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, caption: list[str], x: int, y: int, side: int
) -> None:
    if tile.image is not None:
        sheet.paste(Image.fromarray(rgb(tile.image)), (x, y))
    else:
        pen.rectangle((x, y, x + side - 1, y + side - 1), "#f0f0f0")
        card = "\n".join(_wrapped(tile.name, _font(12), side - 16))
        pen.text((x + side / 2, y + side / 2), card, INK, _font(12), "mm", align="center")
    y += side
    pen.rectangle((x, y, x + side - 1, y + _BAR - 1), EXPRESSION_COLOURS[tile.label] if tile.label >= 0 else FAINT)
    for number, line in enumerate(caption):
        where = (x, y + _BAR + 3 + number * _LINE)
        pen.text(where, line, FAINT if number else INK, _font(11, bold=not number))


def _caption(tile: Tile, side: int) -> list[str]:
    """Return the lines below a tile, the first of which is set in bold."""
    first, *rest = filter(None, tile.lines)
    return [first, *chain.from_iterable(_wrapped(line, _font(11), side) for line in rest)]


def _wrapped(text: str, font: ImageFont.FreeTypeFont, wide: float) -> list[str]:
    """Break a text between words; of a word that is too long the end is kept, which tells file names apart."""
    lines = [""]
    for word in text.split():
        if font.getlength(word) > wide:
            while font.getlength(f"…{word}") > wide:
                word = word.partition("/")[2] or word[1:]
            word = f"…{word}"
        longer = f"{lines[-1]} {word}".lstrip()
        lines[-1:] = [longer] if font.getlength(longer) <= wide else [lines[-1], word]
    return lines


@functools.cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of all figures (`evaluation.style`), which comes with matplotlib."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), f"fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf"), size)
