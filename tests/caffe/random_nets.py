"""Nets drawn by chance from the rules of their layers, and damages to them."""

import random
import re

import cv2
import h5py
import lmdb
import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from pydeepexpr import caffe
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from tests.caffe.conftest import raw_datum
from tests.caffe.layer_rules import ROWS, Refused, X
from tests.caffe.layer_rules_more import SOURCES

__all__ = ["Chance", "RandomNet", "change_field", "change_words", "values_of", "write_sources"]

LEARNING = ("Convolution", "Deconvolution", "Embed", "InnerProduct", "LSTM", "PReLU", "Parameter", "RNN")
NOT_IN_PLACE = ("Flatten", "Reshape", "Split")


class Chance(random.Random):
    """What a row draws from: mostly what suits, so that nets grow long, and now and then what does not.

    Attributes
    ----------
    kind : str
        The layer's type.
    """

    kind = ""

    def yes(self):
        return self.random() < 0.5

    def odd(self):
        return self.random() < 0.15

    def often(self, *options):
        """Draw one of the options, the last one seldom; a function among them draws further."""
        chosen = options[-1] if self.random() < 0.1 else self.choice(options[:-1])
        return chosen() if callable(chosen) else chosen

    def some(self, **options):
        """Draw a value for some of the fields."""
        return {name: self.choice(values) for name, values in options.items() if self.yes()}

    def several(self, options, count):
        """Draw values, the same more than once perhaps."""
        return self.choices(options, k=count)

    def axes(self, x):
        """Return axes to draw from, most of which `x` has."""
        return [*range(-len(x), len(x))] * 4 + [len(x), -len(x) - 1]

    def shape(self):
        return tuple(self.randint(1, 5) for _ in range(self.choice((4, 4, 4, 2, 2, 3, 3, 1, 0, 5))))

    def resized(self, x, axis):
        """Draw another size for one axis of `x`."""
        other = list(x)
        if -len(x) <= axis < len(x):
            other[axis] = self.randint(1, 3)
        return tuple(other)

    def labels(self, x, axis):
        """Draw the shape of labels for scores of shape `x` whose classes lie along `axis`."""
        if not -len(x) <= axis < len(x):
            return self.shape()
        axis %= len(x)
        return self.often(x[:axis] + x[axis + 1 :], (*x[:axis], 1, *x[axis + 1 :]), self.shape)


class RandomNet:
    """A net of up to so many layers of some kinds, drawn from a seed; of one in four the last is to be refused.

    Attributes
    ----------
    param : NetParameter
    phase : int
    inputs : dict of str to object
        The kind of values of each input.
    shapes : dict of str to tuple
        What each blob's shape has to be; None in the place of a size that follows from the values.
    refused : str, optional
        The layer that no shapes fit. It is the last.
    """

    def __init__(self, seed, layers, kinds=tuple(ROWS)):
        self.chance = d = Chance(seed)
        self.param = pb.NetParameter(force_backward=d.yes())
        self.phase = d.choice([caffe.TRAIN, caffe.TEST])
        self.inputs, self.shapes, self.refused = {}, {}, None
        ends_refused = d.random() < 0.25
        for kind in d.choices(kinds, k=layers):
            for _ in range(8):
                if self.refused or self.add_layer(kind, ends_refused):
                    break

    def add_input(self, kind, shape):
        name = f"in{len(self.inputs)}"
        self.param.layer.add(name=name, type="Input", top=[name], input_param={"shape": [{"dim": shape}]})
        self.inputs[name], self.shapes[name] = kind, shape
        return name

    def add_layer(self, kind, ends_refused):
        """Add a layer on some blob, or on a new one; return whether it suits."""
        d, name = self.chance, f"layer{len(self.param.layer)}"
        d.kind = kind
        bottom = d.choice(["", *[blob for blob, shape in self.shapes.items() if None not in shape][-3:]])
        x = self.shapes[bottom] if bottom else d.shape()
        rules = ROWS[kind](d, x)
        fields, bottoms, *count = next(rules)
        shapes = shapes_by(rules)
        tops = [f"{name}_{k}" for k in range(count[0] if count else 1)]
        if kind == "HDF5Data":  # its datasets'
            tops = ["data", "label"][: len(tops)]
        if X in bottoms[:1] and tops and kind != "Filter" and self.may_change(bottom) and d.yes():
            tops[0] = bottom
            shapes = shapes if shapes and shapes[0] == x and kind not in NOT_IN_PLACE else None
        if (shapes is None and not ends_refused) or (kind == "HDF5Data" and "data" in self.shapes):
            return False
        given = [("numbers", x) if which == X else which for which in bottoms]
        bottoms = [bottom if bottom and b == X else self.add_input(*new) for b, new in zip(bottoms, given, strict=True)]
        layer = self.param.layer.add(name=name, type=kind, bottom=bottoms, top=tops, **fields)
        layer.loss_weight.extend([0.5] * len(tops) * d.odd())
        layer.propagate_down.extend(([d.yes()] + [False] * (len(bottoms) - 1)) * d.odd() * bool(bottoms))
        layer.param.extend([pb.ParamSpec(lr_mult=d.randint(0, 1))] * (kind in LEARNING and d.yes()))
        if shapes is None:
            self.refused = name
        else:
            self.shapes.update(zip(tops, shapes, strict=True))
        return True

    def may_change(self, blob):
        """Whether a layer may work in place on the blob: nothing uses what it holds last, or shares its memory."""
        users = [layer for layer in self.param.layer if blob in [*layer.bottom, *layer.top]]
        return bool(users) and blob in users[-1].top and not users[-1].loss_weight and users[-1].type != "Split"


