"""MMI on small made trees: sessions as the site packs them, with the XML files' names and attributes."""

import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdb_builders import Record, Reject, mmi
from lmdb_builders.mmi import READER, differences, read
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from pydeepexpr.video import VideoFrame
from tests.test_video import make_video, shown_number

XML = '<?xml version="1.0" encoding="UTF-8"?>\n'


def write_session(root, number, name="S035-004", *, emotion=4, view=0, frames=60, markers=None):
    """Write one session; `markers` are the (frame, phase) pairs of each action unit."""
    folder = root / "Sessions" / str(number)
    folder.mkdir(parents=True)
    if emotion is not None:
        tags = f'<Metatag Name="Session" Value="{number}"/><Metatag Name="Emotion" Value="{emotion}"/>'
        (folder / f"{name}.xml").write_text(f"{XML}<Metadata>{tags}</Metadata>")
    track = f'<track trackNumber="1" filename="{name}.avi" view="{view}"/>'
    (folder / "session.xml").write_text(f'{XML}<session sessionId="{number}">{track}</session>')
    if markers is not None:
        units = "".join(
            f'<ActionUnit Number="{unit}">'
            + "".join(f'<Marker Frame="{frame}" Type="{phase}"/>' for frame, phase in pairs)
            + "</ActionUnit>"
            for unit, pairs in markers.items()
        )
        (folder / f"{name}-oao_aucs.xml").write_text(f"{XML}<AnnotationOao>{units}</AnnotationOao>")
    if frames:
        make_video(folder / f"{name}.avi", "mjpeg", frames=frames)
    return folder


def shown(root, **options):
    """Return the frames' numbers by expression."""
    frames = {}
    for record in read(root, **options):
        frames.setdefault(EXPRESSIONS[record.expression], []).append(record.frame)
    return frames


def span(first, last):
    return list(range(first, last + 1))


# Where the apex is


def test_without_annotation_the_middle_is_the_apex_and_the_first_tenth_neutral(tmp_path):
    write_session(tmp_path, 1841)
    # Two fifths of 60 frames are 24, after 18; a tenth of them are 6.
    assert shown(tmp_path) == {"neutral": span(1, 6), "joy": span(19, 42)}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"apex": 4}, {"neutral": span(1, 6), "joy": span(29, 32)}),
        ({"apex": 5}, {"neutral": span(1, 6), "joy": span(28, 32)}),
        ({"neutral": 2, "share": 0.1}, {"neutral": [1, 2], "joy": span(28, 33)}),
        ({"neutral": 0, "share": 0.0}, {"joy": [30]}),
        ({"share": 1.0, "apex": 100}, {"joy": span(1, 60)}),  # no frame is left to be neutral
    ],
)
def test_options_choose_how_many(tmp_path, options, expected):
    write_session(tmp_path, 1841)
    assert shown(tmp_path, **options) == expected


def test_the_papers_ten_thousand():
    # A sequence of 105 frames or more gives all 42 and 7; Aneja et al. 2016 have 10,000.
    settings = READER.settings({})
    assert round(settings["share"] * 105) == settings["apex"]
    assert mmi.SEQUENCES * (settings["apex"] + settings["neutral"]) == 10045


def test_annotated_apexes_are_taken_where_most_units_share_one(tmp_path):
    markers = {
        "6": [(1, 0), (11, 1), (21, 2), (41, 3), (46, 0)],
        "12L": [(1, 0), (9, 1), (31, 2), (45, 3), (50, 0)],
        "25": [(1, 0), (12, 1), (26, 2), (36, 3)],
        "45": [(2, 1), (3, 2), (4, 3), (5, 0)],  # a blink
        "61": [(1, 2)],  # eyes turned left, all along
    }
    write_session(tmp_path, 1841, markers=markers)
    # 6, 12 and 25 are all at their apex from 31 until 25 leaves it at 36; 12's onset is the first, at 9.
    assert shown(tmp_path) == {"neutral": span(1, 6), "joy": span(31, 35)}
    assert shown(tmp_path, apex=2)["joy"] == [32, 33]


def test_neutral_ends_before_the_first_onset(tmp_path):
    write_session(tmp_path, 1841, markers={"12": [(1, 0), (4, 1), (20, 2), (50, 3)]})
    assert shown(tmp_path) == {"neutral": [1, 2, 3], "joy": span(20, 49)}


