import itertools
import pickle
from fractions import Fraction

import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmdb_builders import Record, Reject, fer2013
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS

PIXELS = np.arange(48 * 48).reshape(48, 48) % 256
TEXT = " ".join(map(str, PIXELS.ravel()))


def table(tmp_path, *rows, header="emotion,pixels,Usage", name="fer2013.csv"):
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    return tmp_path


def test_rows(tmp_path):
    """The challenge's numbers: 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral."""
    usages = ["Training", "PublicTest", "PrivateTest"]
    root = table(tmp_path, *(f"{i},{TEXT},{usages[i % 3]}" for i in range(7)))
    records = list(fer2013.read(root))
    assert [r.expression for r in records] == [0, 1, 2, 3, 5, 6, 4]
    assert [r.split for r in records] == ["train", "val", "test"] * 2 + ["train"]
    assert [r.name for r in records[:3]] == ["train/anger/00000", "val/disgust/00001", "test/fear/00002"]
    assert {r.database for r in records} == {"fer2013"}
    np.testing.assert_array_equal(records[0].read(), PIXELS)
    assert records[0].read().dtype == np.uint8


def test_the_file_itself_and_the_other_edition(tmp_path):
    header = "emotion, Usage, pixels"
    root = table(tmp_path, f"3,Training,{TEXT}", header=header, name="icml_face_data.csv")
    for place in (root, root / "icml_face_data.csv", str(root)):
        (record,) = fer2013.read(place)
        np.testing.assert_array_equal(record.read(), PIXELS)


def test_byte_order_mark_and_quotes(tmp_path):
    (tmp_path / "fer2013.csv").write_bytes(f'\ufeffemotion,pixels,Usage\r\n"3","{TEXT}","Training"\r\n'.encode())
    assert [r.expression for r in fer2013.read(tmp_path)] == [3]


def test_rows_can_travel_to_other_processes(tmp_path):
    (record,) = fer2013.read(table(tmp_path, f"3,{TEXT},Training"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(record)).read(), PIXELS)


BAD_ROWS = {
    "": "columns",
    "3": "columns",
    f"3,{TEXT}": "columns",
    f"7,{TEXT},Training": "emotion '7'",
    f"-1,{TEXT},Training": "emotion '-1'",
    f"1.5,{TEXT},Training": "emotion '1.5'",
    f"happy,{TEXT},Training": "emotion 'happy'",
    f",{TEXT},Training": "emotion ''",
    f"3,{TEXT},Other": "Usage 'Other'",
    f"3,{TEXT},": "Usage ''",
}
BAD_PIXELS = {
    "": "0 numbers",
    "1 2 3": "3 numbers",
    TEXT + " 1": "2305 numbers",
    TEXT.replace("255", "256"): "outside",
    TEXT.replace("255", "-1"): "outside",
    TEXT.replace("255", "x"): "whole number",
    TEXT.replace("255", "1.5"): "whole number",
    TEXT.replace("255", "9" * 30): "whole number",
}


@pytest.mark.parametrize("row", BAD_ROWS)
def test_malformed_rows_are_rejected_and_the_others_read(tmp_path, row):
    rows = [f"3,{TEXT},Training", row or '""', f"4,{TEXT},Training"]
    first, bad, last = fer2013.read(table(tmp_path, *rows))
    assert isinstance(first, Record) and isinstance(last, Record)
    assert isinstance(bad, Reject) and BAD_ROWS[row] in bad.reason
    assert bad.name == "fer2013.csv/00001"


@pytest.mark.parametrize("pixels", BAD_PIXELS)
def test_malformed_pixels_are_refused_when_read(tmp_path, pixels):
    (record,) = fer2013.read(table(tmp_path, f"3,{pixels},Training"))
    with pytest.raises(UserError, match=BAD_PIXELS[pixels]):
        record.read()


def test_an_open_quote_spoils_only_its_row(tmp_path):
    rows = [f'3,"{TEXT},Training', *[f"4,{TEXT},Training"] * 30]
    assert [r.expression for r in fer2013.read(table(tmp_path, *rows))] == [3] + [5] * 30


