"""What solvers say about outputs and updates, in the lines of Caffe's log."""

from collections.abc import Mapping

import numpy as np
import torch

from pydeepexpr.caffe.blob import Blob
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.net import Net

__all__ = ["log_outputs", "log_updates", "mean_data"]


def log_outputs(phase: str, net: Net, outputs: Mapping[str, np.ndarray]) -> None:
    """Log each value of each output, with its share in the loss."""
    number = 0
    for name, values in outputs.items():
        weight = net.blob_loss_weights[name]
        for value in np.ravel(values):
            share = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log.info("    %s net output #%d: %s = %g%s", phase, number, name, value, share)
            number += 1


def mean_data(net: Net) -> dict[Blob, float]:
    """Return the mean absolute value of each learnable parameter."""
    return {blob: _mean(blob.data_memory.tensor()) for blob, _ in net.learnable}


def log_updates(net: Net, data: Mapping[Blob, float]) -> None:
    """Log, for each parameter, its mean absolute value before an update and that of the update.

    Parameters
    ----------
    net : Net
        After the update.
    data : dict of Blob to float
        `mean_data` before the update.
    """
    owners: dict[Blob, str] = {}
    for step in net.steps:
        specs = step.layer.param.param
        for i, blob in enumerate(step.layer.blobs):
            name = (specs[i].name if i < len(specs) else "") or str(i)
            taken = _mean(blob.diff_memory.tensor())
            if blob in data and blob not in owners:
                owners[blob] = f"layer {step.layer.name}, param {name}"
                log.info("    [Update] Layer %s, param %s data: %g; diff: %g", step.layer.name, name, data[blob], taken)
            else:
                log.info(
                    "    [Update] Layer %s, param blob %s (owned by %s) diff: %g",
                    *(step.layer.name, name, owners.get(blob, "another layer"), taken),
                )


def _mean(tensor: torch.Tensor) -> float:
    return float(tensor.abs().sum(dtype=torch.float32)) / max(tensor.numel(), 1)
