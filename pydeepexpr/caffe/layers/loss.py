"""Losses and accuracy of scores against labels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from pydeepexpr.caffe.datum import blobproto_to_array
from pydeepexpr.caffe.layers.base import Layer, Shape, canonical_axis, layer, layer_function
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_message
from pydeepexpr.errors import UserError

#: Caffe's least probability: in SoftmaxWithLoss the smallest normal float32, in the other losses 1e-20.
_LEAST_SOFTMAX, _LEAST = torch.finfo(torch.float32).tiny, 1e-20


class _AtLeast(torch.autograd.Function):
    """max(x, least) with the gradient of x: Caffe bounds the values of losses, not their gradients."""

    @staticmethod
    def forward(ctx, x, least):
        return x.clamp(min=least)

    @staticmethod
    def backward(ctx, dy):
        return dy, None


def check_batch(layer: Layer, *bottoms: Tensor) -> None:
    """Raise unless all bottoms have a first axis, and of one size."""
    shapes = [tuple(bottom.shape) for bottom in bottoms]
    if () in shapes or len({shape[0] for shape in shapes}) > 1:
        raise UserError(f"layer {layer.name!r} ({layer.type}) needs bottoms of one batch size, not {shapes}")


def normalizer(mode: int, shape: Shape, axis: int, valid: Tensor | None) -> Tensor | int:
    """Return what a loss is divided by, at least 1.

    Parameters
    ----------
    mode : LossParameter.NormalizationMode
        ``VALID`` counts what is not ignored, ``FULL`` everything, ``BATCH_SIZE`` the axes before `axis`, ``NONE`` 1.
    shape : tuple of int
        The labels' shape.
    axis : int
        The classes' axis.
    valid : bool tensor, optional
        What is not ignored; None is everything.
    """
    if mode == pb.LossParameter.VALID and valid is not None:
        return valid.sum().clamp(min=1)
    if mode in (pb.LossParameter.VALID, pb.LossParameter.FULL):
        return max(math.prod(shape), 1)
    return max(math.prod(shape[:axis]), 1) if mode == pb.LossParameter.BATCH_SIZE else 1


def normalization(p: pb.LossParameter, default: int) -> int:
    """Return the mode that `normalization`, or the older switch `normalize`, asks for."""
    if p.HasField("normalization"):
        return p.normalization
    if p.HasField("normalize"):
        return pb.LossParameter.VALID if p.normalize else pb.LossParameter.BATCH_SIZE
    return default


def ignored(p: pb.LossParameter | pb.AccuracyParameter) -> int | None:
    """Return the label that does not count, if there is one."""
    return p.ignore_label if p.HasField("ignore_label") else None


def _labels(
    layer: Layer, scores: Tensor, labels: Tensor, axis: int, ignore: int | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return the labels as integers, shaped like the scores with `axis` of size 1, and which of them count.

    Labels to ignore become 0. Where all count, the second is None. On the CPU a label beyond the scores is an error;
    on CUDA, PyTorch's own check speaks, without a wait for the device.
    """
    shape = (*scores.shape[:axis], 1, *scores.shape[axis + 1 :])
    classes = scores.shape[axis]
    if labels.numel() != math.prod(shape):
        raise UserError(
            f"layer {layer.name!r} ({layer.type}) has scores {tuple(scores.shape)} and {labels.numel()} labels; "
            f"it needs one label for each of {math.prod(shape)}"
        )
    if layer.is_loss:
        check_batch(layer, scores, labels)
    labels = labels.reshape(shape).long()
    valid = None
    if ignore is not None:
        valid = labels != ignore
        labels = labels.where(valid, 0)
    if labels.device.type == "cpu" and labels.numel():
        least, most = (int(value) for value in labels.aminmax())
        if least < 0 or most >= classes:
            raise UserError(
                f"layer {layer.name!r} ({layer.type}) has {classes} classes but meets the labels "
                f"{least} to {most}; labels count from 0"
            )
    return labels, valid


def _rows(layer: Layer, scores: Tensor) -> Tensor:
    """Return the scores in float32, all of a sample's along one axis."""
    check_batch(layer, scores)
    return scores.float().reshape(len(scores), math.prod(scores.shape[1:]))


def _total(losses: Tensor, valid: Tensor | None) -> Tensor:
    return (losses if valid is None else losses.where(valid, 0)).sum()


