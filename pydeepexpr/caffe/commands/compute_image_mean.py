"""`compute_image_mean`: the mean of a database's images."""

from types import SimpleNamespace

import numpy as np

from pydeepexpr.caffe.commands.ahead import in_order
from pydeepexpr.caffe.commands.databases import BACKEND, SOURCES
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.datum import array_to_blobproto, datum_to_image
from pydeepexpr.caffe.datum_source import DatumSource
from pydeepexpr.caffe.log import log
from pydeepexpr.errors import UserError
from pydeepexpr.files import atomic_file

__all__ = ["compute_image_mean"]


@command("INPUT_DB [OUTPUT_FILE]", backend=BACKEND)
def compute_image_mean(flags: SimpleNamespace, source: str, output: str | None = None) -> None:
    """Compute the mean image of a database, and the mean of each of its channels.

    All images must have one size. OUTPUT_FILE (a .binaryproto) is what `mean_file` of transform_param takes; the values
    in the log are what `mean_value` takes.
    """
    mean = _mean_image(SOURCES[flags.backend](source))
    if output is not None:
        blob = array_to_blobproto(mean)
        blob.ClearField("shape")  # Caffe writes the four sizes of old
        blob.num, (blob.channels, blob.height, blob.width) = 1, mean.shape
        log.info("Write to %s", output)
        with atomic_file(output) as partial:
            partial.write_bytes(blob.SerializeToString())
    log.info("Number of channels: %d", len(mean))
    for channel, plane in enumerate(mean):
        log.info("mean_value channel [%d]: %g", channel, plane.mean())


def _mean_image(source: DatumSource) -> np.ndarray:
    """Return the mean of all images as C×H×W float64."""

    def image_of(record: tuple[bytes, bytes]) -> tuple[bytes, np.ndarray]:
        key, value = record
        datum = source.datum(key, value)
        try:
            return key, datum_to_image(datum)
        except UserError as error:
            raise UserError(f"record {key!r} of the {source.kind} {source.path}: {error}") from None

    log.info("Starting iteration")
    total, count = None, 0
    for key, image in in_order(image_of, source.items()):
        if total is None:
            total = np.zeros(image.shape)
        if image.shape != total.shape:
            raise UserError(
                f"record {key!r} of the {source.kind} {source.path} is {image.shape} (H, W, C), those before it are "
                f"{total.shape}; make them one size (convert_imageset -resize_height -resize_width)"
            )
        total += image
        count += 1
        if count % 10000 == 0:
            log.info("Processed %d files.", count)
    if count % 10000:
        log.info("Processed %d files.", count)
    return total.transpose(2, 0, 1) / count
