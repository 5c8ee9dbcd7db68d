"""Training throughput of the human network: the engine with its Data layer, against a plain PyTorch loop.

The baseline is the loop a PyTorch user would write for the same network (`nn.Sequential`, channels last, SGD) on a
batch that lies in memory already. The engine reads, decodes, crops and mirrors JPEG Datums from an LMDB. Both run in
turn, each in a process of its own, so that neither profits from the other's settings; the ratio is taken pair by pair.

    python benchmarks/training.py [--precision fp32 bf16] [--device auto] [--rounds 3] [--iterations 6]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import torch
from torch import nn

from pydeepexpr import caffe, engine, paths
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.caffe.readers import read_net, read_solver

BATCH = 50


def plain_network() -> nn.Module:
    """Return the human network as a PyTorch user would write it."""
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(nn.LocalResponseNorm(5), nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(inplace=True)),
        *(nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(inplace=True)),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, ceil_mode=True)),
        *(nn.Flatten(), nn.Linear(13824, 512), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(512, 7)),
    )


def plain_steps(precision: str, device: torch.device):
    """Return a function that trains one batch with plain PyTorch."""
    network = plain_network().to(device, memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 227, 227, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 7, (BATCH,), device=device)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def step():
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            scores = network(images)
        loss = nn.functional.cross_entropy(scores.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def write_lmdb(folder: Path, count: int = 500) -> None:
    """Write an LMDB of smooth random 256×256 JPEG Datums, about as large as photographs of faces."""
    rng = np.random.default_rng(0)
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        for i in range(count):
            small = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
            encoded = cv2.imencode(".jpg", cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC))[1]
            datum = pb.Datum(channels=3, height=256, width=256, label=i % 7, encoded=True, data=encoded.tobytes())
            transaction.put(f"{i:08d}".encode(), datum.SerializeToString())


def engine_steps(precision: str, source: str):
    """Return a function that trains one batch with the engine, as prototxt/ and solvers/ describe it."""
    net = read_net(paths.find("prototxt/human_train_val.prototxt"))
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


def time_side(side: str, precision: str, device: str, source: str, iterations: int) -> float:
    """Return images per second of one side, after two iterations of warming up."""
    engine.use_device(device)
    torch_device = caffe.mode.device()
    step = plain_steps(precision, torch_device) if side == "plain" else engine_steps(precision, source)
    for _ in range(2):
        step()
    started = time.perf_counter()
    for _ in range(iterations):
        step()
    if torch_device.type == "cuda":
        torch.cuda.synchronize()
    return BATCH * iterations / (time.perf_counter() - started)


def measure(side: str, precision: str, device: str, source: str, iterations: int) -> float:
    """Time one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--precision", precision, "--device", device]
    command += ["--source", source, "--iterations", str(iterations)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--device", choices=engine.DEVICES, default="auto")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--side", choices=("plain", "engine"), help=argparse.SUPPRESS)
    parser.add_argument("--source", default="", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.side:
        print(json.dumps(time_side(a.side, a.precision[0], a.device, a.source, a.iterations)))
        return
    print(f"human network, batch {BATCH}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{'precision':>9} {'plain PyTorch':>14} {'engine + LMDB':>14} {'ratio':>6}   images/s, medians of {a.rounds}"
    )
    with tempfile.TemporaryDirectory() as source:
        write_lmdb(Path(source))
        for precision in a.precision:
            sides = ("plain", "engine")
            pairs = [
                [measure(side, precision, a.device, source, a.iterations) for side in sides] for _ in range(a.rounds)
            ]
            plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(b / a for a, b in pairs)
            print(f"{precision:>9} {plain:>14.1f} {ours:>14.1f} {ratio:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
