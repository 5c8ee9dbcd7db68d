"""Classifier: a network that labels images (pycaffe's `caffe.Classifier`)."""

import os
from collections.abc import Sequence

import numpy as np

from pydeepexpr.caffe import io
from pydeepexpr.caffe.mode import TEST
from pydeepexpr.caffe.net import Net
from pydeepexpr.errors import UserError

__all__ = ["Classifier", "image_transformer"]


class Classifier(Net):
    """A network for the phase TEST with what its images need first.

    Parameters
    ----------
    model_file, pretrained_file : path-like
        Prototxt and `.caffemodel`.
    image_dims : (int, int), optional
        Height and width that images are scaled to before they are cropped; the network's own unless told.
    mean, input_scale, raw_scale, channel_swap : optional
        See `io.Transformer`.
    """

    def __init__(
        self,
        model_file: str | os.PathLike,
        pretrained_file: str | os.PathLike,
        image_dims: Sequence[int] | None = None,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if image_dims is None else image_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Return the first output for each image, an N×classes array.

        Parameters
        ----------
        inputs : sequence of numpy.ndarray
            H×W×K images, as `io.load_image` reads them.
        oversample : bool
            Whether to average over ten crops of each (corners, centre, mirrored) or to take the centre alone.
        """
        images = np.array([io.resize_image(image, self.image_dims) for image in inputs])
        if len(images) == 0:
            raise UserError("predict was given no image")
        crops = io.oversample(images, self.crop_dims) if oversample else self._centre(images)
        in_ = self.inputs[0]
        batch = np.array([self.transformer.preprocess(in_, crop) for crop in crops])
        predictions = self.forward_all(**{in_: batch})[self.outputs[0]]
        return predictions.reshape(len(images), 10, -1).mean(1) if oversample else predictions

    def _centre(self, images: np.ndarray) -> np.ndarray:
        height, width = self.crop_dims
        top, left = (int(size / 2 - crop / 2) for size, crop in zip(self.image_dims, self.crop_dims, strict=True))
        return images[:, top : top + height, left : left + width]


def image_transformer(
    net: Net,
    mean: np.ndarray | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> io.Transformer:
    """Return a transformer from H×W×C images to a net's first input, with what is given set."""
    if not net.inputs:
        raise UserError("the network has no input to put images in; give a deploy prototxt")
    in_ = net.inputs[0]
    transformer = io.Transformer({in_: net.blobs[in_].shape})
    transformer.set_transpose(in_, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(in_, mean)
    if input_scale is not None:
        transformer.set_input_scale(in_, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(in_, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(in_, channel_swap)
    return transformer
