"""DISFA, the Denver Intensity of Spontaneous Facial Action database (Mavadati et al. 2013): people who watch videos.

27 people, 4,845 frames each, of which every frame's action units have an intensity; expressions are not labelled, so
`emfacs` tells them by the units. Units, intensities and the number of frames are those of the paper, the subjects'
numbers those of OpenFace's experiments (run_AU_prediction_DISFA.m in TadasBaltrusaitis/CLM-framework), which have the
labels in `ActionUnit_Labels`; scripts without a name write `ActionUnits_Labels` or `labels`, and `Video_LeftCamera`,
`Videos_LeftCamera` or `videos_left` for the videos, LeftVideoSN001_comp.avi and so on. All of them take the video's
first image as frame 1 of the labels. Copies that hold images instead of videos were cut by their owners, each with
folders and a numbering of its own, so they are not read.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lmdb_builders.emfacs import expression_of
from lmdb_builders.published import name_differences
from lmdb_builders.records import Option, Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import UNLABELLED, label_of
from pydeepexpr.video import VIDEO_SUFFIXES, VideoFrame

__all__ = ["FRAMES", "READER", "SUBJECTS", "UNITS", "differences", "read"]

#: The action units that are coded.
UNITS = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)

#: The people: numbers 14, 15, 19, 20 and 22 were not given.
SUBJECTS = tuple(f"SN{number:03}" for number in range(1, 33) if number not in (14, 15, 19, 20, 22))

#: Frames of each person.
FRAMES = 4845

# Names of the folders in lower case, the published ones first.
_LABELS = ("actionunit_labels", "actionunits_labels", "labels")
_VIDEOS = ("video_leftcamera", "videos_leftcamera", "videos_left")

_LINE = re.compile(r"([1-9]\d*)\s*,\s*([0-5])(?:\.0*)?")
_NAMED = 5  # frames that are named one by one


def read(root: Path, intensity: int = 1, neutral: float = 1.0, every: int = 1) -> Iterator[Record | Reject]:
    """Yield the frames below `root` that show an expression, by subject and number.

    ``ROOT/ActionUnit_Labels/SN001/SN001_au1.txt`` holds lines ``FRAME,INTENSITY``, frames from 1, and
    ``ROOT/Video_LeftCamera/LeftVideoSN001_comp.avi`` the frames; each folder may lie in one of its own name, as some
    archives unpack. Names may be in any case. A frame whose units show no expression is passed over. One subject's
    labels are read at a time; the videos are not opened.

    Parameters
    ----------
    root : path
        The folder that holds labels and videos, or the one that holds ``DISFA``.
    intensity : int
        Intensity from which on a unit counts, 1 (a trace) to 5. From 1 on, neutral faces are free of any trace, and as
        many frames show an expression as the paper's 50,000 need; 2 is usual where units are to be detected, and makes
        the expressions clearer and fewer, while faces with no more than traces become neutral.
    neutral : float
        How many frames without a unit there may be for each frame of the subject's commonest expression; what is left
        is spread evenly over the video. There are 48,612 of them (Glauner 2016, "Deep learning for smile
        recognition"), more than of any expression, and they look nearly alike.
    every : int
        Take only every so many-th frame: neighbours are 1/20 s apart.

    Raises
    ------
    UserError
        If `root` holds no labels or no videos.
    """
    root = _database(Path(root))
    labels, videos = _labels(root), _videos(root)
    for subject, folder in labels.items():
        name = folder.relative_to(root).as_posix()
        video = videos.get(subject)
        if video is None:
            yield Reject(name, "the left camera's video of this subject is missing", subject=subject)
            continue
        try:
            intensities, rejects = _intensities(folder, root)
        except UserError as error:
            yield Reject(name, str(error), subject=subject)
            continue
        yield from rejects
        expressions = {
            frame: expression_of({unit for unit, value in values.items() if value >= intensity})
            for frame, values in intensities.items()
            if (frame - 1) % every == 0
        }
        for frame, expression in _thinned(expressions, neutral).items():
            yield Record(
                f"{video.relative_to(root).as_posix()}/{frame:05}",
                VideoFrame(video, frame - 1),
                "disfa",
                expression,
                subject,
                sequence=subject,
                frame=frame,
            )
    for subject, video in videos.items():
        if subject not in labels:
            yield Reject(video.relative_to(root).as_posix(), "this subject's labels are missing", subject=subject)


def differences(root: Path, **options: int | float) -> list[str]:
    """Say how the copy at `root` differs from the published DISFA: people, and frames that have all labels."""
    root = _database(Path(root))
    labels, videos = _labels(root), _videos(root)
    lines = name_differences("subjects", labels.keys() & videos.keys(), SUBJECTS)
    for subject, folder in labels.items():
        try:
            count = len(_intensities(folder, root)[0])
        except UserError as error:
            lines.append(f"{subject}: {error}")
            continue
        if count != FRAMES:
            lines.append(f"{subject}: {count} labelled frames, published {FRAMES}")
    return lines


def _thinned(expressions: dict[int, int], neutral: float) -> dict[int, int]:
    """Return the labelled frames, with the neutral ones evenly reduced to what the commonest expression allows."""
    at_rest = label_of("neutral")
    resting = [frame for frame, expression in expressions.items() if expression == at_rest]
    others = Counter(expression for expression in expressions.values() if expression not in (at_rest, UNLABELLED))
    count = min(len(resting), round(neutral * max(others.values(), default=0)))
    kept = {resting[(2 * place + 1) * len(resting) // (2 * count)] for place in range(count)}
    return {
        frame: expression
        for frame, expression in expressions.items()
        if expression != UNLABELLED and (expression != at_rest or frame in kept)
    }


def _intensities(folder: Path, root: Path) -> tuple[dict[int, dict[int, int]], list[Reject]]:
    """Return each frame's intensities by unit, where all are known, and the files that lack some."""
    subject = folder.name.upper()
    by_name = {path.name.lower(): path for path in folder.iterdir()}
    paths = {unit: by_name.get(f"{folder.name}_au{unit}.txt".lower()) for unit in UNITS}
    if missing := [f"{subject}_au{unit}.txt" for unit, path in paths.items() if path is None]:
        raise UserError(f"without {', '.join(missing)} this subject's expressions are not known")
    values, faults = {}, {}
    for unit, path in paths.items():
        values[unit], faults[unit] = _read_labels(path)
    labelled = set().union(*values.values())
    for unit in UNITS:
        if absent := sorted(labelled - values[unit].keys()):
            faults[unit].append(f"it lacks frame {_some(absent)}")
    rejects = [
        Reject(paths[unit].relative_to(root).as_posix(), "; ".join(reasons), subject=subject)
        for unit, reasons in faults.items()
        if reasons
    ]
    known = sorted(labelled.intersection(*values.values()))
    return {frame: {unit: values[unit][frame] for unit in UNITS} for frame in known}, rejects


def _read_labels(path: Path) -> tuple[dict[int, int], list[str]]:
    """Return the intensity of each frame, and what is wrong with the first line that holds none, if there is one."""
    values, faults = {}, []
    for number, line in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), start=1):
        if match := _LINE.fullmatch(line.strip()):
            values[int(match[1])] = int(match[2])
        elif line.strip() and not faults:
            faults.append(f"line {number} is no FRAME,INTENSITY: {line.strip()[:40]!r}")
    return values, faults


