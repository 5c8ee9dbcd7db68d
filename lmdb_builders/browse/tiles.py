"""A row of an album as a picture with what is known of it below."""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from lmdb_builders.browse.album import NAMES, Album
from lmdb_builders.browse.selection import SORT_COLUMNS
from lmdb_builders.build import CROP_SIZE
from pydeepexpr.caffe.crops import crops_of
from pydeepexpr.evaluation.sheet import Tile
from pydeepexpr.expressions import UNLABELLED
from pydeepexpr.faces import FACE_SIZE

__all__ = ["landmarks_of", "tiles_of"]

_CUTS = ("centre", "top left", "top right", "bottom left", "bottom right")  # as `crops_of` has them


def tiles_of(
    album: Album, rows: np.ndarray, side: int, *, value: str | None = None, landmarks: bool = False
) -> list[Tile]:
    """Return a tile each.

    Parameters
    ----------
    album : Album
    rows : array of int
    side : int
        Of the square images, in pixels.
    value : {"fit", "score"}, optional
        A number to tell of each.
    landmarks : bool
        Draw the landmarks.
    """
    tiles = []
    for place, row in zip(rows.tolist(), album.table.take(pa.array(rows)).to_pylist(), strict=True):
        picture, reason = album.picture(place), row.get("reason", "")
        image = None if picture is None else _fitted(picture, side)
        if landmarks and row["transform"] and row["landmarks"]:
            _dot(image, (landmarks_of(row) + 0.5) * (side / len(picture)) - 0.5)
        label = UNLABELLED if row["expression"] is None else row["expression"]
        said = list(row.get("quality") or [])
        number = row[SORT_COLUMNS[value]] if value else None
        if number is not None and not np.isnan(number):
            said.insert(0, f"{value} {number:.2f}")
        lines = [NAMES[label], row["source"], ", ".join(said)]
        if row.get("crop", -1) >= 0:
            lines.append(_CUTS[row["crop"] // 2] + ", mirrored" * (row["crop"] % 2))
        if reason:
            lines.append("the image cannot be read" if image is None else reason)
        tiles.append(Tile(image, label, lines=tuple(filter(None, lines)), name=reason))
    return tiles


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
