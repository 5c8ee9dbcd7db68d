"""Frames a second of the rig: pose, render and PNG, on one core and on all of them.

The first table is processor time on one core, for each character; the last line renders the cast to a temporary folder
as tools/render_rig.py does, on all cores, and takes its wall time.

    python benchmarks/rendering.py [--frames 400] [--size 256]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from pydeepexpr.rig.cast import CAST
from pydeepexpr.rig.key_poses import key_poses
from pydeepexpr.rig.rasteriser import render
from pydeepexpr.rig.rendering import render_cast
from pydeepexpr.rig.sitters import sitter
from pydeepexpr.workers import available_cores


def milliseconds(call: Callable[[], object], times: int) -> float:
    """Return the processor time that one call takes on average."""
    call()
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=400, help="per character, on all cores")
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{'character':>10} {'triangles':>9} {'pose':>6} {'render':>6} {'PNG':>6}   ms; frames/s of one core")
    for name in CAST:
        pose = key_poses(name, "joy")[0].pose
        sits = sitter(name)
        mesh = sits.head.pose(pose)
        rgba = render(mesh, sits.camera, sits.lights, given.size).rgba
        times = [
            milliseconds(lambda s=sits, p=pose: s.head.landmarks(s.head.pose(p)), 20),
            milliseconds(lambda s=sits, m=mesh: render(m, s.camera, s.lights, given.size), 20),
            milliseconds(lambda p=rgba: cv2.imencode(".png", p), 20),
        ]
        columns = " ".join(f"{value:6.1f}" for value in times)
        print(f"{name:>10} {len(mesh.triangles):>9} {columns}   {1000 / sum(times):.0f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        render_cast(Path(folder) / "warm", frames=7, size=given.size, workers=1)  # compiled and cached
        started = time.perf_counter()
        render_cast(Path(folder) / "cast", frames=given.frames, size=given.size)
        took = time.perf_counter() - started
    count = given.frames * len(CAST)
    print(f"{available_cores()} cores: {count} frames in {took:.1f} s, {count / took:.0f} frames/s, start included")


if __name__ == "__main__":
    main()
