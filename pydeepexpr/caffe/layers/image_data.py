"""The ImageData layer: batches from image files that a list names."""

import re
from collections.abc import Iterator
from itertools import count

import cv2
import numpy as np

from pydeepexpr.caffe.datum import decode_image
from pydeepexpr.caffe.layers.base import layer
from pydeepexpr.caffe.layers.reading import TransformingReader
from pydeepexpr.caffe.readers import read_bytes
from pydeepexpr.errors import UserError

_LABEL = re.compile(r"[+-]?\d{1,9}")
_MOST_PIXELS = 1 << 30  # OpenCV's own limit


@layer("ImageData")
class ImageData(TransformingReader):
    """Images and labels in the order of `source`, a text file of lines `PATH LABEL`, round and round.

    The path is the line up to its last space, behind `root_folder` as it stands; a line without a space has label 0.
    With `shuffle` each pass has its own order, drawn from the seed and the number of the pass. Images of several sizes
    need `new_height` and `new_width`, a crop, or batches of one.
    """

    @property
    def batch_size(self) -> int:
        return self.param.image_data_param.batch_size

    def setup(self) -> None:
        p = self.param.image_data_param
        if bool(p.new_height) != bool(p.new_width):
            self.refuse("needs new_height and new_width together, or neither")
        if p.new_height * p.new_width > _MOST_PIXELS:
            self.refuse(f"cannot resize to {p.new_width}×{p.new_height}: that is too large for an image")
        super().setup()
        self._lines = read_list(p.source)
        self._skipped = int(self.generator().integers(p.rand_skip)) if p.rand_skip else 0
        if self._skipped >= len(self._lines):
            self.refuse(f"cannot skip {self._skipped} images (rand_skip): {p.source} lists {len(self._lines)}")

    @property
    def records(self) -> int:
        return len(self._lines)

    def first_record(self, batch: int) -> int:
        return self._skipped + super().first_record(batch)

    def place_of(self, number: int) -> tuple[int, int]:
        epoch, place = super().place_of(number)
        return epoch, self.order(self.records, epoch)[place] if self.param.image_data_param.shuffle else place

    def samples(self, first: int) -> Iterator[list]:
        """Yield (path, label, lots) of each image, batch by batch."""
        for batch in count(first):
            drawn = zip(self.places(batch), self.lots(batch), strict=True)
            yield [(*self._lines[place], lots) for (_, place), lots in drawn]

    def load(self, item: tuple[str, int, list[float] | int]) -> tuple[np.ndarray, float]:
        """Return an image's pixels, resized and cut, and its label; an error names the file."""
        p = self.param.image_data_param
        name, label, lots = item
        path = p.root_folder + name
        flag = cv2.IMREAD_COLOR if p.is_color else cv2.IMREAD_GRAYSCALE
        image = decode_image(read_bytes(path, f"image that {p.source} lists,"), f"the image {path}", flag)
        if p.new_height:
            image = cv2.resize(image, (p.new_width, p.new_height)).reshape(p.new_height, p.new_width, -1)
        try:
            return self.transformer.apply(image, lots), label
        except UserError as error:
            raise UserError(f"the image {path}: {error}") from None


def read_list(source: str) -> list[tuple[str, int]]:
    """Return the paths and labels that a list names."""
    text = read_bytes(source, "list of images").decode("utf-8", "surrogateescape")
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        *name, label = line.rsplit(None, 1) or [""]
        if not name:
            name, label = [label], "0"
        if not _LABEL.fullmatch(label):
            raise UserError(f"line {number} of the list of images {source}: the label {label!r} is no whole number")
        if name[0]:
            lines.append((name[0], int(label)))
    if not lines:
        raise UserError(f"the list of images {source} names none")
    return lines
