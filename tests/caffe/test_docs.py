"""docs/caffe.md says what there is: every layer type, every solver, every field, as the engine has them now."""

import importlib.util
import re
from pathlib import Path

from pydeepexpr.caffe.layers import LAYERS
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.solvers import SOLVERS

DOCS = Path(__file__).parents[2] / "docs"
spec = importlib.util.spec_from_file_location("caffe_fields", DOCS / "caffe_fields.py")
caffe_fields = importlib.util.module_from_spec(spec)
spec.loader.exec_module(caffe_fields)

PAGE = (DOCS / "caffe.md").read_text(encoding="utf-8")
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)`.*$", PAGE, re.MULTILINE)}


def test_the_page_is_up_to_date():
    assert caffe_fields.filled(PAGE) == PAGE, "run python docs/caffe_fields.py"


def test_every_type_and_solver_is_listed():
    assert {*LAYERS, *SOLVERS} <= set(ROWS)


def test_every_field_is_listed_once_with_its_state():
    messages = pb.DESCRIPTOR.message_types_by_name
    assert {name for name in messages if name not in caffe_fields.STORED} <= set(ROWS)
    for name in set(messages) - set(caffe_fields.STORED):
        works, ignored = ROWS[name].split(" | ")[1:3]
        listed = re.findall(r"`(\w+)`", f"{works} {ignored}")
        assert sorted(listed) == sorted(field.name for field in messages[name].fields), name


def test_notes_are_of_what_there_is():
    fields = {f"{name}.{f.name}" for name, m in pb.DESCRIPTOR.message_types_by_name.items() for f in m.fields}
    assert set(caffe_fields.FIELD_NOTES) <= fields
    assert set(caffe_fields.TYPE_NOTES) <= set(LAYERS)
    assert set(caffe_fields.TYPES) <= set(pb.DESCRIPTOR.message_types_by_name)


def test_what_caffe_1_0_has_is_there():
    # The types that its layer factory registers
    types = """AbsVal Accuracy ArgMax BNLL BatchNorm BatchReindex Bias Clip Concat ContrastiveLoss Convolution Crop Data
        Deconvolution Dropout DummyData ELU Eltwise Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
        Im2col ImageData InfogainLoss InnerProduct Input LRN LSTM LSTMUnit Log MVN MemoryData MultinomialLogisticLoss
        PReLU Parameter Pooling Power Python RNN ReLU Reduction Reshape SPP Scale Sigmoid SigmoidCrossEntropyLoss
        Silence Slice Softmax SoftmaxWithLoss Split Swish TanH Threshold Tile WindowData"""
    assert set(types.split()) == set(LAYERS)
    assert list(SOLVERS) == ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"]
