"""`time`: how long a network's layers take."""

import contextlib
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np

from pydeepexpr.caffe.commands.caffe_flags import CAFFE_FLAGS, make_net, read_model_flag
from pydeepexpr.caffe.commands.devices import gpus_named, use
from pydeepexpr.caffe.commands.registry import command
from pydeepexpr.caffe.log import log
from pydeepexpr.caffe.mode import TEST, TRAIN
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.timer import Timer

__all__ = ["time"]


@command(**CAFFE_FLAGS)
def time(flags: SimpleNamespace) -> None:
    """Measure how long each layer's forward and backward take.

    Needs -model. The times are means over -iterations batches after a first one that does not count. In the phase TEST
    forward keeps nothing for backward, which then computes each layer's forward again. In a network without a loss
    every layer that has a gradient computes it.
    """
    use(gpus_named(flags.gpu))
    with contextlib.closing(_timed_net(flags)) as net:
        layers = range(len(net.layers))
        log.info("Performing Forward")
        log.info("Initial loss: %g", net.forward_range(0, len(layers) - 1))
        log.info("Performing Backward")
        net.backward_range(len(layers) - 1, 0)
        log.info("*** Benchmark begins ***")
        log.info("Testing for %d iterations.", flags.iterations)
        times = np.empty((flags.iterations, 2, len(layers)))  # ms: forward and backward of each layer
        passes = np.empty((flags.iterations, 2))
        total = Timer()
        total.start()
        for i in range(flags.iterations):
            passes[i, 0] = _measure(lambda k: net.forward_range(k, k), layers, times[i, 0])
            passes[i, 1] = _measure(lambda k: net.backward_range(k, k), layers[::-1], times[i, 1])
            log.info("Iteration: %d forward-backward time: %g ms.", i + 1, passes[i].sum())
        log.info("Average time per layer: ")
        for step, forward, backward in zip(net.steps, *times.mean(0), strict=True):
            log.info("%10s\tforward: %g ms.", step.layer.name, forward)
            log.info("%10s\tbackward: %g ms.", step.layer.name, backward)
        forward, backward = passes.mean(0)
        log.info("Average Forward pass: %g ms.", forward)
        log.info("Average Backward pass: %g ms.", backward)
        log.info("Average Forward-Backward: %g ms.", total.ms / flags.iterations)
        log.info("Total Time: %g ms.", total.ms)
        log.info("*** Benchmark ends ***")


def _timed_net(flags: SimpleNamespace) -> Net:
    """Return the network; one without a loss, whose backward would do nothing, with all gradients."""
    phase = TEST if flags.phase == "TEST" else TRAIN
    param = read_model_flag(flags)
    net = make_net(flags, param, phase)
    if any(any(step.loss_weights) for step in net.steps):
        return net
    net.close()
    param.force_backward = True
    return make_net(flags, param, phase)


def _measure(function: Callable[[int], object], layers: Sequence[int], into: np.ndarray) -> float:
    """Call the function with each layer's number; note each call's milliseconds, and return those of all."""
    whole, one = Timer(), Timer()
    whole.start()
    for k in layers:
        one.start()
        function(k)
        into[k] = one.ms
    return whole.ms
