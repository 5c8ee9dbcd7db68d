"""DISFA on a small made tree with the real names, and the table that makes expressions of action units."""

import pickle
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdb_builders import Record, Reject, disfa
from lmdb_builders.disfa import READER, SUBJECTS, UNITS, differences, read
from lmdb_builders.emfacs import RULES, expression_of
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, UNLABELLED, label_of
from pydeepexpr.video import VideoFrame
from tests.test_video import make_video, shown_number

# The table


def name_of(*units):
    label = expression_of(set(units))
    return None if label == UNLABELLED else EXPRESSIONS[label]


@pytest.mark.parametrize(
    ("units", "expression"),
    [
        # What of the prototypes and major variants in the FACS Investigator's Guide (2002, table 10-1) is coded in
        # DISFA: 7, 10, 11, 16, 22 to 24 and 27 are left out of them.
        ((6, 12), "joy"),
        ((6, 12, 25), "joy"),
        ((1, 4, 15), "sadness"),
        ((1, 4, 15, 17), "sadness"),
        ((1, 4, 15, 25, 26), "sadness"),
        ((6, 15), "sadness"),
        ((1, 2, 5, 26), "surprise"),
        ((1, 2, 5), "surprise"),
        ((1, 2, 26), "surprise"),
        ((5, 26), "surprise"),
        ((1, 2, 4, 5, 20, 26), "fear"),
        ((1, 2, 4, 5, 20, 25), "fear"),
        ((1, 2, 4, 5, 25), "fear"),
        ((1, 2, 4, 5), "fear"),
        ((5, 20), "fear"),
        ((5, 20, 25, 26), "fear"),
        ((4, 5), "anger"),
        ((4, 5, 17), "anger"),
        ((4, 17), "anger"),
        ((4, 5, 25, 26), "anger"),
        ((9,), "disgust"),
        ((9, 15, 26), "disgust"),
        ((9, 17), "disgust"),
        ((4, 6, 9, 17), "disgust"),
        # What each row forbids or needs besides, by hand.
        ((12,), None),  # a smile that does not reach the eyes
        ((4, 6, 12), None),
        ((6, 9, 12), None),
        ((6, 12, 15), None),
        ((6, 12, 20), None),
        ((1, 4), None),
        ((1, 2, 4, 15), None),
        ((1, 4, 9, 15), None),
        ((1, 4, 15, 20), None),
        ((2, 6, 15), None),
        ((1, 2), None),  # raised brows alone accompany speech
        ((1, 2, 12, 26), None),
        ((1, 2, 15, 26), None),
        ((5, 6, 26), None),
        ((26,), None),
        ((1, 2, 4), None),
        ((1, 2, 4, 5, 12), None),
        ((20,), None),
        ((5, 9, 20), None),
        ((4,), None),  # thought
        ((2, 4, 5), None),
        ((4, 15, 17), None),
        ((4, 12, 17), None),
        ((9, 12), None),
        ((1, 9), None),
        ((25,), None),
        ((17,), None),
        ((), "neutral"),
    ],
)
def test_the_table_against_cases_worked_by_hand(units, expression):
    assert name_of(*units) == expression


def combinations_of(units):
    return [set(chosen) for count in range(len(units) + 1) for chosen in combinations(units, count)]


def test_no_two_expressions_share_a_combination():
    for units in combinations_of(UNITS):
        assert len({rule.expression for rule in RULES if rule.fits(units)}) <= 1, units


def test_every_row_labels_what_no_other_does():
    for rule in RULES:
        others = [other for other in RULES if other is not rule]
        alone = [u for u in combinations_of(UNITS) if rule.fits(u) and not any(other.fits(u) for other in others)]
        assert alone, rule


def test_nothing_but_no_unit_is_neutral():
    neutral = label_of("neutral")
    assert [units for units in combinations_of(UNITS) if expression_of(units) == neutral] == [set()]


def test_rows_use_coded_units_and_give_a_reason():
    for rule in RULES:
        assert rule.required and (rule.required | rule.any_of | rule.forbidden) <= set(UNITS)
        assert not rule.forbidden & (rule.required | rule.any_of) and rule.why
    assert {rule.expression for rule in RULES} == set(EXPRESSIONS) - {"neutral"}


# The reader


def write_labels(root, subject, frames, folder="ActionUnit_Labels", first=1):
    """Write the twelve files of one subject from each frame's {unit: intensity}."""
    where = root / folder / subject
    where.mkdir(parents=True)
    for unit in UNITS:
        lines = [f"{number},{units.get(unit, 0)}\n" for number, units in enumerate(frames, start=first)]
        (where / f"{subject}_au{unit}.txt").write_text("".join(lines))
    return where


