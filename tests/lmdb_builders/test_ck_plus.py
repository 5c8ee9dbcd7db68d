"""CK+'s layout and quirks, on small trees of files that are named as the real ones and mostly never opened."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from lmdb_builders import Record, Reject, ck_plus
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS

IMAGES, LABELS = "cohn-kanade-images", "Emotion"


def sequence(root, name, frames, label=None, peak=None, images=IMAGES, labels=LABELS):
    """Write a sequence such as S005/001: its frames, and the label of its last frame or of the one named."""
    subject, number = name.split("/")
    for folder in (images, labels):
        (root / folder / name).mkdir(parents=True, exist_ok=True)
    for frame in frames:
        (root / images / name / f"{subject}_{number}_{frame:08d}.png").write_bytes(b"never opened")
    if label is not None:
        file = f"{subject}_{number}_{peak or max(frames):08d}_emotion.txt"
        (root / labels / name / file).write_text(label if isinstance(label, str) else f"   {label:.7e}\n")


@pytest.fixture
def tree(tmp_path):
    """Two people with what the database has beside labelled peaks: contempt, no label, gaps, stray and hidden files."""
    sequence(tmp_path, "S005/001", [*range(1, 12)], 3)
    sequence(tmp_path, "S010/001", [1, 2, 3])
    sequence(tmp_path, "S010/002", [1, 2, 5, 14], 7)
    sequence(tmp_path, "S010/003", [1, 9], 2)
    sequence(tmp_path, "S010/004", [2, 19], 5)
    strays = (".DS_Store", "S010/.DS_Store", "S010/001/.DS_Store", "S010/002/._S010_002_00000014_emotion.txt")
    for stray in (*strays, "S010/002/Thumbs.db"):
        (tmp_path / LABELS / stray).write_bytes(b"x")
    for stray in (".DS_Store", "S010/002/.DS_Store", "S010/002/Thumbs.db", "S010/002/._S010_002_00000014.png"):
        (tmp_path / IMAGES / stray).write_bytes(b"x")
    return tmp_path


def fields(item):
    return item.name, EXPRESSIONS[item.expression], item.subject, item.sequence, item.frame


def test_peaks_and_one_first_frame_a_subject(tree):
    items = list(ck_plus.read(tree))
    assert [fields(item) for item in items] == [
        (f"{IMAGES}/S005/001/S005_001_00000001.png", "neutral", "S005", "S005/001", 1),
        (f"{IMAGES}/S005/001/S005_001_00000011.png", "disgust", "S005", "S005/001", 11),
        (f"{IMAGES}/S010/002/S010_002_00000001.png", "neutral", "S010", "S010/002", 1),
        (f"{IMAGES}/S010/002/S010_002_00000014.png", "surprise", "S010", "S010/002", 14),
        (f"{IMAGES}/S010/004/S010_004_00000019.png", "joy", "S010", "S010/004", 19),
    ]
    assert {(item.database, item.split, item.character) for item in items} == {("ckplus", "", "")}
    assert all(item.image == tree / item.name for item in items)


def test_the_rule_for_neutral_faces(tree):
    def neutral(rule):
        return [
            item.name[-12:-4] for item in ck_plus.read(tree, neutral=rule) if EXPRESSIONS[item.expression] == "neutral"
        ]

    assert neutral("subject") == ["00000001", "00000001"]
    assert neutral("sequence") == ["00000001", "00000001", "00000002"], "of the contemptuous sequence none"
    assert neutral("none") == []
    assert ck_plus.READER.settings({}) == {"neutral": "subject"}
    for rule in ck_plus.READER.options["neutral"].choices:
        peaks = [item for item in ck_plus.read(tree, neutral=rule) if EXPRESSIONS[item.expression] != "neutral"]
        assert [peak.frame for peak in peaks] == [11, 14, 19], rule


def test_a_peak_that_is_alone_leaves_the_neutral_face_to_another_sequence(tmp_path):
    sequence(tmp_path, "S011/001", [7], 1)
    sequence(tmp_path, "S011/002", [1, 8], 4)
    found = [(item.sequence, EXPRESSIONS[item.expression]) for item in ck_plus.read(tmp_path)]
    assert found == [("S011/001", "anger"), ("S011/002", "neutral"), ("S011/002", "fear")]


def test_every_number_of_a_label(tmp_path):
    """0 neutral, 1 anger, 2 contempt, 3 disgust, 4 fear, 5 happy, 6 sadness, 7 surprise (the database's readme)."""
    for label in range(8):
        sequence(tmp_path, f"S100/{label:03d}", [1, 2], label)
    found = [(item.sequence[-1], EXPRESSIONS[item.expression]) for item in ck_plus.read(tmp_path, neutral="none")]
    assert found == [
        *[("0", "neutral"), ("1", "anger"), ("3", "disgust"), ("4", "fear"), ("5", "joy"), ("6", "sadness")],
        ("7", "surprise"),
    ]


@pytest.mark.parametrize("images", [IMAGES, f"extended-cohn-kanade-images/{IMAGES}", f"Extended-{IMAGES}"])
@pytest.mark.parametrize("labels", [LABELS, "Emotion_labels", "Emotion_labels/Emotion", "Emotion_Labels/Emotion"])
def test_where_the_archives_end_up(tmp_path, images, labels):
    sequence(tmp_path, "S005/001", [1, 11], 3, images=images, labels=labels)
    assert [item.name for item in ck_plus.read(str(tmp_path), neutral="none")] == [
        f"{images}/S005/001/S005_001_00000011.png"
    ]


@pytest.mark.parametrize("label", ["", "   ", "8.0e+00", "-1", "1.5", "happy", "nan", "inf", "3 4", "\0", "3.0\n5.0"])
def test_labels_that_cannot_be_read(tree, label):
    sequence(tree, "S011/001", [1, 9], label)
    sequence(tree, "S011/002", [1, 9], 6)
    (bad,) = (item for item in ck_plus.read(tree) if isinstance(item, Reject))
    assert bad.name == f"{LABELS}/S011/001/S011_001_00000009_emotion.txt"
    assert bad.reason == f"the label holds {label.strip()!r}, which is no number from 0 to 7"
    assert (bad.subject, bad.expression) == ("S011", -1)
    assert list(ck_plus.read(tree))[-1].sequence == "S011/002", "the others are read"


def test_frames_that_are_not_there_and_files_with_other_names(tree):
    sequence(tree, "S011/001", [1, 8], 5, peak=9)
    sequence(tree, "S011/002", [], 4, peak=17)
    (tree / LABELS / "S011/002/S011_002_emotion.txt").write_text("4")
    rejects = [item for item in ck_plus.read(tree) if isinstance(item, Reject)]
    joy, fear = EXPRESSIONS.index("joy"), EXPRESSIONS.index("fear")
    assert rejects == [
        Reject(f"{IMAGES}/S011/001/S011_001_00000009.png", "its label names frame 9, but the last is 8", joy, "S011"),
        Reject(
            f"{IMAGES}/S011/002/S011_002_00000017.png",
            "its label names frame 17, but the sequence is not there",
            fear,
            "S011",
        ),
        Reject(
            f"{LABELS}/S011/002/S011_002_emotion.txt",
            "it is not called SUBJECT_SEQUENCE_FRAME_emotion.txt",
            subject="S011",
        ),
    ]


def test_records_can_be_read(tmp_path):
    sequence(tmp_path, "S005/001", [1, 11], 3)
    cv2.imwrite(str(tmp_path / IMAGES / "S005/001/S005_001_00000011.png"), np.full((49, 64), 7, np.uint8))
    first, peak = ck_plus.read(tmp_path)
    assert peak.read().shape == (49, 64) and (peak.read() == 7).all()
    with pytest.raises(UserError):
        first.read()


def published(root):
    """Write as many labelled sequences as were published, with CK+'s 18 of contempt and some without a label."""
    numbers = {"anger": 1, "contempt": 2, "disgust": 3, "fear": 4, "joy": 5, "sadness": 6, "surprise": 7}
    labels = [numbers[word] for word, count in {**ck_plus.PUBLISHED, "contempt": 18}.items() for _ in range(count)]
    for index, label in enumerate([*labels, *[None] * 5]):
        sequence(root, f"S{index // 3:03d}/{index % 3 + 1:03d}", [1, 10], label)


def test_a_complete_copy_gives_309_peaks_and_differs_in_nothing(tmp_path):
    published(tmp_path)
    items = list(ck_plus.read(tmp_path, neutral="none"))
    # Lucey et al. 2010: 327 labelled sequences, 18 of them of contempt.
    assert Counter(EXPRESSIONS[item.expression] for item in items) == ck_plus.PUBLISHED
    assert len(items) == 309 and "309 peak frames" in ck_plus.READER.expected
    assert ck_plus.differences(tmp_path) == ck_plus.differences(tmp_path, neutral="sequence") == []
    balanced = Counter(EXPRESSIONS[item.expression] for item in ck_plus.read(tmp_path))
    assert balanced["neutral"] == len({item.subject for item in items}) == 309 // 3, "three sequences a subject here"


def test_differences_name_counts_and_peaks_that_are_not_last(tmp_path):
    published(tmp_path)
    sequence(tmp_path, "S000/001", [11])
    sequence(tmp_path, "S500/001", [1, 5], 4)
    (tmp_path / IMAGES / "S001/001/S001_001_00000010.png").unlink()
    assert ck_plus.differences(tmp_path) == [
        "anger: 44 images, published 45",
        "fear: 26 images, published 25",
        "S000/001: its label names frame 10 as the peak, but the last is 11",
    ]
    assert next(ck_plus.read(tmp_path, neutral="none")).frame == 10, "the labelled frame is taken all the same"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([], f"no folder {IMAGES}"),
        ([f"{IMAGES}/S005/001"], r"no folder Emotion or Emotion_labels with subjects \(S005 and the like\) in"),
        (["Emotion/S005/001"], f"no folder {IMAGES}"),
        ([f"{IMAGES}/faces", "Emotion/S005/001"], f"no folder {IMAGES}"),
        ([f"{IMAGES}/S005/001", "Emotion/S005/001"], "no label in .*Emotion; they should lie as S005/001/S005_001"),
    ],
)
def test_what_is_no_copy_of_it(tmp_path, made, message):
    for folder in made:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(UserError, match=message) as error:
        next(ck_plus.read(tmp_path))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_an_absent_root_and_a_file(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        next(ck_plus.read(tmp_path / "absent"))
    with pytest.raises(UserError, match="is not a folder"):
        next(ck_plus.read(Path(__file__)))


def test_records_come_lazily(tree, monkeypatch):
    opened = []
    frames = ck_plus._frames
    monkeypatch.setattr(ck_plus, "_frames", lambda folder: opened.append(folder) or frames(folder))
    assert isinstance(next(ck_plus.read(tree)), Record)
    assert [folder.parts[-2:] for folder in opened] == [("S005", "001")], "the other sequences are not looked into yet"
