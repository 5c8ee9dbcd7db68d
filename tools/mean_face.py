"""Make the mean face that registration aims at from a registered folder (rarely needed: it is committed).

Example: python tools/mean_face.py registered/web_faces
"""

import argparse

from lmdb_builders.mean_face import make_mean_face
from pydeepexpr.cli import run
from pydeepexpr.faces import MEAN_FACE_FILE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("registered", metavar="REGISTERED", help="a folder made by tools/register.py")
    parser.add_argument("--out", default=MEAN_FACE_FILE, help="default: the package's own file")
    given = parser.parse_args()
    print(f"{given.out}: the average of {make_mean_face(given.registered, given.out)} neutral faces")


if __name__ == "__main__":
    run(main)
