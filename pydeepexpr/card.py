"""Model cards: what made a `.caffemodel`, beside it as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.files import provenance, sha256_of, write_json

__all__ = ["ancestry_of", "write_card"]


def ancestry_of(model: Path) -> list[str]:
    """Return the SHA-256 of a model, of the one it was fine-tuned from, and so on, as far as cards tell."""
    card = model.with_suffix(".json")
    older = json.loads(card.read_text(encoding="utf-8")).get("ancestry", []) if card.exists() else []
    return [sha256_of(model), *older]


def _transform_record(transform: pb.TransformationParameter) -> dict[str, object]:
    """Return how pixels are prepared when testing, as plain values."""
    record: dict[str, object] = {"crop_size": transform.crop_size, "scale": transform.scale}
    if transform.mean_value:
        record["mean_value"] = list(transform.mean_value)
    if transform.HasField("mean_file"):
        record["mean_file"] = transform.mean_file
    return record


def write_card(
    model: Path,
    *,
    deploy: Path,
    transform: pb.TransformationParameter,
    parent: Path | None,
    training: Mapping[str, object],
) -> Path:
    """Write the card of a model and return its path.

    Parameters
    ----------
    model : Path
        The `.caffemodel`.
    deploy : Path
        The prototxt that the model is used with.
    transform : TransformationParameter
        How its pixels are prepared when testing.
    parent : Path, optional
        The model it was fine-tuned from.
    training : mapping
        What else made it: solver, iterations, precision, seed, the data's hash.
    """
    path = model.with_suffix(".json")
    card = {
        "name": model.stem,
        "sha256": sha256_of(model),
        "ancestry": ancestry_of(parent) if parent else [],
        "deploy": deploy.name,
        "transform": _transform_record(transform),
        **training,
        "provenance": provenance(),
    }
    write_json(path, card)
    return path
