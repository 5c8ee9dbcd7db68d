"""A whole small path for tests: a tiny network with a card, an LMDB of drawn faces with its manifest, a store."""

import json
import runpy
import sys
from argparse import ArgumentParser
from pathlib import Path
from types import SimpleNamespace

import cv2
import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from pydeepexpr.files import sha256_of

# The first call of a compiled function compiles it, which no limit of time should judge.
settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")

#: A stand-in for an installed pycaffe, whose name clashes with what tests install as `caffe`.
collect_ignore = ["pycaffe"]

TINY_NET = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 227 dim: 227 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 32 stride: 32 } }
layer { name: "fc6" type: "InnerProduct" bottom: "pool" top: "fc6"
        inner_product_param { num_output: 16 weight_filler { type: "xavier" } } }
layer { name: "relu6" type: "ReLU" bottom: "fc6" top: "fc6" }
layer { name: "fc7" type: "InnerProduct" bottom: "fc6" top: "fc7"
        inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "fc7" top: "prob" }
"""


def write_card(weights: Path) -> None:
    """Write a model card beside a `.caffemodel`."""
    transform = {"scale": 0.015625, "mean_value": [104.0, 117.0, 123.0], "crop_size": 227}
    card = {"sha256": sha256_of(weights), "ancestry": [], "deploy": "tiny.prototxt", "transform": transform}
    weights.with_suffix(".json").write_text(json.dumps(card))


def draw_face(number: int) -> np.ndarray:
    """Return a 256×256 BGR picture that differs from that of any other number."""
    rng = np.random.default_rng(number)
    return cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """A model, an LMDB of 23 images (13 raw, 10 encoded) beside its manifest, and their features in a store."""
    from pydeepexpr import caffe
    from pydeepexpr.extraction import extract
    from pydeepexpr.recogniser import Recogniser

    root = tmp_path_factory.mktemp("tiny")
    (root / "tiny.prototxt").write_text(TINY_NET)
    caffe.set_random_seed(7)
    net = caffe.Net(str(root / "tiny.prototxt"), caffe.TEST)
    weights = root / "tiny.caffemodel"
    net.save(str(weights))
    write_card(weights)

    faces = [draw_face(number) for number in range(23)]
    keys = [f"{number:08d}_joy/{number}.png" for number in range(23)]
    (root / "data" / "val_lmdb").mkdir(parents=True)
    with lmdb.open(str(root / "data" / "val_lmdb"), map_size=1 << 26) as env, env.begin(write=True) as transaction:
        for number, (key, face) in enumerate(zip(keys, faces, strict=True)):
            datum = caffe.proto.caffe_pb2.Datum(channels=3, height=256, width=256, label=number % 7)
            if number < 13:
                datum.data = face.transpose(2, 0, 1).tobytes()
            else:
                datum.encoded, datum.data = True, cv2.imencode(".png", face)[1].tobytes()
            transaction.put(key.encode(), datum.SerializeToString())
    geometry = np.random.default_rng(0).random((23, 9)).astype(np.float32)
    stand_in = [number % 5 == 4 for number in range(23)]
    manifest = pa.table(
        {
            "path": [f"faces/joy/{number}.png" for number in range(-1, 23)],
            "source": [f"joy/{number}.png" for number in range(-1, 23)],
            "database": ["tiny"] * 24,
            "subject": [""] * 24,
            "expression": pa.array([3] + [number % 7 for number in range(23)], pa.int8()),
            "face": ["detected"]
            + [("whole-image", "neutral-frame")[i % 2] if it else "detected" for i, it in enumerate(stand_in)],
            "landmarks": [[0.0] * 98] * 24,
            "geometry": [[0.0] * 9, *geometry.tolist()],
            "key": ["00000000_joy/-1.png", *keys],
            "split": ["train"] + ["val"] * 23,
        }
    )
    pq.write_table(manifest, root / "data" / "manifest.parquet")

    recogniser = Recogniser(weights, device="cpu")
    store = extract(recogniser, root / "data" / "val_lmdb", root / "store", batch=10)
    return SimpleNamespace(
        root=root,
        weights=weights,
        recogniser=recogniser,
        lmdb=root / "data" / "val_lmdb",
        store=store,
        faces=faces,
        keys=keys,
        geometry=np.where(np.array(stand_in)[:, None], np.nan, geometry),
    )


@pytest.fixture
def parsed_to_the_end(monkeypatch):
    """Let each tool's own parser read its command up to the end; what the tool would do is not done."""

    class Parsed(Exception):
        pass

    def parsing(original):
        def parse(self, *given):
            original(self, *given)
            raise Parsed

        return parse

    def check(commands):
        for name in ("parse_args", "parse_intermixed_args"):
            monkeypatch.setattr(ArgumentParser, name, parsing(getattr(ArgumentParser, name)))
        for tool, *arguments in commands:
            monkeypatch.setattr(sys, "argv", [tool, *arguments])
            with pytest.raises(Parsed):
                runpy.run_path(tool, run_name="__main__")

    return check
