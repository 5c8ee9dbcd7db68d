"""Register the databases that lie in a folder and make one set of LMDBs of them: for training and for cross-validation.

python tools/make_data.py /data --databases ckplus disfa kdef mmi
python tools/make_data.py /data --option disfa.intensity=2 --option mmi.apex=10

Each may be interrupted; the same command goes on, and leaves alone what is finished.
"""

import argparse
from pathlib import Path

from lmdb_builders.build import build_lmdb, counts_table
from lmdb_builders.collect import PEOPLE, collect, describe, find_databases, held_out
from lmdb_builders.splits import BALANCES
from pydeepexpr.caffe.crops import RULES
from pydeepexpr.cli import read_pairs, run
from pydeepexpr.errors import UserError
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.persons import independence


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("root", type=Path, metavar="ROOT", help="the folder that holds the databases")
    add(
        "--databases",
        nargs="+",
        default=[],
        metavar="NAME",
        help=f"which (tools/register.py --help lists them); by default those of {', '.join(PEOPLE)} that are there",
    )
    add("--registered", type=Path, default=Path("data/registered/people"), metavar="DIR", help="default: %(default)s")
    add("--lmdb", type=Path, default=Path("data/lmdb/human"), metavar="DIR", help="default: %(default)s")
    add("--no-lmdb", action="store_true", help="register alone, as for cross-validation")
    add("--option", action="append", default=[], metavar="NAME.OPTION=VALUE", help="of a reader; repeatable")
    add("--val", type=float, default=0.13, help="share of the images that validates (default: %(default)s)")
    add("--test", type=float, default=0.13, help="share that tests; databases keep their own splits")
    add("--balance", choices=BALANCES, default="none", help="of the training classes (default: %(default)s)")
    add("--crops", choices=RULES, default="random", help="written into the LMDB (default: %(default)s)")
    add("--seed", type=int, default=0)
    add("--workers", type=int, help="processes (default: one a core)")
    add("--limit", type=int, help="only the first so many images of each database, for a trial")
    given = parser.parse_args()
    databases = find_databases(given.root, given.databases)
    options = _by_database(read_pairs(given.option, "--option"))
    databases = collect(databases, given.registered, options=options, workers=given.workers, limit=given.limit)
    print("\n".join(describe(one, given.root) for one in databases), flush=True)
    if given.no_lmdb:
        return
    report = build_lmdb(
        [given.registered / one.name for one in databases if one.place is not None],
        given.lmdb,
        **{name: getattr(given, name) for name in ("val", "test", "balance", "crops", "seed", "workers")},
        exclude=[] if given.limit else held_out(databases),
        unlabelled="skip",
        force=True,
    )
    print(f"{given.lmdb}: {independence(report['why_persons_mix'])}\n{counts_table(report)}")


def _by_database(pairs: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return ``{"disfa.intensity": "2"}`` as ``{"disfa": {"intensity": "2"}}``."""
    options: dict[str, dict[str, str]] = {}
    for name, value in pairs.items():
        database, dot, option = name.partition(".")
        if not dot:
            raise UserError(f"--option {name}={value} names no database: write DATABASE.{name}={value}")
        options.setdefault(database, {})[option] = value
    return options


if __name__ == "__main__":
    run(main)
