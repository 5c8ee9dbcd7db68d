"""The mean face that registration aims at, made from registered photographs."""

import os
from pathlib import Path

import pyarrow.parquet as pq

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import label_of
from pydeepexpr.faces import FACE_SIZE, NUM_LANDMARKS, average_face
from pydeepexpr.files import provenance, write_json

__all__ = ["make_mean_face"]

_LEAST_SCORE = 0.5


def make_mean_face(registered: str | os.PathLike, target: str | os.PathLike) -> int:
    """Average the neutral, safely detected faces of a registered folder; write them to `target`.

    The landmarks of a manifest are the detected ones, so the result does not depend on the mean face they were
    registered to.

    Returns
    -------
    int
        How many faces the manifest offered.

    Raises
    ------
    UserError
        If the folder holds no manifest, or no such face.
    """
    manifest = Path(registered, "manifest.parquet")
    if not manifest.is_file():
        raise UserError(f"{registered} holds no manifest.parquet; make it with tools/register.py")
    wanted = [("expression", "==", label_of("neutral")), ("score", ">=", _LEAST_SCORE), ("face", "==", "detected")]
    table = pq.read_table(manifest, columns=["landmarks", "database"], filters=wanted)
    landmarks = table["landmarks"].combine_chunks().flatten().to_numpy().reshape(-1, NUM_LANDMARKS, 2)
    mean = average_face(landmarks)
    value = {
        "about": f"the average frontal face: 49 landmarks, x and y in pixels of the {FACE_SIZE}x{FACE_SIZE} frame",
        "origin": {"faces": len(table), "expression": "neutral", "least_score": _LEAST_SCORE, **provenance()},
        "landmarks": mean.round(3).tolist(),
    }
    write_json(target, value)
    return len(table)
