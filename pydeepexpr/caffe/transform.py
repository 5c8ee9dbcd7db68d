"""What a data layer does to an image: crop, mirror, subtract the mean, scale (`transform_param`)."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from pydeepexpr.caffe import mode
from pydeepexpr.caffe.datum import read_mean
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError

__all__ = ["Cut", "Transformer"]


@dataclass(frozen=True)
class Cut:
    """Where an image is cropped (offsets in pixels) and whether it is mirrored."""

    top: int
    left: int
    mirror: bool


class Transformer:
    """y = (x − mean) · scale on a crop, mirrored or not (Caffe's DataTransformer).

    When training, the crop lies anywhere with equal chance; when testing, in the centre. `mirror` flips one image in
    two, in both phases.

    Raises
    ------
    UserError
        If a mean file and mean values are both given, or the mean file cannot be read.
    """

    def __init__(self, param: pb.TransformationParameter, phase: int):
        if param.HasField("mean_file") and param.mean_value:
            raise UserError("transform_param has a mean_file and a mean_value; keep the one or the other")
        self.param = param
        self.phase = phase
        self.mean_image = read_mean(param.mean_file).transpose(1, 2, 0) if param.HasField("mean_file") else None

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
        crop = self.param.crop_size
        return (channels, crop, crop) if crop else (channels, height, width)

    def check(self, image: np.ndarray) -> None:
        """Raise a UserError if an H×W×C image does not suit the parameters."""
        height, width, channels = image.shape
        crop = self.param.crop_size
        if crop > min(height, width):
            raise UserError(f"crop_size {crop} is larger than the image, {width}×{height}")
        if self.mean_image is not None and self.mean_image.shape != image.shape:
            raise UserError(f"the mean file is {self.mean_image.shape} (H, W, C) but the images are {image.shape}")
        if self.param.mean_value and len(self.param.mean_value) not in (1, channels):
            raise UserError(f"transform_param has {len(self.param.mean_value)} mean values for {channels} channels")

    def choose(self, image: np.ndarray, rng: np.random.Generator) -> Cut:
        """Return where to cut an H×W×C image."""
        spare = np.subtract(image.shape[:2], self.param.crop_size or image.shape[:2])
        if self.phase == mode.TRAIN and self.param.crop_size:
            top, left = rng.integers(0, spare + 1)
        else:
            top, left = spare // 2
        return Cut(int(top), int(left), bool(self.param.mirror and rng.integers(2)))

    def cut(self, image: np.ndarray, cut: Cut) -> np.ndarray:
        """Return the crop of an H×W×C image, mirrored if told."""
        height, width = (self.param.crop_size,) * 2 if self.param.crop_size else image.shape[:2]
        image = image[cut.top : cut.top + height, cut.left : cut.left + width]
        return image[:, ::-1] if cut.mirror else image

    def finish(self, pixels: torch.Tensor, means: torch.Tensor | None) -> torch.Tensor:
        """Return N×C×H×W float32, channels last in memory, from N×H×W×C pixels and the means cut like them."""
        values = pixels.to(torch.float32, copy=True)
        if means is not None:
            values -= means
        elif self.param.mean_value:
            values -= torch.tensor(list(self.param.mean_value), device=values.device)
        if self.param.scale != 1:
            values *= self.param.scale
        return values.permute(0, 3, 1, 2)

    def centre(self, image: np.ndarray) -> np.ndarray:
        """Return C×H×W float32 of one H×W×C image, cut in the centre and not mirrored."""
        self.check(image)
        side = self.param.crop_size
        top, left = np.subtract(image.shape[:2], side or image.shape[:2]) // 2
        pixels, mean = (
            part if part is None else torch.from_numpy(self.cut(part, Cut(top, left, mirror=False))[None].copy())
            for part in (image, self.mean_image)
        )
        return self.finish(pixels, mean)[0].numpy()
