"""The part of a network that fine-tuning leaves as it is, computed once for all epochs.

What lies between the data and the first layer that learns or draws lots gives the same values for the same crop,
however often it is asked. They are written to LMDBs of float Datums, as Caffe's Data layer reads them, and the rest of
the network is trained on those.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import lmdb
import numpy as np
import torch
from google.protobuf import text_format

from pydeepexpr.caffe.crops import CROPS, crops_of, turns
from pydeepexpr.caffe.database_writers import LmdbWriter
from pydeepexpr.caffe.datum import datum_to_image, floats_to_datum
from pydeepexpr.caffe.graph import filter_net
from pydeepexpr.caffe.lmdb_source import LmdbSource
from pydeepexpr.caffe.mode import TEST, TRAIN
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.transform import Transformer
from pydeepexpr.cli import progress
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_directory, sha256_of, write_json

__all__ = ["compute_once", "frozen_layers"]

_FUNCTIONS = ("Convolution", "InnerProduct", "LRN", "Pooling", "ReLU")
_BATCH = 50
_PLACES = {TRAIN: "train_lmdb", TEST: "val_lmdb"}


def frozen_layers(net: pb.NetParameter, state: pb.NetState) -> list[pb.LayerParameter]:
    """Return the layers, one after another from the data on, that neither learn nor draw lots when training.

    Raises
    ------
    UserError
        If there are none, or a later layer reads what one of them made on the way.
    """
    training = pb.NetState()
    training.CopyFrom(state)
    training.phase = TRAIN
    layers = list(filter_net(net, training).layer)
    for layer in layers:  # they are chosen now, and stand in a net without stages later
        del layer.include[:], layer.exclude[:]
    data = next(layer for layer in layers if layer.type == "Data")
    blob, frozen = data.top[0], []
    rest = layers[layers.index(data) + 1 :]
    while rest and list(rest[0].bottom) == [blob] and _is_fixed(rest[0]):
        frozen.append(rest.pop(0))
        blob = frozen[-1].top[0]
    inner = {data.top[0], *(top for layer in frozen for top in layer.top)} - {blob}
    if not frozen or any(bottom in inner for layer in rest for bottom in layer.bottom):
        raise UserError(f"the network {net.name!r} has no part next to its data that could be computed once")
    return frozen


def compute_once(
    net: pb.NetParameter, state: pb.NetState, weights: list[Path], folder: Path, crops: str, seed: int
) -> pb.NetParameter:
    """Run the frozen layers over a network's data and return the rest of the network, which reads the results.

    Parameters
    ----------
    net : NetParameter
        With Data layers for training and perhaps for testing.
    state : NetState
        The stages that are trained.
    weights : list of path
        The `.caffemodel` files that the frozen layers' parameters come from.
    folder : path
        Where the results are kept. They are taken from there if they are of the same layers, weights and data.
    crops : str
        The rule by which training images are cut (`caffe.crops.CROPS`); each pass through the images takes another view
        of each, in an order drawn by `seed`. Test images are cut in the centre.

    Raises
    ------
    UserError
        If nothing is frozen, `crops` is another rule, or the data cannot be read or the results written.
    """
    if crops not in CROPS:
        raise UserError(f"{crops} crops cannot be computed once; use one of: {', '.join(CROPS)}")
    frozen = frozen_layers(net, state)
    sources = {_phase(layer): layer for layer in net.layer if layer.type == "Data"}
    made_of = {
        "weights": [sha256_of(path) for path in weights],
        "layers": hashlib.sha256(b"".join(layer.SerializeToString() for layer in frozen)).hexdigest(),
        "data": [hashlib.sha256(layer.SerializeToString()).hexdigest() for layer in sources.values()],
        "images": [len(LmdbSource(layer.data_param.source)) for layer in sources.values()],
        "crops": crops,
        "seed": seed,
    }
    if not _holds(folder, made_of):
        try:
            with atomic_directory(folder) as partial:
                for phase, layer in sources.items():
                    rule = crops if phase == TRAIN else "centre"
                    place = partial / _PLACES[phase]
                    _write(place, _Prefix(layer, frozen, weights, place.with_suffix(".prototxt"), rule), seed)
                write_json(partial / "frozen.json", made_of)
        except (OSError, lmdb.Error) as error:
            raise UserError(f"cannot write {folder}: {getattr(error, 'strerror', None) or error}") from error
    names, blob = {layer.name for layer in frozen}, frozen[-1].top[0]
    # A Datum is C×H×W, and a vector C×1×1 in it.
    is_vector = any(layer.type == "InnerProduct" for layer in frozen)
    shape = pb.ReshapeParameter(shape=pb.BlobShape(dim=[0, -1] if is_vector else [0, 0, 0, 0]))
    whole = pb.LayerParameter(
        name=f"{blob}_shape", type="Reshape", bottom=[f"{blob}_datum"], top=[blob], reshape_param=shape
    )
    read = [layer for layer in net.layer if layer.type == "Data"]
    kept = [layer for layer in net.layer if layer.type != "Data" and layer.name not in names]
    rest = pb.NetParameter(name=net.name, layer=[*read, whole, *kept])
    for layer in rest.layer[: len(read)]:
        layer.ClearField("transform_param")
        layer.top[0] = whole.bottom[0]
        layer.data_param.source = str(folder / _PLACES[_phase(layer)])
    return rest


def _phase(data: pb.LayerParameter) -> int:
    return data.include[0].phase if data.include else TRAIN


def _is_fixed(layer: pb.LayerParameter) -> bool:
    """Whether a layer computes a function that does not change."""
    if layer.type not in ("Convolution", "InnerProduct"):
        return layer.type in _FUNCTIONS
    bias = (layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param).bias_term
    return len(layer.param) == 1 + bias and all(param.lr_mult == 0 for param in layer.param)


def _holds(folder: Path, made_of: dict[str, object]) -> bool:
    try:
        return json.loads((folder / "frozen.json").read_text(encoding="utf-8")) == made_of
    except (OSError, ValueError):
        return False


class _Prefix:
    """The frozen layers, written to `file` as a net, as a function of a rule's views of one Data layer's images."""

    def __init__(
        self, data: pb.LayerParameter, frozen: list[pb.LayerParameter], weights: list[Path], file: Path, rule: str
    ) -> None:
        from pydeepexpr.engine import caffe

        self.rule = rule
        self.source = LmdbSource(data.data_param.source)
        self.transformer = Transformer(data.transform_param, TEST)
        _, first = next(self.source.records())
        shape = (_BATCH, *self.transformer.top_shape(self._image(first)))
        given = pb.LayerParameter(name="data", type="Input", top=data.top[:1])
        given.input_param.shape.add(dim=shape)
        net = pb.NetParameter(name="frozen", layer=[given, *frozen])
        file.write_text(text_format.MessageToString(net), encoding="utf-8")
        self.net = caffe.Net(str(file), TEST)
        for path in weights:
            self.net.copy_from(str(path))
        self.input, self.output = data.top[0], frozen[-1].top[0]

    def crops(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the label of each image and its crops, crops×H×W×C uint8."""
        for _, datum in self.source.records():
            image = self._image(datum)
            self.transformer.check(image)
            yield datum.label, self._cut(image)

    def __call__(self, crops: list[np.ndarray]) -> np.ndarray:
        """Return what the frozen layers make of the crops of some images, images×crops×C×H×W."""
        mean = self.transformer.mean_image
        means = None if mean is None else torch.from_numpy(np.concatenate([self._cut(mean)] * len(crops)))
        images = self.transformer.finish(torch.from_numpy(np.concatenate(crops)), means).numpy()
        blob = self.net.blobs[self.input]
        if blob.data.shape != images.shape:
            blob.reshape(*images.shape)
            self.net.reshape()
        blob.data[...] = images
        self.net.forward()
        values = np.array(self.net.blobs[self.output].data)
        return values.reshape(len(crops), CROPS[self.rule], *values.shape[1:])

    def _cut(self, image: np.ndarray) -> np.ndarray:
        side = self.transformer.param.crop_size or min(image.shape[:2])
        return np.stack([self.transformer.cut(image, cut) for cut in crops_of(image.shape, side, self.rule)])

    def _image(self, datum: pb.Datum) -> np.ndarray:
        return datum_to_image(datum, self.transformer.decode_flag)


def _write(place: Path, prefix: _Prefix, seed: int) -> None:
    """Write an LMDB that holds all images once for each of as many passes as there are crops, another in every pass."""
    total, count = len(prefix.source), CROPS[prefix.rule]
    order = turns(total, count, seed)
    images = progress(prefix.crops(), total, f"{place.name}, layers that stay")
    place.mkdir()
    row = 0
    with contextlib.closing(LmdbWriter(place)) as writer:
        for labels, batch in _batches(images, max(1, _BATCH // count)):
            for label, of_image in zip(labels, prefix(batch), strict=True):
                for turn, crop in enumerate(order[row]):
                    writer.put(f"{turn * total + row:010d}".encode(), floats_to_datum(of_image[crop], label))
                row += 1
        writer.finish()


def _batches(images: Iterator[tuple[int, np.ndarray]], size: int) -> Iterator[tuple[list[int], list[np.ndarray]]]:
    labels, batch = [], []
    for label, crops in images:
        labels.append(label)
        batch.append(crops)
        if len(batch) == size:
            yield labels, batch
            labels, batch = [], []
    if batch:
        yield labels, batch
