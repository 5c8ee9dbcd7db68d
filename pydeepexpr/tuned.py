"""A fine-tuned model kept as the layers that fine-tuning changed: a small file that is loaded on top of its parent."""

import os
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message
from pydeepexpr.card import read_card
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file, sha256_of

__all__ = ["save_tuned", "tuned_layers", "weight_files"]


def tuned_layers(model: str | os.PathLike, parents: list[Path]) -> pb.NetParameter:
    """Return the layers of a model whose parameters its parents lack or have otherwise.

    Parameters
    ----------
    model : path
        A whole `.caffemodel`.
    parents : list of path
        The files it was fine-tuned from, in the order of loading: where two have a layer, the later counts.

    Returns
    -------
    NetParameter
        Loaded by layer name after `parents` (`caffe train -weights parent,tuned`), it restores the model.

    Raises
    ------
    UserError
        If a file cannot be read, or nothing differs.
    """
    known = {
        layer.name: list(layer.blobs)
        for parent in parents
        for layer in read_message(parent, pb.NetParameter(), "model").layer
        if layer.blobs
    }
    whole = read_message(model, pb.NetParameter(), "model")
    tuned = pb.NetParameter(name=whole.name)
    tuned.layer.extend(layer for layer in whole.layer if layer.blobs and known.get(layer.name) != list(layer.blobs))
    if not tuned.layer:
        raise UserError(f"{os.fspath(model)} does not differ from what it was fine-tuned from; train longer")
    return tuned


def save_tuned(model: str | os.PathLike, parents: list[Path], target: str | os.PathLike) -> None:
    """Write `tuned_layers` to a `.caffemodel`, whole or not at all."""
    content = tuned_layers(model, parents).SerializeToString()
    with atomic_file(target) as partial:
        partial.write_bytes(content)


def weight_files(model: Path, base: Path | None = None) -> list[Path]:
    """Return the files that make up a model, in the order in which to load them.

    That is the model alone, unless its card says that it holds tuned layers alone: then its base's files come first.

    Parameters
    ----------
    model : path
        A `.caffemodel`. Without a card it is taken to be whole.
    base : path, optional
        The file that the card calls its base. When not given: where the card says, beside the model, or among the
        package's own models.

    Raises
    ------
    UserError
        If the base is missing, or is another model than the card says (SHA-256).
    """
    card = read_card(model) if model.with_suffix(".json").exists() else {}
    if "base" not in card:
        return [model]
    name, expected = card["base"], card["ancestry"][0]
    places = [base] if base else [model.parent / name, model.parent / Path(name).name, _shipped(name)]
    found = [place for place in places if place and place.is_file()]
    if not found:
        raise UserError(
            f"{model} holds fine-tuned layers alone and needs {base or Path(name).name}, which is not there; put it "
            "beside the model or name it with --base"
        )
    fitting = [place for place in found if sha256_of(place) == expected]
    if not fitting:
        raise UserError(
            f"{model} was fine-tuned from another model than {found[0]} (SHA-256 {expected[:8]}…); get the one it names"
        )
    return [*weight_files(fitting[0]), model]


def _shipped(name: str) -> Path | None:
    try:
        return paths.find(Path("models") / Path(name).name)
    except UserError:
        return None
