"""Measure recognition and retrieval; write the figures as JSON, Markdown and pictures.

python tools/evaluate.py recognition stores/fer2013_val --rejects data/registered/fer2013/rejects.csv --under val
python tools/evaluate.py retrieval stores/fer2013_val docs/web_faces_queries.txt --root /data/web_faces
python tools/evaluate.py retrieval models/stores/* docs/web_faces_queries.txt --root /data/web_faces
python tools/evaluate.py distance docs/web_faces_queries.txt models/stores/* --root /data/web_faces --figure out.png
python tools/evaluate.py accuracy --people stores/people_test --tuned stores/cast/*
python tools/evaluate.py table1 stores/performers_test models/stores/*
python tools/evaluate.py ranking study/study.json --crowd votes.json --figure out.png out.pdf
python tools/evaluate.py table2 votes.json
python tools/evaluate.py pick-queries /data/registered/web_faces/manifest.parquet --seed 2016
"""

import argparse
from typing import Any

from pydeepexpr.cli import read_pairs, run
from pydeepexpr.engine import DEVICES
from pydeepexpr.evaluation import distance_report, ranking_report, report, table2
from pydeepexpr.evaluation.accuracy import DIVISIONS
from pydeepexpr.evaluation.distance_study import RATIOS
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS, SORT_KEYS
from pydeepexpr.retrieval.geometry import WITHIN

