"""A trained network as a function of registered faces: FC6 and class probabilities."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pydeepexpr import paths
from pydeepexpr.caffe.mode import TEST
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.card import BAD_CARD, read_card
from pydeepexpr.engine import use_device
from pydeepexpr.errors import UserError
from pydeepexpr.files import sha256_of
from pydeepexpr.lineage import ModelIdentity
from pydeepexpr.tuned import weight_files

__all__ = ["PixelTransform", "Recogniser"]

_BATCH = 50


class PixelTransform:
    """(pixel − mean) · scale and a centre crop: what Caffe's `transform_param` does when testing.

    Parameters
    ----------
    record : dict
        As in a model card: `crop_size`, and optionally `scale`, `mean_value` (a number or one a channel, BGR) or
        `mean_file` (a `.binaryproto`).
    folder : Path
        Where the model and its card lie; a `mean_file` is looked for there first.

    Attributes
    ----------
    record : dict
        The same in full, so that transforms that do the same are equal; a mean file is known by its SHA-256.

    Raises
    ------
    ValueError, TypeError, KeyError
        If the record makes no sense.
    """

    def __init__(self, record: dict[str, Any], folder: Path) -> None:
        self.crop, scale = int(record["crop_size"]), float(record.get("scale", 1.0))
        if self.crop < 1:
            raise ValueError(f"crop_size {self.crop}")
        param = pb.TransformationParameter(crop_size=self.crop, scale=scale)
        self.record: dict[str, Any] = {"scale": scale, "crop_size": self.crop}
        if "mean_file" in record:
            path = _find_mean(record["mean_file"], folder)
            param.mean_file = str(path)
            self._transformer = Transformer(param, TEST)
            self.record |= {"mean_file": record["mean_file"], "mean_sha256": sha256_of(path)}
        else:
            mean = np.broadcast_to(np.asarray(record.get("mean_value", 0.0), dtype=np.float32), 3).tolist()
            param.mean_value.extend(mean)
            self._transformer = Transformer(param, TEST)
            self.record["mean_value"] = mean

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the network's input for one image.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            BGR, at least as large as the crop.

        Returns
        -------
        (3, crop, crop) float32 array
        """
        if image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < self.crop:
            raise UserError(f"the network needs BGR images of at least {self.crop}×{self.crop}, not {image.shape}")
        return self._transformer.centre(image)


