"""Images for networks, and Caffe's messages from and to arrays (pycaffe's `caffe.io`).

Images are H×W×C float arrays here, RGB in [0, 1] as `load_image` reads them; `Transformer` makes of them what a network
takes.
"""

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pydeepexpr.caffe import datum as datums
from pydeepexpr.caffe.proto import caffe_pb2
from pydeepexpr.caffe.raised import BadValue, UnknownName
from pydeepexpr.errors import UserError

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]


def __getattr__(name: str) -> object:
    """Let scripts take from here what pycaffe's module imports for itself: `resize`, `zoom` and `skimage`."""
    if name == "resize":
        from skimage.transform import resize as found
    elif name == "zoom":
        from scipy.ndimage import zoom as found
    elif name == "skimage":
        import skimage.io
        import skimage.transform

        found = skimage
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def load_image(filename: str | os.PathLike, color: bool = True) -> np.ndarray:
    """Read an image file as an H×W×3 (RGB) or, with ``color=False``, H×W×1 array of float32 in [0, 1].

    Raises
    ------
    UserError
        If the file cannot be read as an image.
    """
    import skimage.io  # here, and SciPy below: every `import caffe` would wait for them

    try:
        image = skimage.io.imread(os.fspath(filename), as_gray=not color)
    except Exception as error:  # each of the readers behind it has errors of its own
        raise UserError(f"cannot read the image {os.fspath(filename)}: {str(error).splitlines()[0]}") from None
    image = skimage.util.img_as_float(image).astype(np.float32)
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
    if not color:
        return image
    return np.tile(image, (1, 1, 3)) if image.shape[2] < 3 else image[:, :, :3]


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """Return an H×W×K image of another height and width, float32.

    Parameters
    ----------
    im : numpy.ndarray
        H×W×K, values of any range.
    new_dims : (int, int)
        Height and width.
    interp_order : int
        Order of the spline: 0 nearest, 1 linear, up to 5. Nothing is smoothed before pixels are left out.
    """
    from scipy.ndimage import zoom
    from skimage.transform import resize

    height, width = (int(size) for size in new_dims)
    if im.shape[-1] not in (1, 3):
        return zoom(im, (height / im.shape[0], width / im.shape[1], 1), order=interp_order).astype(np.float32)
    least, most = im.min(), im.max()
    if least == most:
        return np.full((height, width, im.shape[-1]), least, np.float32)
    span = most - least
    scaled = resize((im - least) / span, (height, width), order=interp_order, mode="constant", anti_aliasing=False)
    return (scaled * span + least).astype(np.float32)


