"""Model cards: what made a `.caffemodel`, beside it as JSON."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError
from pydeepexpr.files import provenance, sha256_of, write_json

__all__ = ["BAD_CARD", "ancestry_of", "read_card", "write_card"]

BAD_CARD = "cannot be read or lacks sha256, deploy, or a transform with crop_size, scale and mean; train again"


def read_card(model: Path) -> dict[str, Any]:
    """Return the card that stands beside a model.

    Raises
    ------
    UserError
        If there is none, it cannot be read, or it is of another model (SHA-256).
    """
    path = model.with_suffix(".json")
    if not path.is_file():
        raise UserError(f"{model} has no card {path.name} beside it; tools/train.py writes one with the model")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        expected, _, _ = card["sha256"], card["transform"]["crop_size"], Path(card["deploy"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"the card {path} {BAD_CARD}") from None
    if sha256_of(model) != expected:
        raise UserError(f"{model} is not the model that {path.name} describes (SHA-256 differs); get both again")
    return card


def ancestry_of(model: Path) -> list[str]:
    """Return the SHA-256 of a model, of the one it was fine-tuned from, and so on, as far as cards tell."""
    older = read_card(model).get("ancestry", []) if model.with_suffix(".json").exists() else []
    return [sha256_of(model), *older]


def _transform_record(transform: pb.TransformationParameter) -> dict[str, object]:
    """Return how pixels are prepared when testing, as plain values."""
    record: dict[str, object] = {"crop_size": transform.crop_size, "scale": transform.scale}
    if transform.mean_value:
        record["mean_value"] = list(transform.mean_value)
    if transform.HasField("mean_file"):
        record["mean_file"] = transform.mean_file
    return record


def _from(card: Path, parent: Path) -> str:
    """Return where the parent lies as seen from the card, so that the two may be moved together."""
    return Path(os.path.relpath(parent.resolve(), card.parent.resolve())).as_posix()


def write_card(
    model: Path,
    *,
    deploy: Path,
    transform: pb.TransformationParameter,
    parent: Path | None,
    training: Mapping[str, object],
    tuned_only: bool = False,
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
    tuned_only : bool
        The file holds fine-tuned layers alone, to be loaded on top of the parent.
    """
    path = model.with_suffix(".json")
    card = {
        "name": model.stem,
        "sha256": sha256_of(model),
        "ancestry": ancestry_of(parent) if parent else [],
        **({"base": _from(path, parent)} if tuned_only and parent else {}),
        "deploy": deploy.name,
        "transform": _transform_record(transform),
        **training,
        "provenance": provenance(),
    }
    write_json(path, card)
    return path
