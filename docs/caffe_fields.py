"""Write the tables of docs/caffe.md: every layer type, every solver, every field. Run it when one of them changes.

What a type does comes from its docstring, which fields there are from the messages' descriptors. What cannot be read
there, what differs and why, stands in the tables here. A field that they do not name works as in Caffe 1.0.

    python docs/caffe_fields.py
"""

import inspect
import re
from collections import defaultdict
from pathlib import Path

from google.protobuf.descriptor import Descriptor

from pydeepexpr.caffe.layers import LAYERS
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.solvers import SOLVERS

PAGE = Path(__file__).with_name("caffe.md")

#: Messages of layers whose type has another name than the message.
TYPES = {
    "ConvolutionParameter": "Convolution, Deconvolution, Im2col",
    "LossParameter": "SoftmaxWithLoss, SigmoidCrossEntropyLoss, InfogainLoss",
    "RecurrentParameter": "RNN, LSTM",
    "SoftmaxParameter": "Softmax, SoftmaxWithLoss",
    "TransformationParameter": "Data, ImageData, WindowData",
}

#: What to know of a layer type beyond its docstring.
TYPE_NOTES = {
    "AbsVal": "may work in place",
    "BatchNorm": "takes bottoms of one axis too",
    "Clip": "refused without `min` and `max`",
    "Data": "LMDB; LevelDB with `pip install pydeepexpr[leveldb]`",
    "Deconvolution": "any number of spatial axes",
    "Convolution": "any number of spatial axes",
    "Filter": "may select nothing",
    "HDF5Output": "writes batch behind batch; Caffe cannot write a second one",
    "LSTM": "T may change from batch to batch",
    "MemoryData": "`Net.set_input_arrays`; `transform_param` does not apply",
    "MVN": "takes more than four axes too",
    "Pooling": "STOCHASTIC on the CPU too; an average over a window wholly outside is 0",
    "Power": "its gradient at 0 is the formula's",
    "Python": "a class derived from `caffe.Layer`, whose module may say `import caffe`",
    "RNN": "T may change from batch to batch",
    "SoftmaxWithLoss": "its second top works",
    "Split": "Caffe puts it in by itself, and so does this engine",
}

_ENGINE = "ignored: PyTorch chooses, and the numbers are the same"
_MOVED = "ignored: as in Caffe 1.0; in `layers` of 2014 alone it goes to `transform_param`"
_INPUT = "upgraded to an Input layer"

#: What is to be said of a field: that it is ignored and why, or how it works where that is not plain.
FIELD_NOTES = {
    "AccuracyParameter.top_k": "at most the number of classes",
    "ConcatParameter.concat_dim": "the older spelling of `axis`; both at once are refused",
    "ConvolutionParameter.engine": _ENGINE,
    "ConvolutionParameter.force_nd_im2col": "ignored: the numbers are the same",
    "DataParameter.backend": "LEVELDB is the default and needs the extra `leveldb`",
    "DataParameter.crop_size": _MOVED,
    "DataParameter.force_encoded_color": "ignored: as in Caffe 1.0; say `transform_param { force_color: true }`",
    "DataParameter.mean_file": _MOVED,
    "DataParameter.mirror": _MOVED,
    "DataParameter.prefetch": "batches made ahead, by `ImageData`, `HDF5Data` and `WindowData` too",
    "DataParameter.rand_skip": "ignored: as in Caffe 1.0",
    "DataParameter.scale": _MOVED,
    "EltwiseParameter.stable_prod_grad": "ignored: the stable gradient is as fast, so `false` gives it too",
    "FillerParameter.std": "may be 0",
    "FillerParameter.type": "constant, uniform, gaussian, positive_unitball, xavier, msra, bilinear",
    "ImageDataParameter.crop_size": _MOVED,
    "ImageDataParameter.mean_file": _MOVED,
    "ImageDataParameter.mirror": _MOVED,
    "ImageDataParameter.rand_skip": "drawn from the seed",
    "ImageDataParameter.scale": _MOVED,
    "ImageDataParameter.shuffle": "each pass has its own order, drawn from the seed and the number of the pass",
    "LayerParameter.blobs": "the layer begins with them",
    "LossParameter.normalize": "the older spelling of `normalization`; InfogainLoss refuses it, as in Caffe",
    "LRNParameter.engine": _ENGINE,
    "LRNParameter.k": "1 for WITHIN_CHANNEL, as in Caffe",
    "NetParameter.input": _INPUT,
    "NetParameter.input_dim": _INPUT,
    "NetParameter.input_shape": _INPUT,
    "NetParameter.layers": "layers of 2014 and 2013, upgraded",
    "PoolingParameter.engine": _ENGINE,
    "PythonParameter.share_in_parallel": "ignored: each process has its own layer",
    "RecurrentParameter.debug_info": "ignored: there is no inner net to log",
    "ReLUParameter.engine": _ENGINE,
    "SigmoidParameter.engine": _ENGINE,
    "SliceParameter.slice_dim": "the older spelling of `axis`; both at once are refused",
    "SoftmaxParameter.engine": _ENGINE,
    "SolverParameter.device_id": "by the command line, as in Caffe",
    "SolverParameter.layer_wise_reduce": "ignored: several GPUs' gradients are averaged at once, with the same result",
    "SolverParameter.lr_policy": "fixed, step, exp, inv, multistep, sigmoid, poly",
    "SolverParameter.momentum": "below 1 for Adam, none for AdaGrad and RMSProp",
    "SolverParameter.momentum2": "below 1",
    "SolverParameter.random_seed": "of data layers, fillers and dropout; the numbers drawn are PyTorch's, not Caffe's",
    "SolverParameter.rms_decay": "below 1",
    "SolverParameter.solver_mode": "by the command line, as in Caffe; without a CUDA device it is the CPU",
    "SolverParameter.solver_type": "upgraded to `type`; both at once are refused",
    "SPPParameter.engine": _ENGINE,
    "TanHParameter.engine": _ENGINE,
    "TransformationParameter.force_color": "of encoded Datums",
    "TransformationParameter.force_gray": "of encoded Datums",
    "V0LayerParameter.new_channels": "ignored: as in Caffe, with a line in the log",
    "V0LayerParameter.new_num": "ignored: as in Caffe, with a line in the log",
    "V0LayerParameter.rand_skip": "of `images`",
    "WindowDataParameter.crop_size": _MOVED,
    "WindowDataParameter.mean_file": _MOVED,
    "WindowDataParameter.mirror": _MOVED,
    "WindowDataParameter.scale": "times `transform_param`'s",
}

