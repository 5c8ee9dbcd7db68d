"""What the engine's tests share: nets from text, small LMDBs, the log as lines, and a clean process-wide state."""

import io
import signal
import sys

import lmdb
import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import settings

from pydeepexpr import caffe
from pydeepexpr.caffe import mode
from pydeepexpr.caffe.log import log, log_to
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from tests.caffe.solver_texts import HEAD, PLAIN, data

# The first example pays for what PyTorch does once, so no deadline; few examples, for two slow cores.
settings.register_profile("engine", deadline=None, max_examples=50)
settings.load_profile("engine")


@pytest.fixture(autouse=True)
def clean_mode():
    """Begin every test with CPU, fp32, random crops and a fixed PyTorch generator; leave no trace of its choices."""
    before = dict(mode._state)
    mode._state.update(gpu=False, device_id=0, precision="fp32", crops="random", seed=None)
    torch.manual_seed(0)
    yield
    mode._state.update(before)


@pytest.fixture(autouse=True)
def uninstalled():
    """Let the name `caffe`, which a net with a Python layer gives to the engine, be free again after each test."""
    before = dict(sys.modules)
    yield
    for name in [name for name in sys.modules if f"{name}.".startswith("caffe.")]:
        if name in before:
            sys.modules[name] = before[name]
        else:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def interruptible():
    """Let Ctrl-C mean what it means in a terminal: a shell makes its background jobs deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def make_net():
    """Return a function from a prototxt's text to a net, which is closed after the test."""
    nets = []

    def make(text, phase=caffe.TEST, **options):
        nets.append(caffe.Net(text_format.Parse(text, pb.NetParameter()), phase, **options))
        return nets[-1]

    yield make
    for net in nets:
        net.close()


@pytest.fixture
def make_lmdb(tmp_path):
    """Return a function that writes Datums, or raw bytes, to an LMDB and returns its path."""

    def make(records, name="lmdb"):
        path = tmp_path / name
        with lmdb.open(str(path), map_size=1 << 24) as env, env.begin(write=True) as transaction:
            for number, record in enumerate(records):
                value = record if isinstance(record, bytes) else record.SerializeToString()
                transaction.put(f"{number:08d}".encode(), value)
        return path

    return make


@pytest.fixture
def images():
    """13 BGR pictures of 12×10 pixels, no two pixels of one channel and picture alike."""
    rng = np.random.default_rng(5)
    channels = [[rng.permutation(256)[:120].reshape(12, 10) for _ in range(3)] for _ in range(13)]
    return np.array(channels, np.uint8).transpose(0, 2, 3, 1)


@pytest.fixture
def image_lmdb(images, make_lmdb):
    """The pictures as raw Datums, each labelled by its number."""
    return make_lmdb(raw_datum(image, label) for label, image in enumerate(images))


def raw_datum(image, label=0):
    height, width, channels = image.shape
    content = image.transpose(2, 0, 1).tobytes()
    return pb.Datum(channels=channels, height=height, width=width, label=label, data=content)


@pytest.fixture
def logged():
    """A function that returns the log's lines so far."""
    stream = io.StringIO()
    handler = log_to(stream)
    yield lambda: stream.getvalue().splitlines()
    log.removeHandler(handler)


@pytest.fixture
def make_solver(tmp_path, image_lmdb):
    """Return a function from a solver's text and a net's to the solver; nets read the 13 pictures of `images`."""
    solvers = []

    def make(text, net=None, prefix="s"):
        (tmp_path / "net.prototxt").write_text(net or data(image_lmdb) + PLAIN + HEAD)
        path = tmp_path / "solver.prototxt"
        named = "" if "net" in text else f'net: "{tmp_path / "net.prototxt"}" '
        placed = "" if "snapshot_prefix" in text else f' snapshot_prefix: "{tmp_path / "out" / prefix}"'
        path.write_text(named + text + placed)
        solvers.append(caffe.get_solver(str(path)))
        return solvers[-1]

    yield make
    for solver in solvers:
        solver.close()
