"""Register the faces of a database: 256x256 images and a manifest of where they were found.

Example: python tools/register.py --database fer2013 /data/fer2013 /data/registered/fer2013
"""

import argparse

from lmdb_builders import READERS, Reader
from lmdb_builders.register import FOUND, register
from pydeepexpr.cli import read_pairs, run
from pydeepexpr.faces import ALIGNMENTS, LANDMARK_LICENCE


def _described(name: str, reader: Reader) -> str:
    lines = [f"  {name:10s} {reader.about}", f"{'':12s} licence: {reader.licence}"]
    for word, option in reader.options.items():
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        lines.append(f"{'':12s} --option {word}={option}{choices}: {option.about}")
    return "\n".join(lines)


def main() -> None:
    readers = "\n".join(_described(name, reader) for name, reader in READERS.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"databases:\n{readers}\n\n{LANDMARK_LICENCE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", metavar="ROOT", help="where the database lies")
    parser.add_argument("out", metavar="OUT", help="the folder to make (docs/formats.md)")
    parser.add_argument("--database", choices=list(READERS), default="folder", help="default: folder")
    parser.add_argument(
        "--cropped",
        action=argparse.BooleanOptionalAction,
        help="every image shows one face that fills it: where none is found the whole image stands in for it, and the "
        "manifest says so (default: as the database is; fer2013 is)",
    )
    parser.add_argument(
        "--align",
        choices=ALIGNMENTS,
        help="how faces are brought onto the average face: with all six degrees of freedom, with those that keep their "
        "proportions, or not at all (default: as the database is; affine for people, similarity for characters)",
    )
    parser.add_argument(
        "--option", action="append", dest="options", metavar="NAME=VALUE", default=[], help="of the reader; repeatable"
    )
    parser.add_argument("--force", action="store_true", help="do again what was finished")
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    given = parser.parse_args()
    summary = register(
        given.database,
        given.root,
        given.out,
        cropped=given.cropped,
        alignment=given.align,
        options=read_pairs(given.options, "--option"),
        force=given.force,
        workers=given.workers,
        limit=given.limit,
    )
    for line in summary["differences"]:
        print(f"differs from the published {given.database}: {line}")
    done = summary["counts"]
    counts = ((done[how.replace("-", "_")], how) for how in FOUND)
    found = ", ".join(f"{count} {FOUND[how]}" for count, how in counts if count or how in ("detected", "whole-image"))
    print(f"{given.out}: {done['accepted']} faces ({found}), {done['rejected']} rejected (rejects.csv)")


if __name__ == "__main__":
    run(main)
