"""A video of human and characters side by side, for people to judge by."""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.style import EXPRESSION_COLOURS, FAINT
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.gallery import Gallery
from pydeepexpr.performance import Answer, Moment
from pydeepexpr.pipeline import Match
from pydeepexpr.video import VIDEO_SUFFIXES
from pydeepexpr.video_writing import write_video

__all__ = ["SLOTS", "ClipDrawer", "check_clip_ending", "write_clip"]

#: How many of a video's faces a clip has room for, where all are asked for.
SLOTS = 3

_HEIGHT = 480  # pixels, as all below
_CAPTION = 26
_LETTERS = 15
_GAP = 4
_GROUND, _EMPTY = 26, 46  # grey
_TILES_KEPT = 128


def check_clip_ending(path: str | os.PathLike) -> None:
    """Refuse a name that says no format, before any work is done."""
    if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
        raise UserError(f"cannot write the clip {os.fspath(path)}; end the name in .mp4 or .mkv")


@contextlib.contextmanager
def write_clip(
    path: str | os.PathLike, galleries: Mapping[str, Gallery | None], slots: int = 1
) -> Iterator[Callable[[Moment], None]]:
    """Yield a function that appends a frame with its answers; the file is whole or absent.

    Parameters
    ----------
    path : path
        Ends as videos do.
    galleries, slots
        As `ClipDrawer` has them.
    """
    check_clip_ending(path)
    drawer = ClipDrawer(galleries, slots)
    with write_video(path) as append:
        yield lambda moment: append(drawer.draw(moment), moment.frame.time)


class ClipDrawer:
    """Draws a frame on the left, with its faces framed, and each store's best match for them on the right.

    Parameters
    ----------
    galleries : mapping of str to Gallery or None
        Where the matched faces are, by the store's name. Without one, and for a face that is missing, the file's name
        is shown.
    slots : int
        For how many faces there is room: the ones that appeared first.
    """

    def __init__(self, galleries: Mapping[str, Gallery | None], slots: int = 1) -> None:
        self._galleries, self._slots = galleries, slots
        count = len(galleries)
        self._rows = slots if slots > 1 else math.ceil(math.sqrt(count / 2))
        self._columns = count if slots > 1 else math.ceil(count / self._rows)
        self._side = (_HEIGHT - _GAP * (self._rows - 1)) // self._rows  # of a tile with its caption
        self._tile = functools.lru_cache(maxsize=_TILES_KEPT)(self._draw_tile)

    def draw(self, moment: Moment) -> np.ndarray:
        """Return a picture of 480 pixels' height, and of the same width for frames of the same shape.

        Returns
        -------
        (480, W, 3) uint8
            BGR; W is even.
        """
        human = self._draw_human(moment)
        left = human.shape[1] + _GAP
        width = left + self._columns * (self._side + _GAP) - _GAP
        picture = np.full((_HEIGHT, width + width % 2, 3), _GROUND, np.uint8)
        picture[:, : human.shape[1]] = human
        answers: list[Answer | None] = [*moment.answers[: self._slots]]
        answers += [None] * (self._slots - len(answers))
        tiles = [(name, answer) for answer in answers for name in self._galleries]
        for number, (name, answer) in enumerate(tiles):
            row, column = divmod(number, self._columns)
            match = answer.matches[name][0] if answer else None
            tile = self._tile(name, match and match.row, match and match.predicted, match and _file_name(match))
            y, x = row * (self._side + _GAP), left + column * (self._side + _GAP)
            picture[y : y + self._side, x : x + self._side] = tile
        return picture

    def _draw_human(self, moment: Moment) -> np.ndarray:
        image = moment.frame.image
        scale = (_HEIGHT - _CAPTION) / image.shape[0]
        width = max(round(image.shape[1] * scale), self._side)
        sized = cv2.resize(
            image, (max(1, round(image.shape[1] * scale)), _HEIGHT - _CAPTION), interpolation=cv2.INTER_AREA
        )
        panel = np.full((_HEIGHT, width, 3), _GROUND, np.uint8)
        panel[:-_CAPTION, : sized.shape[1]] = sized
        said = []
        for answer in moment.answers:
            query = answer.query
            label = query.predicted
            name = f"{query.number + 1}  " if self._slots > 1 else ""
            said.append((f"{name}{EXPRESSIONS[label]}  {query.prob[label]:.2f}", EXPRESSION_COLOURS[label]))
            if not query.stand_in:
                corners = np.rint(query.box * scale).astype(int).tolist()
                cv2.rectangle(panel, corners[:2], corners[2:], _bgr(EXPRESSION_COLOURS[label]), 1, cv2.LINE_AA)
                if name:
                    _write(panel, name.strip(), corners[:2], EXPRESSION_COLOURS[label], ground=True)
        left = 8
        for text, colour in said or [("no face", FAINT)]:
            left = _write(panel, text, (left, _HEIGHT - _CAPTION + 4), colour, ground=True) + 12
        return panel

    def _draw_tile(self, store: str, row: int | None, label: int | None, name: str | None) -> np.ndarray:
        """Return what one store answers; nothing where nothing was asked."""
        tile = np.full((self._side, self._side, 3), _EMPTY, np.uint8)
        tile[-_CAPTION:] = _GROUND
        caption = self._side - _CAPTION
        if row is None:
            _write(tile, store, (8, caption + 4), FAINT)
            return tile
        gallery = self._galleries[store]
        face = gallery.face(row) if gallery else None
        if face is None:
            _write(tile, name, (8, caption // 2), "#ffffff")
        else:
            x = (self._side - caption) // 2
            tile[:caption, x : x + caption] = cv2.resize(face, (caption, caption), interpolation=cv2.INTER_AREA)
        left = _write(tile, store, (8, caption + 4), "#ffffff")
        _write(tile, EXPRESSIONS[label], (left + 10, caption + 4), EXPRESSION_COLOURS[label], ground=True)
        return tile


def _file_name(match: Match) -> str:
    return os.path.basename(match.source or match.key)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _LETTERS)


def _write(picture: np.ndarray, text: str, at: tuple[int, int], colour: str, *, ground: bool = False) -> int:
    """Write in a BGR picture, in a colour, or in white on a ground of that colour; return where the text ends."""
    x, y = (max(0, place) for place in at)
    margin = 5 if ground else 0
    end = x + math.ceil(_font().getlength(text)) + 2 * margin
    part = picture[y : y + _LETTERS + 5, x:end]
    if part.size:
        label = Image.fromarray(np.ascontiguousarray(part[..., ::-1]))
        if ground:
            label.paste(colour, (0, 0, *label.size))
        ImageDraw.Draw(label).text((margin, 0), text, font=_font(), fill="#ffffff" if ground else colour)
        part[:] = np.asarray(label)[..., ::-1]
    return end


def _bgr(colour: str) -> tuple[int, int, int]:
    return tuple(int(colour[start : start + 2], 16) for start in (5, 3, 1))
