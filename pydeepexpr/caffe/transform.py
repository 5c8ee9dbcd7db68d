"""What a data layer does to an image: crop, mirror, subtract the mean, scale (`transform_param`)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.crops import Cut, crops_of
from pydeepexpr.caffe.datum import read_mean
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["Transformer"]


class Transformer:
    """y = (x − mean) · scale on a crop, mirrored or not (Caffe's DataTransformer).

    When training, the crop lies anywhere with equal chance; when testing, in the centre. `mirror` flips one image in
    two, in both phases.

    Raises
    ------
    UserError
        If a mean file and mean values, or colour and grey, are both asked for, or the mean file cannot be read.
    """

    def __init__(self, param: pb.TransformationParameter, phase: int):
        if param.HasField("mean_file") and param.mean_value:
            raise UserError("transform_param has a mean_file and a mean_value; keep the one or the other")
        if param.force_color and param.force_gray:
            raise UserError("transform_param has force_color and force_gray; keep the one or the other")
        self.param = param
        self.phase = phase
        self.crop = param.crop_size
        self._row_of: tuple | None = None
        self.mean_image = read_mean(param.mean_file).transpose(1, 2, 0).copy() if param.HasField("mean_file") else None

    @property
    def decode_flag(self) -> int:
        """How OpenCV is to decode encoded images."""
        if self.param.force_color:
            return cv2.IMREAD_COLOR
        return cv2.IMREAD_GRAYSCALE if self.param.force_gray else cv2.IMREAD_UNCHANGED

    def top_shape(self, image: np.ndarray) -> tuple[int, int, int]:
        """Return C×H×W of what an H×W×C image becomes."""
        self.check(image)
        height, width, channels = image.shape
        return (channels, self.crop, self.crop) if self.crop else (channels, height, width)

    def check(self, image: np.ndarray) -> None:
        """Raise a UserError if an H×W×C image does not suit the parameters."""
        height, width, channels = image.shape
        if self.crop > min(height, width):
            raise UserError(f"crop_size {self.crop} is larger than the image, {width}×{height}")
        if self.mean_image is not None and self.mean_image.shape != image.shape:
            raise UserError(f"the mean file is {self.mean_image.shape} (H, W, C) but the images are {image.shape}")
        if self.param.mean_value and len(self.param.mean_value) not in (1, channels):
            raise UserError(f"transform_param has {len(self.param.mean_value)} mean values for {channels} channels")

    def choose(self, image: np.ndarray, lots: Sequence[float] | int) -> Cut:
        """Return where to cut an H×W×C image: as three lots say, drawn from 0 to below 1, or at a view (`crops_of`)."""
        if isinstance(lots, int):
            return crops_of(image.shape, self.crop, "five")[lots]
        height, width = image.shape[:2]
        spare = (height - self.crop, width - self.crop) if self.crop else (0, 0)
        if self.phase == mode.TRAIN:
            top, left = (int(lot * (room + 1)) for lot, room in zip(lots, spare, strict=False))
        else:
            top, left = (room // 2 for room in spare)
        return Cut(top, left, bool(self.param.mirror and lots[2] < 0.5))

    def cut(self, image: np.ndarray, cut: Cut) -> np.ndarray:
        """Return the crop of an H×W×C image, mirrored if told."""
        height, width = (self.crop, self.crop) if self.crop else image.shape[:2]
        image = image[cut.top : cut.top + height, cut.left : cut.left + width]
        return _mirrored(image) if cut.mirror else image

    def apply(self, image: np.ndarray, lots: Sequence[float] | int) -> np.ndarray:
        """Return the crop of an H×W×C image that the lots choose, less the mean image where there is one."""
        self.check(image)
        cut = self.choose(image, lots)
        pixels = self.cut(image, cut)
        return pixels if self.mean_image is None else pixels - self.cut(self.mean_image, cut)

    def finish(self, pixels: torch.Tensor, means: torch.Tensor | None = None) -> torch.Tensor:
        """Return N×C×H×W float32, channels last in memory, from N×H×W×C pixels and the means cut like them.

        `means` stays out where `apply` has subtracted the mean image.
        """
        changes = means is not None or self.param.mean_value or self.param.scale != 1
        values = pixels.to(torch.float32, copy=bool(changes), memory_format=torch.contiguous_format)
        if means is not None:
            values -= means
        elif self.param.mean_value:
            values.view(*values.shape[:2], -1).sub_(self._mean_row(values))
        if self.param.scale != 1:
            values *= self.param.scale
        return values.permute(0, 3, 1, 2)

    def _mean_row(self, values: torch.Tensor) -> torch.Tensor:
        """Return the mean values of a row of pixels: subtracting rows is three times as fast as single pixels."""
        width, channels = values.shape[2:]
        key = width, channels, values.device
        if self._row_of != key:
            means = torch.tensor(list(self.param.mean_value)).expand(channels)
            self._row_of, self._row = key, means.repeat(width).to(values.device)
        return self._row

    def centre(self, image: np.ndarray) -> np.ndarray:
        """Return C×H×W float32 of one H×W×C image, cut in the centre and not mirrored."""
        self.check(image)
        top, left = np.subtract(image.shape[:2], self.crop or image.shape[:2]) // 2
        pixels, mean = (
            part if part is None else torch.from_numpy(self.cut(part, Cut(top, left, mirror=False))[None].copy())
            for part in (image, self.mean_image)
        )
        return self.finish(pixels, mean)[0].numpy()


def _mirrored(image: np.ndarray) -> np.ndarray:
    """Return an H×W×C image flipped left to right, for few channels by OpenCV, 70 times as fast as a strided copy."""
    return cv2.flip(image, 1).reshape(image.shape) if image.shape[2] <= 4 else image[:, ::-1]
