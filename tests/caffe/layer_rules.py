"""The rules of layer types: parameters and bottoms drawn by chance, and the shapes that the tops then have.

A row of `ROWS` is a generator of a source of chance (`random_nets.Chance`) and the shape `x` of a blob. It yields the
layer's fields, its bottoms (`X` for that blob, (kind of values, shape) for new inputs) and, where it is not one, the
number of its tops; then the tops' shapes, by the rules that Caffe documents. If it raises `Refused` instead, the layer
is to be refused. `layer_rules_more` adds the rows of layers that learn, slide, compare or read.
"""

import math
from itertools import pairwise

from pydeepexpr import caffe
from pydeepexpr.errors import UserError

__all__ = ["ENGINES", "FILLERS", "NUMBERS", "ROWS", "Halved", "Refused", "X", "at", "need", "row"]

X = "x"


class Refused(Exception):
    """The rules leave no shape for the tops."""


def need(condition):
    if not condition:
        raise Refused


def at(axis, x):
    """Return a possibly negative axis as one from 0 on."""
    need(-len(x) <= axis < len(x))
    return axis % len(x)


class Halved(caffe.Layer):
    """A user's layer."""

    def setup(self, bottom, top):
        if len(bottom) != 1 or len(top) != 1:
            raise UserError("Halved takes one bottom and one top")

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data / 2

    def backward(self, top, propagate_down, bottom):
        if propagate_down[0]:
            bottom[0].diff[...] = top[0].diff / 2


NUMBERS = (-2.5, -1, -0.1, 0, 0.3, 1, 2)
ENGINES = ("DEFAULT", "CAFFE", "CUDNN")
FILLERS = (
    {},
    {"type": "gaussian", "std": 0.1},
    {"type": "xavier", "variance_norm": "AVERAGE"},
    {"type": "msra"},
    {"type": "uniform", "min": -1},
    {"type": "positive_unitball"},
)
#: A generator for each type; in the order in which they stand, so that a seed means one net.
ROWS = {}


def row(*kinds):
    def register(function):
        ROWS.update(dict.fromkeys(kinds, function))
        return function

    return register


def pointwise(kind, field="", condition=lambda p: True, **options):
    """Add the row of a type with one bottom and a top of the same shape; options are (field: possible values)."""

    def draw(d, x):
        p = d.some(**options)
        yield ({field: p} if field else {}), [X]
        need(condition(p))
        yield [x]

    ROWS[kind] = draw


def positive_base(p):
    return p.get("base", -1) == -1 or p["base"] > 0


AFFINE = {"scale": NUMBERS, "shift": NUMBERS}
pointwise("AbsVal")
pointwise("BNLL")
pointwise("Clip", "clip_param", lambda p: len(p) == 2 and p["min"] <= p["max"], min=NUMBERS[:4], max=NUMBERS[2:])
pointwise(
    "Dropout", "dropout_param", lambda p: 0 <= p.get("dropout_ratio", 0) < 1, dropout_ratio=(-0.1, 0, 0.3, 0.9, 1)
)
pointwise("ELU", "elu_param", alpha=NUMBERS)
pointwise("Exp", "exp_param", positive_base, base=(-1, 0.5, 1, 2, 0, -3), **AFFINE)
pointwise("Log", "log_param", lambda p: positive_base(p) and p.get("base") != 1, base=(-1, 0.5, 1, 2, 0), **AFFINE)
pointwise("Power", "power_param", power=NUMBERS, **AFFINE)
pointwise("ReLU", "relu_param", negative_slope=NUMBERS, engine=ENGINES)
pointwise("Sigmoid", "sigmoid_param", engine=ENGINES)
pointwise("Swish", "swish_param", beta=NUMBERS)
pointwise("TanH", "tanh_param", engine=ENGINES)
pointwise("Threshold", "threshold_param", threshold=NUMBERS)
pointwise(
    "Python",
    "python_param",
    lambda p: {"module", "layer"} <= set(p),
    module=(__name__,),
    layer=("Halved",),
    param_str=("", "a: 1"),
)


