"""Registered folders of random faces, and what reads LMDBs back."""

import cv2
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lmdb_builders.build
from pydeepexpr.caffe.proto import caffe_pb2

LABELS = [0, 1, 2, 3, 4, 5, 6] * 4
OWN = ["train"] * 14 + ["val"] * 7 + ["test"] * 7


def register(folder, labels=LABELS, splits=None, subjects=None, **columns):
    """Make a registered folder of random faces; `columns` replaces or, with None, drops manifest columns."""
    rng = np.random.default_rng(len(labels))
    paths = [f"faces/{label}/image {index}.png" for index, label in enumerate(labels)]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / path), rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    empty = [""] * len(labels)
    manifest = {
        "path": paths,
        "source": [path.removeprefix("faces/") for path in paths],
        "database": ["folder"] * len(labels),
        "expression": pa.array(labels, pa.int8()),
        "subject": subjects or empty,
        "sequence": empty,
        "frame": pa.array([-1] * len(labels), pa.int32()),
        "split": splits or empty,
        "geometry": pa.array([[0.5] * 9] * len(labels), pa.list_(pa.float32())),
    }
    manifest.update(columns)
    pq.write_table(pa.table({k: v for k, v in manifest.items() if v is not None}), folder / "manifest.parquet")
    return folder


def read(path):
    """Return the records of an LMDB in its order: key, Datum."""
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return [(key.decode(), caffe_pb2.Datum.FromString(value)) for key, value in transaction.cursor()]


def pixels_of(datum):
    """Return a Datum's pixels, H × W × BGR."""
    if datum.encoded:
        return cv2.imdecode(np.frombuffer(datum.data, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.frombuffer(datum.data, np.uint8).reshape(datum.channels, datum.height, datum.width).transpose(1, 2, 0)


def cast(folder, frames=12, **columns):
    """A registered folder of two characters with two sequences each."""
    names = [f"{who}_{what}" for who in ("mery", "ray") for what in ("joy", "fear") for _ in range(frames)]
    labels = [{"joy": 3, "fear": 2}[name.split("_")[1]] for name in names]
    columns = {"sequence": names, "character": [name.split("_")[0] for name in names], **columns}
    return register(folder, labels, **{"frame": pa.array([*range(1, frames + 1)] * 4, pa.int32()), **columns})


def count_encoded(monkeypatch, stop_at=None):
    """Count the faces that are encoded, and break off at one of them."""
    calls, encode = [], lmdb_builders.build.encode_face

    def counted(path, *options):
        if len(calls) + 1 == stop_at:
            raise KeyboardInterrupt
        calls.append(path)
        return encode(path, *options)

    monkeypatch.setattr(lmdb_builders.build, "encode_face", counted)
    return calls
