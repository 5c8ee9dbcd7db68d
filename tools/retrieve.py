"""Find the faces of a store that carry the same expression as a photograph, ranked.

Example: python tools/retrieve.py photo.jpg --store stores/fer2013_val --top 10 --sheet out.png --json out.json
"""

import argparse

from pydeepexpr.cli import run
from pydeepexpr.engine import DEVICES
from pydeepexpr.evaluation.results import draw_sheet, record_of, table_of
from pydeepexpr.evaluation.style import check_ending
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.files import write_json
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import FeatureStore, Recogniser, Retriever
from pydeepexpr.retrieval import NORMALISATIONS, SORT_KEYS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("queries", nargs="+", metavar="QUERY", help="photograph")
    add("--store", required=True, help="feature store to search (tools/extract_features.py)")
    add("--model", default="models/human.caffemodel", help="the queries' network (default: %(default)s)")
    add("--deploy", help="its deploy prototxt (default: the one that its card names)")
    add("--top", type=int, default=10, metavar="K", help="matches a query (default: 10)")
    add("--normalise", choices=NORMALISATIONS, default="l1", help="how FC6 becomes a distribution (default: l1)")
    add("--alpha", type=float, default=1.0, help="weight of Jensen–Shannon in φ (default: 1)")
    add("--beta", type=float, default=1.0, help="weight of geometry in φ; 0 leaves it out (default: 1)")
    add("--sort-by", choices=SORT_KEYS, default="geometric", help="sorts matches of the query's predicted expression")
    add("--no-geometry", action="store_true", help="rank by Jensen–Shannon alone, as --beta 0")
    add("--cropped", action="store_true", help="queries are faces already: without a detection take the whole image")
    add("--sheet", metavar="FILE", help="draw a contact sheet: .png, .jpg, .pdf or .svg")
    add("--images", metavar="ROOT", help="folder of registered faces for the sheet (default: the store's LMDB)")
    add("--no-images", action="store_true", help="draw cards with file names where matched faces may not be shown")
    add("--json", metavar="FILE", help="write everything as JSON")
    add("--device", choices=DEVICES, default="auto", help="default: auto")
    given = parser.parse_args()

    if given.sheet:
        check_ending(given.sheet)
    store = FeatureStore.open(given.store)
    gallery = Gallery(store, given.images) if given.sheet and not given.no_images else None
    retriever = Retriever(
        Recogniser(given.model, given.deploy, device=given.device),
        store,
        how=given.normalise,
        alpha=given.alpha,
        beta=0.0 if given.no_geometry else given.beta,
        sort_by=given.sort_by,
    )
    queries = [retriever.look(path, cropped=given.cropped) for path in given.queries]
    results = [(query, retriever.retrieve(query, given.top)) for query in queries]
    if given.sheet:
        draw_sheet(retriever, results, given.sheet, gallery)
    if given.json:
        write_json(given.json, record_of(retriever, results))
    print("\n\n".join(table_of(query, matches) for query, matches in results))


if __name__ == "__main__":
    run(main)
