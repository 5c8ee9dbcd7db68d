"""Train and test the human network fold by fold, each person in one fold; ends with accuracy and confusion.

python tools/cross_validate.py data/registered/ckplus data/registered/kdef --out work/cross-validation

Interrupted or run again, it does only what is missing.
"""

import argparse
from pathlib import Path

from lmdb_builders.division import FOLDS
from lmdb_builders.splits import BALANCES
from pydeepexpr.caffe.crops import RULES
from pydeepexpr.cli import run
from pydeepexpr.cross_validation import Plan, cross_validate
from pydeepexpr.engine import DEVICES, PRECISIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "registered", nargs="+", type=Path, metavar="FOLDER", help="registered folders; folds are made over their union"
    )
    add("--out", type=Path, default=Path("work/cross-validation"), help="default: %(default)s")
    add("--folds", type=int, default=FOLDS, help="default: %(default)s")
    add("--val", type=float, default=0.13, help="share that validates; nothing is chosen by it (default: %(default)s)")
    add("--balance", choices=BALANCES, default="none", help="of the training classes (default: %(default)s)")
    add("--exclude", metavar="LIST", nargs="+", default=[], help="lists of images to leave out")
    add("--epochs", type=float, default=50, help="default: %(default)s")
    add("--drop-every", type=float, default=10, metavar="EPOCHS", help="default: %(default)s")
    add("--crops", choices=RULES, default="random", help="of training images (default: %(default)s)")
    add("--solver", default="solvers/human.prototxt", help="default: %(default)s")
    add("--deploy", default="prototxt/human_deploy.prototxt", help="default: %(default)s")
    add("--seed", type=int, default=0, help="of the folds, and of the training's crops and weights")
    add("--precision", choices=PRECISIONS, default="fp32")
    add("--device", choices=DEVICES, default="auto")
    a = parser.parse_args()
    seed = ("--seed", str(a.seed))
    exclude = ("--exclude", *a.exclude) if a.exclude else ()
    train = ("--solver", a.solver, "--deploy", a.deploy, "--crops", a.crops, "--precision", a.precision, *seed)
    length = ("--epochs", f"{a.epochs:g}", "--drop-every", f"{a.drop_every:g}")
    build = ("--balance", a.balance, "--unlabelled", "skip", *seed, *exclude)
    plan = Plan(tuple(a.registered), a.folds, a.val, build, (*train, *length), a.device)
    print(cross_validate(plan, a.out), end="")
    print(f"\n{a.out}: report.md, report.json, confusion.png")


if __name__ == "__main__":
    run(main)