def test_nul_bytes_and_foreign_letters(tmp_path):
    (tmp_path / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n3,\xff\xfe\0,Training\n")
    (record,) = fer2013.read(tmp_path)
    with pytest.raises(UserError):
        record.read()


def test_folders(tmp_path):
    for name in ("train/happy/1.jpg", "val/angry/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((48, 48), np.uint8))
    records = list(fer2013.read(tmp_path))
    assert [(r.split, r.expression, r.database) for r in records] == [("train", 3, "fer2013"), ("val", 0, "fer2013")]


@pytest.mark.parametrize("header", ["", "a,b,c", "emotion,pixels", "0,1 2 3,Training"])
def test_a_table_of_something_else(tmp_path, header):
    with pytest.raises(UserError, match="no column"):
        list(fer2013.read(table(tmp_path, header=header)))


def test_empty(tmp_path):
    with pytest.raises(UserError, match="no image"):
        list(fer2013.read(table(tmp_path)))
    with pytest.raises(UserError, match="no folder"):
        list(fer2013.read(tmp_path / "absent"))


def test_the_published_counts_are_those_of_35887_images():
    sums = {split: sum(counts) for split, counts in fer2013.PUBLISHED.items()}
    assert sums == {"train": 28709, "val": 3589, "test": 3589}
    # The folders that Kaggle hands out (msambare/fer2013) hold both tests in one; so many of each are known of them.
    both = [sum(counts) for counts in zip(fer2013.PUBLISHED["val"], fer2013.PUBLISHED["test"], strict=True)]
    assert both == [958, 111, 1024, 1774, 1233, 1247, 831]


def test_differences_from_the_published_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "PUBLISHED", {"train": (0, 0, 0, 2, 0, 1, 0), "val": (1, 0, 0, 0, 0, 0, 0)})
    root = table(tmp_path, f"3,{TEXT},Training", f"3,{TEXT},Training", f"4,{TEXT},Training", f"0,{TEXT},PublicTest")
    assert fer2013.differences(root) == []
    table(tmp_path, f"3,{TEXT},Training", f"4,{TEXT},Training", "spoiled", f"6,{TEXT},PrivateTest")
    expected = [
        "val is missing, published 1 images",
        "train joy: 1 images, published 2",
        "test neutral: 1 images, published 0",
    ]
    assert fer2013.differences(root) == expected
    assert fer2013.differences(root, labels="ferplus-soft", least_share=0.9, votes="absent.csv") == expected


def test_differences_of_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "PUBLISHED", {"train": (1, 0, 0, 0, 0, 0, 0)})
    for name in ("train/angry/1.jpg", "train/surprise/2.jpg", "train/unlabelled.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"never opened")
    assert fer2013.differences(tmp_path) == ["train surprise: 1 images, published 0"]


# FER+

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"


def votes(tmp_path, *rows, header=HEADER, name="fer2013new.csv"):
    """Write rows of FER+ beside fer2013.csv; a row is its ten counts, or all of its text."""
    rows = [
        row if row.startswith(("Training", "P")) else f"Training,fer{i:07d}.png,{row}" for i, row in enumerate(rows)
    ]
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")


def labelled(tmp_path, *rows, labels="ferplus-majority", **options):
    """Return what FER+ makes of images that FER2013 calls angry: an expression, or the reason why it has none."""
    table(tmp_path, *[f"0,{TEXT},Training"] * len(rows))
    votes(tmp_path, *rows)
    items = list(fer2013.read(tmp_path, labels=labels, **options))
    assert [item.name for item in items] == [f"train/anger/{i:05d}" for i in range(len(rows))], "whoever labels them"
    assert all(item.expression == 0 for item in items if isinstance(item, Reject))
    return [item.reason if isinstance(item, Reject) else EXPRESSIONS[item.expression] for item in items]


def test_a_vote_for_each_column(tmp_path):
    found = labelled(tmp_path, *(",".join("0" * i + "9" + "0" * (9 - i)) for i in range(10)))
    assert found == [
        *("neutral", "joy", "surprise", "sadness", "anger", "disgust", "fear"),
        *("FER+: most votes are for contempt", "FER+: most votes are for unknown", "FER+: most votes are for nf"),
    ]


def test_the_majority_as_the_authors_elect_it(tmp_path):
    """The columns are neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown and NF."""
    assert labelled(
        tmp_path,
        "4,0,0,1,3,2,0,0,0,0",  # 4 of 9, for the single vote does not count
        "6,0,1,1,0,0,0,0,2,0",
        "2,0,1,1,0,0,1,0,1,0",  # 2 of 2: all others are single
        "5,0,0,5,0,0,0,0,0,0",
        "4,2,4,0,0,0,0,0,0,0",
        "3,0,2,1,1,0,0,0,3,0",
        "0,0,0,0,0,0,0,5,4,0",
        "1,1,1,1,1,1,1,1,1,1",
        "0,0,0,0,0,0,0,0,0,0",
    ) == [
        *("FER+: no majority", "neutral", "neutral"),
        *["FER+: no majority"] * 3,
        *("FER+: most votes are for contempt", "FER+: no majority", "FER+: no majority"),
    ]


def test_the_share_of_all_votes(tmp_path):
    rows = [
        "6,0,1,1,0,0,0,0,2,0",
        "5,0,0,5,0,0,0,0,0,0",
        "3,0,1,2,1,1,1,0,1,0",
        "2,0,0,0,0,0,0,3,2,3",
        "0,7,0,0,0,0,0,3,0,0",
    ]
    nobody = "FER+: no expression has {} of the votes"
    soft = {
        share: labelled(tmp_path, *rows, labels="ferplus-soft", least_share=share) for share in (0.0, 0.5, 0.7, 1.0)
    }
    assert soft[0.0] == ["neutral", nobody.format(0), "neutral", nobody.format(0), "joy"], "ties elect nobody"
    assert soft[0.5] == ["neutral", *[nobody.format(0.5)] * 3, "joy"]
    assert soft[0.7] == [*[nobody.format(0.7)] * 4, "joy"], "7 of 10 is enough"
    assert soft[1.0] == [nobody.format(1)] * 5
    assert fer2013.READER.settings({"labels": "ferplus-soft"})["least_share"] == 0.5


TEN = st.lists(st.integers(0, 10), min_size=10, max_size=10)


@given(TEN)
@example([0] * 10)
@example([1] * 10)
@example([2, 2, 0, 0, 0, 0, 0, 0, 0, 0])
@example([3, 1, 1, 1, 0, 0, 0, 0, 0, 2])
def test_the_majority_against_its_plain_reference(counts):
    """As src/ferplus.py of github.com/microsoft/FERPlus has it in its mode "majority"."""
    left = [0 if count == 1 else count for count in counts]
    winners = [place for place in range(10) if left[place] > 0.5 * sum(left)]
    assert fer2013._majority(counts) == (winners[0] if winners else None)
    assert len(winners) <= 1


@given(TEN, st.integers(0, 100))
def test_the_share_against_its_plain_reference(counts, percent):
    order = sorted(range(10), key=lambda place: counts[place])
    first, second = counts[order[-1]], counts[order[-2]]
    enough = first > second and Fraction(first, sum(counts)) >= Fraction(percent, 100)
    assert fer2013._plurality(counts, percent / 100) == (order[-1] if enough else None)


def test_images_that_were_taken_out_and_damaged_rows(tmp_path):
    """Rows without a name are FER+'s "not a face"; behind one, the names may lag behind the rows (issue 17 there)."""
    assert labelled(
        tmp_path,
        "0,9,0,0,0,0,0,0,0,1",
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "Training,fer0000001.png,0,0,0,0,9,0,0,0,1,0",
        "Training,,0,9,0,0,0,0,0,0,0,1",
        "Training,fer0000003.png,0,9,0,0",
        "Training",
        "PublicTe",
        "0,9,x,0,0,0,0,0,0,1",
        "0,9,-1,0,0,0,0,0,0,1",
        "0,9,0.5,0,0,0,0,0,0,1",
    ) == [
        *("joy", "FER+: the image was taken out", "anger", "FER+: the image was taken out"),
        *["FER+: its row of votes is damaged"] * 6,
    ]


def test_damaged_rows_of_images_keep_their_reason_and_the_rows_their_votes(tmp_path):
    table(tmp_path, f"0,{TEXT},Training", "3", f"9,{TEXT},Training", f"6,{TEXT},PublicTest")
    votes(tmp_path, *["9,1,0,0,0,0,0,0,0,0"] * 3, "PublicTest,fer0000003.png,0,0,0,0,0,9,1,0,0,0")
    first, short, wrong, last = fer2013.read(tmp_path, labels="ferplus-majority")
    assert (first.name, EXPRESSIONS[first.expression]) == ("train/anger/00000", "neutral")
    assert (last.name, EXPRESSIONS[last.expression], last.split) == ("val/neutral/00003", "disgust", "val")
    assert "columns" in short.reason and "emotion '9'" in wrong.reason
    np.testing.assert_array_equal(first.read(), PIXELS)


def test_the_votes_go_to_the_manifest(tmp_path):
    table(tmp_path, *[f"0,{TEXT},Training"] * 3)
    votes(tmp_path, "6,0,1,1,0,0,0,0,2,0", "Training,fer0000001.png,5,x", "0,0,0,0,0,0,0,0,0,0")
    for labels in ("ferplus-majority", "ferplus-soft"):
        columns = fer2013.columns(tmp_path, labels=labels)
        assert columns.schema.field("votes").type == pa.list_(pa.float32())
        names, shares = columns["path"].to_pylist(), columns["votes"].to_pylist()
        assert names == ["train/anger/00000", "train/anger/00001", "train/anger/00002"]
        # anger, disgust, fear, joy, neutral, sadness, surprise; two of ten votes went to "unknown"
        np.testing.assert_allclose(shares[0], [0, 0, 0, 0, 0.6, 0.1, 0.1], atol=1e-7)
        assert shares[1:] == [None, None]
    assert fer2013.columns(tmp_path) is None


def test_where_the_votes_lie(tmp_path):
    table(tmp_path, f"0,{TEXT},Training")
    with pytest.raises(
        UserError, match=r"no votes of FER\+ at .*fer2013new.csv; get .* from github.com/microsoft/FERPlus"
    ):
        fer2013.read(tmp_path, labels="ferplus-majority")
    (tmp_path / "elsewhere").mkdir()
    votes(tmp_path, "0,9,1,0,0,0,0,0,0,0", name="elsewhere/my.csv")
    options = {"labels": "ferplus-majority", "votes": str(tmp_path / "elsewhere/my.csv")}
    assert [item.expression for item in fer2013.read(tmp_path, **options)] == [EXPRESSIONS.index("joy")]
    votes(tmp_path, "0,0,0,0,0,0,9,1,0,0")
    for root in (tmp_path, tmp_path / "fer2013.csv"):
        (record,) = fer2013.read(root, labels="ferplus-majority")
        assert EXPRESSIONS[record.expression] == "fear"
    assert [item.expression for item in fer2013.read(tmp_path)] == [0], "the challenge's labels are the default"


@pytest.mark.parametrize("use", [fer2013.read, fer2013.columns])
def test_votes_that_do_not_fit(tmp_path, use):
    def refused(match):
        with pytest.raises(UserError, match=match) as error:
            list(use(tmp_path, labels="ferplus-majority"))
        assert "\n" not in str(error.value)

    row = "0,9,1,0,0,0,0,0,0,0"
    table(tmp_path, *[f"0,{TEXT},Training"] * 3)
    for count in (0, 2, 4):
        votes(tmp_path, *[row] * count)
        refused(f"fer2013new.csv votes on {count} images, but .*fer2013.csv has 3")
    votes(tmp_path, row, f"PublicTest,fer0000001.png,{row}", row)
    refused("row 1 is PublicTest in .*fer2013new.csv, but not in .*fer2013.csv")
    votes(tmp_path, row, row, row, header=HEADER.replace("contempt", "scorn").replace("Image name", "file"))
    refused("is not FER\\+'s table of votes: its first line has no column image name, contempt")


@pytest.mark.parametrize("labels", ["ferplus-majority", "ferplus-soft"])
def test_folders_have_no_votes(tmp_path, labels):
    (tmp_path / "train/angry").mkdir(parents=True)
    (tmp_path / "train/angry/fer0000000.png").write_bytes(b"never opened")
    votes(tmp_path, "0,9,1,0,0,0,0,0,0,0")
    for use, root in itertools.product((fer2013.read, fer2013.columns), (tmp_path, tmp_path / "absent")):
        with pytest.raises(
            UserError, match=f"rows of fer2013.csv, which is not in {root}; with folders of images only"
        ):
            use(root, labels=labels)


@pytest.mark.parametrize("share", [1.01, float("nan"), float("inf")])
def test_a_share_above_all_votes(tmp_path, share):
    table(tmp_path, f"0,{TEXT},Training")
    votes(tmp_path, "0,9,1,0,0,0,0,0,0,0")
    with pytest.raises(UserError, match="a share of the votes is at most 1"):
        fer2013.read(tmp_path, labels="ferplus-soft", least_share=share)
