"""Fixed views of an image, in the place of Caffe's random crops: which there are, and when each is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["CROPS", "RULES", "Cut", "crops_of", "turns"]

#: The rules of fixed views, and how many of an image each gives: the centre; it and its mirror image; the papers' five
#: (centre and corners) and their mirror images (ACCV 2016, section 3.2). Each begins with the views of those before it.
CROPS = {"centre": 1, "mirrored": 2, "five": 10}
#: All rules, Caffe's own among them.
RULES = ("random", *CROPS)


@dataclass(frozen=True)
class Cut:
    """Where an image is cropped (offsets in pixels) and whether it is mirrored."""

    top: int
    left: int
    mirror: bool


def crops_of(shape: Sequence[int], side: int, rule: str) -> list[Cut]:
    """Return where a rule (`CROPS`) cuts an image of H×W×C to squares of `side`."""
    height, width = shape[0] - side, shape[1] - side
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    cuts = [Cut(top, left, mirror) for top, left in ((height // 2, width // 2), *corners) for mirror in (False, True)]
    return cuts[: CROPS[rule]]


def turns(images: int, views: int, seed: int | Sequence[int]) -> np.ndarray:
    """Return the order in which the views of each image are shown, one a pass, images×views of int8.

    In pass number t image i is seen in the view ``turns[i, t % views]``: every pass holds each image once, and after
    `views` passes each view of it was shown once.
    """
    return np.random.default_rng(seed).permuted(np.tile(np.arange(views, dtype=np.int8), (images, 1)), axis=1)
