"""The papers' tables and figures, from the data that is there; ends with one page that shows them all.

python tools/reproduce.py                after make demo, or after make train-human and make finetune
python tools/reproduce.py --full         and what needs many trainings (hours); resumes

Interrupted or run again, it does only what is missing.
"""

import argparse
from pathlib import Path

from pydeepexpr.cli import run
from pydeepexpr.demo import FINETUNE, fast_precision
from pydeepexpr.engine import DEVICES, PRECISIONS
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.reproduction.material import demo_material, own_material
from pydeepexpr.reproduction.reproduce import reproduce


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("work/report"), help="default: %(default)s")
    add("--kinds", choices=("table", "figure"), nargs="+", default=["table", "figure"], help="default: both")
    add("--full", action="store_true", help="train what the papers' accuracies need, too")
    add("--votes", type=Path, default=Path("data/votes"), help="people's answers (docs/study.md; default: %(default)s)")
    add("--demo", type=Path, default=Path("work/demo"), help="what make demo has made (default: %(default)s)")
    own = parser.add_argument_group("one's own people and characters, as make train-human and make finetune leave them")
    add = own.add_argument
    add("--people", type=Path, default=Path("data/lmdb/human"), help="their LMDBs (default: %(default)s)")
    add("--registered", type=Path, default=Path("data/registered/people"), help="default: %(default)s")
    add("--model", type=Path, default=Path("runs/human/human.caffemodel"), help="default: %(default)s")
    add("--frames", type=Path, default=Path("data/registered/FERG_DB_256"), help="default: %(default)s")
    add("--stage", default=FINETUNE, help="of the fine-tuning (default: %(default)s)")
    add("--division", default="blocks", help="--split that keeps neighbouring frames apart (default: %(default)s)")
    words = "of each training of --full (default: the papers' 50; of the demo 4 and 3)"
    parser.add_argument("--epochs", type=float, help=words)
    parser.add_argument("--precision", choices=PRECISIONS, help="of the trainings (default: what is fast here)")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="default: auto")
    a = parser.parse_args()
    folder = a.out / "own/stores"
    places = (a.people, a.model, a.registered, a.frames)
    own_one = own_material(*places, a.stage, a.division, folder, a.device, epochs=a.epochs)
    materials = [one for one in (own_one, demo_material(a.demo, a.epochs)) if one]
    precision = a.precision or fast_precision()
    options = {"kinds": a.kinds, "votes": a.votes, "full": a.full, "precision": precision, "device": a.device}
    print(reproduce(materials, a.out, **options))


if __name__ == "__main__":
    run(main)