def test_of_two_apexes_the_longer_is_taken_and_the_last_lasts_to_the_end(tmp_path):
    twice = [(1, 0), (5, 1), (10, 2), (15, 3), (20, 0), (30, 1), (50, 2)]
    write_session(tmp_path, 1841, markers={"12": twice})
    assert shown(tmp_path)["joy"] == span(50, 60)


@pytest.mark.parametrize("markers", [{}, {"12": []}, {"45": [(10, 2), (12, 3)]}, {"12": [(1, 0), (10, 1)]}])
def test_where_no_apex_is_annotated_it_is_the_middle(tmp_path, markers):
    write_session(tmp_path, 1841, markers=markers)
    assert shown(tmp_path)["joy"] == span(19, 42)


def test_markers_beyond_the_video_are_no_apex(tmp_path):
    write_session(tmp_path, 1841, markers={"12": [(1, 0), (70, 2), (90, 3)]})
    assert shown(tmp_path)["joy"] == span(19, 42)


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700)), max_size=6),
    st.integers(1, 600),
    st.floats(0, 2),
)
def test_an_apex_is_never_empty_and_within_the_video(spans, count, share):
    apexes = [range(first, stop) for first, stop in spans]
    peak = mmi._peak(apexes, count, share)
    assert len(peak) >= 1 and peak.start >= 1 and peak.stop <= count + 1
    active = [sum(frame in frames for frames in apexes) for frame in range(1, count + 1)]
    if max(active):
        assert {active[frame - 1] for frame in peak} == {max(active)}


# Records


def test_records_field_by_field(tmp_path):
    folder = write_session(tmp_path, 1841, view=2)
    records = list(read(tmp_path, apex=1, neutral=1))
    video = folder / "S035-004.avi"
    name = "Sessions/1841/S035-004.avi/0000"
    neutral, joy = EXPRESSIONS.index("neutral"), EXPRESSIONS.index("joy")
    assert records == [
        Record(f"{name}1", VideoFrame(video, 0), "mmi", neutral, "S035", "S035-004", 1),
        Record("Sessions/1841/S035-004.avi/00030", VideoFrame(video, 29), "mmi", joy, "S035", "S035-004", 30),
    ]


@pytest.mark.parametrize("number", range(1, 7))
def test_emotions_by_number(tmp_path, number):
    # 1 anger, 2 disgust, 3 fear, 4 happiness, 5 sadness, 6 surprise, as donydchen/causal_emotion has them.
    write_session(tmp_path, 7, emotion=number)
    expected = ("anger", "disgust", "fear", "joy", "sadness", "surprise")[number - 1]
    assert set(shown(tmp_path)) == {"neutral", expected}


@pytest.mark.parametrize("view", [0, 2])
def test_the_frame_that_is_read_is_the_named_one(tmp_path, view):
    write_session(tmp_path, 1841, view=view)
    records = list(read(tmp_path))
    # The made video shows frame numbers from 0; MMI's annotation counts them from 1.
    assert [shown_number(record.read()) + 1 for record in records] == [record.frame for record in records]
    assert pickle.loads(pickle.dumps(records[0])) == records[0], "it is read in another process"


