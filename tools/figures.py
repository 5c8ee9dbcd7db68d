"""Draw the figures of the ACCV paper and others of their kind, as PNG, PDF, SVG or JPEG; several at once.

python tools/figures.py faces data/registered/people/* --out faces.png faces.pdf
python tools/figures.py networks --stage fc6-map --out networks.png networks.pdf
python tools/figures.py retrievals stores/performers_test models/stores/tilda --expression joy --out joy.png
python tools/figures.py best stores/performers_test models/stores/* --out best.png best.pdf --json best.json
python tools/figures.py comparison stores/performers_test models/stores/* --expressions disgust fear --out out.png
python tools/figures.py embedding stores/performers_test models/stores/* --out embedding.png
python tools/figures.py curves runs/human runs/mery --out curves.png
"""

import argparse
from collections.abc import Callable

from pydeepexpr.cli import run
from pydeepexpr.evaluation import paper_figures
from pydeepexpr.evaluation.curves_figure import curves_figure
from pydeepexpr.evaluation.embedding import MOST
from pydeepexpr.evaluation.embedding_figure import embedding_figure
from pydeepexpr.evaluation.networks_figure import PROTOTXTS, networks_figure
from pydeepexpr.files import provenance, write_json
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS


def main() -> None:
    given = vars(_arguments())
    draw, json = given.pop("draw"), given.pop("json")
    del given["command"]
    drawn = draw(**given)
    if json:
        write_json(json, {**drawn, "provenance": provenance()})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    def figure(name: str, draw: Callable, said: str) -> argparse.ArgumentParser:
        its = commands.add_parser(name, help=said)
        its.set_defaults(draw=draw)
        its.add_argument("--out", dest="path", nargs="+", required=True, metavar="FILE", help="where the figure goes")
        its.add_argument("--json", metavar="FILE", help="what is drawn, from what")
        return its

    its = figure("faces", paper_figures.faces_figure, "registered faces, a row a database or character (figure 4)")
    its.add_argument("folders", metavar="FOLDER", nargs="+", help="what tools/register.py wrote")
    _add_seed(its)

    its = figure("networks", networks_figure, "the networks side by side (figure 5)")
    its.add_argument("prototxts", metavar="PROTOTXT", nargs="*", default=PROTOTXTS, help="default: ours")
    its.add_argument("--stage", default="fc6-map", help="which reading of fine-tuning (default: %(default)s)")

    its = figure("retrievals", paper_figures.retrievals_figure, "what one query finds first (figure 6)")
    its.add_argument("queries", metavar="HUMAN_STORE", help="the query is drawn from its test images")
    its.add_argument("character", metavar="CHARACTER_STORE")
    its.add_argument("--expression", default="joy", help="of the query (default: %(default)s)")
    its.add_argument("--top", type=int, default=10, metavar="K", help="frames (default: %(default)s)")
    _add_ranking(its)

    its = figure("best", paper_figures.best_figure, "each character's best match for each expression (figure 7)")
    _add_stores(its)
    its.add_argument("--expressions", nargs="+", default=(), metavar="NAME", help="rows (default: each)")
    _add_ranking(its)

    its = figure("comparison", paper_figures.comparison_figure, "best matches by geometry and by DeepExpr (figure 8)")
    _add_stores(its)
    names = {"nargs": "+", "metavar": "NAME"}
    its.add_argument("--expressions", default=("disgust", "fear"), help="default: disgust fear", **names)
    names = {"nargs": 2, "metavar": ("GEOMETRY", "DEEPEXPR")}
    its.add_argument(
        "--model-names", dest="names", default=("geometry", "DeepExpr"), help="what to call the two", **names
    )
    _add_ranking(its)

    its = figure("embedding", embedding_figure, "t-SNE of FC6, humans and characters in one space")
    _add_stores(its)
    its.add_argument(
        "--points", dest="most", type=int, default=MOST, metavar="N", help="at most (default: %(default)s)"
    )
    its.add_argument(
        "--nearest", type=int, nargs="+", default=(1, 10), metavar="K", help="neighbours to count (default: 1 10)"
    )
    _add_ranking(its)

    its = figure("curves", curves_figure, "training curves, a panel a run")
    its.add_argument("runs", metavar="RUN", nargs="+", help="a run's folder, its train.log or its log.csv")
    return parser.parse_args()


def _add_stores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("queries", metavar="HUMAN_STORE", help="queries are drawn from its test images")
    parser.add_argument("characters", metavar="CHARACTER_STORE", nargs="+")


def _add_ranking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--normalise", choices=NORMALISATIONS, default=DEFAULT_NORMALISATION, help="default: %(default)s"
    )
    parser.add_argument("--siblings", action="store_true", help="accept stores whose models come from a third one")
    _add_seed(parser)


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=2016, help="of what is drawn by lot (default: %(default)s)")


if __name__ == "__main__":
    run(main)
