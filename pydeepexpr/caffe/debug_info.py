"""The log lines that `debug_info: true` asks for, as Caffe writes them: mean absolute values of blobs and gradients."""

from typing import TYPE_CHECKING

import torch

from pydeepexpr.caffe.blob import Memory
from pydeepexpr.caffe.log import log

if TYPE_CHECKING:
    from pydeepexpr.caffe.net import Net

__all__ = ["log_backward", "log_forward", "log_parameters"]


def _mean(memory: Memory) -> float:
    tensor = memory.tensor()
    return float(tensor.abs().sum(dtype=torch.float32)) / max(tensor.numel(), 1)


def _parameter_names(net: "Net", number: int) -> list[str]:
    """Return what Caffe calls a layer's parameters: the names that share them, else their places."""
    layer = net.steps[number].layer
    specs = layer.param.param
    return [specs[i].name if i < len(specs) and specs[i].name else str(i) for i in range(len(layer.blobs))]


def log_forward(net: "Net", number: int) -> None:
    """Log the tops and the parameters of a layer that was just computed."""
    step, layer = net.steps[number], net._layer_names[number]
    for name, blob in zip(net._tops[number], step.tops, strict=True):
        log.info("    [Forward] Layer %s, top blob %s data: %g", layer, name, _mean(blob.data_memory))
    for name, blob in zip(_parameter_names(net, number), step.layer.blobs, strict=True):
        log.info("    [Forward] Layer %s, param blob %s data: %g", layer, name, _mean(blob.data_memory))


def log_backward(net: "Net", number: int) -> None:
    """Log the gradients that a layer just computed."""
    step, layer = net.steps[number], net._layer_names[number]
    for name, blob, need in zip(net._bottoms[number], step.bottoms, step.needs, strict=False):
        if need:
            log.info("    [Backward] Layer %s, bottom blob %s diff: %g", layer, name, _mean(blob.diff_memory))
    needs = step.needs[len(step.bottoms) :]
    for name, blob, need in zip(_parameter_names(net, number), step.layer.blobs, needs, strict=True):
        if need:
            log.info("    [Backward] Layer %s, param blob %s diff: %g", layer, name, _mean(blob.diff_memory))


def log_parameters(net: "Net") -> None:
    """Log the norms of all parameters and of their gradients together."""
    norms = [
        torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(getattr(blob, kind).tensor(), order) for blob, _ in net.learnable]),
            order,
        ).item()
        if net.learnable
        else 0.0
        for order in (1, 2)
        for kind in ("data_memory", "diff_memory")
    ]
    log.error("    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)", *norms)
