"""Find the faces that carry the same expression as a photograph, a character's frame or each frame of a video, ranked.

In one store, the best matches of each query:
    python tools/retrieve.py photo.jpg --store stores/fer2013_val --top 10 --sheet out.png --json out.json
In the stores of several characters, the best match of each:
    python tools/retrieve.py photo.jpg --characters all --sheet out.png
From a character's frame, and for all images below a folder:
    python tools/retrieve.py frame.png --character --characters all --sheet out.png
    python tools/retrieve.py photos/ --characters all --table out.csv
Characters that follow a human in a video or before a camera:
    python tools/retrieve.py video.mp4 --characters tilda --clip out.mp4 --table out.csv --sequence out/
    python tools/retrieve.py --webcam --characters tilda,otis --seconds 60 --clip out.mp4
"""

import argparse
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydeepexpr.cli import progress, run
from pydeepexpr.engine import DEVICES
from pydeepexpr.errors import UserError
from pydeepexpr.evaluation import results
from pydeepexpr.evaluation.clip import SLOTS, check_clip_ending, write_clip
from pydeepexpr.evaluation.sequence import write_sequences
from pydeepexpr.evaluation.style import check_ending
from pydeepexpr.evaluation.tables import check_table_ending, write_table
from pydeepexpr.faces import LANDMARK_LICENCE
from pydeepexpr.files import provenance, write_json
from pydeepexpr.footage import count_frames, find_footage, is_video, read_frames, until, until_interrupted
from pydeepexpr.gallery import Gallery
from pydeepexpr.performance import CANDIDATES, FACES, STRENGTH, Moment, perform
from pydeepexpr.pipeline import Recogniser, Retriever
from pydeepexpr.retrieval import DEFAULT_NORMALISATION, NORMALISATIONS, SORT_KEYS
from pydeepexpr.retrieval.geometry import WITHIN
from pydeepexpr.stills import answer_photographs
from pydeepexpr.stores import CHARACTER_STORES, character_stores, open_stores
from pydeepexpr.video import Frame, read_camera

Retrievers, Galleries = Mapping[str, Retriever], Mapping[str, Gallery | None]


def main() -> None:
    given = _arguments()
    files = find_footage(given.queries)
    videos, photographs = ([file for file in files if is_video(file) == wanted] for wanted in (True, False))
    _check(given, videos, photographs)
    stores = open_stores(given.store) if given.store else character_stores(given.characters, given.stores)
    drawn = (given.sheet or given.clip or given.sequence) and not given.no_images
    galleries = {name: Gallery(store, given.images) if drawn else None for name, store in stores.items()}
    recogniser = Recogniser(given.model, given.deploy, device=given.device)
    options = {"how": given.normalise, "alpha": given.alpha, "beta": 0.0 if given.no_geometry else given.beta}
    options |= {"sort_by": given.sort_by, "within": given.sort_within, "siblings": given.siblings}
    retrievers = {name: Retriever(store, recogniser, **options) for name, store in stores.items()}
    with contextlib.ExitStack() as open_files:
        to_table: Callable[[str, Moment], None] = lambda name, moment: None  # noqa: E731
        if given.table:
            settings = results.settings_of(next(iter(retrievers.values()))) | {"provenance": provenance()}
            to_table = open_files.enter_context(write_table(given.table, settings)).append
        if photographs:
            _show_photographs(given, photographs, retrievers, galleries, to_table)
        for video in videos:
            frames = progress(read_frames(video), count_frames(video), video)
            _show_frames(given, video, frames, retrievers, galleries, to_table)
        if given.webcam is not None:
            _show_frames(given, f"camera {given.webcam}", read_camera(given.webcam), retrievers, galleries, to_table)


def _show_photographs(
    given: argparse.Namespace, files: Sequence[str], retrievers: Retrievers, galleries: Galleries, to_table: Callable
) -> None:
    """Print what the faces of photographs find, and write and draw it where that is asked for."""
    listed = bool(given.store) and len(retrievers) == 1  # one store's best matches as a list, else a column a store
    top = given.top if given.top is not None else 10 if listed else 1
    found, printed = [], 0
    for file, answers in answer_photographs(files, retrievers, top, kind=given.kind, which=given.faces):
        to_table(file, Moment(Frame(0, 0.0, None), answers))
        for query, matches in answers:
            result = (query, *matches.values()) if listed else (query, matches)
            print("\n" * bool(printed) + (results.table_of if listed else results.table_of_cast)(*result))
            printed += 1
            if given.sheet or given.json:
                found.append(result)
    searched, shown, draw, record = retrievers, galleries, results.draw_cast_sheet, results.record_of_cast
    if listed:
        (searched,), (shown,) = retrievers.values(), galleries.values()
        draw, record = results.draw_sheet, results.record_of
    if given.sheet:
        draw(searched, found, given.sheet, None if given.no_images else shown)
    if given.json:
        write_json(given.json, record(searched, found))


