"""CK+, the Extended Cohn-Kanade database (Lucey et al. 2010): posed sequences from a neutral face to a peak.

The labels' numbers, and that a label belongs to the last frame of its sequence, are said in the readme that comes with
the files; the counts are the paper's. The folders into which the archives unpack, and that sequences without a label
keep an empty folder, were seen in public loaders, among them Open-Debin/Emotion-FAN, egginsect/transformdiscovery and
ymitiku/Ck-dataset-preprocess, which takes first frames as neutral faces too.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from lmdb_builders.published import count_differences
from lmdb_builders.records import Option, Reader, Record, Reject
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of

__all__ = ["PUBLISHED", "READER", "differences", "read"]

#: Labelled sequences of each expression (Lucey et al. 2010), without the 18 of contempt.
PUBLISHED = {"anger": 45, "disgust": 59, "fear": 25, "joy": 69, "sadness": 28, "surprise": 83}

_IMAGES = ("cohn-kanade-images", "extended-cohn-kanade-images")
_LABELS = ("Emotion", "Emotion_labels")
_WORDS = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")  # by the label's number

_SUBJECT = re.compile(r"S\d{3}")
_FRAME = re.compile(r"S\d{3}_\d{3}_(\d{8})\.png")
_LABEL = re.compile(r"S\d{3}_(\d{3})_(\d{8})_emotion\.txt")


def read(root: Path, neutral: str = "subject") -> Iterator[Record | Reject]:
    """Yield the peak frame of each labelled sequence below `root`, and first frames as neutral faces.

    ``ROOT/cohn-kanade-images/S005/001/S005_001_00000011.png`` is the peak that
    ``ROOT/Emotion/S005/001/S005_001_00000011_emotion.txt`` labels; either folder may lie one level deeper. A sequence
    without a label is passed over, and so is one of contempt, which is none of the seven expressions. The order is that
    of subjects, sequences and frames.

    Parameters
    ----------
    root : path
        The folder that holds images and labels.
    neutral : {"subject", "sequence", "none"}
        CK+ labels no face neutral, but each sequence starts with one: take that of one sequence a subject, of every
        sequence that is read, or of none. One a subject shows everybody who takes part, and gives a class little
        larger than that of surprise; one a sequence would make half of the images neutral, with nearly the same
        picture of a person several times.

    Raises
    ------
    UserError
        If `root` holds no images or no labels.
    """
    root = Path(root)
    images, labels = _folder(root, _IMAGES), _folder(root, _LABELS)
    paths = [path for path in sorted(labels.glob("S*/*/*.txt")) if not path.name.startswith(".")]
    if not paths:
        raise UserError(f"no label in {labels}; they should lie as S005/001/S005_001_00000011_emotion.txt in it")
    at_rest = set()
    for path in paths:
        subject = path.parts[-3]
        try:
            number, peak, word = _label(path)
        except UserError as error:
            yield Reject(path.relative_to(root).as_posix(), str(error), subject=subject)
            continue
        if word == "contempt":
            continue
        folder = images / subject / number
        frames = _frames(folder)
        if peak not in frames:
            name = (folder / path.name.replace("_emotion.txt", ".png")).relative_to(root).as_posix()
            rest = f"the last is {max(frames)}" if frames else "the sequence is not there"
            yield Reject(name, f"its label names frame {peak}, but {rest}", label_of(word), subject)
            continue
        chosen = {peak: word}
        first = min(frames)
        if first < peak and (neutral == "sequence" or (neutral == "subject" and subject not in at_rest)):
            at_rest.add(subject)
            chosen = {first: "neutral", peak: word}
        for frame, expression in chosen.items():
            name = frames[frame].relative_to(root).as_posix()
            sequence = f"{subject}/{number}"
            yield Record(name, frames[frame], "ckplus", label_of(expression), subject, sequence, frame)


def differences(root: Path, neutral: str = "subject") -> list[str]:
    """Say how the copy at `root` differs from the published CK+: peaks by expression, and peaks that are not last.

    The first frames that are taken as neutral faces are not part of what was published, and are left out.
    """
    peaks = [item for item in read(root, neutral="none") if isinstance(item, Record)]
    lines = count_differences((EXPRESSIONS[peak.expression] for peak in peaks), PUBLISHED)
    for peak in peaks:
        last = max(_frames(peak.image.parent))
        if last != peak.frame:
            lines.append(f"{peak.sequence}: its label names frame {peak.frame} as the peak, but the last is {last}")
    return lines


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    """Return the folder of one of these names, in any case of letters, that holds the subjects' folders."""
    if not root.is_dir():
        raise UserError(f"{root} is not a folder" if root.exists() else f"there is no folder {root}")
    known = {name.lower() for name in names}
    for pattern in ("*", "*/*"):
        for folder in sorted(root.glob(pattern)):
            if folder.name.lower() in known and folder.is_dir() and any(map(_is_subject, folder.iterdir())):
                return folder
    raise UserError(
        f"no folder {' or '.join(names)} with subjects (S005 and the like) in {root}; "
        "unpack the images of CK+ and its emotion labels beside each other"
    )


def _is_subject(path: Path) -> bool:
    return path.is_dir() and _SUBJECT.fullmatch(path.name) is not None


def _frames(folder: Path) -> dict[int, Path]:
    """Return a sequence's frames by their number."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return {int(match[1]): path for path in paths if (match := _FRAME.fullmatch(path.name))}


def _label(path: Path) -> tuple[str, int, str]:
    """Return the sequence's number, the frame and the word that a label gives; raise `UserError` if it gives none."""
    match = _LABEL.fullmatch(path.name)
    if not match:
        raise UserError("it is not called SUBJECT_SEQUENCE_FRAME_emotion.txt")
    text = path.read_text(errors="replace").strip()
    try:
        return match[1], int(match[2]), dict(enumerate(_WORDS))[float(text)]
    except (ValueError, KeyError):
        raise UserError(f"the label holds {text[:20]!r}, which is no number from 0 to 7") from None


READER = Reader(
    read,
    about="cohn-kanade-images/S005/001/….png with Emotion/S005/001/…_emotion.txt",
    licence="for non-commercial research, under an agreement with the Affect Analysis Group, University of Pittsburgh "
    "(jeffcohn.net); images not to be passed on",
    places=("CK+", "ckplus", "ck_plus", "CK", "cohn-kanade-plus", "cohn-kanade"),
    people=True,
    options={
        "neutral": Option(
            "subject",
            "whose first frames are neutral faces: one a subject (no large class, nobody twice), all, or none",
            choices=("subject", "sequence", "none"),
        )
    },
    expected=f"{sum(PUBLISHED.values())} peak frames (327 labelled sequences without 18 of contempt), "
    "and a neutral first frame a subject",
    differences=differences,
)