@row("PReLU")
def prelu(d, x):
    yield {"prelu_param": d.some(channel_shared=(True, False), filler=FILLERS[:2])}, [X]
    need(len(x) >= 2)
    yield [x]


@row("Softmax")
def softmax(d, x):
    p = d.some(axis=d.axes(x), engine=ENGINES)
    yield {"softmax_param": p}, [X]
    at(p.get("axis", 1), x)
    yield [x]


@row("BatchNorm")
def batch_norm(d, x):
    p = d.some(use_global_stats=(True, False), moving_average_fraction=(0, 0.9, 1), eps=(1e-5, 0.1, -1))
    yield {"batch_norm_param": p}, [X]
    need(len(x) >= 1 and p.get("eps", 0) >= 0)
    yield [x]


@row("MVN")
def mvn(d, x):
    yield {"mvn_param": d.some(normalize_variance=(True, False), across_channels=(True, False), eps=(1e-9, 0.1))}, [X]
    yield [x]


@row("LRN")
def lrn(d, x):
    regions = ("ACROSS_CHANNELS", "WITHIN_CHANNEL")
    p = d.some(local_size=(1, 3, 5, 9, 2), alpha=(1e-4, 1), beta=(0.75, 0.5, 1), k=(1, 2), norm_region=regions)
    yield {"lrn_param": p}, [X]
    need(len(x) == 4 and p.get("local_size", 5) % 2)
    yield [x]


@row("Scale", "Bias")
def affine(d, x):
    kind = d.kind
    p = d.some(axis=d.axes(x), **({"bias_term": (True, False)} if kind == "Scale" else {}))
    fields, axis = {f"{kind.lower()}_param": p}, p.get("axis", 1)
    if d.yes():
        start = axis % max(len(x), 1)
        part = d.often(x[start : d.randint(start, len(x))], d.shape)
        yield fields, [X, ("numbers", part)]
        need(not part or x[at(axis, x) :][: len(part)] == part)
    else:
        p |= d.some(num_axes=range(-1, len(x) + 1), filler=FILLERS[:2])
        yield fields, [X]
        need(at(axis, x) + max(p.get("num_axes", 1), 0) <= len(x))
    yield [x]


@row("Split", "Silence")
def copies(d, x):
    count = d.randint(1, 3)
    is_split = d.kind == "Split"
    yield {}, [X] if is_split else [X, *[("numbers", x)] * (count - 1)], count * is_split
    yield [x] * count * is_split


@row("Concat")
def concat(d, x):
    p = d.some(axis=d.axes(x)) if d.yes() else d.some(concat_dim=range(len(x) + 1))
    axis = p.get("axis", p.get("concat_dim", 1))
    others = [d.often(d.resized(x, axis), x, d.shape) for _ in range(d.randint(0, 2))]
    yield {"concat_param": p}, [X, *(("numbers", other) for other in others)]
    a = at(axis, x)
    need(all(len(o) == len(x) and o[:a] + o[a + 1 :] == x[:a] + x[a + 1 :] for o in others))
    yield [(*x[:a], x[a] + sum(o[a] for o in others), *x[a + 1 :])]


