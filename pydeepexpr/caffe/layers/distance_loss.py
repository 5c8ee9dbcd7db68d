"""Losses that compare values with values: distances between blobs, and probabilities with their targets."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.layers.base import Layer, layer_function
from pydeepexpr.caffe.layers.loss import check_batch, ignored, normalization, normalizer
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

#: What Caffe's ContrastiveLoss adds to a distance before dividing by it.
_CONTRASTIVE_EPS = 1e-4


@layer_function("EuclideanLoss", bottoms=(2, 2), is_loss=True)
def euclidean_loss(layer: Layer, a: Tensor, b: Tensor) -> Tensor:
    """½ Σ (a − b)², averaged over the batch. Both bottoms get gradients."""
    check_batch(layer, a, b)
    if a.numel() != b.numel():
        raise UserError(f"layer {layer.name!r} (EuclideanLoss) cannot compare {tuple(a.shape)} and {tuple(b.shape)}")
    difference = a.float() - b.float().reshape(a.shape)
    return difference.square().sum() / (2 * len(a))


@layer_function("ContrastiveLoss", bottoms=(3, 3), is_loss=True, constants=(2,))
def contrastive_loss(layer: Layer, a: Tensor, b: Tensor, similar: Tensor) -> Tensor:
    """½ d² of similar pairs (a, b), ½ max(margin − d, 0)² of the others, averaged; d is the Euclidean distance.

    `legacy_version` takes ½ max(margin − d², 0) for the others. The gradient is Caffe's, which divides by d + 1e-4
    and so is finite at d = 0.
    """
    check_batch(layer, a, b, similar)
    if a.dim() < 2 or a.numel() != len(a) * a.shape[1] or b.shape[:2] != a.shape[:2] or b.numel() != a.numel():
        raise UserError(
            f"layer {layer.name!r} (ContrastiveLoss) takes two N×C bottoms, not {tuple(a.shape)} and {tuple(b.shape)}"
        )
    if similar.numel() != len(a):
        raise UserError(
            f"layer {layer.name!r} (ContrastiveLoss) needs one similarity for each of {len(a)} pairs, "
            f"not {similar.numel()}"
        )
    p = layer.param.contrastive_loss_param
    squared = (a.float().flatten(1) - b.float().flatten(1)).square().sum(1)
    similar = similar.reshape(-1).long() != 0
    with torch.no_grad():
        distance = squared.sqrt()
        if p.legacy_version:
            apart = (p.margin - squared).relu()
            pull = -(apart > 0).float()
        else:
            gap = (p.margin - distance).relu()
            apart = gap.square()
            pull = -gap / (distance + _CONTRASTIVE_EPS)
    carrier = squared * pull  # differs from `apart`, but has its gradient
    losses = squared.where(similar, carrier + (apart - carrier).detach())
    return losses.sum() / (2 * len(a))


@layer_function("SigmoidCrossEntropyLoss", bottoms=(2, 2), is_loss=True, no_gradient_to=(1,))
def sigmoid_cross_entropy_loss(layer: Layer, scores: Tensor, targets: Tensor) -> Tensor:
    """−t · log σ(x) − (1 − t) · log(1 − σ(x)), summed and divided by what `normalization` says.

    Unless told that is the batch, unlike SoftmaxWithLoss. Targets that, cut to integers, are `ignore_label` do not
    count.
    """
    check_batch(layer, scores, targets)
    if scores.numel() != targets.numel():
        raise UserError(
            f"layer {layer.name!r} (SigmoidCrossEntropyLoss) has scores {tuple(scores.shape)} "
            f"and targets {tuple(targets.shape)}; it needs a target for each score"
        )
    p = layer.param.loss_param
    targets = targets.float().reshape(scores.shape)
    valid = None if ignored(p) is None else targets.long() != ignored(p)
    losses = F.binary_cross_entropy_with_logits(scores.float(), targets, reduction="none")
    total = (losses if valid is None else losses.where(valid, 0)).sum()
    mode = normalization(p, pb.LossParameter.BATCH_SIZE)
    return total / normalizer(mode, scores.shape, 1, valid)
