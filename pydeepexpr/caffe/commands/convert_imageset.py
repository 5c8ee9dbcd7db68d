"""`convert_imageset`: a database of Datums from image files."""

import os
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.commands.ahead import in_order
from pydeepexpr.caffe.commands.databases import BACKEND, new_database
from pydeepexpr.caffe.commands.flags import Flag
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.datum import decode_image
from pydeepexpr.caffe.layers.image_data import read_list
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_bytes
from pydeepexpr.errors import UserError

__all__ = ["convert_imageset"]

_LONGEST_KEY = 511  # bytes; LMDB's own limit


class _Record(NamedTuple):
    """An image's Datum and its H×W×C, or why there is none."""

    name: str
    datum: bytes = b""
    shape: tuple[int, ...] = ()
    problem: str = ""


@command(
    "ROOTFOLDER/ LISTFILE DB_NAME",
    gray=Flag(False, "take the images as grey ones"),
    shuffle=Flag(False, "shuffle the images and their labels"),
    backend=BACKEND,
    resize_width=Flag(0, "width to give to the images, 0: as they are"),
    resize_height=Flag(0, "height to give to the images, 0: as they are"),
    check_size=Flag(False, "check that all images have one size"),
    encoded=Flag(False, "store the files as they are, even with -gray; encoded anew if resized or of another type"),
    encode_type=Flag("", "what to encode the images as (png, jpg …); by the files' names unless told"),
)
def convert_imageset(flags: SimpleNamespace, root: str, list_file: str, database: str) -> None:
    """Make a database of the images that a list names, for a Data layer.

    LISTFILE holds lines `subfolder/file.jpg 7`: a path behind ROOTFOLDER/, which needs its slash, and a label. Records
    are keyed `00000012_subfolder/file.jpg`. Images that cannot be read are told in the log and left out.
    """
    if bool(flags.resize_width) != bool(flags.resize_height) or min(flags.resize_width, flags.resize_height) < 0:
        raise UserError("-resize_width and -resize_height are given together, above 0, or left out")
    lines = read_list(list_file)
    if flags.shuffle:
        log.info("Shuffling data")
        np.random.default_rng(mode.random_seed()).shuffle(lines)
    log.info("A total of %d images.", len(lines))
    if flags.encode_type and not flags.encoded:
        log.info("encode_type specified, assuming encoded=true.")
    stored, first = 0, None
    with new_database(database, flags.backend) as writer:
        records = in_order(lambda line: _record(flags, root, *line), lines)
        for number, record in enumerate(records):
            if record.problem:
                log.error("%s", record.problem)
                continue
            first = first or record
            if flags.check_size and record.shape != first.shape:
                raise UserError(
                    f"{root}{record.name} is {record.shape} (H, W, C), but {root}{first.name} is {first.shape}; "
                    "give -resize_height and -resize_width"
                )
            writer.put(f"{number:08d}_{record.name}".encode("utf-8", "surrogateescape")[:_LONGEST_KEY], record.datum)
            stored += 1
            if stored % 1000 == 0:
                log.info("Processed %d files.", stored)
        if not stored:
            raise UserError(f"none of the images in {list_file} can be read; is {root!r} their folder, with its slash?")
    if stored % 1000:
        log.info("Processed %d files.", stored)
    if stored < len(lines):
        log.warning("%d of %d images were left out.", len(lines) - stored, len(lines))


def _record(flags: SimpleNamespace, root: str, name: str, label: int) -> _Record:
    """Read an image and make a Datum of it."""
    path = root + name
    try:
        content = read_bytes(path, "image")
        image = decode_image(content, f"the image {path}", cv2.IMREAD_GRAYSCALE if flags.gray else cv2.IMREAD_COLOR)
    except UserError as error:
        return _Record(name, problem=str(error))
    if flags.resize_width:
        image = cv2.resize(image, (flags.resize_width, flags.resize_height))
    image = image.reshape(*image.shape[:2], -1)
    if flags.encoded or flags.encode_type:
        datum = pb.Datum(data=_encoded(flags, path, content, image), label=label, encoded=True)
    else:
        height, width, channels = image.shape
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes()
        datum = pb.Datum(channels=channels, height=height, width=width, data=planes, label=label, encoded=False)
    return _Record(name, datum.SerializeToString(), image.shape)


def _encoded(flags: SimpleNamespace, path: str, content: bytes, image: np.ndarray) -> bytes:
    ending = os.path.splitext(path)[1][1:].lower()
    kind = flags.encode_type or ending
    if not flags.resize_width and (kind == ending or (kind, ending) == ("jpg", "jpeg")):
        return content
    try:
        return cv2.imencode(f".{kind}", image)[1].tobytes()
    except cv2.error:
        raise UserError(f"OpenCV cannot encode {path} as {kind!r}; give -encode_type png or jpg") from None
