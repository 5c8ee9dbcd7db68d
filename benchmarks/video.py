"""Characters that follow a video: frames a second, where the time goes, and whether memory stays constant.

A rendered performer takes on a new key pose every second, in a video of 640 × 480 pixels at 25 frames a second, which
is made once and kept in the temporary folder. The characters' answers are written as a table and a clip.

    python benchmarks/video.py [--seconds 60] [--characters tilda]
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from pydeepexpr.cli import progress, run
from pydeepexpr.evaluation.clip import write_clip
from pydeepexpr.evaluation.tables import write_table
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.gallery import Gallery
from pydeepexpr.performance import describe_frames, follow_faces, smooth_frames
from pydeepexpr.pipeline import Recogniser, Retriever
from pydeepexpr.rig.key_poses import key_pose
from pydeepexpr.rig.pose import blend
from pydeepexpr.rig.sitters import performer_name, sitter
from pydeepexpr.stores import character_stores
from pydeepexpr.video import read_video
from pydeepexpr.video_writing import write_video
from pydeepexpr.workers import available_cores

RATE, WIDTH, HEIGHT, RENDERED = 25, 640, 480, 320
FIRST_LOOK_S = 10  # of the video: when memory is measured first

T = TypeVar("T")


def film(path: Path, seconds: int, performer: int, seed: int = 0) -> None:
    """Film a performer who changes expression every second and sways before the camera."""
    sits, rng = sitter(performer_name(performer)), np.random.default_rng(seed)
    order = [EXPRESSIONS[number % len(EXPRESSIONS)] for number in range(seconds + 1)]
    poses = [key_pose(expression, rng).pose for expression in rng.permutation(order)]
    with write_video(path) as append:
        for number in progress(range(seconds * RATE), seconds * RATE, "filming"):
            second, share = divmod(number / RATE, 1)
            moved = min(1.0, 2 * share)  # half a second to get there
            pose = blend(poses[int(second)], poses[int(second) + 1], moved * moved * (3 - 2 * moved))
            rgba, _, _ = sits.render(pose, RENDERED)
            sway = 40 * np.sin(number / 40), 12 * np.sin(number / 23)
            scale = HEIGHT / RENDERED
            matrix = np.array([[scale, 0, (WIDTH - HEIGHT) / 2 + sway[0]], [0, scale, sway[1]]])
            picture = np.ascontiguousarray(rgba[..., 2::-1])
            append(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), number / RATE)


def watched(items: Iterable[T], stage: str, seconds: dict[str, float]) -> Iterator[T]:
    """Yield from a stage, and add up the time that it and those before it take."""
    items = iter(items)
    while True:
        started = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            seconds[stage] += time.perf_counter() - started
        yield item


def peak_mib() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def report(path: Path, characters: str) -> None:
    """Let characters follow a video, and print the figures."""
    stores = character_stores(characters)
    recogniser = Recogniser("models/human.caffemodel")
    retrievers = {name: Retriever(store, recogniser) for name, store in stores.items()}
    galleries = {name: Gallery(store) for name, store in stores.items()}
    until: dict[str, float] = defaultdict(float)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with write_table(out / "table.csv", {}) as table, write_clip(out / "clip.mp4", galleries) as draw:
            started, before, peaks = time.perf_counter(), peak_mib(), []
            frames = watched(read_video(path), "decode", until)
            followed = watched(follow_faces(frames), "track", until)
            described = watched(describe_frames(followed, recogniser), "network", until)
            for moment in watched(smooth_frames(described, retrievers), "retrieve", until):
                table.append(path.name, moment)
                draw(moment)
                if moment.frame.number + 1 == FIRST_LOOK_S * RATE:
                    peaks.append(peak_mib())
            took, count = time.perf_counter() - started, moment.frame.number + 1
        peaks.append(peak_mib())
    until["draw and write"] = took
    print(f"{len(stores)} characters: {count} frames in {took:.1f} s, {count / took:.1f} frames/s")
    passed = 0.0
    for stage, seconds in until.items():
        print(
            f"{stage:>16} {1000 * (seconds - passed) / count:7.1f} ms a frame {100 * (seconds - passed) / took:6.1f} %"
        )
        passed = seconds
    said = " and ".join(f"{peak:.0f}" for peak in peaks)
    print(f"peak memory, MiB: {before:.0f} before the first frame, {said} after {FIRST_LOOK_S} s and at the end")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the video (default: %(default)s)")
    parser.add_argument("--characters", default="tilda", help="all, or names with commas (default: %(default)s)")
    parser.add_argument("--performer", type=int, default=3, help="number of the performer (default: %(default)s)")
    given = parser.parse_args()
    path = Path(tempfile.gettempdir()) / f"deepexpr-performer{given.performer}-{given.seconds}s.mp4"
    spawn = multiprocessing.get_context("spawn")
    if not path.is_file():
        filming = spawn.Process(target=film, args=(path, given.seconds, given.performer))  # not to count its memory
        filming.start()
        filming.join()
    print(f"{available_cores()} cores; {path}")
    report(path, given.characters)


if __name__ == "__main__":
    run(main)
