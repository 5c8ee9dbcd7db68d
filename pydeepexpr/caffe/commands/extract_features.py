"""`extract_features`: what a network computes, as databases of floats."""

import contextlib
from types import SimpleNamespace

import numpy as np

from pydeepexpr.caffe.commands.databases import SOURCES, new_database
from pydeepexpr.caffe.commands.devices import gpus_named, use
from pydeepexpr.caffe.commands.flags import whole_number
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.datum import floats_to_datum
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.mode import TEST
from pydeepexpr.caffe.net import Net
from pydeepexpr.errors import UserError

__all__ = ["extract_features"]


@command(
    "pretrained_net_param feature_extraction_proto_file extract_feature_blob_name1[,name2,...] "
    "save_feature_dataset_name1[,name2,...] num_mini_batches db_type [CPU/GPU] [DEVICE_ID=0]"
)
def extract_features(
    flags: SimpleNamespace,
    weights: str,
    network: str,
    blobs: str,
    datasets: str,
    batches: str,
    backend: str,
    device: str = "CPU",
    device_id: str = "0",
) -> None:
    """Run a network, whose data layer says what on, and store its blobs, a database each.

    Records are Datums of floats, one for each image, keyed `0000000012`. db_type is lmdb or leveldb.
    """
    names, paths = blobs.split(","), datasets.split(",")
    count = whole_number(batches, "num_mini_batches", least=1)
    if len(names) != len(paths):
        raise UserError(f"there are {len(names)} blobs and {len(paths)} datasets; give one dataset for each blob")
    if len({*paths}) < len(paths):
        raise UserError(f"one dataset is named twice in {datasets}")
    if backend not in SOURCES:
        raise UserError(f"db_type is one of {', '.join(SOURCES)}, not {backend!r}")
    if device not in ("CPU", "GPU"):
        raise UserError(f"the device is CPU or GPU, not {device!r}")
    use(gpus_named(device_id) if device == "GPU" else [])
    with contextlib.closing(Net(network, TEST)) as net, contextlib.ExitStack() as stack:
        net.copy_from(weights)
        for name in names:
            if name not in net.blobs:
                raise UserError(f"the network {network} has no blob {name!r}; it has: {', '.join(net.blobs)}")
            if len(net.blobs[name].shape) > 4:
                raise UserError(
                    f"the blob {name!r} is {net.blobs[name].shape}; a Datum holds three axes beside the first"
                )
        writers = []
        for path in paths:
            log.info("Opening dataset %s", path)
            writers.append(stack.enter_context(new_database(path, backend)))
        log.info("Extracting Features")
        stored = [0] * len(names)
        for _ in range(count):
            net.forward_range(0, len(net.layers) - 1)
            for i, (name, writer) in enumerate(zip(names, writers, strict=True)):
                for values in _rows(net, name):
                    writer.put(b"%010d" % stored[i], floats_to_datum(values, 0))
                    stored[i] += 1
                    if stored[i] % 1000 == 0:
                        _log_progress(stored[i], name)
        for i, name in enumerate(names):
            if stored[i] % 1000:
                _log_progress(stored[i], name)
    log.info("Successfully extracted the features!")


def _rows(net: Net, name: str) -> np.ndarray:
    """Return a blob as N×C×H×W."""
    blob = net.blobs[name]
    return blob.data.reshape(blob.num, blob.channels, blob.height, blob.width)


def _log_progress(stored: int, name: str) -> None:
    log.info("Extracted features of %d query images for feature blob %s", stored, name)
