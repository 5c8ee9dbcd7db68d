"""The rules of the layers that learn, slide windows, compare with labels or read data (see `layer_rules`)."""

import math

from tests.caffe.layer_rules import ENGINES, FILLERS, X, at, need, row

__all__ = ["SOURCES"]


@row("InnerProduct")
def inner_product(d, x):
    p = d.some(axis=d.axes(x), bias_term=(True, False), transpose=(True, False), weight_filler=FILLERS)
    p["num_output"] = d.often(1, 3, 4, 0)
    yield {"inner_product_param": p}, [X]
    need(p["num_output"])
    yield [(*x[: at(p.get("axis", 1), x)], p["num_output"])]


@row("Embed")
def embed(d, x):
    words = d.randint(1, 5)
    p = d.some(bias_term=(True, False), weight_filler=FILLERS) | {"num_output": d.randint(0, 3), "input_dim": words}
    yield {"embed_param": p}, [(("labels", words), x)]
    need(p["num_output"])
    yield [(*x, p["num_output"])]


@row("BatchReindex")
def batch_reindex(d, x):
    index = d.often((d.randint(1, 4),), (3,), d.shape)
    yield {}, [X, (("labels", x[0] if x else 1), index)]
    need(len(x) >= 1 and len(index) == 1)
    yield [(*index, *x[1:])]


@row("Filter")
def filter_(d, x):
    selector = d.often((*x[:1], *[1] * d.randint(0, 2)), d.shape)
    yield {}, [X, ("flags", selector)]
    need(len(x) >= 1 and selector[:1] == x[:1] and math.prod(selector[1:]) == 1)
    yield [(None, *x[1:])]  # as many as are selected


def windows(d, axes, fields, kernel=(1, 2, 3, 4)):
    """Draw sizes for each axis, in one of the ways to write them; return what is written and what it means."""
    written, meant = {}, []
    for name, prefix, sizes in (("kernel_size", "kernel", kernel), *fields):
        given = d.several(sizes, d.often(1, axes, 2))
        if prefix and axes == 2 and len(given) == 2 and d.yes():
            written |= dict(zip((f"{prefix}_h", f"{prefix}_w"), given, strict=True))
        else:
            written[name] = given
        meant.append(given * axes if len(given) == 1 else given)
    return written, meant


SLIDING = (("stride", "stride", (1, 2, 3)), ("pad", "pad", (0, 1, 2)), ("dilation", None, (1, 1, 2)))