_SIBLINGS = "accept stores whose model and the queries' come from a third one"
_ENDINGS = ".png, .jpg, .pdf or .svg; or several of them"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    what = commands.add_parser("recognition", help="accuracy, per class, confusion of a store's own images")
    what.add_argument("store", metavar="STORE")
    what.add_argument("--rejects", metavar="CSV", help="rejects.csv of the registered folder; they count as wrong")
    what.add_argument("--under", default="", metavar="FOLDER", help="only rejects below this folder, for instance val")
    what.add_argument("--expect", type=int, metavar="N", help="end with an error unless N images were counted in all")
    what.add_argument("--figure", metavar="FILE", nargs="+", help=f"confusion and per-class figure: {_ENDINGS}")
    what.add_argument("--title", default="", help="a line above the figure")
    _add_outputs(what)
    what.set_defaults(call=report.report_recognition)

    what = commands.add_parser("retrieval", help="how often matches carry the label of the queries")
    what.add_argument("stores", metavar="STORE", nargs="+", help="one, or one a character: then the mean counts")
    _add_queries(what)
    what.add_argument("--alpha", type=float, default=1.0, help="weight of Jensen–Shannon in φ (default: 1)")
    what.add_argument("--beta", type=float, default=1.0, help="weight of geometry in φ (default: 1)")
    what.add_argument("--sort-by", choices=SORT_KEYS, default="geometric", help="default: geometric")
    what.add_argument(
        "--sort-within",
        dest="within",
        choices=WITHIN,
        default="label",
        help="how far the sort reaches (default: label)",
    )
    _add_outputs(what)
    what.set_defaults(call=report.report_retrieval)

    what = commands.add_parser("distance", help="every reading of the papers' distance: normalisation, α and β, sort")
    _add_queries(what)
    what.add_argument("stores", metavar="STORE", nargs="+", help="one, or one a character: then the mean counts")
    what.add_argument(
        "--ratios",
        type=float,
        nargs="+",
        default=RATIOS,
        metavar="R",
        help=f"values of β/α besides 0 and infinity (default: {' '.join(f'{ratio:g}' for ratio in RATIOS)})",
    )
    what.add_argument("--figure", metavar="FILE", nargs="+", help=f"each measure over β/α: {_ENDINGS}")
    what.add_argument("--title", default="", help="a line above the figure")
    _add_outputs(what)
    what.set_defaults(call=distance_report.report_distance)

    what = commands.add_parser("table1", help="the papers' retrieval score, by geometry and by DeepExpr")
    what.add_argument("human", metavar="HUMAN_STORE", help="human test images; each is a query")
    what.add_argument("characters", metavar="CHARACTER_STORE", nargs="+", help="test images of one character")
    what.add_argument("--normalise", choices=NORMALISATIONS, default=DEFAULT_NORMALISATION, help="default: %(default)s")
    what.add_argument("--siblings", action="store_true", help=_SIBLINGS)
    _add_outputs(what)
    what.set_defaults(call=report.report_table1)

    what = commands.add_parser("accuracy", help="recognition accuracy of every division, beside the papers'")
    for name, division in DIVISIONS.items():
        what.add_argument(f"--{name}", metavar="STORE", nargs="+", default=[], help=f"test images: {division.about}")
    words = "how long networks were trained, for instance random=50 epochs"
    what.add_argument("--trained", metavar="DIVISION=WORDS", nargs="+", default=[], help=words)
    what.add_argument("--earlier", metavar="FILE", help="JSON of an earlier call, for divisions without stores")
    what.add_argument("--figures", metavar="FOLDER", help="where confusion matrices go, as PNG and PDF")
    _add_outputs(what)
    what.set_defaults(call=_accuracy)

    what = commands.add_parser(
        "ranking", help="figure 9: the order of retrieved frames against an expert's and a crowd's"
    )
    what.add_argument("study", metavar="STUDY", help="study.json of tools/study.py ranking")
    what.add_argument("--expert", metavar="VOTES", help="votes.json of an expert's answers")
    what.add_argument("--crowd", metavar="VOTES", help="votes.json of many people's answers")
    what.add_argument(
        "--true-order",
        metavar="FRAMES",
        nargs="+",
        default=(),
        help="frames.parquet of rendered people and characters: their action units stand in for an expert",
    )
    what.add_argument("--figure", metavar="FILE", nargs="+", help=f"figure 9: {_ENDINGS}")
    _add_outputs(what)
    what.set_defaults(call=ranking_report.report_ranking)

    what = commands.add_parser("table2", help="Table 2: how often people recognise the best matches")
    what.add_argument("votes", metavar="VOTES", nargs="?", help="votes.json of tools/study.py read")
    what.add_argument("--study", metavar="STUDY", help="its study.json: to say which data and models were shown")
    _add_outputs(what)
    what.set_defaults(call=table2.report_table2)

    what = commands.add_parser("pick-queries", help="print names chosen by lot, the same number an expression")
    what.add_argument("manifest", metavar="MANIFEST", help="manifest.parquet of a registered folder")
    what.add_argument("--each", type=int, default=10, metavar="N", help="names an expression (default: 10)")
    what.add_argument("--seed", type=int, default=2016, help="default: 2016")
    what.add_argument("--exclude", metavar="LIST", help="a list of names not to choose")
    what.add_argument("--fewer", action="store_true", help="take all of an expression that has fewer than N")
    what.set_defaults(call=report.print_queries)

    given = vars(parser.parse_args())
    given.pop("command")
    print(given.pop("call")(**given))


def _accuracy(**given: Any) -> str:
    divisions = {name: given.pop(name.replace("-", "_")) for name in DIVISIONS}
    trained = read_pairs(given.pop("trained"), "--trained")
    return report.report_accuracy(divisions, trained=trained, **given)


def _add_queries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queries", metavar="QUERIES", help="a list of names such as joy/a.jpg, or a feature store")
    parser.add_argument("--root", help="folder that the names of a list start from")
    parser.add_argument(
        "--model", default="models/human.caffemodel", help="sees a list's images (default: %(default)s)"
    )
    parser.add_argument("--deploy", help="its deploy prototxt (default: the one that its card names)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    parser.add_argument("--top", type=int, default=10, metavar="K", help="default: 10")
    parser.add_argument(
        "--normalise", choices=NORMALISATIONS, nargs="+", default=list(NORMALISATIONS), help="default: each of them"
    )
    parser.add_argument("--siblings", action="store_true", help=_SIBLINGS)


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write all numbers")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables")
    parser.add_argument("--csv", metavar="FILE", help="write the tables for a spreadsheet")


if __name__ == "__main__":
    run(main)
