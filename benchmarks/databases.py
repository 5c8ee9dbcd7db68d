"""Registration and LMDB building against what cannot be avoided: dlib's own work, and the image codecs' and the disk's.

Registration: images a second with a process on every core, once they have started, against cores ÷ the time that
dlib's detector and predictor alone take for an image, measured on the same images in as many processes. LMDBs: images
a second with a thread on every core, against the codecs alone (PNG read, JPEG written, JPEG read for the mean image)
in as many threads, and against writing and syncing as many bytes to the same disk. Both are taken in turns, `--rounds`
times; the best counts.

    python benchmarks/databases.py [--database fer2013 --root data/fer2013] [--images 600] [--rounds 3]

Without --root, photographs of rendered people are made first, of --size pixels a side: CK+, KDEF, MMI and DISFA have
pictures of 640×490 to 1024×768. The smaller the images, the less of the time is dlib's.
"""

import argparse
import importlib
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from lmdb_builders import READERS, Record
from lmdb_builders.build import build_lmdb
from lmdb_builders.register import register
from pydeepexpr.cli import run
from pydeepexpr.errors import UserError
from pydeepexpr.faces import analyse, landmark_model_path
from pydeepexpr.rig.rendering import render_performers
from pydeepexpr.workers import available_cores, run_all

_QUALITY = 95


@dataclass(frozen=True)
class DlibAlone:
    """A task: the seconds that dlib itself takes to find the face and its landmarks in an image."""

    record: Record
    cropped: bool

    def __call__(self) -> float:
        image, spent = self.record.read(), 0.0
        # The package's names for them are the functions'.
        detect, landmarks = (importlib.import_module(f"pydeepexpr.faces.{name}") for name in ("detect", "landmarks"))
        detector, predictor = detect._detector(), landmarks._predictor(str(landmark_model_path()))

        def timed(call):
            def wrapped(*given):
                nonlocal spent
                started = time.perf_counter()
                result = call(*given)
                spent += time.perf_counter() - started
                return result

            return wrapped

        class Detector:
            run = staticmethod(timed(detector.run))

        kept = detect._detector, landmarks._predictor
        detect._detector, landmarks._predictor = Detector, lambda path: timed(predictor)
        try:
            analyse(image, cropped=self.cropped)
        finally:
            detect._detector, landmarks._predictor = kept
        return spent


def registration(database: str, root: Path, images: int, folder: Path) -> tuple[float, float]:
    """Return images a second of registration, and of dlib alone, on all cores."""
    reader, cores = READERS[database], available_cores()
    records = [item for item in islice(reader.read(root), images) if isinstance(item, Record)]
    alone = list(run_all((DlibAlone(record, reader.cropped) for record in records), cores))
    few = 16 * cores
    start, whole = (_seconds_of(database, root, folder, limit) for limit in (few, images))
    return (images - few) / (whole - start), cores / np.mean(alone)


def _seconds_of(database: str, root: Path, folder: Path, limit: int) -> float:
    started = time.perf_counter()
    register(database, root, folder / "registered", limit=limit, force=True)
    return time.perf_counter() - started


def building(folder: Path) -> tuple[float, float, float]:
    """Return images a second of building LMDBs, of the codecs alone on all cores, and of the disk alone."""
    files = sorted((folder / "registered").rglob("*.png"))
    started = time.perf_counter()
    build_lmdb([folder / "registered"], folder / f"lmdb{started}", split="random", quality=_QUALITY)
    built = len(files) / (time.perf_counter() - started)
    started = time.perf_counter()
    with ThreadPoolExecutor(available_cores()) as pool:
        sizes = list(pool.map(_codecs, files))
    codecs = len(files) / (time.perf_counter() - started)
    started = time.perf_counter()
    with open(folder / "bytes", "wb") as file:
        for size in sizes:
            file.write(b"\1" * size)
        file.flush()
        os.fsync(file.fileno())
    return built, codecs, len(files) / (time.perf_counter() - started)


def _codecs(path: Path) -> int:
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return len(coded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=list(READERS), default="performers", help="default: performers")
    parser.add_argument("--root", type=Path, help="where it lies")
    parser.add_argument("--images", type=int, default=600, help="the first so many (default: %(default)s)")
    parser.add_argument("--size", type=int, default=640, help="of rendered photographs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    given = parser.parse_args()
    if given.root is None and given.database != "performers":
        raise UserError(f"say with --root where {given.database} lies")
    with tempfile.TemporaryDirectory() as name:
        folder, root = Path(name), given.root
        if root is None:
            root = folder / "performers"
            render_performers(root, performers=-(-given.images // 15), frames=15, size=given.size)
        registered = [registration(given.database, root, given.images, folder) for _ in range(given.rounds)]
        built = [building(folder) for _ in range(given.rounds)]
    print(f"{given.images} images of {given.database}, {available_cores()} cores, best of {given.rounds} rounds")
    ours, dlib = np.max(registered, axis=0)
    print(f"registration {ours:.1f} images/s, dlib alone {dlib:.1f}: {_ratios(registered)}")
    ours, codecs, disk = np.max(built, axis=0)
    print(f"LMDBs {ours:.0f} images/s, codecs alone {codecs:.0f} ({_ratios(built)}), disk alone {disk:.0f}")


def _ratios(rounds: list[tuple[float, ...]]) -> str:
    values = np.array([ours / bound for ours, bound, *_ in rounds])
    return f"× {values.max():.2f} ({', '.join(f'{value:.2f}' for value in values)} in rounds)"


if __name__ == "__main__":
    run(main)
