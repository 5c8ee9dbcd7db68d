"""Detector: a network that labels windows of images, as R-CNN does (pycaffe's `caffe.Detector`)."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from pydeepexpr.caffe import io
from pydeepexpr.caffe.classifier import image_transformer
from pydeepexpr.caffe.mode import TEST
from pydeepexpr.caffe.net import Net
from pydeepexpr.caffe.raised import BadValue
from pydeepexpr.errors import UserError

__all__ = ["Detector"]

Path = str | os.PathLike
Window = Sequence[float]


class Detector(Net):
    """A network for the phase TEST that scores windows, each warped to the network's input.

    A window is (ymin, xmin, ymax, xmax) in pixels, the last row and column not included; it ends where the image does.

    Parameters
    ----------
    model_file, pretrained_file : path-like
        Prototxt and `.caffemodel`.
    mean, input_scale, raw_scale, channel_swap : optional
        See `io.Transformer`.
    context_pad : int, optional
        Pixels of the warped window, on each side, that show what surrounds it; the mean where the image ends.
    """

    def __init__(
        self,
        model_file: Path,
        pretrained_file: Path,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ):
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = image_transformer(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set how much context a warped window has, and the mean to fill it up with, in the image's own values."""
        in_ = self.inputs[0]
        back = np.argsort(self.transformer.transpose[in_])
        self.crop_dims = np.array(self.blobs[in_].shape[1:])[back]
        self.context_pad = context_pad
        if context_pad and 2 * context_pad >= self.crop_dims[0]:
            raise BadValue(f"a context_pad of {context_pad} leaves nothing of an input of {self.crop_dims[0]} pixels")
        mean = self.transformer.mean.get(in_)
        if mean is None:
            self.crop_mean = np.zeros(self.crop_dims, np.float32)
            return
        mean = np.transpose(mean, back)
        if in_ in self.transformer.channel_swap:
            mean = mean[:, :, np.argsort(self.transformer.channel_swap[in_])]
        self.crop_mean = mean / self.transformer.raw_scale.get(in_, 1)

    def detect_windows(self, images_windows: Iterable[tuple[Path, Iterable[Window]]]) -> list[dict]:
        """Return the scores of windows in images.

        Parameters
        ----------
        images_windows : iterable of (path-like, iterable of windows)

        Returns
        -------
        list of dict
            One for each window, in the order given: `window`, `prediction` (the first output), `filename`.
        """
        found = []
        crops = []
        for filename, windows in images_windows:
            image = io.load_image(filename)
            for window in windows:
                found.append({"window": window, "filename": filename})
                crops.append(self.crop(image, window))
        if not crops:
            return []
        in_ = self.inputs[0]
        batch = np.array([self.transformer.preprocess(in_, crop) for crop in crops])
        for detection, prediction in zip(found, self.forward_all(**{in_: batch})[self.outputs[0]], strict=True):
            detection["prediction"] = prediction
        return found

    def detect_selective_search(self, image_fnames: Iterable[Path]) -> list[dict]:
        """Return the scores of the windows that Selective Search proposes (see `detect_windows`).

        Raises
        ------
        UserError
            If its Python module is not there; it runs the authors' MATLAB program.
        """
        try:
            import selective_search_ijcv_with_python as selective_search
        except ImportError:
            raise UserError(
                "detect_selective_search needs the module selective_search_ijcv_with_python, which runs MATLAB; "
                "put it on PYTHONPATH, or give windows of your own to detect_windows"
            ) from None
        paths = [os.path.abspath(name) for name in image_fnames]
        return self.detect_windows(
            list(zip(paths, selective_search.get_windows(paths, cmd="selective_search_rcnn"), strict=True))
        )

    def crop(self, im: np.ndarray, window: Window) -> np.ndarray:
        """Return a window of an H×W×K image; with `context_pad`, warped to the input's size with its surroundings."""
        top, left, bottom, right = (int(edge) for edge in window)
        if not (0 <= top < min(bottom, im.shape[0]) and 0 <= left < min(right, im.shape[1])):
            raise BadValue(f"the window {tuple(window)} does not lie in an image of {im.shape[0]}×{im.shape[1]}")
        if not self.context_pad:
            return im[top:bottom, left:right]
        size = self.blobs[self.inputs[0]].shape[3]
        rows, columns = (
            _with_context(*edges, length, size, self.context_pad)
            for edges, length in (((top, bottom), im.shape[0]), ((left, right), im.shape[1]))
        )
        seen = im[rows.start : rows.stop, columns.start : columns.stop]
        crop = np.ones(self.crop_dims, np.float32) * self.crop_mean.astype(np.float32)
        crop[rows.place : rows.place + rows.size, columns.place : columns.place + columns.size] = io.resize_image(
            seen, (rows.size, columns.size)
        )
        return crop


class _Span(NamedTuple):
    """Along one axis: the pixels to take from the image, and where and how long they are in the warped window."""

    start: int
    stop: int
    place: int
    size: int


def _with_context(first: int, last: int, length: int, size: int, pad: int) -> _Span:
    """Return the span of a window's edges with its context, in an image of `length` pixels (R-CNN's warping)."""
    scale = size / (size - 2 * pad)
    half = (last - first + 1) / 2
    start, stop = round(first + half - scale * half), round(first + half + scale * half)
    warped = size / (stop - start + 1)
    place = round(max(0, -start) * warped)
    start, stop = max(start, 0), min(stop, length)
    return _Span(start, stop, place, min(round((stop - start + 1) * warped), size - place))
