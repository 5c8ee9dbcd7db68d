"""How much like faces the rig's heads are: the share in which dlib finds one, and how well its landmarks agree.

Frames are random key poses at 256 × 256, every expression in turn; characters stand before black, as FERG-DB's are
shown to networks. A face counts as found if the detector's box lies about the head's own landmarks. Distances between
the rig's landmarks and dlib's are shares of the interocular distance, here the one between the middles of the eyes
(between the outer corners, as some have it, it is about 1.5 times as long).

    python benchmarks/rig_faces.py [--frames 100] [--seed 0]
"""

import argparse
from collections import Counter
from collections.abc import Iterable

import numpy as np

from pydeepexpr.cli import progress, run
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.faces import analyse
from pydeepexpr.rig.cast import CAST
from pydeepexpr.rig.key_poses import key_pose
from pydeepexpr.rig.sitters import performer_name, sitter

GROUPS = {
    "brows": slice(0, 10),
    "nose": slice(10, 19),
    "eyes": slice(19, 31),
    "outer lips": slice(31, 43),
    "inner lips": slice(43, 49),
}
LEFT_EYE, RIGHT_EYE = slice(19, 25), slice(25, 31)


def shots(names: Iterable[str], seed: int, size: int = 256):
    """Yield who shows what, the picture before black (BGR) and its landmarks."""
    for number, name in enumerate(names):
        expression = EXPRESSIONS[number % len(EXPRESSIONS)]
        pose = key_pose(expression, np.random.default_rng((seed, number))).pose
        rgba, landmarks, _ = sitter(name).render(pose, size)
        black = rgba[..., 2::-1] * (rgba[..., 3:] / 255)
        yield name, expression, np.rint(black).astype(np.uint8), landmarks


def distances(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
    """Return how far dlib's landmarks lie from the rig's, (49,), or None where dlib finds no face there."""
    middle, width = landmarks.mean(axis=0), np.ptp(landmarks[:, 0])
    for face in analyse(picture):
        left, top, right, bottom = face.box
        if left < middle[0] < right and top < middle[1] < bottom and right - left > 0.7 * width:
            between = np.linalg.norm(landmarks[LEFT_EYE].mean(axis=0) - landmarks[RIGHT_EYE].mean(axis=0))
            return np.linalg.norm(face.landmarks - landmarks, axis=1) / between
    return None


def report(title: str, names: list[str], seed: int) -> None:
    """Print the figures of some heads, one frame a name."""
    missed, far = Counter(), []
    for name, expression, picture, landmarks in progress(shots(names, seed), len(names), title):
        found = distances(picture, landmarks)
        if found is None:
            missed.update([name if name in CAST else "", expression])
        else:
            far.append(found)
    print(f"{title}: {len(names)} frames, a face found in {len(far) / len(names):.1%}")
    if missed := ", ".join(f"{name} {count}" for name, count in missed.most_common() if name):
        print(f"  missed: {missed}")
    if far:
        far = np.array(far)
        for group, points in {"all 49": slice(None), **GROUPS}.items():
            half, most = np.percentile(far[:, points], [50, 90])
            print(f"  {group:<11} median {half:5.1%}, 90th percentile {most:5.1%} of the interocular distance")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100, help="of performers, and of the cast (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the poses (default: 0)")
    given = parser.parse_args()
    # The cast in blocks of seven frames, so that everybody shows every expression.
    cast = [list(CAST)[number // len(EXPRESSIONS) % len(CAST)] for number in range(given.frames)]
    report("performers", [performer_name(number) for number in range(given.frames)], given.seed)
    report("cast", cast, given.seed)


if __name__ == "__main__":
    run(main)
