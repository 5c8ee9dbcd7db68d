"""All of DeepExpr on rendered people and characters, without any data: ends with a report in one HTML file.

python tools/demo.py

Interrupted or run again, it does only what is missing; remove the folder to begin anew.
"""

import argparse
from pathlib import Path

from pydeepexpr.cli import run
from pydeepexpr.demo import Scale, demo, fast_precision
from pydeepexpr.faces import LANDMARK_LICENCE


def main() -> None:
    usual = Scale()
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("work/demo"), help="default: %(default)s")
    add("--performers", type=int, default=usual.performers, metavar="N", help="people (default: %(default)s)")
    add("--frames", type=int, default=usual.frames, metavar="N", help="photographs of each (default: %(default)s)")
    add("--cast-frames", type=int, default=usual.cast_frames, metavar="N", help="a character (default: %(default)s)")
    add("--epochs", type=float, default=usual.epochs, help="of the human network (default: %(default)s)")
    add("--finetune-epochs", type=float, default=usual.finetune_epochs, help="a character (default: %(default)s)")
    add("--precision", choices=("fp32", "bf16"), help="of the training (default: what is fast here)")
    given = vars(parser.parse_args())
    out = given.pop("out")
    given["precision"] = given["precision"] or fast_precision()
    print(demo(out, Scale(**given)))


if __name__ == "__main__":
    run(main)
