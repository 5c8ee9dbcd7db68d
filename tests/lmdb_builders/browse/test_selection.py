"""What is selected, in which order and which groups."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdb_builders.browse import Album, grouped, open_album, select
from lmdb_builders.quality import FLAGS
from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS
from tests.lmdb_builders.browse.made_folders import make


@pytest.mark.parametrize(
    ("wanted", "sort", "rows"),
    [
        ({}, "manifest", [0, 1, 2, 3, 4, 5]),
        ({"label": ["joy"]}, "manifest", [0, 2, 5]),
        ({"label": ["Angry", "unlabelled"]}, "manifest", [1, 4]),
        ({"database": ["kdef"], "label": ["joy"]}, "manifest", [5]),
        ({"subject": ["AF01", "AM02"]}, "manifest", [3, 4, 5]),
        ({"split": ["val", "test"]}, "manifest", [2, 5]),
        ({"face": ["whole-image"]}, "manifest", [1]),
        ({"flag": ["cut-off", "faint"]}, "manifest", [2, 5]),
        ({}, "fit", [2, 5, 3, 0, 4, 1]),
        ({}, "score", [2, 4, 0, 5, 3, 1]),
        ({"flag": ["poor-fit"], "database": ["kdef"]}, "fit", [5, 3]),
    ],
)
def test_selection(faces, wanted, sort, rows):
    assert select(open_album(faces), wanted, sort).tolist() == rows


def test_random_order_is_the_seeds(faces):
    album = open_album(faces)
    orders = [select(album, {}, "random", seed).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == list(range(6))
    with pytest.raises(UserError, match="the seed -1 is negative; give 0 or more"):
        select(album, {}, "random", -1)


def test_groups_stand_in_their_own_order(faces):
    album = open_album(faces)
    rows = select(album, {}, "fit")

    def groups(by):
        return {name: group.tolist() for name, group in grouped(album, rows, by).items()}

    assert list(groups("label").items()) == [("anger", [1]), ("joy", [2, 5, 0]), ("sadness", [3]), ("unlabelled", [4])]
    flags = {"stand-in": [1], "faint": [5], "poor-fit": [2, 5, 3], "cut-off": [2], "no flag": [0, 4]}
    assert list(groups("flag").items()) == list(flags.items())
    assert groups(None) == {"": rows.tolist()}


@given(
    st.lists(
        st.tuples(st.integers(-1, 6), st.sets(st.sampled_from(list(FLAGS))), st.floats(0, 20) | st.none()), min_size=1
    ),
    st.sets(st.sampled_from([*EXPRESSIONS, "unlabelled"])),
    st.sets(st.sampled_from(list(FLAGS))),
)
def test_what_is_selected_is_what_was_wanted(images, labels, flags):
    table = pa.table(
        {
            "expression": pa.array([label for label, _, _ in images], pa.int8()),
            "quality": pa.array([sorted(has) for _, has, _ in images], pa.list_(pa.string())),
            "fit_error": pa.array([error for _, _, error in images], pa.float64()),
        }
    )
    album = Album(Path("made up"), table, lambda row: None, "faces")
    names = [*EXPRESSIONS, "unlabelled"]
    fits = [(not labels or names[label] in labels) and (not flags or has & flags) for label, has, _ in images]
    known = labels <= {names[label] for label, _, _ in images} and flags <= set().union(*(has for _, has, _ in images))
    if not any(fits) or not known:
        with pytest.raises(UserError, match=r"none of \d+ faces has the (label|flag)"):
            select(album, {"label": labels, "flag": flags}, "fit")
        return
    rows = select(album, {"label": labels, "flag": flags}, "fit").tolist()
    assert sorted(rows) == [row for row, fit in enumerate(fits) if fit]
    errors = [-1 if images[row][2] is None else images[row][2] for row in rows]
    assert all((a, -i) > (b, -j) for a, b, i, j in zip(errors, errors[1:], rows, rows[1:], strict=False))
    groups = grouped(album, np.array(rows), "label")
    assert sorted(np.concatenate([*groups.values()]).tolist()) == sorted(rows)


@pytest.mark.parametrize(
    ("columns", "wanted", "sort", "message"),
    [
        ({}, {"label": ["glee"]}, "manifest", "'glee' is no expression known here; use one of: anger"),
        ({}, {"label": ["fear"]}, "manifest", r"none of 6 faces has the label fear; there are: joy \(3\), anger \(1\)"),
        ({}, {"label": ["joy", "fear"]}, "manifest", "none of 6 faces has the label fear;"),
        ({}, {"flag": ["ugly"]}, "manifest", "no flag 'ugly'; the flags are: stand-in, several-faces"),
        ({}, {"split": ["val"], "flag": ["faint"]}, "manifest", r"none of 1 faces .*: poor-fit \(1\), cut-off \(1\)"),
        ({}, {"subject": ["S"]}, "manifest", r"there are: AF01 \(2\), AM02 \(1\)"),
        ({"subject": [str(n) for n in range(6)]}, {"subject": ["S"]}, "manifest", r"5 \(1\)$"),
        ({}, {"fold": ["1"]}, "manifest", "has no folds; give a folder of tools/build_lmdb.py --split folds"),
        ({}, {"character": ["mery"]}, "manifest", "has no column 'character'; register the folder anew"),
        ({"quality": None}, {"flag": ["faint"]}, "manifest", "has no column 'quality'; register the folder anew"),
        ({"fit_error": None}, {}, "fit", "has no column 'fit_error'; register the folder anew with tools/register.py"),
        ({"database": None}, {}, "manifest", "lacks database; register the folder anew with tools/register.py"),
        ({"database": [""] * 6}, {}, "manifest", "rows without a database; register the folder anew"),
        ({"expression": pa.array([9] * 6)}, {}, "manifest", "expression 9 is neither 0-6 nor -1"),
    ],
)
def test_selections_that_cannot_be(tmp_path, columns, wanted, sort, message):
    with pytest.raises(UserError, match=message) as raised:
        select(open_album(make(tmp_path, **columns)), wanted, sort)
    assert "\n" not in str(raised.value)