class Recogniser:
    """A deployed network with its card.

    Parameters
    ----------
    weights : path
        The `.caffemodel`; its card stands beside it as `.json`.
    deploy : path, optional
        The deploy prototxt. When not given, the file that the card names: beside the weights, else among the
        package's own.
    base : path, optional
        What `weights` are loaded on top of, if they are fine-tuned layers alone. When not given, it is looked for
        (`tuned.weight_files`).
    device : {'auto', 'cpu', 'cuda'}

    Attributes
    ----------
    identity : ModelIdentity
        What its features are compatible with.
    transform : PixelTransform
    fc7 : (C, D) float32 array
        FC7 weights.

    Raises
    ------
    UserError
        If a file is missing, does not belong to the others, or the network's blobs are not FC6 and probabilities.
    """

    def __init__(
        self,
        weights: str | os.PathLike,
        deploy: str | os.PathLike | None = None,
        *,
        base: str | os.PathLike | None = None,
        device: str = "auto",
    ) -> None:
        from pydeepexpr.engine import caffe

        weights = paths.find(weights)
        card = read_card(weights)
        deploy = Path(deploy) if deploy else _find_deploy(card["deploy"], weights.parent)
        if not deploy.is_file():
            raise UserError(f"there is no deploy prototxt at {deploy}")
        self.transform = _transform_of(card, weights)
        ancestry = tuple(card.get("ancestry", ()))
        self.identity = ModelIdentity(weights.name, card["sha256"], ancestry, self.transform.record)
        files = weight_files(weights, Path(base) if base else None)
        use_device(device)
        self._net = caffe.Net(str(deploy), caffe.TEST, stages=list(card.get("stages", ())))
        _check_layers(self._net.params, files, deploy)
        for file in files:
            self._net.copy_from(str(file))
        self.fc7 = self._check_net(deploy)

    def features(self, faces: "list[np.ndarray] | np.ndarray") -> tuple[np.ndarray, np.ndarray]:
        """Return FC6 (after its ReLU) and class probabilities of registered faces.

        Parameters
        ----------
        faces : sequence of N (H, W, 3) uint8 arrays
            BGR, 256×256 as registered.

        Returns
        -------
        fc6 : (N, D) float32 array
        prob : (N, C) float32 array
        """
        fc6, prob = [], []
        for start in range(0, len(faces), _BATCH):
            batch = np.stack([self.transform(face) for face in faces[start : start + _BATCH]])
            data = self._net.blobs["data"]
            if data.data.shape != batch.shape:
                data.reshape(*batch.shape)
                self._net.reshape()
            data.data[...] = batch
            self._net.forward()  # to the end: fc6's ReLU works in place, after the layer of that name
            fc6.append(np.array(self._net.blobs["fc6"].data, dtype=np.float32))
            prob.append(np.array(self._net.blobs["prob"].data, dtype=np.float32))
        return np.concatenate(fc6), np.concatenate(prob)

    def _check_net(self, deploy: Path) -> np.ndarray:
        """Check that FC6 and probabilities are where they are looked for; return FC7's weights."""
        blobs, params = self._net.blobs, self._net.params
        # The layer may have a name of its own (fc7_character), by which it is not copied from the human network.
        fc7 = next((name for name, tops in self._net.top_names.items() if "fc7" in tops and name in params), None)
        if missing := {"data", "fc6", "prob"} - set(blobs) or ({"fc7"} if fc7 is None else set()):
            raise UserError(f"{deploy} has no {', '.join(sorted(missing))}; give a deploy prototxt of this project")
        crop, side = self.transform.crop, tuple(blobs["data"].data.shape[1:])
        if side != (3, crop, crop):
            raise UserError(f"{deploy} takes images of shape {side}, but the model's card says a crop of {crop}")
        weights = np.array(params[fc7][0].data, dtype=np.float32)
        dims = blobs["fc6"].data.shape[1:]
        if weights.shape != (blobs["prob"].data.shape[1], *dims):
            raise UserError(
                f"{deploy}: FC7 of shape {weights.shape} does not stand between FC6 {dims} and the probabilities"
            )
        return weights


def _check_layers(params: Iterable[str], files: list[Path], deploy: Path) -> None:
    """Refuse a net that the files do not fill, or that has no place for what the model itself has learned."""
    stored = [
        {layer.name for layer in read_message(file, pb.NetParameter(), "model").layer if layer.blobs} for file in files
    ]
    if unfilled := set(params).difference(*stored):
        raise UserError(
            f"{files[-1]} has no parameters for {deploy}'s {', '.join(sorted(unfilled))}; give its own deploy"
        )
    if unused := stored[-1].difference(params):
        raise UserError(
            f"{deploy} has no layer {', '.join(sorted(unused))} of {files[-1]}; give the model's own deploy"
        )


def _transform_of(card: dict[str, Any], weights: Path) -> PixelTransform:
    try:
        return PixelTransform(card["transform"], weights.parent)
    except (ValueError, TypeError):
        raise UserError(f"the card {weights.with_suffix('.json')} {BAD_CARD}") from None


def _find_deploy(name: str, beside: Path) -> Path:
    return beside / name if (beside / name).is_file() else paths.find(Path("prototxt") / name)


def _find_mean(name: str, beside: Path) -> Path:
    """Return the mean file: with the model, else where its training found it."""
    places = (beside / name, beside / Path(name).name, Path(name))
    return next((place for place in places if place.is_file()), places[0])
