"""The commands of `python -m pydeepexpr.caffe`, in the order in which its help lists them."""

# isort: off
from pydeepexpr.caffe.commands import train, test, time, device_query  # noqa: F401
from pydeepexpr.caffe.commands import compute_image_mean, convert_imageset, extract_features, upgrade, run  # noqa: F401

# isort: on
from pydeepexpr.caffe.commands.registry import COMMANDS

__all__ = ["COMMANDS"]