def write_video(root, subject, folder="Video_LeftCamera"):
    path = root / folder / f"LeftVideo{subject}_comp.avi"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not opened by the reader")
    return path


JOY, NEUTRAL, UNKNOWN = {6: 2, 12: 3}, {}, {25: 1}


@pytest.fixture
def tree(tmp_path):
    """Two subjects; the first has a face of every kind."""
    root = tmp_path / "DISFA"
    faces = [NEUTRAL, JOY, UNKNOWN, {1: 1, 4: 2, 15: 5}, {1: 1, 2: 1, 26: 1}, {5: 1, 20: 1}, {4: 1, 17: 1}, {9: 1}]
    write_labels(root, "SN001", faces)
    write_labels(root, "SN032", [JOY])
    for subject in ("SN001", "SN032"):
        write_video(root, subject)
    return root


def records_of(root, **options):
    return [item for item in read(root, **options) if isinstance(item, Record)]


def shown(root, **options):
    return [(record.frame, EXPRESSIONS[record.expression]) for record in records_of(root, **options)]


def test_frames_come_by_subject_and_number(tree):
    items = list(read(tree))
    assert [(item.subject, item.frame, EXPRESSIONS[item.expression]) for item in items] == [
        ("SN001", 1, "neutral"),
        ("SN001", 2, "joy"),
        ("SN001", 4, "sadness"),
        ("SN001", 5, "surprise"),
        ("SN001", 6, "fear"),
        ("SN001", 7, "anger"),
        ("SN001", 8, "disgust"),
        ("SN032", 1, "joy"),
    ]
    video = tree / "Video_LeftCamera/LeftVideoSN001_comp.avi"
    name = "Video_LeftCamera/LeftVideoSN001_comp.avi/00004"
    assert items[2] == Record(name, VideoFrame(video, 3), "disfa", label_of("sadness"), "SN001", "SN001", 4)
    assert pickle.loads(pickle.dumps(items[2])) == items[2], "it is read in another process"
    assert len({item.name for item in items}) == len(items)


def test_the_frame_that_is_read_is_the_labelled_one(tmp_path):
    frames = [NEUTRAL if number % 2 else JOY for number in range(1, 61)]
    write_labels(tmp_path, "SN001", frames)
    make_video(write_video(tmp_path, "SN001"), frames=len(frames))
    records = records_of(tmp_path)
    assert len(records) == 60
    # The made video shows frame numbers from 0; DISFA counts them from 1.
    assert [shown_number(record.read()) + 1 for record in records] == [record.frame for record in records]
    assert all(record.expression == label_of("neutral" if record.frame % 2 else "joy") for record in records)


def test_a_frame_beyond_the_videos_end_says_so_when_it_is_read(tmp_path):
    write_labels(tmp_path, "SN001", [JOY] * 5)
    make_video(write_video(tmp_path, "SN001"), frames=4)
    *_, before, last = records_of(tmp_path)
    assert shown_number(before.read()) == 3
    with pytest.raises(UserError, match="ends after 4 frames; there is no frame 4"):
        last.read()


def test_one_subject_is_read_at_a_time(tree):
    records = read(tree)
    assert next(records).subject == "SN001"
    for path in (tree / "ActionUnit_Labels/SN032").iterdir():
        path.write_text("1,0\n2,0\n")  # from here on neutral, and no other expression to allow it
    assert all(record.subject == "SN001" for record in records)


def test_the_threshold(tmp_path):
    write_labels(tmp_path, "SN001", [{6: 1, 12: 3}, {6: 2, 12: 2}, {6: 5, 12: 4, 9: 1}, {25: 1}, {25: 2}])
    write_video(tmp_path, "SN001")
    assert shown(tmp_path) == [(1, "joy"), (2, "joy")]
    assert shown(tmp_path, intensity=2) == [(2, "joy"), (3, "joy"), (4, "neutral")]
    assert shown(tmp_path, intensity=4) == [(3, "joy"), (4, "neutral")], "of 1, 2, 4, 5 a middle one"


def test_neutral_frames_are_as_many_as_the_commonest_expression_and_spread_evenly(tmp_path):
    frames = [JOY] * 3 + [{9: 1}] + [NEUTRAL] * 12 + [UNKNOWN]
    write_labels(tmp_path, "SN001", frames)
    write_video(tmp_path, "SN001")
    # Twelve frames, 5 to 16, in three parts of four: the third of each.
    assert [frame for frame, expression in shown(tmp_path) if expression == "neutral"] == [7, 11, 15]
    assert len(shown(tmp_path, neutral=2.0)) == 4 + 6
    assert len(shown(tmp_path, neutral=0.0)) == 4
    assert len(shown(tmp_path, neutral=100.0)) == 4 + 12


