import pickle

import cv2
import numpy as np
import pytest

from lmdb_builders import Record, Reject, fer2013
from pydeepexpr.errors import UserError

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
    for given in (root, root / "icml_face_data.csv", str(root)):
        (record,) = fer2013.read(given)
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
