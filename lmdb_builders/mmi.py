"""The MMI facial expression database (Pantic et al. 2005; Valstar & Pantic 2010): posed sequences, downloaded as found.

The site packs what a search found as ``Sessions/ID/``: the video ``S035-004.avi`` (person 35), ``S035-004.xml`` with
the emotion (``<Metatag Name="Emotion" Value="4"/>``: 1 anger, 2 disgust, 3 fear, 4 happiness, 5 sadness, 6 surprise;
above, what is none of the six), ``session.xml`` with the camera's view (``<track view="0"/>``: 0 front, 1 profile, 2
both in one picture, by a mirror), and for some ``S035-004-oao_aucs.xml``, where markers give the frames, from 1, at
which an action unit becomes 0 neutral, 1 onset, 2 apex, 3 offset. Sessions of stills hold an image instead.

Names, attributes and numbers are those that public loaders agree on: datasets/face_process/mmi.py in
donydchen/causal_emotion (emotions; three frames in the middle; whose pictures lie on their side), parse_mmi_xml.py in
normanrz/face-vid (markers), and scripts without a name that read the view and the phases. Two of them tell pictures
that lie on their side by their size, and turn them clockwise: the camera was tilted to fill the picture with the face.
205 sequences from the front show one of the six emotions (Liu et al. 2014, "Deeply learning deformable facial action
parts model"; Jung et al. 2015); they last from 40 to 520 frames and go from neutral to apex to neutral.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

import numpy as np

from lmdb_builders.records import Option, Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import UNLABELLED, label_of
from pydeepexpr.images import is_image_name
from pydeepexpr.video import VIDEO_SUFFIXES, VideoFrame, frame_count

__all__ = ["READER", "SEQUENCES", "differences", "read"]

#: Sequences from the front that show one of the six emotions, as papers count them.
SEQUENCES = 205

_EMOTIONS = {1: "anger", 2: "disgust", 3: "fear", 4: "happiness", 5: "sadness", 6: "surprise"}
_FRONT, _PROFILE, _BOTH = "0", "1", "2"  # views
_NEUTRAL, _APEX = 0, 2  # phases
_FACIAL = range(1, 43)  # action units that move the face; above are closed eyes, blinks, gaze and head
_TILTED = (576, 720)  # height and width of what the tilted camera recorded
_NEVER = sys.maxsize  # a frame that no sequence has

_SEQUENCE = re.compile(r"S\d{3}-\d{3}", re.IGNORECASE)


class _Sequence(NamedTuple):
    """A video of one of the six emotions, seen from the front."""

    name: str  #: as S035-004
    video: Path
    label: int
    view: str
    apexes: list[range]  #: annotated frames, from 1, at which an action unit is at its apex
    onset: int  #: annotated frame from which on the face moves


@dataclass(frozen=True)
class _Upright:
    """A frame that is turned if the camera was tilted."""

    frame: VideoFrame

    def __call__(self) -> np.ndarray:
        image = self.frame()
        return np.ascontiguousarray(np.rot90(image, -1)) if image.shape[:2] == _TILTED else image


def read(root: Path, apex: int = 42, neutral: int = 7, share: float = 0.4) -> Iterator[Record | Reject]:
    """Yield frames below `root` around the apex of each emotion, and first frames as neutral ones.

    ``ROOT/Sessions/1841/S035-004.avi`` and the XML files beside it, or ``ROOT/DOWNLOAD/Sessions/…`` of several
    downloads; a sequence that lies in two is read once. Sequences of none of the six emotions, without any, and stills
    are passed over. The order is that of sessions and frames. Frames of the tilted camera are turned upright. Where a
    picture shows front and profile, the whole of it is given: detectors of frontal faces see only the one.

    Parameters
    ----------
    root : path
        The folder that holds ``Sessions`` or downloads, or ``Sessions`` itself.
    apex : int
        At most so many frames around the apex. Where action units are annotated, that is the longest time at which the
        most of them are at their apex; elsewhere the middle of the sequence. With the neutral ones, 205 sequences
        of 42 + 7 frames give the paper's 10,000.
    neutral : int
        At most so many first frames: MMI labels no face neutral, but each sequence starts with one. A sixth of
        `apex` makes neutral as frequent as each of the six emotions. Never more than the first tenth of a sequence,
        nor frames after an annotated onset.
    share : float
        The part in the middle of a sequence without annotation that counts as its apex.

    Raises
    ------
    UserError
        If `root` holds no sessions, or none that shows one of the six emotions.
    """
    root = Path(root)
    found = False
    for item in _sequences(root):
        found = True
        if isinstance(item, Reject):
            yield item
            continue
        name, subject = item.video.relative_to(root).as_posix(), item.name[:4]
        try:
            if (count := frame_count(item.video)) == 0:
                raise UserError("the video has no frames")
        except UserError as error:
            yield Reject(name, str(error), item.label, subject)
            continue
        peak = _middle(_peak(item.apexes, count, share), apex)
        at_rest = min(neutral, count // 10, item.onset - 1, peak.start - 1)
        labels = dict.fromkeys(range(1, at_rest + 1), label_of("neutral")) | dict.fromkeys(peak, item.label)
        for number, label in labels.items():
            image = VideoFrame(item.video, number - 1)
            yield Record(
                f"{name}/{number:05}",
                _Upright(image) if item.view == _FRONT else image,
                "mmi",
                label,
                subject,
                sequence=item.name,
                frame=number,
            )
    if not found:
        raise UserError(
            f"no session in {root} shows one of the six emotions; they need S035-004.xml beside S035-004.avi"
        )


def differences(root: Path, **options: int | float) -> list[str]:
    """Say how many sequences there are below `root`, if they are not as many as papers count."""
    count = sum(isinstance(item, _Sequence) for item in _sequences(Path(root)))
    if count == SEQUENCES:
        return []
    return [f"{count} sequences of the six emotions from the front, {SEQUENCES} in papers"]


def _peak(apexes: list[range], count: int, share: float) -> range:
    """Return the frames of a sequence's apex, from 1: the annotated ones, or those in the middle."""
    active = np.zeros(count + 1, int)  # by frame, how many action units are at their apex; there is no frame 0
    for frames in apexes:
        active[max(1, frames.start) : frames.stop] += 1
    if not active.any():
        return _middle(range(1, count + 1), max(1, round(share * count)))
    most = active.max()
    runs = groupby(range(count + 1), lambda frame: active[frame] == most)
    longest = max((list(run) for is_most, run in runs if is_most), key=len)
    return range(longest[0], longest[-1] + 1)


