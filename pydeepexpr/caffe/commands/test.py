"""`test`: scoring a model."""

import contextlib
from types import SimpleNamespace

import numpy as np

from pydeepexpr.caffe.commands.caffe_flags import CAFFE_FLAGS, make_net, read_model_flag
from pydeepexpr.caffe.commands.devices import gpus_named, use
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.mode import TEST
from pydeepexpr.errors import UserError

__all__ = ["test"]


@command(**CAFFE_FLAGS)
def test(flags: SimpleNamespace) -> None:
    """Score a model: the outputs of -iterations batches, and their means.

    Needs -model, a network with its own data in the phase TEST, and -weights.
    """
    if not flags.weights:
        raise UserError("model weights are needed to score: -weights net.caffemodel")
    use(gpus_named(flags.gpu))
    with contextlib.closing(make_net(flags, read_model_flag(flags), TEST)) as net:
        net.copy_from(flags.weights)
        log.info("Running for %d iterations.", flags.iterations)
        total_loss, totals = 0.0, np.zeros(0)
        for batch in range(flags.iterations):
            total_loss += net.forward_range(0, len(net.layers) - 1)
            names = [name for name in net.outputs for _ in range(net.blobs[name].count)]
            values = np.array([value for name in net.outputs for value in net.blobs[name].data.flat], np.float64)
            for name, value in zip(names, values, strict=True):
                log.info("Batch %d, %s = %g", batch, name, value)
            if batch and len(values) != len(totals):
                raise UserError(f"batch {batch} has {len(values)} outputs, those before it {len(totals)}: no means")
            totals = totals + values if batch else values
        log.info("Loss: %g", total_loss / flags.iterations)
        for name, mean in zip(names, totals / flags.iterations, strict=True):
            weight = net.blob_loss_weights[name]
            share = f" (* {weight:g} = {weight * mean:g} loss)" if weight else ""
            log.info("%s = %g%s", name, mean, share)