@layer_function("SoftmaxWithLoss", bottoms=(2, 2), tops=(1, 2), is_loss=True, no_gradient_to=(1,))
def softmax_with_loss(layer: Layer, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """−log softmax of the labelled class, summed and divided by what `normalization` says; optionally the softmax."""
    p = layer.param.loss_param
    axis = canonical_axis(layer.param.softmax_param.axis, scores.dim())
    labels, valid = _labels(layer, scores, labels, axis, ignored(p))
    log_prob = torch.log_softmax(scores.float(), axis)
    losses = -_AtLeast.apply(log_prob.gather(axis, labels), math.log(_LEAST_SOFTMAX))
    mode = normalization(p, pb.LossParameter.VALID)
    top = _total(losses, valid) / normalizer(mode, labels.shape, axis, valid)
    return (top, log_prob.detach().exp()) if len(layer.param.top) > 1 else top


@layer("InfogainLoss")
class InfogainLoss(Layer):
    """−Σ H[label, k] · log softmax of class k, summed and divided by what `normalization` says; optionally the softmax.

    The classes' infogain matrix H is the third bottom, or in the file `source`, a BlobProto.
    """

    bottoms, tops, is_loss, no_gradient_to = (2, 3), (1, 2), True, (1, 2)

    def setup(self, *bottoms: Shape) -> None:
        p = self.param.infogain_loss_param
        if self.param.loss_param.HasField("normalize"):
            raise UserError(f"layer {self.name!r} (InfogainLoss) has normalize; say normalization instead")
        self._stored: tuple[Tensor, ...] = ()
        if len(bottoms) < 3:
            if not p.source:
                raise UserError(f"layer {self.name!r} (InfogainLoss) needs its matrix: a source, or a third bottom")
            what = f"infogain matrix of layer {self.name!r}"
            matrix = blobproto_to_array(read_message(p.source, pb.BlobProto(), what), what=f"the {what}")
            self._stored = (torch.from_numpy(matrix),)

    def forward(self, scores: Tensor, labels: Tensor, *matrix: Tensor) -> tuple[Tensor, ...]:
        p = self.param.loss_param
        axis = canonical_axis(self.param.infogain_loss_param.axis, scores.dim())
        labels, valid = _labels(self, scores, labels, axis, ignored(p))
        classes = scores.shape[axis]
        (gains,) = matrix or self._stored
        if gains.numel() != classes**2:
            raise UserError(
                f"layer {self.name!r} (InfogainLoss) needs an infogain matrix of {classes}×{classes} values for its "
                f"{classes} classes, not {tuple(gains.shape)}"
            )
        gains = F.embedding(labels.movedim(axis, -1).squeeze(-1), gains.to(scores.device).reshape(classes, classes))
        log_prob = torch.log_softmax(scores.float(), axis)
        losses = -gains.movedim(-1, axis) * _AtLeast.apply(log_prob, math.log(_LEAST))
        top = _total(losses, valid) / normalizer(p.normalization, labels.shape, axis, valid)
        return (top, log_prob.detach().exp())[: max(len(self.param.top), 1)]


@layer_function("MultinomialLogisticLoss", bottoms=(2, 2), is_loss=True, no_gradient_to=(1,))
def multinomial_logistic_loss(layer: Layer, probabilities: Tensor, labels: Tensor) -> Tensor:
    """−log of the labelled class's probability, averaged over the batch."""
    rows = _rows(layer, probabilities)
    labels, _ = _labels(layer, rows, labels, 1)
    return -_AtLeast.apply(rows.gather(1, labels), _LEAST).log().sum() / len(rows)


@layer_function("HingeLoss", bottoms=(2, 2), is_loss=True, no_gradient_to=(1,))
def hinge_loss(layer: Layer, scores: Tensor, labels: Tensor) -> Tensor:
    """max(0, 1 − t · score), or its square (L2), summed over classes and averaged over the batch.

    t is 1 for the labelled class and −1 for the others.
    """
    rows = _rows(layer, scores)
    labels, _ = _labels(layer, rows, labels, 1)
    margins = (1 + rows * torch.ones_like(rows).scatter_(1, labels, -1)).relu()
    if layer.param.hinge_loss_param.norm == pb.HingeLossParameter.L2:
        margins = margins.square()
    return margins.sum() / len(rows)


@layer_function("Accuracy", bottoms=(2, 2), tops=(1, 2), no_gradient_to=(0, 1))
def accuracy(layer: Layer, scores: Tensor, labels: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    """Share of samples with fewer than `top_k` other classes scoring at least as high; second top: by class."""
    p = layer.param.accuracy_param
    axis = canonical_axis(p.axis, scores.dim())
    classes = scores.shape[axis]
    if p.top_k > classes:
        raise UserError(f"layer {layer.name!r} (Accuracy) has the top_k {p.top_k} but only {classes} classes")
    labels, valid = _labels(layer, scores, labels, axis, ignored(p))
    better = (scores >= scores.gather(axis, labels)).sum(axis, keepdim=True) - 1
    hit = better < p.top_k
    counted = torch.ones_like(hit) if valid is None else valid
    hit = hit & counted
    overall = hit.sum() / counted.sum().clamp(min=1).float()
    if len(layer.param.top) == 1:
        return overall
    of_class = (labels.reshape(-1, 1) == torch.arange(classes, device=labels.device)) & counted.reshape(-1, 1)
    hits = (of_class & hit.reshape(-1, 1)).sum(0)
    return overall, hits / of_class.sum(0).clamp(min=1).float()
