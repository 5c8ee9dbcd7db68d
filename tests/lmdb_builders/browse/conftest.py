"""What the tests look at: six registered faces, and LMDBs of crops."""

import numpy as np
import pytest

from lmdb_builders.build import build_lmdb
from tests.lmdb_builders.browse.made_folders import POINTS, make


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return make(tmp_path_factory.mktemp("data") / "registered")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """LMDBs of five crops, whose images are black but for white spots at the landmarks."""
    root = tmp_path_factory.mktemp("crops")
    spots = np.zeros((256, 256, 3), np.uint8)
    for x, y in np.rint(POINTS * 1.5 + (10, 20)).astype(int):
        spots[y - 1 : y + 2, x - 1 : x + 2] = 255
    build_lmdb([make(root / "faces", [spots] * 6)], root / "out", crops="five", encode="png", unlabelled="skip")
    return root / "out"