#: Messages in an order to read, before those of the single layers.
FIRST = (
    "SolverParameter",
    "NetParameter",
    "NetState",
    "NetStateRule",
    "LayerParameter",
    "ParamSpec",
    "FillerParameter",
)
LAST = ("V1LayerParameter", "V0LayerParameter")
#: Messages of files, which no one writes by hand.
STORED = ("BlobProto", "BlobProtoVector", "BlobShape", "Datum", "SolverState")


def summary(thing: type) -> str:
    """Return the first line of a docstring, fit for a table."""
    return inspect.getdoc(thing).splitlines()[0].rstrip(".").replace("|", "\\|")


def counted(bounds: tuple[int, int | None]) -> str:
    """Return how many blobs, as a word: ``2``, ``1–2``, ``2+``."""
    least, most = bounds
    return str(least) if least == most else f"{least}+" if most is None else f"{least}–{most}"


def layer_table() -> list[str]:
    """Return the rows of the layer types."""
    rows = ["| type | bottoms → tops | | here |", "| --- | --- | --- | --- |"]
    for name, cls in sorted(LAYERS.items(), key=lambda item: item[0].lower()):
        count = f"{counted(cls.bottoms)} → {counted(cls.tops)}"
        rows.append(f"| `{name}` | {count} | {summary(cls)} | {TYPE_NOTES.get(name, '')} |")
    return rows


def solver_table() -> list[str]:
    """Return the rows of the solvers."""
    rows = ["| `type` | |", "| --- | --- |"]
    return rows + [f"| `{name}` | {summary(cls)} |" for name, cls in SOLVERS.items()]


def messages() -> list[Descriptor]:
    """Return the messages that a prototxt is written in, in the order of the page."""
    all_of_them = pb.DESCRIPTOR.message_types_by_name
    middle = sorted(set(all_of_them) - {*FIRST, *LAST, *STORED}, key=str.lower)
    return [all_of_them[name] for name in (*FIRST, *middle, *LAST)]


def listed(names: list[str]) -> str:
    """Return names as code, with commas between."""
    return ", ".join(f"`{name}`" for name in names)


def field_table() -> list[str]:
    """Return the rows of the messages, each with its fields by their state, and what is to be said of some."""
    rows = ["| message | works | accepted and ignored | to know |", "| --- | --- | --- | --- |"]
    for message in messages():
        works, ignored, notes = [], [], defaultdict(list)
        for field in message.fields:
            note = FIELD_NOTES.get(f"{message.name}.{field.name}", "")
            (ignored if note.startswith("ignored") else works).append(field.name)
            notes[note.removeprefix("ignored: ")].append(field.name)
        title = f"`{message.name}`" + (f" ({TYPES[message.name]})" if message.name in TYPES else "")
        said = "; ".join(f"{listed(names)}: {note}" for note, names in notes.items() if note)
        rows.append(f"| {title} | {listed(works)} | {listed(ignored)} | {said} |")
    return rows


TABLES = {"layers": layer_table, "solvers": solver_table, "fields": field_table}


def filled(page: str) -> str:
    """Return the page with its tables, each between two comments of its name, as they ought to be."""
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        pattern = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
        page = pattern.sub(lambda _, rows=table: "\n".join(rows()) + "\n", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