def test_each_subject_is_thinned_by_itself(tmp_path):
    write_labels(tmp_path, "SN001", [NEUTRAL] * 10 + [JOY])
    write_labels(tmp_path, "SN002", [NEUTRAL] * 10)
    for subject in ("SN001", "SN002"):
        write_video(tmp_path, subject)
    assert [(r.subject, r.frame) for r in records_of(tmp_path)] == [("SN001", 6), ("SN001", 11)]


def test_every_so_many_th_frame(tmp_path):
    write_labels(tmp_path, "SN001", [JOY] * 10)
    write_video(tmp_path, "SN001")
    assert [frame for frame, _ in shown(tmp_path, every=4)] == [1, 5, 9]
    assert len(shown(tmp_path)) == 10


@given(st.lists(st.dictionaries(st.sampled_from(UNITS), st.integers(0, 5)), max_size=30), st.integers(1, 5))
def test_a_label_depends_on_the_units_above_the_threshold_alone(tmp_path_factory, frames, intensity):
    root = tmp_path_factory.mktemp("disfa")
    write_labels(root, "SN001", [*frames, dict.fromkeys((6, 12), 5)])
    write_video(root, "SN001")
    records = {record.frame: record.expression for record in records_of(root, intensity=intensity, neutral=1000.0)}
    for frame, values in enumerate(frames, start=1):
        units = {unit for unit, value in values.items() if value >= intensity}
        assert records.get(frame, UNLABELLED) == expression_of(units)
        assert bool(units) != (records.get(frame) == label_of("neutral"))


# Copies that differ


@pytest.mark.parametrize(
    ("labels", "videos"),
    [
        ("ActionUnit_Labels", "Videos_LeftCamera"),
        ("ActionUnits_Labels", "video_leftcamera"),
        ("labels", "videos_left"),
        ("ActionUnit_Labels/ActionUnit_Labels", "Video_LeftCamera"),
    ],
)
def test_folders_go_by_several_names(tmp_path, labels, videos):
    write_labels(tmp_path, "SN001", [JOY], folder=labels)
    write_video(tmp_path, "SN001", folder=videos)
    (record,) = read(tmp_path)
    assert record.name == f"{videos}/LeftVideoSN001_comp.avi/00001"


def test_the_folder_above_will_do(tree):
    assert list(read(tree.parent)) == list(read(tree))


def test_names_in_any_case_and_stray_files(tmp_path):
    folder = write_labels(tmp_path, "SN001", [JOY])
    for path in folder.iterdir():
        path.rename(folder / path.name.replace("_au", "_AU").replace(".txt", ".TXT"))
    folder.rename(folder.parent / "sn001")
    video = write_video(tmp_path, "SN001")
    video.rename(video.parent / "leftvideosn001_comp.AVI")
    for stray in (
        "Video_LeftCamera/._LeftVideoSN001_comp.avi",
        "Video_LeftCamera/SN001.txt",
        "ActionUnit_Labels/x.txt",
    ):
        (tmp_path / stray).write_bytes(b"x")
    (record,) = read(tmp_path)
    assert (record.subject, record.name) == ("SN001", "Video_LeftCamera/leftvideosn001_comp.AVI/00001")


def test_blank_lines_spaces_and_byte_order_marks(tmp_path):
    folder = write_labels(tmp_path, "SN001", [JOY, {9: 1}])
    (folder / "SN001_au6.txt").write_bytes(b"\xef\xbb\xbf1, 2\r\n2,0\r\n\r\n \n")
    (folder / "SN001_au9.txt").write_text("1,0.0\n2,1.000")
    write_video(tmp_path, "SN001")
    assert list(read(tmp_path)) == records_of(tmp_path)
    assert shown(tmp_path) == [(1, "joy"), (2, "disgust")]


def test_frames_keep_their_numbers_where_others_are_missing_from_all_files(tmp_path):
    write_labels(tmp_path, "SN001", [JOY, JOY], first=7)
    write_video(tmp_path, "SN001")
    assert [(record.frame, record.image.number) for record in read(tmp_path)] == [(7, 6), (8, 7)]


