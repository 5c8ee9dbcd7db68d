"""Find the faces that carry the same expression as a photograph or as a character's frame, ranked.

In one store, the best matches of each query:
    python tools/retrieve.py photo.jpg --store stores/fer2013_val --top 10 --sheet out.png --json out.json
In the stores of several characters, the best match of each:
    python tools/retrieve.py photo.jpg --characters all --sheet out.png
From a character's frame:
    python tools/retrieve.py frame.png --character --characters all --sheet out.png
"""

import argparse

from pydeepexpr.cli import run
from pydeepexpr.engine import DEVICES
from pydeepexpr.evaluation import results
from pydeepexpr.evaluation.style import check_ending
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.files import write_json
from pydeepexpr.gallery import Gallery
from pydeepexpr.pipeline import Recogniser, Retriever, look
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS, SORT_KEYS
from pydeepexpr.stores import CHARACTER_STORES, character_stores, open_stores


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("queries", nargs="+", metavar="QUERY", help="photograph, or a character's frame")
    kind = parser.add_mutually_exclusive_group().add_argument
    fixed = {"action": "store_const", "dest": "kind", "default": "photograph"}
    kind("--cropped", const="cropped", **fixed, help="queries are faces already: without a detection take them whole")
    kind("--character", const="character", **fixed, help="queries are frames of characters: registered as those are")
    kind("--as-is", const="as-is", **fixed, help="take queries whole, without registration")
    add("--model", default="models/human.caffemodel", help="the queries' network (default: %(default)s)")
    add("--deploy", help="its deploy prototxt (default: the one that its card names)")
    where = parser.add_mutually_exclusive_group(required=True).add_argument
    where("--store", action="append", metavar="DIR", help="feature store to search; several times for several")
    where("--characters", metavar="NAMES", help="characters to search: all, or names such as mery,ray")
    add(
        "--stores",
        metavar="DIR",
        default=CHARACTER_STORES,
        help="folder of the characters' stores (default: %(default)s)",
    )
    add("--siblings", action="store_true", help="search stores whose model and --model come from a third one, too")
    add("--top", type=int, metavar="K", help="matches a query and store (default: 10 in one --store, else 1)")
    add(
        "--normalise",
        choices=NORMALISATIONS,
        default=DEFAULT_NORMALISATION,
        help="how FC6 becomes a distribution (default: %(default)s)",
    )
    add("--alpha", type=float, default=1.0, help="weight of Jensen–Shannon in φ (default: 1)")
    add("--beta", type=float, default=1.0, help="weight of geometry in φ; 0 leaves it out (default: 1)")
    add("--sort-by", choices=SORT_KEYS, default="geometric", help="sorts matches of the query's predicted expression")
    add("--no-geometry", action="store_true", help="rank by Jensen–Shannon alone, as --beta 0")
    add("--sheet", metavar="FILE", help="draw a contact sheet: .png, .jpg, .pdf or .svg")
    add("--images", metavar="ROOT", help="folder of registered faces for the sheet (default: what the stores name)")
    add("--no-images", action="store_true", help="draw cards with file names where matched faces may not be shown")
    add("--json", metavar="FILE", help="write everything as JSON")
    add("--device", choices=DEVICES, default="auto", help="default: auto")
    given = parser.parse_args()

    if given.sheet:
        check_ending(given.sheet)
    stores = open_stores(given.store) if given.store else character_stores(given.characters, given.stores)
    listed = bool(given.store) and len(stores) == 1  # one store's best matches as a list, else a column a store
    galleries = None
    if given.sheet and not given.no_images:
        galleries = {name: Gallery(store, given.images) for name, store in stores.items()}
    recogniser = Recogniser(given.model, given.deploy, device=given.device)
    options = {"how": given.normalise, "alpha": given.alpha, "beta": 0.0 if given.no_geometry else given.beta}
    options |= {"sort_by": given.sort_by, "siblings": given.siblings}
    retrievers = {name: Retriever(recogniser, store, **options) for name, store in stores.items()}
    top = given.top if given.top is not None else 10 if listed else 1
    queries = [look(recogniser, path, given.kind) for path in given.queries]
    found = [(query, {name: one.retrieve(query, top) for name, one in retrievers.items()}) for query in queries]
    searched, draw, record, table = retrievers, results.draw_cast_sheet, results.record_of_cast, results.table_of_cast
    if listed:
        (name,) = stores
        searched, galleries = retrievers[name], galleries and galleries[name]
        found = [(query, matches[name]) for query, matches in found]
        draw, record, table = results.draw_sheet, results.record_of, results.table_of
    if given.sheet:
        draw(searched, found, given.sheet, galleries)
    if given.json:
        write_json(given.json, record(searched, found))
    print("\n\n".join(table(query, matches) for query, matches in found))


if __name__ == "__main__":
    run(main)