def oversample(images: Iterable[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Return ten crops of each image: the four corners, the centre, and the same mirrored.

    Parameters
    ----------
    images : iterable of numpy.ndarray
        H×W×K, all of one size.
    crop_dims : (int, int)
        Height and width of the crops.

    Returns
    -------
    numpy.ndarray
        10·N×h×w×K, float32: for each image top left, top right, bottom left, bottom right, centre, then these mirrored.

    Raises
    ------
    UserError
        If the crops are larger than the images.
    """
    images = [np.asarray(image) for image in images]
    height, width = (int(size) for size in crop_dims)
    crops = []
    for image in images:
        spare = image.shape[0] - height, image.shape[1] - width
        if min(spare) < 0:
            raise BadValue(f"crops of {height}×{width} do not fit into an image of {image.shape[0]}×{image.shape[1]}")
        corners = [(top, left) for top in (0, spare[0]) for left in (0, spare[1])]
        centre = int(image.shape[0] / 2 - height / 2), int(image.shape[1] / 2 - width / 2)
        five = [image[top : top + height, left : left + width] for top, left in (*corners, centre)]
        crops += five + [crop[:, ::-1] for crop in five]
    return np.array(crops, np.float32)


class Transformer:
    """Makes images fit for a network's input, and back.

    In this order: resize to the input's height and width, `transpose`, `channel_swap`, times `raw_scale`, minus `mean`,
    times `input_scale`; each only where it was set.

    Parameters
    ----------
    inputs : mapping of str to sequence of int
        Shapes of the net's inputs, N×C×H×W, by name.

    Raises
    ------
    UserError
        From every method, if the input is not among them.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]):
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise UnknownName(f"{in_!r} is not one of the net's inputs: {', '.join(self.inputs)}")
        return self.inputs[in_]

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Return an H×W×C image as float32 ready for the input `in_`, C×H×W with the usual transpose."""
        size = self._shape(in_)[2:]
        values = np.array(data, np.float32)
        if values.shape[:2] != size:
            values = resize_image(values, size)
        if in_ in self.transpose:
            values = values.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            values = values[list(self.channel_swap[in_])]
        if in_ in self.raw_scale:
            values *= self.raw_scale[in_]
        if in_ in self.mean:
            values -= self.mean[in_]
        if in_ in self.input_scale:
            values *= self.input_scale[in_]
        return values

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Return what `preprocess` made as an image again, of the input's size."""
        self._shape(in_)
        values = np.array(data).squeeze()
        dtype = np.result_type(values, np.float32)
        if in_ in self.input_scale:
            values = values / self.input_scale[in_]
        if in_ in self.mean:
            values = values + self.mean[in_]
        if in_ in self.raw_scale:
            values = values / self.raw_scale[in_]
        if in_ in self.channel_swap:
            values = values[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return values.astype(dtype, copy=False)

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Order an image's axes: ``(2, 0, 1)`` makes C×H×W of H×W×C."""
        axes = len(self._shape(in_)) - 1
        if sorted(order) != list(range(axes)):
            raise BadValue(f"the transpose order of {in_!r} needs its {axes} axes once each, not {tuple(order)}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Order the channels: ``(2, 1, 0)`` makes BGR of RGB. After the transpose."""
        channels = self._shape(in_)[1]
        if sorted(order) != list(range(channels)):
            raise BadValue(f"the channel order of {in_!r} needs its {channels} channels once each, not {tuple(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Multiply by `scale` before the mean is subtracted: 255 for networks trained on pixels of 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Subtract a mean: one value for each channel, or an image of the input's C×H×W."""
        channels, *size = self._shape(in_)[1:]
        mean = np.asarray(mean)
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim == 2:
            mean = mean[np.newaxis]
        if mean.shape not in ((channels, 1, 1), (channels, *size)):
            raise BadValue(
                f"the mean of {in_!r} needs one value for each of its {channels} channels, or the input's shape "
                f"{(channels, *size)}; it is {mean.shape}: take its mean over height and width, or resize it"
            )
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Multiply by `scale` after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """Return a BlobProto's data, or its diff, as a float64 array of its shape, old four-dimensional ones included.

    Raises
    ------
    UserError
        If the values do not fill the shape.
    """
    try:
        return datums.blobproto_to_array(blob, diff=return_diff, what="the BlobProto").astype(np.float64)
    except UserError as error:
        raise BadValue(str(error)) from None


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """Return a BlobProto of an array's shape and float32 values, and of its diff where given."""
    return datums.array_to_blobproto(np.asarray(arr), diff)


def arraylist_to_blobprotovector_str(arraylist: Iterable[np.ndarray]) -> bytes:
    """Return arrays as the bytes of a BlobProtoVector."""
    return caffe_pb2.BlobProtoVector(blobs=[array_to_blobproto(array) for array in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """Return the arrays of a serialized BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe_pb2.BlobProtoVector.FromString(str).blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """Return a Datum of a C×H×W array: bytes for uint8, floats for any other type.

    Raises
    ------
    UserError
        If the array has not three axes.
    """
    if arr.ndim != 3:
        raise BadValue(f"a Datum holds an array of three axes, C×H×W, not {arr.shape}")
    channels, height, width = arr.shape
    datum = caffe_pb2.Datum(channels=channels, height=height, width=width, label=label)
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """Return a Datum's values as C×H×W: uint8 where it holds bytes, float64 where it holds floats.

    An encoded image is decoded, in BGR order.

    Raises
    ------
    UserError
        If the values do not fill C×H×W, or an encoded image does not decode.
    """
    image = datums.datum_to_image(datum).transpose(2, 0, 1)
    return np.array(image, np.uint8 if image.dtype == np.uint8 else np.float64, order="C")
