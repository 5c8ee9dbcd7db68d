"""Make train, val and test LMDBs of registered faces (tools/register.py), with their mean image and manifest.

Example: python tools/build_lmdb.py /data/registered/fer2013 /data/lmdb/fer2013
"""

import argparse

from lmdb_builders.build import build_lmdb, counts_table
from lmdb_builders.choice import UNLABELLED_RULES
from lmdb_builders.datum_lmdb import ENCODINGS
from lmdb_builders.division import FOLDS, GAP, SPLIT_RULES
from lmdb_builders.splits import BALANCES
from pydeepexpr.caffe.crops import RULES
from pydeepexpr.cli import run
from pydeepexpr.persons import independence


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("folders", nargs="+", metavar="FOLDER", help="registered folder, with its manifest.parquet")
    add("out", metavar="OUT", help="folder to make (docs/formats.md)")
    add(
        "--split",
        choices=SPLIT_RULES,
        default="own",
        help="keep the databases' own splits; or divide all images by person, sequences into blocks, at random "
        "(neighbouring frames fall on both sides: for comparison only), or by person into folds for cross-validation",
    )
    add("--val", type=float, default=0.15, help="share of the divided images that validates")
    add("--test", type=float, default=0.15, help="share of the divided images that tests")
    add("--gap", type=int, default=GAP, help="frames left out between two blocks, with --split blocks")
    add("--folds", type=int, default=FOLDS, help="how many folds there are, with --split folds")
    add("--fold", type=int, default=0, help="the fold that tests, counted from 0; the others train and validate")
    add("--balance", choices=BALANCES, default="none", help="even out the training classes, to the rarest or commonest")
    add("--seed", type=int, default=0, help="decides splits, balance and the training order")
    add(
        "--crops",
        choices=RULES,
        default="random",
        help="write whole faces, of which Caffe crops at random; or fixed crops of each training face: the centre, it "
        "and its mirror image, or the papers' five and their mirror images (ten times the images)",
    )
    add("--encode", choices=ENCODINGS, default="jpg", help="how the LMDB holds the pixels; png and raw lose nothing")
    add("--quality", type=int, default=95, help="JPEG quality, 1 to 100")
    add("--unlabelled", choices=UNLABELLED_RULES, default="error", help="what to do about images without a label")
    add("--character", action="append", dest="characters", metavar="NAME", default=[], help="only this one; repeatable")
    add("--hold-out", default="", metavar="NAME", help="this character's test frames alone test, the others teach")
    add("--exclude", metavar="LIST", nargs="+", default=[], help="lists of images to leave out, such as test queries")
    add("--force", action="store_true", help="replace an earlier build of other images or options")
    add("--workers", type=int, default=argparse.SUPPRESS, help="threads (default: one a core)")
    return parser.parse_intermixed_args()


def main() -> None:
    """Build and print the images per class and split."""
    report = build_lmdb(**vars(arguments()))
    print(counts_table(report))
    if report["in_gaps"]:
        print(f"left out, in the gaps between blocks: {report['in_gaps']}")
    if report["held_out"]:
        print(f"left out, because a character is held out: {report['held_out']}")
    for name, count in report["excluded"].items():
        print(f"left out, named in {name}: {count}")
    if report["skipped_unlabelled"]:
        print(f"left out, without a label: {report['skipped_unlabelled']}")
    if report["why_persons_mix"] is not None:
        print(independence(report["why_persons_mix"]))
    print("mean (B, G, R): " + ", ".join(f"{value:.2f}" for value in report["mean_value"]))


if __name__ == "__main__":
    run(main)
