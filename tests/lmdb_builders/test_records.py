"""Options as a command line gives them, and how a record is read."""

import numpy as np
import pytest
from PIL import Image

from lmdb_builders import READERS, Option, Reader, Record
from pydeepexpr.errors import UserError

COUNT = Option(7, "", least=1)
SHARE = Option(0.5, "", least=0)
RULE = Option("majority", "", choices=("majority", "original"))
SWITCH = Option(True, "")


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        (COUNT, "1", 1),
        (COUNT, " 12 ", 12),
        (SHARE, "0", 0.0),
        (SHARE, "1e-3", 0.001),
        (RULE, "original", "original"),
        (Option("", ""), "any word", "any word"),
        *((SWITCH, text, True) for text in ("yes", "Yes", "TRUE", "1")),
        *((SWITCH, text, False) for text in ("no", "No", "false", "0")),
    ],
)
def test_texts_become_values_of_the_defaults_type(option, text, value):
    parsed = option.parse(text)
    assert parsed == value and type(parsed) is type(option.default)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        (COUNT, "0", "^0 is less than 1$"),
        (COUNT, "1.5", "'1.5' is no whole number"),
        (COUNT, "", "'' is no whole number"),
        (SHARE, "half", "'half' is no number"),
        (SHARE, "-0.1", "-0.1 is less than 0"),
        (SHARE, "nan", "nan is less than 0"),
        (RULE, "Majority", "'Majority' is none of majority, original"),
        (SWITCH, "maybe", "'maybe' is neither yes nor no"),
        (SWITCH, "2", "'2' is neither yes nor no"),
    ],
)
def test_texts_that_are_no_value(option, text, message):
    with pytest.raises(UserError, match=message):
        option.parse(text)


def test_settings():
    reader = Reader(lambda root: iter(()), "", "", options={"count": COUNT, "switch": SWITCH})
    assert reader.settings({}) == {"count": 7, "switch": True}
    assert reader.settings({"switch": "no"}) == {"count": 7, "switch": False}
    with pytest.raises(UserError, match="no option 'size'; it has: count, switch"):
        reader.settings({"size": "1"})
    with pytest.raises(UserError, match="option count: 'x' is no whole number"):
        reader.settings({"count": "x"})
    with pytest.raises(UserError, match="no option 'size'; it has: none"):
        READERS["kdef"].settings({"size": "1"})


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name, reader in READERS.items() for option in reader.options]
)
def test_every_default_can_be_written_as_the_help_shows_it(name, option):
    known = READERS[name].options[option]
    assert known.parse(str(known)) == known.default and known.about


def test_a_record_reads_files_arrays_and_what_returns_them(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for image in (tmp_path / "a.png", pixels, pixels.copy):
        np.testing.assert_array_equal(Record("a", image, "folder").read(), pixels)
    with pytest.raises(UserError, match="no such file"):
        Record("a", tmp_path / "b.png", "folder").read()
