"""What the tests of solvers share: small nets as text, and what a training leaves."""

from pathlib import Path

import numpy as np

FIXED = 'lr_policy: "fixed" base_lr: 0.1 '
KINDS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
#: What suits each kind of solver, so that it learns a little.
SETTINGS = {
    "SGD": "base_lr: 0.05 momentum: 0.9",
    "Nesterov": "base_lr: 0.05 momentum: 0.9",
    "AdaGrad": "base_lr: 0.02",
    "RMSProp": "base_lr: 0.005 rms_decay: 0.9",
    "AdaDelta": "base_lr: 1 momentum: 0.95 delta: 1e-6",
    "Adam": "base_lr: 0.005 momentum: 0.9 momentum2: 0.99",
}


def fc(name, bottom, outputs):
    return f"""layer {{ name: "{name}" type: "InnerProduct" bottom: "{bottom}" top: "{name}"
      param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
      inner_product_param {{ num_output: {outputs} weight_filler {{ type: "xavier" }} }} }}\n"""


def data(source, batch=4, transform="", more=""):
    return f"""layer {{ name: "data" type: "Data" top: "data" top: "label" {more}
      transform_param {{ mean_value: 128 scale: 0.015625 {transform} }}
      data_param {{ source: "{source}" batch_size: {batch} backend: LMDB }} }}\n"""


HEAD = (
    'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "two" bottom: "label" top: "loss" }\n'
    'layer { name: "acc" type: "Accuracy" bottom: "two" bottom: "label" top: "acc" include { phase: TEST } }\n'
)
PLAIN = fc("one", "data", 8) + 'layer { name: "relu" type: "ReLU" bottom: "one" top: "one" }\n' + fc("two", "one", 13)
DROPPED = PLAIN.replace(fc("two", "one", 13), "") + 'layer { name: "drop" type: "Dropout" bottom: "one" top: "one" }\n'
DROPPED += fc("two", "one", 13)


def parameters(solver):
    return {
        f"{name}/{i}": blob.data.copy() for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)
    }


def histories(solver):
    return [history.numpy().copy() for history in solver.history]


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def files(folder):
    return sorted(path.name for path in Path(folder).iterdir()) if Path(folder).exists() else []


def snapshot_files(prefix, *iterations, hdf5=False):
    kinds = ("caffemodel.h5", "resume.json", "solverstate.h5") if hdf5 else ("caffemodel", "resume.json", "solverstate")
    return [f"{prefix}_iter_{n}.{kind}" for n in iterations for kind in kinds]
