"""Look into feature stores, check them, put them together, and hand them to other programs.

What a store holds, and how it was made:          python tools/store.py info models/stores/tilda
Whether every byte is as it was written:          python tools/store.py verify models/stores/*
One store of several, models side by side:        python tools/store.py merge models/stores/* stores/cast
Part of a store, as a store of its own:           python tools/store.py merge stores/cast stores/joy --expression joy
One table for pandas, Polars or DuckDB:           python tools/store.py export stores/cast cast.parquet
FC6 alone, or all arrays in a folder, for NumPy:  python tools/store.py export stores/cast cast.npy
                                                  python tools/store.py export stores/cast cast
"""

import argparse
import sys

from pydeepexpr.cli import run
from pydeepexpr.errors import ToldError, UserError
from pydeepexpr.features import FeatureStore, describe, export, merge, verify
from pydeepexpr.stores import open_stores

_CRITERIA = {
    "character": "whose frames",
    "expression": "true expression, such as joy, or unlabelled",
    "split": "train, val or test",
    "model": "file name of the model, or the first digits (8 or more) of its SHA-256",
    "predicted": "expression that the model sees",
}


def main() -> int:
    """Do what the command says."""
    given = _arguments()
    return given.does(given)


def _info(given: argparse.Namespace) -> int:
    print("\n\n".join(describe(store) for store in _chosen(given)))
    return 0


def _verify(given: argparse.Namespace) -> int:
    damaged = False
    for folder in given.stores:
        try:
            damages = verify(folder)
        except UserError as error:
            damages = [str(error)]
        for damage in damages:
            print(f"error: {damage}", file=sys.stderr)
        if not damages:
            print(f"{folder}: whole")
        damaged = damaged or bool(damages)
    if damaged:
        raise ToldError
    return 0


def _merge(given: argparse.Namespace) -> int:
    store = merge(_chosen(given), given.out)
    print(f"{given.out}: {len(store)} images, parts: {len(store.parts)}, models: {len(store.models)}")
    return 0


def _export(given: argparse.Namespace) -> int:
    (store,) = _chosen(given)
    export(store, given.out)
    print(f"{given.out}: {len(store)} images")
    return 0


def _chosen(given: argparse.Namespace) -> list[FeatureStore]:
    """Open the stores and choose of their rows what the criteria say."""
    wanted = {what: getattr(given, what) for what in _CRITERIA}
    return [store.where(**wanted) if any(wanted.values()) else store for store in open_stores(given.stores).values()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="info|verify|merge|export")
    for name, does, about in (
        ("info", _info, "what is in it, made how and when, and by which models"),
        ("verify", _verify, "compare every byte with its checksum; exit status 2 where something is damaged"),
        ("merge", _merge, "one store of several, or of some of their rows"),
        ("export", _export, "a Parquet table (OUT.parquet), FC6 (OUT.npy), or a folder of all arrays (OUT)"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.set_defaults(does=does)
        command.add_argument("stores", metavar="STORE", nargs=1 if name == "export" else "+", help="folder of a store")
        if name in ("merge", "export"):
            command.add_argument("out", metavar="OUT", help="what to write")
        if name != "verify":
            for what, means in _CRITERIA.items():
                command.add_argument(
                    f"--{what}", action="append", metavar="WORD", help=f"only this: {means}; repeatable"
                )
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