def _middle(frames: range, length: int) -> range:
    """Return the frames in the middle, as many as wanted or as there are."""
    return frames[max(0, len(frames) - length) // 2 :][:length]


def _sequences(root: Path) -> Iterator[_Sequence | Reject]:
    """Yield the sequences of the six emotions, and what cannot be used of them."""
    seen = set()
    for folder in _sessions(root):
        files = {path.name.lower(): path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
        for path in files.values():
            if path.suffix.lower() != ".xml" or not _SEQUENCE.fullmatch(path.stem) or path.stem.upper() in seen:
                continue
            if item := _sequence(path, files, root):
                seen.add(path.stem.upper())
                yield item


def _sequence(path: Path, files: dict[str, Path], root: Path) -> _Sequence | Reject | None:
    """Return what an emotion's file in a session's folder stands for; None for stills and other emotions."""
    name, where, label = path.stem.upper(), path, UNLABELLED
    try:
        label = _emotion(path)
        if label == UNLABELLED:
            return None
        video = next((file for suffix in VIDEO_SUFFIXES if (file := files.get(f"{name}{suffix}".lower()))), None)
        if video is None:
            if any(is_image_name(file) for file in files.values()):
                return None
            raise UserError("its video is missing")
        where = video
        view = _view(files.get("session.xml"), video)
        markers = files.get(f"{name}-oao_aucs.xml".lower())
        apexes, onset = _phases(markers) if markers else ([], _NEVER)
        return _Sequence(name, video, label, view, apexes, onset)
    except UserError as error:
        return Reject(where.relative_to(root).as_posix(), str(error), label, name[:4])


def _emotion(path: Path) -> int:
    """Return the label of a sequence, or `UNLABELLED` for what is none of the six emotions."""
    values = [tag.get("Value", "") for name, tag in _tags(path) if name == "Metatag" and tag.get("Name") == "Emotion"]
    if not values:
        return UNLABELLED
    number = _number(values[0], f"the emotion in {path.name}")
    return label_of(_EMOTIONS[number]) if number in _EMOTIONS else UNLABELLED


def _view(path: Path | None, video: Path) -> str:
    """Return the view of a video in a session's tracks; raise `UserError` if it does not show the front."""
    if path is None:
        raise UserError("session.xml is missing, so the camera's view is not known")
    tracks = [tag for name, tag in _tags(path) if name == "track" and "view" in tag]
    own = [tag for tag in tracks if tag.get("filename", "").lower() == video.name.lower()]
    view = next((tag["view"] for tag in own or tracks), None)
    if view not in (_FRONT, _BOTH):
        raise UserError("it shows the profile alone" if view == _PROFILE else f"the view {view!r} is not known")
    return view


def _phases(path: Path) -> tuple[list[range], int]:
    """Return the frames of each apex and the first frame that is not neutral, of action units that move the face."""
    units: list[list[tuple[int, int]]] = []
    markers: list[tuple[int, int]] = []
    for name, tag in _tags(path):
        if name == "ActionUnit":
            number = re.match(r"\d+", tag.get("Number", ""))  # a side may follow: 12L
            markers = []
            if number and int(number[0]) in _FACIAL:
                units.append(markers)
        elif name == "Marker":
            frame, phase = (_number(tag.get(key, ""), f"{key} in {path.name}") for key in ("Frame", "Type"))
            markers.append((frame, phase))
    apexes, onset = [], _NEVER
    for markers in map(sorted, units):
        steps = pairwise([*markers, (_NEVER, _NEUTRAL)])
        apexes += [range(frame, end) for (frame, phase), (end, _) in steps if phase == _APEX]
        onset = min([onset, *(frame for frame, phase in markers if phase != _NEUTRAL)])
    return apexes, onset


def _tags(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Return the names and attributes of an XML file's elements in their order."""
    found = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: found.append((name, attributes))
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the latter two for encodings that are not known
        raise UserError(f"{path.name} cannot be read as XML: {error}") from None
    return found


def _refuse(*declaration: object) -> None:
    raise UserError("its XML declares entities, which could grow without bound")


def _number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"{what} is no whole number: {text!r}") from None


def _sessions(root: Path) -> list[Path]:
    """Return the folders of sessions, by the folder of ``Sessions`` they are in and by number."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    places = [root, *_folders(root), *(inner for folder in _folders(root) for inner in _folders(folder))]
    found = [session for place in places if place.name.lower() == "sessions" for session in _folders(place)]
    if not found:
        raise UserError(f"no session in {root}; they should lie as Sessions/1841/S035-004.avi in it")
    return found


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder; numbers in their order."""
    found = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.name.isdecimal(), path.name.isdecimal() and int(path.name), path.name))


READER = Reader(
    read,
    about="Sessions/1841/S035-004.avi and the XML files beside it, of one or several downloads",
    licence="for research, by iBUG, Imperial College London, after registration at mmifacedb.eu; not to be passed on",
    places=("MMI", "mmi-facial-expression-database*"),
    people=True,
    options={
        "apex": Option(42, "frames at most around each sequence's apex; with 7 neutral ones 10,000 of 205", least=1),
        "neutral": Option(
            7, "first frames at most, as neutral; a sixth of the apex's is as many as each emotion", least=0
        ),
        "share": Option(0.4, "part in the middle of a sequence that counts as apex where none is annotated", least=0),
    },
    expected=f"{SEQUENCES} sequences, of each 42 frames around the apex and 7 neutral ones, about 10,000",
    differences=differences,
)
