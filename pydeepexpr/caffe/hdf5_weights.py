"""Parameters from and to HDF5 files (`.caffemodel.h5`), in the groups of Caffe's Net::ToHDF5.

`data/<layer>/<number>` holds a parameter, `diff/<layer>/<number>` its gradient where asked for. Every layer has its
group; a parameter that layers share is stored with the first of them alone, its gradient with each of them. A slash in
a layer's name makes groups within groups.
"""

import os
from typing import TYPE_CHECKING

import h5py
import numpy as np

from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.readers import reading
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

if TYPE_CHECKING:
    from pydeepexpr.caffe.net import Net

__all__ = ["load_hdf5", "save_hdf5"]


def _owned(net: "Net") -> list[list[bool]]:
    """Return for each layer's parameters whether the layer is the first to use them."""
    unseen = {id(blob) for blob, _ in net.learnable}
    owned = []
    for layer in net.layers:
        owned.append([id(blob) in unseen for blob in layer.blobs])
        unseen.difference_update(map(id, layer.blobs))
    return owned


def save_hdf5(net: "Net", path: str | os.PathLike, with_diff: bool = False) -> None:
    """Write a net's parameters, with the gradients too if told. Written beside and renamed.

    Raises
    ------
    UserError
        If a layer's name cannot name a group.
    """
    with atomic_file(path) as partial, h5py.File(partial, "w") as file:
        data, diff = file.create_group("data"), file.create_group("diff") if with_diff else None
        for name, layer, owned in zip(net._layer_names, net.layers, _owned(net), strict=True):
            try:
                _write(data, name, {i: blob.data for i, blob in enumerate(layer.blobs) if owned[i]})
                if with_diff:
                    _write(diff, name, {i: blob.diff for i, blob in enumerate(layer.blobs)})
            except (TypeError, ValueError):
                raise UserError(
                    f"layer {name!r} has a name that an HDF5 file cannot hold beside those of the others; rename it, "
                    "or save a .caffemodel"
                ) from None


def _write(group: h5py.Group, layer: str, arrays: dict[int, np.ndarray]) -> None:
    stored = group.require_group(layer)  # there already if the layers before it are `inception/1x1` and the like
    for i, array in arrays.items():
        stored.create_dataset(str(i), data=array)


def load_hdf5(net: "Net", path: str | os.PathLike) -> None:
    """Copy parameters from an HDF5 file into a net's layers of the same name. Nothing is copied unless all of it fits.

    Raises
    ------
    UserError
        If the file cannot be read, or a layer's stored parameters differ in number or shape from the net's.
    """
    path = os.fspath(path)
    with reading(path, "model"):
        open(path, "rb").close()
    try:
        with h5py.File(path, "r") as file:
            copies = _matched(net, file, path)
    except UserError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError) as error:  # as h5py happens to say it
        raise UserError(f"the model {path} is damaged or no HDF5 file ({' '.join(str(error).split())})") from None
    for blob, values in copies:
        blob.data[...] = values


def _matched(net: "Net", file: h5py.File, path: str) -> list[tuple[Blob, np.ndarray]]:
    """Return the net's blobs with the stored values for them, if all of them fit."""
    data = file.get("data")
    if not isinstance(data, h5py.Group):
        raise UserError(f"the model {path} has no group `data`; give a .caffemodel.h5")
    for name in data:
        if not any(layer == name or layer.startswith(f"{name}/") for layer in net._layer_names):
            log.info("Ignoring source layer %s", name)
    copies = []
    for name, layer, owned in zip(net._layer_names, net.layers, _owned(net), strict=True):
        group = data.get(name)
        if not isinstance(group, h5py.Group):
            continue
        stored = {number: item for number, item in group.items() if isinstance(item, h5py.Dataset)}
        missing = [i for i, own in enumerate(owned) if own and str(i) not in stored]
        if missing or not stored.keys() <= set(map(str, range(len(layer.blobs)))):
            raise UserError(
                f"{path} has the parameter blobs {sorted(stored)} for layer {name!r}, the net {len(layer.blobs)}; "
                "rename the layer to learn it from scratch"
            )
        for number, dataset in stored.items():
            blob = layer.blobs[int(number)]
            copies.append((blob, _values(dataset, blob.shape, f"parameter {number} of layer {name!r}", path)))
    return copies


def _values(dataset: h5py.Dataset, shape: tuple[int, ...], what: str, path: str) -> np.ndarray:
    """Return a dataset as float32, once it is seen to be of the shape that is due."""
    if dataset.shape != shape:
        raise UserError(
            f"{what} is {dataset.shape} in {path} but {shape} in the net; rename the layer to learn it from scratch"
        )
    if dataset.dtype.kind not in "fiu":
        raise UserError(f"{what} in {path} holds no numbers ({dataset.dtype}); the file is damaged")
    return dataset.astype(np.float32)[()]
