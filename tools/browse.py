"""Look at what went into a training set: draw a contact sheet of registered faces, of an LMDB's, or of the rejects.

How much there is of everything, as text:
    python tools/browse.py /data/registered/fer2013
The worst landmark fits, with their landmarks:
    python tools/browse.py /data/registered/fer2013 worst.png --sort fit --landmarks
Whether labels are right, some faces of each at random:
    python tools/browse.py /data/registered/fer2013 labels.png --by label --sort random
What was left out, and why:
    python tools/browse.py /data/registered/fer2013 rejects.png --rejects
"""

import argparse

from lmdb_builders.browse import BY, FILTERS, SORTS, counts, draw, grouped, licences, open_album, select
from pydeepexpr.cli import run

_EXAMPLES = {
    "label": "joy, or unlabelled",
    "split": "train, val or test",
    "fold": "a number, of LMDBs in folds",
    "face": "how it was found, such as detected or whole-image",
    "flag": "what is doubtful about it, such as poor-fit",
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", metavar="FOLDER", help="of tools/register.py or tools/build_lmdb.py")
    add("out", metavar="OUT", nargs="?", help="the sheet, .png or .jpg; without it counts are printed")
    for what in FILTERS:
        about = f": {_EXAMPLES[what]}" if what in _EXAMPLES else ""
        add(f"--{what}", action="append", metavar="WORD", default=[], help=f"only this {what}{about}; repeatable")
    add("--rejects", action="store_true", help="what was left out, with the reasons, from the database itself")
    add("--sort", choices=SORTS, default="manifest", help="; ".join(f"{sort}: {how}" for sort, how in SORTS.items()))
    add("--seed", type=int, default=0, help="of --sort random (default: 0)")
    add("--by", choices=BY, help="a block each, of as many images (default: label, where several are chosen)")
    add("--landmarks", action="store_true", help="draw the 49 landmarks")
    add("--limit", type=int, default=60, metavar="N", help="the most images on a sheet (default: 60)")
    add("--pages", type=int, default=1, metavar="N", help="the most sheets: OUT, OUT-2, OUT-3 … (default: 1)")
    add("--size", type=int, default=150, metavar="PIXELS", help="side of an image on the sheet (default: 150)")
    return parser.parse_args()


def main() -> None:
    """Print the counts of what is chosen, or draw it."""
    given = arguments()
    album = open_album(given.folder, rejects=given.rejects)
    wanted = {what: getattr(given, what) for what in FILTERS}
    rows = select(album, wanted, given.sort, given.seed)
    if given.out is None:
        print(counts(album, rows))
        return
    chosen = [f"{what} {', '.join(words)}" for what, words in wanted.items() if words]
    sheets = draw(
        album,
        grouped(album, rows, given.by or ("label" if len(set(given.label)) > 1 else None)),
        given.out,
        title=f"{album.folder.resolve().name}: {'; '.join([album.kind, *chosen, SORTS[given.sort]])}",
        value=given.sort if given.sort in ("fit", "score") else None,
        landmarks=given.landmarks,
        limit=given.limit,
        pages=given.pages,
        side=given.size,
    )
    drawn, where = sum(sheets.values()), ", ".join(map(str, sheets))
    print(f"{len(rows):,} of {len(album.table):,} {album.kind} selected, {drawn:,} drawn: {where}")
    print("\n".join(licences(album, rows)))


if __name__ == "__main__":
    run(main)
