"""Parameters from and to `.caffemodel` files."""

import os
from typing import TYPE_CHECKING

from pydeepexpr.caffe.datum import array_to_blobproto, blobproto_to_array
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

if TYPE_CHECKING:
    from pydeepexpr.caffe.net import Net

__all__ = ["load_weights", "save_weights"]


def _same_shape(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes agree; old files pad with ones in front to four dimensions."""
    return stored == wanted or (len(stored) == 4 and stored == (1,) * (4 - len(wanted)) + wanted)


def load_weights(net: "Net", path: str | os.PathLike) -> None:
    """Copy parameters into a net's layers of the same name. Nothing is copied unless all of them fit.

    Raises
    ------
    UserError
        If the file cannot be read, or a layer's stored parameters differ in number or shape from the net's.
    """
    model = read_message(path, pb.NetParameter(), "model")
    if model.layers and not model.layer:
        raise UserError(f"the model {os.fspath(path)} is of the old V1 format, which is not read so far")
    if not model.layer:
        raise UserError(f"the model {os.fspath(path)} holds no layers; give a .caffemodel")
    copies = []
    for stored in model.layer:
        if stored.name not in net.layer_dict:
            continue
        blobs = net.layer_dict[stored.name].blobs
        if len(stored.blobs) != len(blobs):
            raise UserError(
                f"{os.fspath(path)} has {len(stored.blobs)} parameter blobs for layer {stored.name!r}, "
                f"the net {len(blobs)}; rename the layer to learn it from scratch"
            )
        for i, (blob, proto) in enumerate(zip(blobs, stored.blobs, strict=True)):
            array = blobproto_to_array(proto, what=f"parameter {i} of layer {stored.name!r} in {os.fspath(path)}")
            if not _same_shape(array.shape, blob.shape):
                raise UserError(
                    f"parameter {i} of layer {stored.name!r} is {array.shape} in {os.fspath(path)} but {blob.shape} "
                    f"in the net; rename the layer to learn it from scratch"
                )
            copies.append((blob, array))
    for blob, array in copies:
        blob.data[...] = array.reshape(blob.shape)


def save_weights(net: "Net", path: str | os.PathLike, with_diff: bool = False) -> None:
    """Write a net's description and parameters, with the gradients too if told. Written beside and renamed."""
    model = net.to_proto()
    for stored in model.layer:
        del stored.blobs[:]
        for blob in net.layer_dict[stored.name].blobs:
            stored.blobs.append(array_to_blobproto(blob.data, blob.diff if with_diff else None))
    with atomic_file(path) as partial:
        partial.write_bytes(model.SerializeToString())
