"""Registered faces as Caffe's Data layer reads them: an LMDB of Datum."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import cv2
import lmdb
import numpy as np

from pydeepexpr.caffe.crops import Cut
from pydeepexpr.caffe.database_writers import LmdbWriter
from pydeepexpr.caffe.proto import caffe_pb2
from pydeepexpr.errors import UserError
from pydeepexpr.faces import FACE_SIZE

__all__ = ["ENCODINGS", "count_records", "encode_face", "in_order", "key_of", "write_lmdb", "write_mean"]

ENCODINGS = ("jpg", "png", "raw")

_LONGEST_KEY = 511  # bytes; LMDB's own limit

T = TypeVar("T")
R = TypeVar("R")


def key_of(index: int, name: str) -> str:
    """Return the key that Caffe's convert_imageset gives to the image `name`, cut where LMDB's limit is.

    Examples
    --------
    >>> key_of(12, "joy/a.png")
    '00000012_joy/a.png'
    """
    return f"{index:08d}_{name}".encode()[:_LONGEST_KEY].decode(errors="ignore")


def encode_face(
    path: Path, label: int, encode: str, quality: int, crop: tuple[Cut, int] | None = None
) -> tuple[bytes, np.ndarray]:
    """Read one registered face and make a Datum of it.

    Parameters
    ----------
    path : Path
        An image of 256×256 pixels.
    label : int
    encode : {"jpg", "png", "raw"}
    quality : int
        1 to 100, for "jpg".
    crop : (Cut, int), optional
        Where to cut the face, and the side of what is cut out; the whole face if not given.

    Returns
    -------
    datum : bytes
        The serialized Datum.
    pixels : ndarray of uint8, shape (256, 256, 3) or that of the crop
        BGR as Caffe will see them: after JPEG's losses.
    """
    try:
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error):  # cv2.error: the file is empty
        pixels = None
    if pixels is None:
        raise UserError(f"{path} is no readable image; register its folder anew with tools/register.py")
    if pixels.shape != (FACE_SIZE, FACE_SIZE, 3):
        height, width = pixels.shape[:2]
        raise UserError(
            f"{path} is {width}×{height}, not {FACE_SIZE}×{FACE_SIZE}; register its folder with tools/register.py"
        )
    if crop:
        cut, side = crop
        pixels = pixels[cut.top : cut.top + side, cut.left : cut.left + side]
        pixels = cv2.flip(pixels, 1) if cut.mirror else np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    datum = caffe_pb2.Datum(channels=3, height=height, width=width, label=label, encoded=encode != "raw")
    if encode == "raw":
        datum.data = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()  # a strided tobytes is 7 times slower
    elif encode == "png":
        datum.data = cv2.imencode(".png", pixels)[1].tobytes()
    else:
        coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        datum.data = coded.tobytes()
        pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return datum.SerializeToString(), pixels


def in_order(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield `function(item)` for each item in order, computed by threads that never run far ahead of the reader."""
    with ThreadPoolExecutor(workers) as pool:
        pending: deque = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > 4 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def count_records(path: str | os.PathLike) -> int:
    """Return how many records an LMDB holds that `write_lmdb` was writing: 0 if there is none, or a damaged one."""
    try:
        with lmdb.open(os.fspath(path), lock=False, readonly=True, create=False) as env:
            return env.stat()["entries"]
    except lmdb.Error:
        return 0


def write_lmdb(
    path: str | os.PathLike, records: Iterable[tuple[bytes, bytes]], before_commit: Callable[[int], None] | None = None
) -> None:
    """Write (key, value) records into an LMDB that real Caffe opens; it may hold some already.

    `before_commit` is what `LmdbWriter` calls before it writes a batch.
    """
    os.makedirs(path, exist_ok=True)
    with contextlib.closing(LmdbWriter(Path(path), before_commit)) as writer:
        for key, value in records:
            writer.put(key, value)
        writer.finish()


def write_mean(path: str | os.PathLike, mean: np.ndarray) -> None:
    """Write a mean image, shape (height, width, 3) BGR, as Caffe's compute_image_mean does: a BlobProto."""
    height, width, channels = mean.shape
    planes = mean.transpose(2, 0, 1).astype(np.float32)
    blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width, data=planes.ravel().tolist())
    Path(path).write_bytes(blob.SerializeToString())
