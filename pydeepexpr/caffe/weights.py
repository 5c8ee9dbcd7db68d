"""Parameters from and to `.caffemodel` files."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import h5py
import numpy as np

from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.datum import array_to_blobproto, blobproto_to_array
from pydeepexpr.caffe.hdf5_weights import load_hdf5
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_model
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

if TYPE_CHECKING:
    from pydeepexpr.caffe.net import Net

__all__ = ["load_weights", "matched", "save_weights"]


def _stored_shape(proto: pb.BlobProto, axes: int) -> tuple[int, ...]:
    """Return a stored blob's shape as that of a blob with so many axes.

    Files from before blobs had any number of axes pad with ones in front to num, channels, height and width.
    """
    if not any(proto.HasField(name) for name in ("num", "channels", "height", "width")):
        return tuple(proto.shape.dim)
    legacy = (proto.num, proto.channels, proto.height, proto.width)
    return legacy[4 - axes :] if axes < 4 and legacy[: 4 - axes] == (1,) * (4 - axes) else legacy


def load_weights(net: "Net", path: str | os.PathLike) -> None:
    """Copy parameters, and their gradients where stored, into a net's layers of the same name.

    A file is of HDF5 if it says so or is named `.h5`. Nothing is copied unless all of it fits.

    Raises
    ------
    UserError
        If the file cannot be read, or a layer's stored parameters differ in number or shape from the net's.
    """
    if os.fspath(path).endswith(".h5") or h5py.is_hdf5(path):
        load_hdf5(net, path)
        return
    model = read_model(path)
    if not model.layer:
        raise UserError(f"the model {os.fspath(path)} holds no layers; give a .caffemodel")
    layers = dict(zip(reversed(net._layer_names), reversed(net.layers), strict=True))  # of one name, the first
    copies = []
    for stored in model.layer:
        if stored.name in layers:
            copies += matched(layers[stored.name].blobs, stored, os.fspath(path))
        else:
            log.info("Ignoring source layer %s", stored.name)
    for array, values in copies:
        array[...] = values


def matched(blobs: Sequence[Blob], stored: pb.LayerParameter, path: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the arrays of a layer's blobs with the values for them that a stored layer holds, if all of them fit.

    `path` says in the error what holds the stored layer.
    """
    if len(stored.blobs) != len(blobs):
        raise UserError(
            f"{path} has {len(stored.blobs)} parameter blobs for layer {stored.name!r}, the net {len(blobs)}; "
            "rename the layer to learn it from scratch"
        )
    pairs = []
    for i, (blob, proto) in enumerate(zip(blobs, stored.blobs, strict=True)):
        shape = _stored_shape(proto, len(blob.shape))
        if shape != blob.shape:
            raise UserError(
                f"parameter {i} of layer {stored.name!r} is {shape} in {path} but {blob.shape} in the net; rename the "
                "layer to learn it from scratch"
            )
        what = f"parameter {i} of layer {stored.name!r} in {path}"
        pairs.append((blob.data, blobproto_to_array(proto, what=what).reshape(shape)))
        if proto.diff or proto.double_diff:
            what = f"the gradient of {what}"
            pairs.append((blob.diff, blobproto_to_array(proto, diff=True, what=what).reshape(shape)))
    return pairs


def save_weights(net: "Net", path: str | os.PathLike, with_diff: bool = False) -> None:
    """Write a net's description and parameters, with the gradients too if told. Written beside and renamed."""
    model = net.to_proto()
    for stored, layer in zip(model.layer, net.layers, strict=True):
        del stored.blobs[:]
        for blob in layer.blobs:
            stored.blobs.append(array_to_blobproto(blob.data, blob.diff if with_diff else None))
    with atomic_file(path) as partial:
        partial.write_bytes(model.SerializeToString())
