"""KDEF's names and quirks, on small trees of files that are never opened."""

from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdb_builders import Record, Reject, kdef
from lmdb_builders.splits import group_ids
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS

# AF afraid, AN angry, DI disgusted, HA happy, NE neutral, SA sad, SU surprised (kdef.se).
CODES = {"AF": "fear", "AN": "anger", "DI": "disgust", "HA": "joy", "NE": "neutral", "SA": "sadness", "SU": "surprise"}
ANGLES = ("FL", "HL", "S", "HR", "FR")


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"never opened")
    return root


def fields(item):
    return item.name, EXPRESSIONS[item.expression], item.subject


def test_straight_pictures_in_order(tmp_path):
    names = (f"KDEF/{who}/{who}{code}{angle}.JPG" for who, code, angle in product(("BF01", "AF01"), CODES, ANGLES))
    items = list(kdef.read(write(tmp_path, *names)))
    assert [fields(item) for item in items] == [
        (f"KDEF/{who}/{who}{code}S.JPG", word, "F01") for who in ("AF01", "BF01") for code, word in CODES.items()
    ]
    assert {(item.database, item.sequence, item.frame, item.split) for item in items} == {("kdef", "", -1, "")}
    assert items[0].image == tmp_path / "KDEF/AF01/AF01AFS.JPG"


def test_both_sessions_show_the_same_person_and_a_split_keeps_them_together(tmp_path):
    people = ("AF01", "BF01", "AM01", "BM01", "AF02")
    items = list(kdef.read(write(tmp_path, *(f"KDEF/{who}/{who}NES.JPG" for who in people))))
    assert [(item.name[5:9], item.subject) for item in items] == [
        *[("AF01", "F01"), ("AF02", "F02"), ("AM01", "M01"), ("BF01", "F01"), ("BM01", "M01")]
    ]
    groups = group_ids(*zip(*((item.database, item.subject, item.sequence) for item in items), strict=True))
    assert len(set(groups)) == 3


def test_the_layouts_of_copies(tmp_path):
    names = ["KDEF_and_AKDEF/KDEF/AF01/AF01ANS.JPG", "af02ans.jpg", "women/AF03ANS.jpeg", "cropped/AF04ANS.png"]
    items = list(kdef.read(str(write(tmp_path, *names))))
    assert [item.name for item in items] == sorted(names)
    assert {item.subject for item in items} == {"F01", "F02", "F03", "F04"}
    assert {EXPRESSIONS[item.expression] for item in items} == {"anger"}


def test_what_is_passed_over(tmp_path):
    """Averaged faces, of which one has a wrong name; misnamed half profiles; what systems leave lying about."""
    passed_over = [
        *("AKDEF/FANS.JPG", "AKDEF/MHAHL.JPG", "AKDEF/FAHR.JPG", "KDEF/AF31/AF31V.JPG", "KDEF/AM31/AM31H.JPG"),
        *("KDEF/.DS_Store", "KDEF/AF01/Thumbs.db", "KDEF/AF01/._AF01ANS.JPG", "__MACOSX/KDEF/AF01ANS.JPG"),
        *(".trash/AF05ANS.JPG", "ReadThis/KDEF.doc", "KDEF/AF01/AF01ANFL.JPG", "KDEF/AF01/AF01SUFR.JPG"),
    ]
    items = list(kdef.read(write(tmp_path, *passed_over, "KDEF/AF01/AF01ANS.JPG")))
    assert [fields(item) for item in items] == [("KDEF/AF01/AF01ANS.JPG", "anger", "F01")]


@pytest.mark.parametrize(
    ("name", "subject", "expression"),
    [
        ("AF05AN.JPG", "F05", "anger"),
        ("AF05ANX.JPG", "F05", "anger"),
        ("AF05ANS (2).JPG", "F05", "anger"),
        ("AM07XXS.JPG", "M07", None),
        ("AM07S.JPG", "M07", None),
        ("CF05ANS.JPG", "", None),
        ("AF5ANS.JPG", "", None),
        ("FANS.JPG", "", None),
        ("logo.png", "", None),
    ],
)
def test_other_names_are_rejected_with_what_they_tell(tmp_path, name, subject, expression):
    items = list(kdef.read(write(tmp_path, f"KDEF/{name}", "KDEF/BM35SUS.JPG")))
    (bad,) = (item for item in items if isinstance(item, Reject))
    assert (bad.name, bad.subject) == (f"KDEF/{name}", subject)
    assert bad.expression == (EXPRESSIONS.index(expression) if expression else -1)
    assert "AF01ANS" in bad.reason
    assert [item.subject for item in items if isinstance(item, Record)] == ["M35"]


