"""The WindowData layer: windows of images, objects and background in a fixed proportion (R-CNN)."""

import math
from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

import cv2
import numpy as np

from pydeepexpr.caffe.datum import decode_image
from pydeepexpr.caffe.layers.base import Shape, layer
from pydeepexpr.caffe.layers.reading import ImageReader
from pydeepexpr.caffe.readers import read_bytes
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.errors import UserError

_CHANNELS = 3
_LARGEST = 1 << 24  # float32, as which Caffe keeps them, holds all whole numbers up to it
_MODES = ("warp", "square")

#: One window: the number of its image, and what the file says of it. x2 and y2 are the last pixels within.
_WINDOW = np.dtype(
    [("image", "i4"), ("label", "i4"), ("overlap", "f4"), ("x1", "i4"), ("y1", "i4"), ("x2", "i4"), ("y2", "i4")]
)


@layer("WindowData")
class WindowData(ImageReader):
    """Windows drawn at random from those that `source` lists: background first, then a share `fg_fraction` of objects.

    `source` holds, separated by white space and again and again: `#`, the image's number, its path (behind
    `root_folder` as it stands), channels, height, width, the number of its windows, and for each of these label,
    overlap with an object, x1, y1, x2, y2. A window is an object from `fg_threshold` on, background below
    `bg_threshold`, and neither in between.

    A window is warped to `crop_size`, or first made square; `context_pad` pixels of the result are what lies around
    it. What falls outside the image is 0, the mean. The scale is that of `transform_param` times the layer's own.
    """

    tops = (2, 2)

    @property
    def batch_size(self) -> int:
        return self.param.window_data_param.batch_size

    def setup(self) -> None:
        p = self.param.window_data_param
        super().setup()
        transform = Transformer(self.param.transform_param, self.param.phase)
        self._crop = transform.crop
        self._scale = np.float32(p.scale) * np.float32(self.param.transform_param.scale)
        if self._crop <= 2 * p.context_pad:
            self.refuse(f"needs a crop_size above twice its context_pad {p.context_pad}, not {self._crop}")
        if p.crop_mode not in _MODES:
            self.refuse(f"has the unknown crop_mode {p.crop_mode!r}; use one of: {', '.join(_MODES)}")
        if not 0 <= p.fg_fraction <= 1:
            self.refuse(f"has a fg_fraction of {p.fg_fraction:g}; give a share from 0 to 1")
        self._mean = self._mean_of_crop(transform)
        self._images, windows = _read_windows(p.source, p.root_folder)
        objects = int(np.float32(self.batch_size) * np.float32(p.fg_fraction))
        self._drawn = list(zip(self._divided(windows), (self.batch_size - objects, objects), strict=True))
        for (windows, number), what in zip(self._drawn, ("background", "object"), strict=True):
            if number and not len(windows):
                self.refuse(f"finds no {what} windows in {p.source}")
        self._cache = {path: self._content(path) for path in self._images} if p.cache_images else {}

    def top_shapes(self) -> list[Shape]:
        return [(self.batch_size, _CHANNELS, self._crop, self._crop), (self.batch_size,)]

    def samples(self, first: int) -> Iterator[list]:
        """Yield (window, whether to mirror it), batch by batch."""
        for batch in count(first):
            rng = self.generator(batch * self.solvers + self.rank)
            rows = [windows[rng.integers(len(windows), size=number)] for windows, number in self._drawn if number]
            mirrored = rng.random(self.batch_size) < 0.5 * self.param.transform_param.mirror
            yield list(zip(np.concatenate(rows).tolist(), mirrored.tolist(), strict=True))

    def load(self, item: tuple[tuple, bool]) -> tuple[np.ndarray, float]:
        """Return a window's pixels as the net sees them, and its label; an error names the image."""
        (number, label, _, *corners), mirrored = item
        p = self.param.window_data_param
        path = self._images[number]
        image = decode_image(self._cache.get(path) or self._content(path), f"the image {path}", cv2.IMREAD_COLOR)
        part = _part(corners, image.shape[:2], self._crop, p.context_pad, p.crop_mode == "square", mirrored)
        if part is None:
            raise UserError(f"the window {corners} of the image {path} in {p.source} holds no part of it; correct it")
        warped = cv2.resize(image[part.rows, part.columns], (part.width, part.height))
        if mirrored:
            warped = cv2.flip(warped, 1)
        pixels = np.zeros((self._crop, self._crop, _CHANNELS), np.float32)
        inside = slice(part.top, part.top + part.height), slice(part.left, part.left + part.width)
        pixels[inside] = (warped - self._mean[inside]) * self._scale
        return pixels, label

    def _content(self, path: str) -> bytes:
        return read_bytes(path, f"image that {self.param.window_data_param.source} lists,")

    def _mean_of_crop(self, transform: Transformer) -> np.ndarray:
        """Return what is subtracted from a whole crop."""
        whole = (self._crop, self._crop, _CHANNELS)
        values = list(transform.param.mean_value) or [0]
        if len(values) not in (1, _CHANNELS):
            self.refuse(f"has {len(values)} mean values for {_CHANNELS} channels")
        if transform.mean_image is None:
            return np.broadcast_to(np.float32(values), whole)
        offset = (transform.mean_image.shape[1] - self._crop) // 2  # Caffe's, from the width for both axes
        mean = transform.mean_image[max(offset, 0) :, max(offset, 0) :][: self._crop, : self._crop]
        if mean.shape != whole:
            self.refuse(f"cannot cut {whole} (H, W, C) from a mean file of {transform.mean_image.shape}")
        return mean

    def _divided(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the windows of the background, with label 0, and those of objects."""
        p = self.param.window_data_param
        is_object = windows["overlap"] >= np.float32(p.fg_threshold)
        is_background = ~is_object & (windows["overlap"] < np.float32(p.bg_threshold))
        objects, background = windows[is_object], windows[is_background]
        if (objects["label"] < 1).any():
            self.refuse(f"finds an object of label {objects['label'].min()} in {p.source}; objects' begin at 1")
        background["label"] = 0
        return background, objects


def _read_windows(source: str, root_folder: str) -> tuple[list[str], np.ndarray]:
    """Return the paths of the images that a window file lists, and their windows."""
    text = read_bytes(source, "list of windows").decode("utf-8", "surrogateescape")
    words = (word for line in text.split("\n") for word in line.split())
    images: list[str] = []
    parts: list[np.ndarray] = []
    for word in words:
        try:
            if word != "#":
                raise ValueError(f"{word!r} stands where '#' should")
            _, path, *header = islice(words, 6)
            found = list(islice(words, 6 * int(header[3])))
            values = np.array(found, np.float64).reshape(int(header[3]), 6)
            whole = np.delete(values, 1, axis=1)
            if not (np.abs(whole) < _LARGEST).all() or (whole % 1).any():
                raise ValueError("a label or a corner is no whole number")
        except (ValueError, IndexError, OverflowError) as error:
            where = f"image {len(images)} of the list of windows {source}"
            raise UserError(f"{where} is not as it should be: {error}") from None
        windows = np.empty(len(values), _WINDOW)
        windows["image"] = len(images)
        for name, column in zip(_WINDOW.names[1:], values.T, strict=True):
            windows[name] = column
        images.append(root_folder + path)
        parts.append(windows)
    if not images:
        raise UserError(f"the list of windows {source} names no image")
    return images, np.concatenate(parts)


class _Part(NamedTuple):
    """The part of an image that a window shows, its size in the crop, and where it lies there."""

    rows: slice
    columns: slice
    height: int
    width: int
    top: int
    left: int


def _part(
    corners: list[int], image: tuple[int, int], crop: int, context_pad: int, square: bool, mirrored: bool
) -> _Part | None:
    """Return what of an image (height, width) fills a crop, in float32 as Caffe reckons; None if nothing does."""
    ranges = [(corners[1], corners[3]), (corners[0], corners[2])]
    if any(last < first for first, last in ranges):
        return None
    if not context_pad and not square:
        axes = [(first, last, crop, 0, 0) for first, last in ranges]
    else:
        halves = [np.float32(last - first + 1) / np.float32(2) for first, last in ranges]
        reach = [max(halves)] * 2 if square else halves
        grow = np.float32(crop) / np.float32(crop - 2 * context_pad)
        axes = [
            _clipped(np.float32(first) + half, far * grow, size, crop)
            for (first, _), half, far, size in zip(ranges, halves, reach, image, strict=True)
        ]
    (y1, y2, height, top, _), (x1, x2, width, *sides) = axes
    left = sides[mirrored]  # the padding is mirrored too
    height, width = min(height, crop - top), min(width, crop - left)
    inside = 0 <= y1 <= y2 < image[0] and 0 <= x1 <= x2 < image[1]
    if not inside or min(height, width) < 1:
        return None
    return _Part(slice(y1, y2 + 1), slice(x1, x2 + 1), height, width, top, left)


def _clipped(centre: np.float32, reach: np.float32, size: int, crop: int) -> tuple[int, int, int, int, int]:
    """Return the pixels from a first to a last within an image's side, and their length and the gaps in the crop."""
    first, last = _round(centre - reach), _round(centre + reach)
    before, after = max(0, -first), max(0, last - size + 1)
    scale = np.float32(crop) / np.float32(last - first + 1)
    first, last, length = first + before, last - after, last - first + 1 - before - after
    return first, last, *(_round(np.float32(pixels) * scale) for pixels in (length, before, after))


def _round(value: np.float32) -> int:
    """Round as C does: halves away from zero."""
    return int(math.copysign(math.floor(abs(float(value)) + 0.5), value))
