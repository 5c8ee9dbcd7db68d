"""Speed and memory of the engine, against plain PyTorch and OpenCV's Caffe reader.

For each network, training (one `solver.step`: the engine reads, decodes, crops and mirrors Datums from an LMDB, plain
PyTorch has its batch in memory already) and forward (from NumPy pixels to NumPy probabilities, as pycaffe users call
it). The baseline is the code a PyTorch user would write (`plain.py`: `nn.Sequential`, channels last, SGD, autocast).
Sides run in turn, each in a process of its own, so that none profits from another's settings; ratios are taken round
by round. Memory is the peak of the process beyond what it had before it made the network (on CUDA: what PyTorch
allocated).

    python benchmarks/networks.py [NETWORK ...] [--what train forward] [--precision fp32 bf16] [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np
import plain
import torch

from pydeepexpr import caffe, engine, paths
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net, read_solver

HERE = Path(__file__).parent
#: Network → what it trains by, what it is used by.
DESCRIPTIONS = {
    **{
        name: tuple(paths.find(f"prototxt/{name}_{use}.prototxt") for use in ("train_val", "deploy"))
        for name in ("human", "character")
    },
    **{name: (HERE / f"{name}.prototxt",) * 2 for name in ("alexnet", "lenet")},
}
#: Images in a batch, and seconds that one side is timed for.
BATCH, SECONDS = {"human": 50, "character": 50, "alexnet": 50, "lenet": 64}, 4


def images(name: str) -> np.ndarray:
    """Return a batch of random pixels as the network takes them, float32."""
    shape = (1, 28, 28) if name == "lenet" else (3, 227, 227)
    return np.random.default_rng(0).normal(size=(BATCH[name], *shape)).astype(np.float32)


def write_faces(folder: Path, count: int = 500) -> None:
    """Write an LMDB of smooth random 256×256 JPEG Datums, about as large as photographs of faces."""

    def datum(rng: np.random.Generator) -> pb.Datum:
        small = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        encoded = cv2.imencode(".jpg", cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC))[1]
        return pb.Datum(channels=3, height=256, width=256, encoded=True, data=encoded.tobytes())

    _write(folder, count, datum)


def write_digits(folder: Path, count: int = 2000) -> None:
    """Write an LMDB of random 28×28 raw Datums, as Caffe's MNIST example has them."""
    _write(folder, count, lambda rng: pb.Datum(channels=1, height=28, width=28, data=rng.bytes(28 * 28)))


def _write(folder: Path, count: int, datum: Callable[[np.random.Generator], pb.Datum]) -> None:
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        for i in range(count):
            made = datum(rng)
            made.label = i % 7
            transaction.put(f"{i:08d}".encode(), made.SerializeToString())


def engine_training(name: str, precision: str, source: str) -> Callable[[], object]:
    """Return a function that trains one batch with the engine, with the human network's solver."""
    net = read_net(DESCRIPTIONS[name][0])
    for layer in net.layer:
        if layer.type == "Data":
            layer.data_param.source = source
    param = read_solver(paths.find("solvers/human.prototxt"))
    param.ClearField("net")
    param.ClearField("test_iter")
    param.display = param.snapshot = 0
    param.net_param.CopyFrom(net)
    caffe.set_precision(precision)
    solver = caffe.get_solver(param)
    return lambda: solver.step(1)


def engine_forward(name: str, precision: str) -> Callable[[], object]:
    """Return a function that computes one batch's probabilities with the engine."""
    caffe.set_precision(precision)
    net = caffe.Net(str(DESCRIPTIONS[name][1]), caffe.TEST)
    batch = images(name)
    net.blobs["data"].reshape(*batch.shape)
    return lambda: net.forward(data=batch)["prob"]


def opencv_forward(name: str) -> Callable[[], object]:
    """Return a function that computes one batch's probabilities with OpenCV, from files that the engine writes."""
    net = caffe.Net(str(DESCRIPTIONS[name][1]), caffe.TEST)
    with tempfile.TemporaryDirectory() as folder:
        weights, description = Path(folder) / "net.caffemodel", Path(folder) / "net.prototxt"
        net.save(weights)
        description.write_text(str(net.to_proto()), encoding="utf-8")
        reader = cv2.dnn.readNetFromCaffe(str(description), str(weights))
    batch = images(name)

    def step() -> np.ndarray:
        reader.setInput(batch, "data")
        return reader.forward("prob")

    return step


