"""Write what a model says about every image of an LMDB to a feature store: FC6, probabilities, geometry.

Example: python tools/extract_features.py models/human.caffemodel data/fer2013/val_lmdb stores/fer2013_val
More images, or the same by another model, in the same store:
         python tools/extract_features.py models/human.caffemodel data/kdef/val_lmdb stores/fer2013_val --append
"""

import argparse

from pydeepexpr.cli import run
from pydeepexpr.engine import DEVICES
from pydeepexpr.extraction import extract
from pydeepexpr.recogniser import Recogniser


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help=".caffemodel, with its card (.json) beside it")
    parser.add_argument("lmdb", metavar="LMDB", help="folder of an LMDB of Datum, with manifest.parquet beside it")
    parser.add_argument("store", metavar="STORE", help="the store to make; an older store there is replaced")
    parser.add_argument("--append", action="store_true", help="add to the older store; make one where there is none")
    parser.add_argument("--deploy", help="deploy prototxt (default: the one that the card names)")
    parser.add_argument("--base", help="what a model of fine-tuned layers alone is loaded on top of (default: found)")
    parser.add_argument("--batch", type=int, default=50, help="images a forward pass (default: 50)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    given = parser.parse_args()
    recogniser = Recogniser(given.model, given.deploy, base=given.base, device=given.device)
    store = extract(recogniser, given.lmdb, given.store, batch=given.batch, append=given.append)
    print(f"{given.store}: {len(store)} images, FC6 of {store.fc6.shape[1]}")


if __name__ == "__main__":
    run(main)