def _some(frames: list[int]) -> str:
    more = f" and {len(frames) - _NAMED} more" if len(frames) > _NAMED else ""
    return ", ".join(map(str, frames[:_NAMED])) + more


def _database(root: Path) -> Path:
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    inner = _named(root, ("disfa",))
    return inner if inner and not _named(root, _LABELS) else root


def _labels(root: Path) -> dict[str, Path]:
    """Return the folders of labels by subject, in order."""
    found = {path.name.upper(): path for path in _inside(root, _LABELS) if re.fullmatch(r"SN\d{3}", path.name, re.I)}
    if not found:
        raise UserError(f"no action units in {root}; they should lie as ActionUnit_Labels/SN001/SN001_au1.txt in it")
    return dict(sorted(found.items()))


def _videos(root: Path) -> dict[str, Path]:
    """Return the videos of the left camera by subject, in order."""
    found = {}
    for path in _inside(root, _VIDEOS):
        match = re.search(r"SN\d{3}", path.stem, re.I)
        if match and path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith("."):
            found.setdefault(match[0].upper(), path)
    if not found:
        raise UserError(
            f"no video of the left camera in {root}; they should lie as Video_LeftCamera/LeftVideoSN001_comp.avi in it"
        )
    return dict(sorted(found.items()))


def _inside(root: Path, names: tuple[str, ...]) -> list[Path]:
    """Return what a folder below `root` holds, sorted; of a folder within a folder of the same name, the inner one."""
    folder = _named(root, names)
    if folder is None:
        return []
    return sorted((_named(folder, (folder.name.lower(),)) or folder).iterdir())


def _named(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder in a folder that goes by one of some names, the first if there are several."""
    by_name = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


READER = Reader(
    read,
    about="ActionUnit_Labels/SN001/SN001_au1.txt and Video_LeftCamera/LeftVideoSN001_comp.avi; expressions by EMFACS",
    licence="for research, by Mohammad Mahoor's lab, University of Denver, on request (mohammadmahoor.com/disfa)",
    places=("DISFA",),
    people=True,
    options={
        "intensity": Option(1, "intensity from which on an action unit counts; 2 gives fewer, clearer faces", least=1),
        "neutral": Option(1.0, "neutral frames for each of a subject's commonest expression, spread evenly", least=0),
        "every": Option(1, "take every so many-th frame; neighbours are nearly alike", least=1),
    },
    expected=f"{len(SUBJECTS)} people with {FRAMES:,} labelled frames each; about 50,000 of them in the paper",
    differences=differences,
)
