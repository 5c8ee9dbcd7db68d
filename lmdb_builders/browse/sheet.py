"""Contact sheets: blocks of tiles below one another, pixel for pixel and up to a thousand a sheet."""

import functools
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lmdb_builders.browse.album import Album
from lmdb_builders.browse.selection import licences
from lmdb_builders.browse.tiles import tiles_of
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.sheet import Tile
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT, INK, RULE, rgb
from pydeepexpr.files import atomic_file

__all__ = ["contact_sheet", "draw"]

_FORMATS = (".png", ".jpg", ".jpeg")
_MARGIN, _GAP, _BAR, _LINE, _HEAD = 24, 10, 4, 15, 30  # in pixels
_TITLE_LINE, _SMALL_LINE = 22, 14
_FEWEST, _MOST = 4, 10  # images in a line


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
        album.column(column)  # complains where there is none
    share = limit // len(groups)
    total = len(np.unique(np.concatenate([*groups.values()])))  # a face may have several flags
    sheets = min(pages, max(-(-len(rows) // share) for rows in groups.values()))
    drawn = {}
    for number in range(sheets):
        blocks, shown = [], []
        for name, group in groups.items():
            rows = group[number * share : (number + 1) * share]
            if len(rows):
                tiles = tiles_of(album, rows, side, value=value, landmarks=landmarks)
                blocks.append((name, f"{len(rows):,} of {len(group):,}", tiles))
                shown += rows.tolist()
        note = f"{len(shown):,} of {total:,}" + (f", sheet {number + 1} of {sheets}" if sheets > 1 else "")
        small = ["Not to be passed on, unless a licence says so.", *licences(album, shown)]
        path = out.with_stem(f"{out.stem}-{number + 1}") if number else out
        with atomic_file(path) as partial:
            contact_sheet(title, note, blocks, small, side).save(partial, quality=92)
        drawn[path] = len(shown)
    return drawn


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
    columns = max(_FEWEST, -(-most // -(-most // _MOST)))  # so that the lines of the largest block are equally long
    inner = columns * (side + _GAP) - _GAP
    longest = max(len(_caption(tile, side)) for _, _, tiles in blocks for tile in tiles)
    tall = side + _BAR + 3 + _LINE * longest + _GAP
    heights = [_HEAD * bool(heading) + -(-len(tiles) // columns) * tall for heading, _, tiles in blocks]
    top = _wrapped(title, _font(16, bold=True), inner)
    foot = list(chain.from_iterable(_wrapped(line, _font(10), inner) for line in small))
    height = 2 * _MARGIN + _TITLE_LINE * len(top) + _HEAD + sum(heights) + _SMALL_LINE * len(foot)
    sheet = Image.new("RGB", (inner + 2 * _MARGIN, height), "white")
    pen, y = ImageDraw.Draw(sheet), _MARGIN
    pen.text((_MARGIN, y), "\n".join(top), INK, _font(16, bold=True))
    y += _TITLE_LINE * len(top)
    pen.text((_MARGIN, y), note, FAINT, _font(12))
    y += _HEAD
    for heading, beside, tiles in blocks:
        if heading:
            _draw_heading(pen, heading, beside, y, inner)
            y += _HEAD
        for number, tile in enumerate(tiles):
            line, column = divmod(number, columns)
            _draw_tile(sheet, pen, tile, _MARGIN + column * (side + _GAP), y + line * tall, side)
        y += -(-len(tiles) // columns) * tall
    pen.text((_MARGIN, y), "\n".join(foot), FAINT, _font(10))
    return sheet


def _draw_heading(pen: ImageDraw.ImageDraw, heading: str, beside: str, y: int, inner: int) -> None:
    font = _font(14, bold=True)
    heading, *more = _wrapped(heading, font, inner - 120)  # leaves room for the note
    heading += " …" if more else ""
    pen.line((_MARGIN, y, _MARGIN + inner - 1, y), RULE)
    pen.text((_MARGIN, y + 22), heading, INK, font, "ls")
    pen.text((_MARGIN + font.getlength(heading) + 10, y + 22), beside, FAINT, _font(12), "ls")


def _draw_tile(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, side: int) -> None:
    if tile.image is not None:
        sheet.paste(Image.fromarray(rgb(tile.image)), (x, y))
    else:
        pen.rectangle((x, y, x + side - 1, y + side - 1), "#f0f0f0")
        card = "\n".join(_wrapped(tile.name, _font(12), side - 16))
        pen.text((x + side / 2, y + side / 2), card, INK, _font(12), "mm", align="center")
    y += side
    pen.rectangle((x, y, x + side - 1, y + _BAR - 1), EXPRESSION_COLOURS[tile.label] if tile.label >= 0 else FAINT)
    for number, line in enumerate(_caption(tile, side)):
        where = (x, y + _BAR + 3 + number * _LINE)
        pen.text(where, line, FAINT if number else INK, _font(11, bold=not number))


def _caption(tile: Tile, side: int) -> list[str]:
    """Return the lines below a tile, the first of which is set in bold."""
    first, *rest = tile.lines
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
        if font.getlength(longer) <= wide:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@functools.cache
def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font of all figures (`evaluation.style`), which comes with matplotlib."""
    return ImageFont.truetype(Path(matplotlib.get_data_path(), f"fonts/ttf/DejaVuSans{'-Bold' * bold}.ttf"), size)