def write_picture_video(path, height, width):
    """Write a video of one picture, black but for a white upper left corner."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = 255
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 24, (width, height))
    for _ in range(3):
        writer.write(picture)
    writer.release()


@pytest.mark.parametrize(
    ("view", "size", "shape", "corner"),
    [
        (0, (576, 720), (720, 576, 3), (0, -1)),  # clockwise, what was upper left is upper right
        (2, (576, 720), (576, 720, 3), (0, 0)),  # front and profile beside each other
        (0, (480, 640), (480, 640, 3), (0, 0)),  # later recordings
    ],
)
def test_pictures_of_the_tilted_camera_are_turned_upright(tmp_path, view, size, shape, corner):
    folder = write_session(tmp_path, 1841, view=view, frames=0)
    write_picture_video(folder / "S035-004.avi", *size)
    (record,) = read(tmp_path, apex=1, neutral=0)
    image = record.read()
    assert image.shape == shape and image.flags.c_contiguous
    corners = {place: image[place].mean() > 127 for place in ((0, 0), (0, -1), (-1, 0), (-1, -1))}
    assert [place for place, white in corners.items() if white] == [corner]


# Sessions


def test_sessions_come_by_number(tmp_path):
    for number, name in ((10, "S002-001"), (9, "S003-001"), (1841, "S001-001")):
        write_session(tmp_path, number, name, frames=10)
    assert list(dict.fromkeys(record.sequence for record in read(tmp_path))) == ["S003-001", "S002-001", "S001-001"]


def test_no_video_is_looked_into_before_its_turn(tmp_path):
    write_session(tmp_path, 1, "S001-001")
    second = write_session(tmp_path, 2, "S002-001")
    records = read(tmp_path)
    next(records)
    (second / "S002-001.avi").write_bytes(b"no video")
    assert isinstance(list(records)[-1], Reject)


def test_several_downloads_and_what_lies_in_two(tmp_path):
    for download, numbers in {"mmi_download_2018": (1, 2), "mmi_download_2019": (2, 3)}.items():
        for number in numbers:
            write_session(tmp_path / download, number, f"S00{number}-001", frames=10)
    names = list(dict.fromkeys(record.name.rpartition("/")[0] for record in read(tmp_path)))
    assert names == [
        "mmi_download_2018/Sessions/1/S001-001.avi",
        "mmi_download_2018/Sessions/2/S002-001.avi",
        "mmi_download_2019/Sessions/3/S003-001.avi",
    ]


def test_the_folder_of_sessions_itself_will_do(tmp_path):
    write_session(tmp_path, 1841)
    inner, outer = list(read(tmp_path / "Sessions")), list(read(tmp_path))
    assert [f"Sessions/{record.name}" for record in inner] == [record.name for record in outer]


def test_names_in_any_case_and_hidden_files(tmp_path):
    folder = write_session(tmp_path, 1841, markers={"12": [(1, 0), (30, 2), (33, 3)]})
    for path in folder.iterdir():
        path.rename(folder / path.name.upper())
    for hidden in ("._S035-004.XML", "._S035-004.AVI", ".DS_Store"):
        (folder / hidden).write_bytes(b"x")
    (tmp_path / "Sessions/.hidden").mkdir()
    folder.parent.rename(tmp_path / "SESSIONS")
    records = [record for record in read(tmp_path) if EXPRESSIONS[record.expression] == "joy"]
    assert [record.frame for record in records] == [30, 31, 32]
    assert (records[0].sequence, records[0].name) == ("S035-004", "SESSIONS/1841/S035-004.AVI/00030")


def test_other_emotions_action_units_alone_and_stills_are_passed_over(tmp_path):
    write_session(tmp_path, 1, "S001-001", emotion=7)
    write_session(tmp_path, 2, "S001-002", emotion=None, markers={"12": [(1, 0), (9, 2)]})
    stills = write_session(tmp_path, 3, "S001-003", frames=0)
    cv2.imwrite(str(stills / "S001-003.jpg"), np.zeros((8, 8, 3), np.uint8))
    no_emotion = write_session(tmp_path, 4, "S001-004")
    (no_emotion / "S001-004.xml").write_text(f'{XML}<Metadata><Metatag Name="Session" Value="4"/></Metadata>')
    write_session(tmp_path, 5, "S001-005")
    assert {item.sequence for item in read(tmp_path)} == {"S001-005"}


# What cannot be used


def rejected(root):
    (reject,) = read(root)
    assert isinstance(reject, Reject) and "\n" not in reject.reason
    assert reject.subject == "S035" and reject.name.startswith("Sessions/1841/S035-004.")
    return reject


def test_a_profile_or_an_unknown_view(tmp_path):
    folder = write_session(tmp_path, 1841, view=1)
    reject = rejected(tmp_path)
    assert (reject.name, reject.reason) == ("Sessions/1841/S035-004.avi", "it shows the profile alone")
    assert EXPRESSIONS[reject.expression] == "joy"
    (folder / "session.xml").write_text('<session><track view="5"/></session>')
    assert rejected(tmp_path).reason == "the view '5' is not known"
    (folder / "session.xml").write_text("<session/>")
    assert rejected(tmp_path).reason == "the view None is not known"
    (folder / "session.xml").unlink()
    assert rejected(tmp_path).reason == "session.xml is missing, so the camera's view is not known"


def test_of_several_tracks_the_videos_own_counts(tmp_path):
    folder = write_session(tmp_path, 1841)
    tracks = '<track filename="S035-003.avi" view="1"/><track filename="S035-004.avi" view="0"/>'
    (folder / "session.xml").write_text(f"<session>{tracks}</session>")
    assert isinstance(next(read(tmp_path)), Record)


def test_a_missing_damaged_or_empty_video(tmp_path):
    folder = write_session(tmp_path, 1841, frames=0)
    reject = rejected(tmp_path)
    assert (reject.name, reject.reason) == ("Sessions/1841/S035-004.xml", "its video is missing")
    (folder / "S035-004.avi").write_bytes(b"no video" * 100)
    reject = rejected(tmp_path)
    assert reject.name == "Sessions/1841/S035-004.avi" and "cannot be decoded" in reject.reason
    whole = make_video(folder / "S035-004.avi", "mjpeg").read_bytes()
    (folder / "S035-004.avi").write_bytes(whole[: whole.index(b"movi") + 4])  # an AVI's header, without any frame
    assert rejected(tmp_path).reason == "the video has no frames"


@pytest.mark.parametrize("name", ["S035-004.xml", "session.xml", "S035-004-oao_aucs.xml"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<session><track", "cannot be read as XML: "),
        (b"", "cannot be read as XML: no element found"),
        (b'<?xml version="1.0" encoding="klingon"?><a/>', "cannot be read as XML: "),
        (b'<!DOCTYPE a [<!ENTITY x "xxxx"><!ENTITY y "&x;&x;">]><a>&y;</a>', "declares entities"),
        (b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><a>&x;</a>', "declares entities"),
    ],
)
def test_broken_or_malicious_xml(tmp_path, name, content, reason):
    folder = write_session(tmp_path, 1841, markers={})
    (folder / name).write_bytes(content)
    reject = rejected(tmp_path)
    assert reason in reject.reason
    assert name in reject.reason or "entities" in reject.reason


def test_numbers_that_are_none(tmp_path):
    folder = write_session(tmp_path, 1841, emotion="happy")
    assert rejected(tmp_path).reason == "the emotion in S035-004.xml is no whole number: 'happy'"
    (folder / "S035-004.xml").write_text('<Metadata><Metatag Name="Emotion" Value="4"/></Metadata>')
    (folder / "S035-004-oao_aucs.xml").write_text('<a><ActionUnit Number="12"><Marker Type="2"/></ActionUnit></a>')
    assert rejected(tmp_path).reason == "Frame in S035-004-oao_aucs.xml is no whole number: ''"


def test_what_is_no_mmi(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        list(read(tmp_path / "absent"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="is not a folder"):
        list(read(tmp_path / "file"))
    with pytest.raises(UserError, match=r"no session in .*; they should lie as Sessions/1841/S035-004\.avi") as error:
        list(read(tmp_path))
    assert "\n" not in str(error.value)
    write_session(tmp_path, 1, emotion=None)
    with pytest.raises(UserError, match=r"shows one of the six emotions; they need S035-004\.xml"):
        list(read(tmp_path))


# What was published


def test_differences_count_sequences_from_the_front(tmp_path, monkeypatch):
    for number, view in enumerate((0, 1, 2), start=1):
        write_session(tmp_path, number, f"S00{number}-001", view=view, frames=0 if view == 1 else 2)
    assert differences(tmp_path, apex=1) == ["2 sequences of the six emotions from the front, 205 in papers"]
    monkeypatch.setattr(mmi, "SEQUENCES", 2)
    assert differences(tmp_path) == []


def test_options():
    assert READER.settings({}) == {"apex": 42, "neutral": 7, "share": 0.4}
    for wrong in ({"apex": "0"}, {"neutral": "-1"}, {"share": "half"}):
        with pytest.raises(UserError, match=f"option {next(iter(wrong))}: "):
            READER.settings(wrong)
    assert READER.people and not READER.cropped and READER.places[0] == "MMI"
