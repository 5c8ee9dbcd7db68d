"""Ask people: make the page of a perceptual study, read their answers, and filter key poses by them.

python tools/study.py recognition stores/performers_test models/stores/* --out studies/table2
python tools/study.py ranking stores/performers_test models/stores/* --out studies/figure9
python tools/study.py ranking --results retrieval.json --sets 7 --out studies/mine
python tools/study.py recognition --faces data/registered/cast --names key_poses.txt --out studies/poses
python tools/study.py read studies/table2/study.json answers/*.json batch.csv --json studies/table2/votes.json
python tools/study.py filter studies/poses/votes.json --agreement 0.7 --out excluded.txt
"""

import argparse

from pydeepexpr.cli import run
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study import report
from pydeepexpr.evaluation.study.drawing import (
    Drawn,
    draw_key_poses,
    draw_ranking,
    draw_recognition,
    from_results,
    from_stores,
)
from pydeepexpr.evaluation.study.key_poses import AGREEMENT
from pydeepexpr.evaluation.study.voting import DEFAULT_VOTING, VOTING
from pydeepexpr.features import FeatureStore
from pydeepexpr.files import read_names
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS
from pydeepexpr.stores import open_stores

_PAGE = ("checks", "seed", "title", "contact", "per_rater", "hits")
_LOT = {"recognition": ("each", "seed"), "ranking": ("sets", "size", "among", "seed")}


def main() -> None:
    given = vars(_arguments())
    command, out = given.pop("command"), given.pop("out", None)
    if command == "read":
        print(report.report_answers(**given))
    elif command == "filter":
        print(report.report_filter(given.pop("votes"), out, **given))
    else:
        print(report.write_study(_draw(command, given), out, **{name: given[name] for name in _PAGE}))


def _draw(command: str, given: dict) -> Drawn:
    sources = {"stores": given["stores"], "--results": given["results"], "--faces": given.get("faces")}
    named = [name for name, value in sources.items() if value]
    if len(named) != 1:
        raise UserError(f"draw a study from one source: {', '.join(sources)}; given: {' and '.join(named) or 'none'}")
    if given.get("faces"):
        names = read_names(given["names"]) if given["names"] else None
        return draw_key_poses(given["faces"], names, given["seed"])
    if given.get("names"):
        raise UserError("--names chooses among --faces; give these, too")
    if given["results"]:
        source = from_results(given["results"])
    else:
        people, *characters = given["stores"]
        if not characters:
            raise UserError(f"after {people}, whose images ask, name the stores of the characters that answer")
        stores = open_stores(characters)
        source = from_stores(FeatureStore.open(people), stores, given["normalise"], siblings=given["siblings"])
    draw = {"recognition": draw_recognition, "ranking": draw_ranking}[command]
    return draw(source, **{name: given[name] for name in _LOT[command]})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=report.LICENCES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    what = commands.add_parser("recognition", help="which expression is this? (Table 2; key poses)")
    _add_sources(what)
    what.add_argument("--faces", metavar="FOLDER", help="ask about a registered folder's images instead")
    what.add_argument("--names", metavar="LIST", help="of these, only the images that a list names")
    what.add_argument("--each", type=int, default=3, metavar="N", help="queries an expression (default: %(default)s)")
    _add_page(what)

    what = commands.add_parser("ranking", help="order these faces by similarity (figure 9)")
    _add_sources(what)
    what.add_argument("--sets", type=int, default=30, metavar="N", help="how many (default: %(default)s)")
    what.add_argument("--size", type=int, default=5, metavar="N", help="faces a set, up to 9 (default: %(default)s)")
    what.add_argument("--among", type=int, metavar="N", help="draw from the first N of a ranking (default: all)")
    _add_page(what)

    what = commands.add_parser("read", help="sum answers up")
    what.add_argument("study", metavar="STUDY.json", help="the study's key")
    what.add_argument("answers", nargs="+", metavar="ANSWERS", help="the page's JSON or CSV, Mechanical Turk's CSV")
    what.add_argument("--json", metavar="FILE", help="write the votes, for evaluate.py and filter")
    what.add_argument("--csv", metavar="FILE", help="write the tables for spreadsheets")
    what.add_argument("--markdown", metavar="FILE", help="write the tables")
    what.add_argument("--voting", choices=VOTING, default=DEFAULT_VOTING, help="default: %(default)s")
    what.add_argument("--keep-inattentive", action="store_true", help="count who failed an attention check, too")

    what = commands.add_parser("filter", help="list the key poses that too few people recognised")
    what.add_argument("votes", metavar="VOTES.json", help="what read wrote about a study of recognition")
    what.add_argument(
        "--agreement", type=float, default=AGREEMENT, metavar="SHARE", help="least share (default: %(default)s)"
    )
    what.add_argument("--out", required=True, metavar="LIST", help="write those to leave out, for build_lmdb --exclude")
    what.add_argument("--kept", metavar="LIST", help="write the others")
    return parser.parse_args()


def _add_sources(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("stores", nargs="*", metavar="STORE", help="the store whose images ask, then those of the characters")
    add("--results", nargs="+", metavar="JSON", help="draw from what tools/retrieve.py --json recorded instead")
    add("--normalise", choices=NORMALISATIONS, default=DEFAULT_NORMALISATION, help="of stores (default: %(default)s)")
    add("--siblings", action="store_true", help="accept stores whose model and the queries' come from a third one")


def _add_page(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="FOLDER", help="where study.json and page.html are written")
    add("--seed", type=int, default=2016, help="decides what is drawn (default: %(default)s)")
    add("--checks", type=int, default=2, metavar="N", help="attention checks (default: %(default)s)")
    add("--per-rater", type=int, metavar="N", help="questions a rater answers, drawn by lot (default: all)")
    add("--title", default="", help="the page's heading")
    add("--contact", default="", metavar="WHO", help="whom raters may ask, and send their answers to")
    add("--hits", action="store_true", help="write pictures/ and hits.csv for one question a HIT, too")


if __name__ == "__main__":
    run(main)
