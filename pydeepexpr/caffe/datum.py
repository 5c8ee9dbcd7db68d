"""Datum: one labelled image as LMDBs hold it, and BlobProto: an array as model files hold it."""

import contextlib
import math
import os

import cv2
import numpy as np

from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message
from pydeepexpr.errors import UserError

__all__ = ["array_to_blobproto", "blobproto_to_array", "datum_to_image", "decode_image", "floats_to_datum", "read_mean"]


def datum_to_image(datum: pb.Datum, flag: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Return a Datum's pixels as an H×W×C array: uint8 in BGR order, or float32 where it holds floats.

    Parameters
    ----------
    datum : Datum
        Raw (C×H×W bytes or floats) or encoded (PNG, JPEG …).
    flag : int
        How OpenCV decodes an encoded image: as stored, or forced to colour or to grey.

    Raises
    ------
    UserError
        If an encoded image does not decode to 8 bits a channel, or raw values do not fill C×H×W.
    """
    if datum.encoded:
        return decode_image(datum.data, "an encoded Datum", flag)
    values = np.frombuffer(datum.data, np.uint8) if datum.data else np.array(datum.float_data, np.float32)
    shape = (datum.channels, datum.height, datum.width)
    if min(shape) < 1 or values.size != math.prod(shape):
        raise UserError(f"a Datum holds {values.size} values but says {shape}; build the LMDB again")
    planes = values.reshape(shape)
    # The strided copy that follows otherwise is 50 times slower.
    return cv2.merge(list(planes)) if 1 < len(planes) < 5 else planes.transpose(1, 2, 0)


def decode_image(content: bytes, what: str, flag: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    """Return an encoded image (PNG, JPEG …) as an H×W×C array of uint8 in BGR order.

    Parameters
    ----------
    content : bytes
    what : str
        What the error calls it.
    flag : int
        How OpenCV decodes it: as stored, or forced to colour or to grey.

    Raises
    ------
    UserError
        If it does not decode, or has more than 8 bits a channel, which Caffe does not take either.
    """
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), flag) if content else None
    except cv2.error:  # it claims to be too large, for instance
        image = None
    if image is None:
        raise UserError(f"{what} does not decode as an image; make it again")
    if image.dtype != np.uint8:
        raise UserError(f"{what} is an image of {image.dtype} pixels; make it one of 8 bits a channel")
    return image if image.ndim == 3 else image[:, :, None]


def floats_to_datum(values: np.ndarray, label: int) -> bytes:
    """Return a serialized Datum of floats: an array of up to three axes (the missing ones are 1), as float32."""
    shape = (*values.shape, 1, 1, 1)[: max(values.ndim, 3)]
    channels, height, width = shape
    head = pb.Datum(channels=channels, height=height, width=width, label=label)
    return head.SerializeToString() + _packed(pb.Datum, "float_data", values)


def _shape_of(proto: pb.BlobProto) -> tuple[int, ...]:
    if any(proto.HasField(name) for name in ("num", "channels", "height", "width")):
        return proto.num, proto.channels, proto.height, proto.width  # from before blobs had any number of axes
    return tuple(proto.shape.dim)  # Caffe writes no shape at all for a single number


def blobproto_to_array(proto: pb.BlobProto, diff: bool = False, what: str = "a stored blob") -> np.ndarray:
    """Return a BlobProto's data (or diff) as a float32 array of its shape, old four-dimensional ones included.

    `what` names it in the error.

    Raises
    ------
    UserError
        If the values do not fill the shape.
    """
    values = (proto.double_diff or proto.diff) if diff else (proto.double_data or proto.data)
    shape = _shape_of(proto)
    if min(shape, default=0) >= 0:  # a size of −1 would mean something to NumPy
        with contextlib.suppress(ValueError):
            return np.array(values, np.float32).reshape(shape)
    raise UserError(f"{what} says {shape} but holds {len(values)} values; the file is damaged")


def array_to_blobproto(array: np.ndarray, diff: np.ndarray | None = None) -> pb.BlobProto:
    """Return a BlobProto of an array's shape and float32 values, and of its diff where given."""
    proto = pb.BlobProto()
    proto.shape.dim.extend(array.shape)
    # Packed floats are their little-endian bytes behind a key and a length: merging them as one block is a hundred
    # times as fast as appending them one by one.
    for field, values in (("data", array), ("diff", diff)):
        if values is not None and values.size:
            proto.MergeFromString(_packed(pb.BlobProto, field, values))
    return proto


def _packed(message: type, field: str, values: np.ndarray) -> bytes:
    """Return the bytes of a field of floats, which every reader takes whether the field is declared packed or not."""
    content = np.ascontiguousarray(values, "<f4").tobytes()
    key = message.DESCRIPTOR.fields_by_name[field].number << 3 | 2
    return bytes([key]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)


def read_mean(path: str | os.PathLike) -> np.ndarray:
    """Return the mean image of a `.binaryproto` file as a C×H×W float32 array."""
    what = f"the mean file {os.fspath(path)}"
    mean = blobproto_to_array(read_message(path, pb.BlobProto(), "mean file"), what=what)
    if mean.ndim < 3 or mean.size != np.prod(mean.shape[-3:]):
        raise UserError(f"{what} is {mean.shape}, no single C×H×W image; make it again")
    return mean.reshape(mean.shape[-3:])