def test_frames_without_all_labels_are_left_out_and_their_files_named(tmp_path):
    folder = write_labels(tmp_path, "SN001", [JOY] * 10)
    (folder / "SN001_au5.txt").write_text("".join(f"{number},0\n" for number in range(1, 4)))
    lines = (folder / "SN001_au9.txt").read_text().replace("2,0\n", "2,high\n").replace("3,0\n", "3;9\n")
    (folder / "SN001_au9.txt").write_text(lines)
    write_video(tmp_path, "SN001")
    five, nine, *rest = read(tmp_path)
    assert five == Reject(
        "ActionUnit_Labels/SN001/SN001_au5.txt", "it lacks frame 4, 5, 6, 7, 8 and 2 more", subject="SN001"
    )
    assert (nine.name, nine.reason) == (
        "ActionUnit_Labels/SN001/SN001_au9.txt",
        "line 2 is no FRAME,INTENSITY: '2,high'; it lacks frame 2, 3",
    )
    assert [record.frame for record in rest] == [1]


def test_an_intensity_off_the_scale_is_no_label(tmp_path):
    folder = write_labels(tmp_path, "SN001", [JOY])
    (folder / "SN001_au6.txt").write_text("1,6\n")
    write_video(tmp_path, "SN001")
    (reject,) = read(tmp_path)
    assert reject.reason == "line 1 is no FRAME,INTENSITY: '1,6'; it lacks frame 1"


def test_a_missing_file_of_labels_rejects_the_subject(tree):
    for unit in (5, 26):
        (tree / f"ActionUnit_Labels/SN001/SN001_au{unit}.txt").unlink()
    reject, record = read(tree)
    assert reject == Reject(
        "ActionUnit_Labels/SN001",
        "without SN001_au5.txt, SN001_au26.txt this subject's expressions are not known",
        subject="SN001",
    )
    assert record.subject == "SN032"


def test_a_missing_video_or_missing_labels(tree):
    (tree / "Video_LeftCamera/LeftVideoSN001_comp.avi").unlink()
    write_video(tree, "SN002")
    first, record, last = read(tree)
    assert (first.name, first.subject) == ("ActionUnit_Labels/SN001", "SN001") and "video" in first.reason
    assert record.subject == "SN032"
    assert (last.name, last.subject) == ("Video_LeftCamera/LeftVideoSN002_comp.avi", "SN002")
    assert last.reason == "this subject's labels are missing"


def test_what_is_no_disfa(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        list(read(tmp_path / "absent"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="is not a folder"):
        list(read(tmp_path / "file"))
    with pytest.raises(UserError, match=r"no action units in .*; they should lie as ActionUnit_Labels/SN001/") as error:
        list(read(tmp_path))
    assert "\n" not in str(error.value)
    write_labels(tmp_path, "SN001", [JOY])
    write_video(tmp_path, "SN001", folder="Video_RightCamera")
    with pytest.raises(UserError, match=r"no video of the left camera in .*; they should lie as Video_LeftCamera/"):
        list(read(tmp_path))


# What was published


def test_the_published_subjects():
    assert len(SUBJECTS) == 27 and len(set(SUBJECTS)) == 27  # Mavadati et al. 2013
    assert (SUBJECTS[0], SUBJECTS[12:14], SUBJECTS[-1]) == ("SN001", ("SN013", "SN016"), "SN032")


def test_differences_are_named(tree, monkeypatch):
    (tree / "ActionUnit_Labels/SN032/SN032_au1.txt").unlink()
    lines = differences(tree, intensity=1, neutral=1.0, every=1)
    assert lines == [
        "missing subjects: SN002, SN003, SN004, SN005, SN006 and 20 more",
        "SN001: 8 labelled frames, published 4845",
        "SN032: without SN032_au1.txt this subject's expressions are not known",
    ]
    write_labels(tree, "SN099", [JOY] * 8)
    write_video(tree, "SN099")
    monkeypatch.setattr(disfa, "SUBJECTS", ("SN001",))
    monkeypatch.setattr(disfa, "FRAMES", 8)
    assert differences(tree)[0] == "unpublished subjects: SN032, SN099"
    assert not [line for line in differences(tree) if line.startswith(("SN001", "SN099"))]


def test_options():
    assert READER.settings({}) == {"intensity": 1, "neutral": 1.0, "every": 1}
    assert READER.settings({"intensity": "2", "neutral": "0.5"}) == {"intensity": 2, "neutral": 0.5, "every": 1}
    for wrong in ({"intensity": "0"}, {"every": "0"}, {"neutral": "-1"}, {"intensity": "high"}):
        with pytest.raises(UserError, match=f"option {next(iter(wrong))}: "):
            READER.settings(wrong)
    assert READER.people and not READER.cropped and READER.places[0] == "DISFA"
