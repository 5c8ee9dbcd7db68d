"""Losses and accuracy."""

import torch
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, canonical_axis, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

#: −log of the smallest normal float32: Caffe's largest loss of one sample.
_WORST = 87.33654


def _labels(layer, scores, labels, axis):
    """Return the labels as integers, shaped like the scores with `axis` of size 1."""
    shape = list(scores.shape)
    shape[axis] = 1
    if labels.numel() != torch.Size(shape).numel():
        raise UserError(
            f"layer {layer.name!r} ({layer.type}) has scores {tuple(scores.shape)} and {labels.numel()} labels; "
            f"it needs one label for each of {torch.Size(shape).numel()}"
        )
    return labels.reshape(shape).long()


def _check_range(layer, labels, valid, classes):
    """Say which label has no score. On CUDA, PyTorch's own check speaks, without a wait for the device."""
    if labels.device.type == "cpu" and valid.any():
        used = labels[valid]
        if used.min() < 0 or used.max() >= classes:
            raise UserError(
                f"layer {layer.name!r} ({layer.type}) has {classes} classes but meets the labels "
                f"{int(used.min())} to {int(used.max())}; labels count from 0"
            )


@layer_function("SoftmaxWithLoss", bottoms=(2, 3), tops=(1, 2), is_loss=True, no_gradient_to=(1,))
def softmax_with_loss(layer: Layer, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """−log softmax of the labelled class, summed and divided by what `normalization` says; optionally the softmax."""
    p = layer.param.loss_param
    axis = canonical_axis(layer.param.softmax_param.axis, scores.dim())
    labels = _labels(layer, scores, labels, axis)
    valid = labels != p.ignore_label if p.HasField("ignore_label") else torch.ones_like(labels, dtype=torch.bool)
    _check_range(layer, labels, valid, scores.shape[axis])
    log_prob = torch.log_softmax(scores.float(), axis)
    loss = -log_prob.gather(axis, labels.where(valid, torch.zeros_like(labels)))
    loss = loss + (loss.clamp(max=_WORST) - loss).detach()  # the value is bounded, the gradient is not cut
    normalizer = _normalizer(p, labels, valid, axis)
    top = (loss * valid).sum() / normalizer
    return (top, log_prob.exp().detach()) if len(layer.param.top) > 1 else top


def _normalizer(p, labels, valid, axis):
    mode = p.normalization
    if not p.HasField("normalization") and p.HasField("normalize"):  # the older switch
        mode = pb.LossParameter.VALID if p.normalize else pb.LossParameter.BATCH_SIZE
    if mode == pb.LossParameter.VALID:
        return valid.sum().clamp(min=1)
    if mode == pb.LossParameter.FULL:
        return max(labels.numel(), 1)
    if mode == pb.LossParameter.BATCH_SIZE:
        return max(torch.Size(labels.shape[:axis]).numel(), 1)
    return 1


@layer_function("Accuracy", bottoms=(2, 2), tops=(1, 2), no_gradient_to=(0, 1))
def accuracy(layer: Layer, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Share of samples with fewer than `top_k` other classes scoring at least as high; second top: by class."""
    p = layer.param.accuracy_param
    axis = canonical_axis(p.axis, scores.dim())
    labels = _labels(layer, scores, labels, axis)
    valid = labels != p.ignore_label if p.HasField("ignore_label") else torch.ones_like(labels, dtype=torch.bool)
    _check_range(layer, labels, valid, scores.shape[axis])
    labels = labels.where(valid, torch.zeros_like(labels))
    better = (scores >= scores.gather(axis, labels)).sum(axis, keepdim=True) - 1
    hit = (better < p.top_k) & valid
    overall = hit.sum() / valid.sum().clamp(min=1).float()
    if len(layer.param.top) == 1:
        return overall
    classes = torch.arange(scores.shape[axis], device=labels.device)
    of_class = (labels.reshape(-1, 1) == classes) & valid.reshape(-1, 1)
    hits = (of_class & hit.reshape(-1, 1)).sum(0)
    return overall, hits / of_class.sum(0).clamp(min=1).float()
