"""Small feature stores whose pictures are files of one colour each, so that what is drawn can be told by its pixels."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pyarrow as pa

from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.features import FeatureStore, write_store
from pydeepexpr.lineage import ModelIdentity

TRANSFORM = {"scale": 0.015625, "mean_value": [128.0], "crop_size": 227}
HUMAN = ModelIdentity("human.caffemodel", "a" * 64, (), TRANSFORM)
TUNED = ModelIdentity("mery.caffemodel", "b" * 64, ("a" * 64,), TRANSFORM)


class Image(NamedTuple):
    """An image of a store: two features, one number for all nine measures, and its picture's colour (BGR)."""

    name: str
    expression: str
    fc6: tuple[float, float]
    geometry: float
    colour: tuple[int, int, int]
    predicted: str = ""
    subject: str = ""
    split: str = "test"
    face: str = "detected"


def make_store(path: Path, model: ModelIdentity, *images: Image, pictures: bool = True) -> FeatureStore:
    """Write a store, and its pictures in a folder beside it."""
    folder = path.parent / f"{path.name}-pictures"
    folder.mkdir(parents=True)
    if pictures:
        for image in images:
            cv2.imwrite(str(folder / image.name), np.full((64, 64, 3), image.colour, np.uint8))
    rows = {
        "path": [f"../{folder.name}/{image.name}" for image in images],
        "source": [f"{image.expression or 'unknown'}/{image.name}" for image in images],
        "expression": pa.array([_label(image.expression) for image in images], pa.int8()),
        "subject": [image.subject for image in images],
        "split": [image.split for image in images],
        "face": [image.face for image in images],
        "key": [image.name for image in images],
        "image": ["file"] * len(images),
    }
    prob = np.eye(7)[[max(_label(image.predicted or image.expression), 0) for image in images]]
    fc6, geometry = [image.fc6 for image in images], [[image.geometry] * 9 for image in images]
    with write_store(path, model, np.ones((7, 2), np.float32)) as writer:
        writer.append(np.array(fc6), prob, np.array(geometry), pa.table(rows))
    return FeatureStore.open(path)


def _label(expression: str) -> int:
    return EXPRESSIONS.index(expression) if expression else -1
