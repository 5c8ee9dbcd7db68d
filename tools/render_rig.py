"""Render the rig: the cast of characters in FERG-DB's layout, or performers as if photographed, with a manifest.

python tools/render_rig.py data/RIG_DB_256 --frames 6000
python tools/render_rig.py data/performers --performers 100 --frames 30
"""

import argparse

from pydeepexpr.cli import run
from pydeepexpr.rig.rendering import render_cast, render_performers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", metavar="OUT", help="the folder to make (docs/formats.md)")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--characters", nargs="+", metavar="NAME", help="of the cast (default: all)")
    who.add_argument("--performers", type=int, metavar="N", help="render so many human-like performers instead")
    parser.add_argument(
        "--frames", type=int, metavar="N", help="a character (default: 6000) or a performer (default: 30)"
    )
    parser.add_argument("--seed", type=int, default=0, help="decides poses, performers and splits (default: 0)")
    parser.add_argument("--size", type=int, default=256, help="width and height in pixels (default: 256)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    given = parser.parse_args()
    common = {"seed": given.seed, "size": given.size, "workers": given.workers}
    if given.frames is not None:
        common["frames"] = given.frames
    if given.performers is not None:
        done = render_performers(given.out, given.performers, **common)
    else:
        done = render_cast(given.out, characters=given.characters, **common)
    splits = ", ".join(f"{count} {split}" for split, count in done["counts"]["splits"].items())
    print(f"{given.out}: {sum(done['counts']['splits'].values())} frames ({splits})")


if __name__ == "__main__":
    run(main)