@row("Slice")
def slice_(d, x):
    p = d.some(axis=d.axes(x)) if d.yes() else d.some(slice_dim=range(len(x) + 1))
    axis = p.get("axis", p.get("slice_dim", 1))
    size = x[axis] if -len(x) <= axis < len(x) else 3
    points = sorted(d.several(range(1, max(size, 2)), 2)) if d.yes() else []
    count = len(points) + 1 if points else d.randint(1, 3)
    yield {"slice_param": p | {"slice_point": points}}, [X], count
    a = at(axis, x)
    edges = [0, *points, size] if points else [size * k // count for k in range(count + 1)]
    need(points or size % count == 0)
    need(all(lower < upper for lower, upper in pairwise(edges[:-1] if points else edges)))
    yield [(*x[:a], upper - lower, *x[a + 1 :]) for lower, upper in pairwise(edges)]


@row("Eltwise")
def eltwise(d, x):
    others = [d.often(x, x, x, d.shape) for _ in range(d.randint(1, 2))]
    p = d.some(operation=("PROD", "SUM", "MAX"), stable_prod_grad=(True, False))
    coeff = d.several(NUMBERS, 3) if d.yes() else []
    yield {"eltwise_param": p | {"coeff": coeff}}, [X, *(("numbers", other) for other in others)]
    need(all(other == x for other in others) and len(coeff) in (0, 1 + len(others)))
    need(p.get("operation") != "PROD" or not coeff)
    yield [x]


@row("Flatten")
def flatten(d, x):
    p = d.some(axis=d.axes(x), end_axis=d.axes(x))
    yield {"flatten_param": p}, [X]
    start, end = at(p.get("axis", 1), x), at(p.get("end_axis", -1), x)
    need(start <= end + 1)
    yield [(*x[:start], math.prod(x[start : end + 1]), *x[end + 1 :])]


@row("Reshape")
def reshape(d, x):
    p = d.some(axis=range(-len(x) - 1, len(x) + 1), num_axes=range(-1, len(x) + 1))
    dims = d.often((0, -1), (-1,), x, x[::-1], d.shape)
    yield {"reshape_param": p | {"shape": {"dim": dims}}}, [X]
    axis, count = p.get("axis", 0), p.get("num_axes", -1)
    start = axis if axis >= 0 else len(x) + axis + 1
    need(0 <= start <= len(x) and start + max(count, 0) <= len(x))
    end = len(x) if count == -1 else start + count
    need(all(dim or start + k < len(x) for k, dim in enumerate(dims)))
    sizes = [*x[:start], *(dim or x[start + k] for k, dim in enumerate(dims)), *x[end:]]
    known = math.prod(size for size in sizes if size != -1)
    need(known and math.prod(x) % known == 0 and (-1 in sizes or math.prod(x) == known))
    yield [tuple(math.prod(x) // known if size == -1 else size for size in sizes)]


@row("Tile")
def tile(d, x):
    p = d.some(axis=d.axes(x)) | {"tiles": d.randint(0, 3)}
    yield {"tile_param": p}, [X]
    a = at(p.get("axis", 1), x)
    need(p["tiles"])
    yield [(*x[:a], x[a] * p["tiles"], *x[a + 1 :])]


@row("Crop")
def crop(d, x):
    p = d.some(axis=d.axes(x))
    axis = p.get("axis", 2)
    wanted = d.often(tuple(d.randint(1, size) for size in x), x, d.shape)
    offset = d.several(range(3), 2) if d.yes() else []
    yield {"crop_param": p | {"offset": offset}}, [X, ("numbers", wanted)]
    a = at(axis, x)
    need(len(offset) in (0, 1, len(x) - a) and len(wanted) >= len(x))
    offsets = offset if len(offset) > 1 else (offset or [0]) * (len(x) - a)
    need(all(o + n <= size for o, n, size in zip(offsets, wanted[a:], x[a:], strict=False)))
    yield [(*x[:a], *wanted[a : len(x)])]


@row("Reduction")
def reduction(d, x):
    p = d.some(operation=("SUM", "ASUM", "SUMSQ", "MEAN"), axis=d.axes(x), coeff=NUMBERS)
    yield {"reduction_param": p}, [X]
    yield [x[: at(p.get("axis", 0), x)]]


@row("ArgMax")
def arg_max(d, x):
    p = d.some(axis=d.axes(x), top_k=(1, 2, 3, 0), out_max_val=(True, False))
    k = p.get("top_k", 1)
    yield {"argmax_param": p}, [X]
    if "axis" in p:
        a = at(p["axis"], x)
        need(1 <= k <= x[a])
        yield [(*x[:a], k, *x[a + 1 :])]
    need(len(x) >= 1 and 1 <= k <= math.prod(x[1:]))
    yield [(x[0], 2 if p.get("out_max_val") else 1, k, *[1] * (len(x) - 3))]