@row("Convolution", "Deconvolution", "Im2col")
def sliding(d, x):
    p = d.some(axis=d.often([1, -1], d.axes(x)))
    axis = p.get("axis", 1)
    axes = len(x) - 1 - (axis % len(x) if x else 0)
    written, (kernel, stride, pad, dilation) = windows(d, max(axes, 0), SLIDING)
    p |= written
    channels = x[axis] if -len(x) <= axis < len(x) else 1
    count = 1
    if d.kind != "Im2col":
        group = d.often(1, math.gcd(channels, 2), 2)
        p |= d.some(bias_term=(True, False), engine=ENGINES, force_nd_im2col=(True, False), weight_filler=FILLERS)
        p |= {"group": group, "num_output": group * d.randint(1, 2)}
        count = d.often(1, 1, 2)
    yield {"convolution_param": p}, [X, *[("numbers", x)] * (count - 1)], count
    a = at(axis, x)
    need(all(len(sizes) == axes for sizes in (kernel, stride, pad, dilation)))
    each = list(zip(x[a + 1 :], kernel, stride, pad, dilation, strict=True))
    if d.kind == "Deconvolution":
        places = [(n - 1) * s + (k - 1) * e + 1 - 2 * q for n, k, s, q, e in each]
    else:
        places = [(n + 2 * q - (k - 1) * e - 1) // s + 1 for n, k, s, q, e in each]
    need(all(place >= 1 for place in places))
    if d.kind == "Im2col":
        yield [(*x[:a], x[a] * math.prod(kernel), *places)]
    need(x[a] % p["group"] == 0)
    yield [(*x[:a], p["num_output"], *places)] * count


@row("Pooling")
def pooling(d, x):
    p = d.some(pool=("MAX", "AVE", "STOCHASTIC"), round_mode=("CEIL", "FLOOR"), engine=ENGINES)
    tops, method = d.often(1, 1, 2), p.get("pool", "MAX")
    if d.often(False, False, True):
        yield {"pooling_param": p | {"global_pooling": True}}, [X], tops
        need(len(x) == 4 and (tops == 1 or method == "MAX"))
        yield [(*x[:2], 1, 1)] * tops
    written, sizes = windows(d, 2, (("stride", "stride", (1, 2, 3, 5)), ("pad", "pad", (0, 0, 1, 2))))
    p |= {name: size if isinstance(size, int) else size[0] for name, size in written.items()}
    sizes = [s if f"{n}_h" in p else s[:1] * 2 for n, s in zip(("kernel", "stride", "pad"), sizes, strict=True)]
    yield {"pooling_param": p}, [X], tops
    kernel, stride, pad = sizes
    need(len(x) == 4 and (tops == 1 or method == "MAX") and not (method == "STOCHASTIC" and any(pad)))
    need(all(q < k for q, k in zip(pad, kernel, strict=True)))
    rounded = math.floor if p.get("round_mode") == "FLOOR" else math.ceil
    places = [rounded((n + 2 * q - k) / s) + 1 for n, k, s, q in zip(x[2:], kernel, stride, pad, strict=True)]
    if any(pad):
        places = [m - ((m - 1) * s >= n + q) for m, n, s, q in zip(places, x[2:], stride, pad, strict=True)]
    need(min(places) >= 1)
    yield [(*x[:2], *places)] * tops


@row("SPP")
def spp(d, x):
    p = d.some(pool=("MAX", "AVE")) | {"pyramid_height": d.randint(0, 3)}
    levels = p["pyramid_height"]
    yield {"spp_param": p}, [X]
    need(len(x) == 4 and levels)
    for cells in (2**level for level in range(levels)):
        kernels = [-(-n // cells) for n in x[2:]]
        need(all((k * cells - n + 1) // 2 < k for k, n in zip(kernels, x[2:], strict=True)))
    yield [(*x[:2], 1, 1) if levels == 1 else (x[0], x[1] * sum(4**level for level in range(levels)))]


@row("SoftmaxWithLoss", "InfogainLoss")
def class_loss(d, x):
    kind = d.kind
    p = d.some(axis=d.axes(x))
    axis = p.get("axis", 1)
    labels = d.labels(x, axis)
    classes = x[axis] if -len(x) <= axis < len(x) else 2
    loss = d.some(ignore_label=(-1, 0, 1), normalization=("FULL", "VALID", "BATCH_SIZE", "NONE"))
    field = "softmax_param" if kind == "SoftmaxWithLoss" else "infogain_loss_param"
    count = d.often(1, 1, 2)
    matrix = [("shares", (classes, classes))] * (kind == "InfogainLoss")
    yield {field: p, "loss_param": loss}, [X, (("labels", classes), labels), *matrix], count
    a = at(axis, x)
    need(labels[:1] == x[:1] and math.prod(labels) * x[a] == math.prod(x))
    yield [(), x][:count]


@row("HingeLoss", "MultinomialLogisticLoss")
def row_loss(d, x):
    fields = {"hinge_loss_param": d.some(norm=("L1", "L2"))} if d.kind == "HingeLoss" else {}
    labels = d.often(x[:1], (*x[:1], 1, 1, 1), d.shape)
    yield fields, [X, (("labels", math.prod(x[1:])), labels)]
    need(len(x) >= 1 and labels[:1] == x[:1] and math.prod(labels) == x[0])
    yield [()]


@row("EuclideanLoss", "SigmoidCrossEntropyLoss")
def paired_loss(d, x):
    other = d.often(x, (*x[:1], math.prod(x[1:])), d.shape)
    loss = d.some(ignore_label=(-1, 0), normalization=("FULL", "VALID", "BATCH_SIZE", "NONE"), normalize=(True, False))
    yield ({} if d.kind == "EuclideanLoss" else {"loss_param": loss}), [X, ("shares", other)]
    need(len(x) >= 1 and other[:1] == x[:1] and math.prod(other) == math.prod(x))
    yield [()]


@row("ContrastiveLoss")
def contrastive_loss(d, x):
    other, similar = d.often(x, x, d.shape), d.often(x[:1], x[:1], d.shape)
    p = d.some(margin=(0.5, 1, 5), legacy_version=(True, False))
    yield {"contrastive_loss_param": p}, [X, ("numbers", other), ("flags", similar)]
    need(len(x) >= 2 and math.prod(x[2:]) == 1 and other[:2] == x[:2] and math.prod(other) == math.prod(x))
    need(similar[:1] == x[:1] and math.prod(similar) == x[0])
    yield [()]


@row("Accuracy")
def accuracy(d, x):
    p = d.some(axis=d.axes(x), top_k=(1, 2, 5), ignore_label=(0, 1))
    axis = p.get("axis", 1)
    classes = x[axis] if -len(x) <= axis < len(x) else 2
    labels, count = d.labels(x, axis), d.often(1, 1, 2)
    yield {"accuracy_param": p}, [X, (("labels", classes), labels)], count
    a = at(axis, x)
    need(math.prod(labels) * x[a] == math.prod(x) and p.get("top_k", 1) <= x[a])
    yield [(), (x[a],)][:count]


@row("RNN", "LSTM")
def recurrent(d, x):
    p = d.some(
        expose_hidden=(True, False), debug_info=(True, False), weight_filler=FILLERS[1:], bias_filler=FILLERS[:2]
    )
    size = p["num_output"] = d.often(2, 1, 3, 0)
    states = (1 + (d.kind == "LSTM")) * p.get("expose_hidden", False)
    cont, static = d.often(x[:2], x[:2], x[:2], d.shape), [d.often((*x[1:2], 2), d.shape)] * d.yes()
    begin = (1, *x[1:2], size)
    others = [("flags", cont), *(("numbers", shape) for shape in static), *[("numbers", begin)] * states]
    yield {"recurrent_param": p}, [X, *others], 1 + states
    need(size and len(x) >= 3 and cont == x[:2])
    need(all(len(shape) >= 2 and shape[0] == x[1] for shape in static))
    yield [(*x[:2], size), *[begin] * states]


@row("LSTMUnit")
def lstm_unit(d, x):
    gates, cont = d.often((*x[:2], 4 * x[-1] if x else 4), d.shape), d.often(x[:2], d.shape)
    yield {}, [X, ("numbers", gates), ("flags", cont)], 2
    need(len(x) == 3 and x[0] == 1 and gates == (*x[:2], 4 * x[2]) and cont == x[:2])
    yield [x, x]


@row("Parameter")
def parameter(d, x):
    yield {"parameter_param": {"shape": {"dim": x}}}, []
    yield [x]


@row("Input")
def input_(d, x):
    count = d.randint(1, 2)
    yield {"input_param": {"shape": [{"dim": x}]}}, [], count
    yield [x] * count


@row("DummyData")
def dummy_data(d, x):
    count = d.randint(1, 2)
    if d.yes() and len(x) == 4:
        p = {name: [size] for name, size in zip(("num", "channels", "height", "width"), x, strict=True)}
    else:
        p = {"shape": [{"dim": x}] * d.often(1, count)}
    fillers = [d.often(*FILLERS[:2], *FILLERS[4:5]) for _ in range(d.often(count, 0, 1))]
    yield {"dummy_data_param": p | {"data_filler": fillers}}, [], count
    yield [x] * count


@row("MemoryData")
def memory_data(d, x):
    sizes = (d.randint(0, 2), 1, 2, 3)
    p = dict(zip(("batch_size", "channels", "height", "width"), sizes, strict=True))
    yield {"memory_data_param": p}, [], 2
    need(all(sizes))
    yield [sizes, sizes[:1]]


@row("HDF5Output")
def hdf5_output(d, x):
    other = d.often(x[:1], d.shape)
    p = d.some(file_name=[SOURCES["HDF5Output"]])
    yield {"hdf5_output_param": p}, [X, ("numbers", other)], 0
    need(p and max(len(x), len(other)) <= 4 and x[:1] == other[:1])
    yield []


#: Where the files lie that the rows below read and the one above writes. Images are of 3 channels and 8×6 pixels.
SOURCES = dict.fromkeys(("Data", "ImageData", "HDF5Data", "HDF5Output", "WindowData"), "")
DATA_FIELDS = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "HDF5Data": "hdf5_data_param",
    "WindowData": "window_data_param",
}


@row(*DATA_FIELDS)
def files(d, x):
    kind, count = d.kind, d.often(2, 1)
    p = {"source": SOURCES[kind], "batch_size": d.often(2, 1, 3, 0)} | ({"backend": "LMDB"} if kind == "Data" else {})
    means = ([7], [1, 2, 3], [1, 2])
    transform = d.some(crop_size=(5, 3, 7), mirror=(True, False), scale=(0.5, 1), mean_value=means)
    fields = {DATA_FIELDS[kind]: p} | ({} if kind == "HDF5Data" else {"transform_param": transform})
    yield fields, [], count
    batch, crop = p["batch_size"], transform.get("crop_size", 0)
    need(batch)
    if kind == "HDF5Data":
        yield [(batch, 2, 3), (batch,)][:count]
    need(len(transform.get("mean_value", ())) != 2)
    need(crop and count == 2 if kind == "WindowData" else crop <= 6)
    yield [(batch, 3, crop or 8, crop or 6), (batch,)][:count]