def _show_frames(
    given: argparse.Namespace,
    name: str,
    frames: Iterable[Frame],
    retrievers: Retrievers,
    galleries: Galleries,
    to_table: Callable,
) -> None:
    """Write what the faces of a video's frames find, and print how many there were."""
    top = given.top if given.top is not None else 1
    strength = given.smooth if given.smooth is not None else STRENGTH if top == 1 else 0.0
    frames = (frame for frame in until_interrupted(frames) if frame.number % given.every == 0)
    if given.seconds is not None:
        frames = until(given.seconds, frames)
    moments = perform(
        frames,
        retrievers,
        name=name,
        kind=given.kind,
        which=given.faces,
        every=given.detect_every,
        strength=strength,
        candidates=given.candidates,
        k=top,
        live=given.webcam is not None,
        keep_images=bool(given.clip),
    )
    count = faces = 0
    with contextlib.ExitStack() as open_files:
        takers = []
        if given.clip:
            slots = SLOTS if given.faces == "all" else 1
            takers.append(open_files.enter_context(write_clip(given.clip, galleries, slots)))
        if given.sequence:
            sequences = write_sequences(given.sequence, galleries, by_face=given.faces == "all")
            takers.append(open_files.enter_context(sequences).append)
        for moment in moments:
            to_table(name, moment)
            for take in takers:
                take(moment)
            count += 1
            faces += len(moment.answers) > 0
    print(f"{name}: {count} frames, {faces} of them with a face")


def _check(given: argparse.Namespace, videos: Sequence[str], photographs: Sequence[str]) -> None:
    """Refuse what cannot be done, before any work is."""
    if given.sheet:
        check_ending(given.sheet)
    if given.table:
        check_table_ending(given.table)
    if given.clip:
        check_clip_ending(given.clip)
    moving = [*videos, *([] if given.webcam is None else [f"camera {given.webcam}"])]
    if not photographs and not moving:
        raise UserError("nothing was asked; name a photograph, a folder or a video, or give --webcam")
    for flag in ("sheet", "json"):
        if getattr(given, flag) and moving:
            raise UserError(
                f"--{flag} is for photographs, and {moving[0]} is none; write a --table, a --clip or a --sequence"
            )
    for flag in ("clip", "sequence"):
        if getattr(given, flag) and (len(moving) != 1 or photographs):
            raise UserError(f"--{flag} is for one video or camera, given alone")
    if given.sequence and given.no_images:
        raise UserError("--sequence consists of the images that --no-images forbids")
    if given.every < 1:
        raise UserError(f"--every {given.every}: every frame is the most there is; give 1 or more")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=LANDMARK_LICENCE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("queries", nargs="*", metavar="QUERY", help="photograph, character's frame, video, or folder of such")
    add("--webcam", type=int, nargs="?", const=0, metavar="N", help="ask with what camera N sees (default: 0)")
    kind = parser.add_mutually_exclusive_group().add_argument
    fixed = {"action": "store_const", "dest": "kind", "default": "photograph"}
    kind("--cropped", const="cropped", **fixed, help="queries are faces already: without a detection take them whole")
    kind("--character", const="character", **fixed, help="queries are frames of characters: registered as those are")
    kind("--as-is", const="as-is", **fixed, help="take queries whole, without registration")
    add("--faces", choices=FACES, default="best", help="which faces of an image or video ask (default: %(default)s)")
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
    add(
        "--top",
        type=int,
        metavar="K",
        help="matches a face and store (default: of photographs in one --store 10, else 1)",
    )
    add("--device", choices=DEVICES, default="auto", help="default: auto")

    add = parser.add_argument_group("distance").add_argument
    add(
        "--normalise",
        choices=NORMALISATIONS,
        default=DEFAULT_NORMALISATION,
        help="how FC6 becomes a distribution (default: %(default)s)",
    )
    add("--alpha", type=float, default=1.0, help="weight of Jensen–Shannon in φ (default: 1)")
    add("--beta", type=float, default=1.0, help="weight of geometry in φ; 0 leaves it out (default: 1)")
    add("--sort-by", choices=SORT_KEYS, default="geometric", help="what matches are sorted by (default: %(default)s)")
    add(
        "--sort-within",
        choices=WITHIN,
        default="label",
        help="which are: those of the query's predicted expression, or the whole store (default: %(default)s)",
    )
    add("--no-geometry", action="store_true", help="rank by Jensen–Shannon alone, as --beta 0")

    add = parser.add_argument_group("videos and cameras").add_argument
    add("--seconds", type=float, metavar="S", help="stop after so many; Ctrl-C stops, too, and keeps what is done")
    add("--every", type=int, default=1, metavar="N", help="ask with every N-th frame only")
    add("--detect-every", type=int, default=5, metavar="N", help="frames from one detection to the next (default: 5)")
    add(
        "--smooth",
        type=float,
        metavar="STRENGTH",
        help=f"how much a character keeps to a frame; 0: each frame by itself (default: {STRENGTH:g}, with --top 0)",
    )
    add("--candidates", type=int, default=CANDIDATES, metavar="K", help="matches a frame to choose among (default: 20)")

    add = parser.add_argument_group("results").add_argument
    add("--sheet", metavar="FILE", help="draw photographs' contact sheet: .png, .jpg, .pdf or .svg")
    add("--json", metavar="FILE", help="write everything about photographs as JSON")
    add("--table", metavar="FILE", help="write a row a frame, face and match: .csv or .parquet")
    add("--clip", metavar="FILE", help="draw human and characters side by side, as a video: .mp4")
    add("--sequence", metavar="DIR", help="write each character's frames as numbered images, with an exposure sheet")
    add("--images", metavar="ROOT", help="folder of registered faces (default: what the stores name)")
    add("--no-images", action="store_true", help="draw cards with file names where matched faces may not be shown")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