def test_a_picture_that_lies_there_twice_is_read_once(tmp_path):
    first, second = kdef.read(write(tmp_path, "KDEF/AF01/AF01ANS.JPG", "straight/af01ans.jpg"))
    assert isinstance(first, Record) and first.name == "KDEF/AF01/AF01ANS.JPG"
    assert second == Reject("straight/af01ans.jpg", "the same picture is KDEF/AF01/AF01ANS.JPG", 0, "F01")


@given(
    session=st.sampled_from("AB"),
    sex=st.sampled_from("FM"),
    number=st.integers(1, 35),
    code=st.sampled_from([*CODES]),
    angle=st.sampled_from(ANGLES),
    lower=st.booleans(),
)
def test_every_name(tmp_path_factory, session, sex, number, code, angle, lower):
    name = f"{session}{sex}{number:02d}{code}{angle}.JPG"
    root = write(tmp_path_factory.mktemp("kdef"), name.lower() if lower else name, "folder/BM36NES.JPG")
    items = {item.name.upper(): fields(item)[1:] for item in kdef.read(root)}
    assert items.pop("FOLDER/BM36NES.JPG") == ("neutral", "M36")
    assert items == ({name: (CODES[code], f"{sex}{number:02d}")} if angle == "S" else {})


def complete(root):
    names = product("AB", "FM", range(1, 36), CODES, ANGLES)
    published = {f"{session}{sex}{number:02d}{code}{angle}" for session, sex, number, code, angle in names}
    published -= {"AF31SAHL", "AM31SUHR"}
    return write(root, *(f"KDEF/{code[:4]}/{code}.JPG" for code in published | {"AF31V", "AM31H"}))


def test_a_complete_copy_gives_980_pictures_of_70_people(tmp_path):
    items = list(kdef.read(complete(tmp_path)))
    assert all(isinstance(item, Record) for item in items)
    # 70 people, 7 expressions, two sessions (Lundqvist et al. 1998)
    assert Counter(EXPRESSIONS[item.expression] for item in items) == dict.fromkeys(EXPRESSIONS, 140)
    assert Counter(item.subject for item in items) == dict.fromkeys(kdef.SUBJECTS, 14)
    assert len(items) == 980 and len(kdef.SUBJECTS) == 70
    assert kdef.READER.expected == "980 images of 70 people, 140 of each expression"
    assert kdef.differences(tmp_path) == []


def test_differences_name_counts_people_and_pictures(tmp_path):
    complete(tmp_path)
    for path in (*tmp_path.glob("KDEF/?M35/*"), tmp_path / "KDEF/BF02/BF02HAS.JPG"):
        path.unlink()
    write(tmp_path, "KDEF/AF36/AF36NES.JPG")
    assert kdef.differences(tmp_path) == [
        *(f"{word}: 138 images, published 140" for word in ("anger", "disgust", "fear")),
        "joy: 137 images, published 140",
        "neutral: 139 images, published 140",
        *(f"{word}: 138 images, published 140" for word in ("sadness", "surprise")),
        "missing subjects: M35",
        "unpublished subjects: F36",
        "missing pictures of the others: BF02HAS",
    ]


@pytest.mark.parametrize("name", ["KDEF/AF01/AF01ANFL.JPG", "AKDEF/FANS.JPG", "readme.txt"])
def test_no_straight_picture(tmp_path, name):
    with pytest.raises(UserError, match=r"no picture from straight ahead in .*; they should lie as KDEF/AF01/AF01ANS"):
        list(kdef.read(write(tmp_path, name)))


def test_an_absent_root_and_a_file(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        list(kdef.read(tmp_path / "absent"))
    with pytest.raises(UserError, match="is not a folder"):
        list(kdef.read(write(tmp_path, "AF01ANS.JPG") / "AF01ANS.JPG"))