def measure_here(side: str, what: str, name: str, precision: str, device: str, source: str) -> dict[str, float]:
    """Return images per second and megabytes of one side, after warming up."""
    engine.use_device(device)
    torch_device = caffe.mode.device()
    on_gpu = torch_device.type == "cuda"
    before = _peak()
    if side == "plain":
        make = plain.training_step if what == "train" else plain.forward_step
        step = make(name, images(name), precision, torch_device)
    elif side == "engine":
        step = engine_training(name, precision, source) if what == "train" else engine_forward(name, precision)
    else:
        step = opencv_forward(name)
    warm = time.perf_counter()
    step()
    step()
    times = max(3, int(2 * SECONDS / (time.perf_counter() - warm)))
    started = time.perf_counter()
    for _ in range(times):
        step()
    if on_gpu:
        torch.cuda.synchronize()
    took = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if on_gpu else _peak() - before
    return {"speed": BATCH[name] * times / took, "memory": peak / 1e6}


def _peak() -> int:
    """Return the largest amount of memory that this process has had so far, in bytes (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measure(side: str, what: str, name: str, precision: str, device: str, source: str) -> dict[str, float]:
    """Measure one side in a process of its own."""
    command = [sys.executable, __file__, name, "--side", side, "--what", what, "--precision", precision]
    command += ["--device", device, "--source", source]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def row(what: str, name: str, precision: str, device: str, source: str, rounds: int) -> str:
    """Measure one line of the table."""
    sides = ["plain", "engine"] + ["opencv"] * (what == "forward" and precision == "fp32")
    measured = [{side: measure(side, what, name, precision, device, source) for side in sides} for _ in range(rounds)]

    def median(of: Callable[[dict], float]) -> float:
        return statistics.median(of(one) for one in measured)

    cells = [f"{name:>9} {what:>7} {precision:>5}"]
    cells += [f"{median(lambda one, side=side: one[side]['speed']):>8.1f}" for side in sides]
    cells += [f"{'':>8}"] * (3 - len(sides))
    cells += [f"{median(lambda one: one['engine']['speed'] / one['plain']['speed']):>8.2f}"]
    if "opencv" in sides:
        cells += [f"{median(lambda one: one['engine']['speed'] / one['opencv']['speed']):>8.2f}"]
    else:
        cells += [f"{'':>8}"]
    cells += [f"{median(lambda one, side=side: one[side]['memory']):>8.0f}" for side in ("plain", "engine")]
    cells += [f"{median(lambda one: one['engine']['memory'] / one['plain']['memory']):>6.2f}"]
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(DESCRIPTIONS)}; all unless told")
    parser.add_argument("--what", nargs="+", choices=("train", "forward"), default=["train", "forward"])
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--device", choices=engine.DEVICES, default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=("plain", "engine", "opencv"), help=argparse.SUPPRESS)
    parser.add_argument("--source", default="", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if unknown := set(a.networks) - set(DESCRIPTIONS):
        parser.error(f"no network is called {unknown.pop()!r}; there are: {', '.join(DESCRIPTIONS)}")
    if a.side:
        print(json.dumps(measure_here(a.side, a.what[0], a.networks[0], a.precision[0], a.device, a.source)))
        return
    print(f"torch {torch.__version__}, OpenCV {cv2.__version__}, {torch.get_num_threads()} threads")
    print(f"medians of {a.rounds} rounds; images/s, engine over the others; peak memory in MB, engine over plain")
    print("  network    what  prec    plain   engine   opencv  /plain /opencv    plain   engine  ratio")
    with tempfile.TemporaryDirectory() as folder:
        faces, digits = Path(folder) / "faces", Path(folder) / "digits"
        write_faces(faces)
        write_digits(digits)
        for name in a.networks or DESCRIPTIONS:
            source = str(digits if name == "lenet" else faces)
            for what in a.what:
                for precision in a.precision:
                    print(row(what, name, precision, a.device, source, a.rounds), flush=True)


if __name__ == "__main__":
    main()