def shapes_by(rules):
    try:
        return next(rules)
    except Refused:
        return None


def values_of(kind, shape, rng):
    """Return an input's values: (`labels`, n) below n, `flags` 0 or 1, `shares` from 0 to 1, any other `numbers`."""
    if isinstance(kind, tuple):
        return rng.integers(kind[1], size=shape)
    if kind == "flags":
        return rng.integers(2, size=shape)
    return rng.random(shape) if kind == "shares" else rng.normal(size=shape)


def write_sources(folder):
    """Write a database, lists of images and windows, and an HDF5 file, of which random layers read."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 6, 3), np.uint8) for _ in range(3)]
    with lmdb.open(str(folder / "lmdb"), map_size=1 << 20) as env, env.begin(write=True) as transaction:
        for k, image in enumerate(images):
            transaction.put(str(k).encode(), raw_datum(image, k).SerializeToString())
    for k, image in enumerate(images):
        cv2.imwrite(str(folder / f"{k}.png"), image)
    (folder / "images.txt").write_text("".join(f"{folder}/{k}.png {k}\n" for k in range(3)))
    (folder / "windows.txt").write_text(f"# 0 {folder}/0.png 3 8 6 2 1 0.9 1 1 4 5 0 0.1 0 0 5 7")
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"], file["label"] = rng.normal(size=(5, 2, 3)), np.arange(5)
    (folder / "rows.txt").write_text(f"{folder}/rows.h5")
    files = ("lmdb", "images.txt", "rows.txt", "written.h5", "windows.txt")
    SOURCES.update(zip(SOURCES, (str(folder / file) for file in files), strict=True))


WORDS = ("0", "-1", "1", "3", "4294967296", "2147483647", "1e38", "nan", "-inf", "true", "MAX", '""', "{", "}", "dim:")


def change_words(text, d):
    """Return a prototxt with some words, most of them values, changed, doubled, taken out or in each other's place."""
    words = re.findall(r'"[^"]*"|[^\s"]+', text)
    for _ in range(min(d.randint(1, 3), len(words))):
        values = [k for k in range(1, len(words)) if words[k - 1].endswith(":")]
        i, j = d.choice(values if values and d.random() < 0.7 else range(len(words))), d.randrange(len(words))
        kind = d.choice(["other", "other", "strange", "strange", "remove", "double", "swap"])
        if kind == "remove":
            del words[i]
        elif kind == "double":
            words.insert(i, words[i])
        elif kind == "swap":
            words[i], words[j] = words[j], words[i]
        else:
            words[i] = words[j] if kind == "other" else d.choice(WORDS)
    return "\n".join(words)


VALUES = {
    "int32": (0, 1, 2, 3, 7, -1, 1000, 65536, 2**31 - 1, -(2**31)),
    "uint32": (0, 1, 2, 3, 7, 1000, 65536, 2**32 - 1),
    "int64": (0, 1, 2, 3, 7, -1, 1000, 65536, 2**32, 2**63 - 1),
    "float": (0, 1, -1, 0.5, 1e-30, 1e38, -1e38, float("nan"), float("inf"), float("-inf")),
    "bool": (False, True),
    "string": ("", "a", "x/y", "é", "0", "\0", "MAX", "in0", "layer1_0", ".", "TanH"),
}


KINDS = {getattr(FieldDescriptor, f"TYPE_{name.upper()}"): values for name, values in VALUES.items()}


def change_field(message, d):
    """Set a field of a message, or of one within it, add to it or take it away."""
    fields = [field for field, _ in message.ListFields()]
    field = d.choice(fields if fields and d.random() < 0.6 else message.DESCRIPTOR.fields)
    held = getattr(message, field.name)
    is_list = hasattr(held, "extend")
    if d.random() < 0.1:
        message.ClearField(field.name)
    elif field.message_type and not is_list:
        held.SetInParent()
        change_field(held, d)
    elif field.message_type:
        change_field(d.choice(held) if held and d.random() < 0.9 else held.add(), d)
    else:
        value = d.choice(
            [v.number for v in field.enum_type.values] if field.enum_type else KINDS.get(field.type, VALUES["float"])
        )
        if is_list:
            held[:] = [*list(held)[: d.randint(0, 3)], value]
        else:
            setattr(message, field.name, value)
