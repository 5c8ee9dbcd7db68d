"""Small feature stores whose every number says which image it belongs to."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pydeepexpr.features import FeatureStore, append_store, write_store
from pydeepexpr.lineage import ModelIdentity

TRANSFORM = {"scale": 0.015625, "mean_value": [104.0, 117.0, 123.0], "crop_size": 227}
HUMAN = ModelIdentity("human.caffemodel", "a" * 64, (), TRANSFORM)
MERY = ModelIdentity("mery.caffemodel", "b" * 64, ("c" * 64, "a" * 64), TRANSFORM)
RAY = ModelIdentity("ray.caffemodel", "e" * 64, ("a" * 64,), TRANSFORM)
CHARACTERS, SPLITS = ("mery", "ray", ""), ("train", "val", "test")


def fc7_of(model: ModelIdentity) -> np.ndarray:
    """FC7 weights, (7, 2), other ones for each model."""
    return np.arange(14, dtype=np.float32).reshape(7, 2) + 100 * ord(model.sha256[0])


def rows(numbers, without=()) -> pa.Table:
    """The rows of images, without some of the columns."""
    names = [f"{number}.png" for number in numbers]
    table = {
        "path": names,
        "source": names,
        "character": [CHARACTERS[number % 3] for number in numbers],
        "split": [SPLITS[number // 4 % 5 % 3] for number in numbers],
        "expression": pa.array([number % 8 - 1 for number in numbers], pa.int8()),
        "key": names,
    }
    return pa.table({name: column for name, column in table.items() if name not in without})


def images(numbers, without=()):
    """FC6, probabilities, geometry and rows of images."""
    numbers = np.asarray(numbers, dtype=int)
    geometry = np.where(numbers[:, None] % 2, np.nan, np.ones((1, 9)) * numbers[:, None])
    fc6 = np.column_stack([numbers, numbers * 0.5])
    return fc6, np.eye(7)[numbers % 7], geometry, rows(numbers.tolist(), without)


def make_store(path: Path, *parts, **notes) -> FeatureStore:
    """Write a store of parts, each a model and the numbers of its images."""
    for model, numbers in parts:
        write = append_store if path.exists() else write_store
        with write(path, model, fc7_of(model), **notes) as writer:
            writer.append(*images(numbers))
    return FeatureStore.open(path)


def assert_same(one: FeatureStore, other: FeatureStore) -> None:
    """Two stores hold the same images of the same models in the same order."""
    for name in ("fc6", "prob", "geometry", "fc7", "fc7_rows", "predicted", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.models == other.models
    assert one.rows.combine_chunks().equals(other.rows.combine_chunks())
