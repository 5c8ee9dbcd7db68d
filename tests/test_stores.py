"""Several stores under names."""

import shutil

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.stores import character_stores, open_stores


@pytest.fixture
def cast(tiny, tmp_path):
    """A folder of three stores among other things."""
    for name in ("ray", "aia", "mery", ".partial"):
        shutil.copytree(tiny.store.path, tmp_path / "cast" / name)
    (tmp_path / "cast" / "notes").mkdir()
    (tmp_path / "cast" / "README.md").write_text("stores")
    return tmp_path / "cast"


def test_all_characters_stand_in_alphabetical_order(cast):
    stores = character_stores("all", cast)
    assert list(stores) == ["aia", "mery", "ray"]
    assert stores["mery"].path == cast / "mery" and len(stores["mery"]) == 23


def test_named_characters_stand_as_named(cast):
    assert list(character_stores("ray, aia", cast)) == ["ray", "aia"]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("bob", "there is no store of bob in .*cast; there are: aia, mery, ray"),
        ("mery,.partial,notes", "there is no store of .partial, notes in "),
        ("mery,mery", "given twice"),
        (",", "no store was given"),
    ],
)
def test_characters_that_are_not_there(cast, which, message):
    with pytest.raises(UserError, match=message):
        character_stores(which, cast)


def test_a_folder_without_stores(tmp_path):
    with pytest.raises(UserError, match="holds no feature store"):
        character_stores("all", tmp_path)
    with pytest.raises(UserError, match=r"there is no folder .*absent of characters' stores; name yours"):
        character_stores("all", tmp_path / "absent")


def test_stores_go_by_their_folders_names(cast, tmp_path, monkeypatch):
    assert list(open_stores([cast / "ray", cast / "aia"])) == ["ray", "aia"]
    monkeypatch.chdir(cast / "ray")
    assert list(open_stores(["."])) == ["ray"]


def test_where_two_folders_share_a_name_their_paths_count(cast, tmp_path):
    shutil.copytree(cast / "ray", tmp_path / "other" / "ray")
    places = [str(cast / "ray"), str(tmp_path / "other" / "ray")]
    assert list(open_stores(places)) == places


def test_no_store_or_one_twice(cast):
    with pytest.raises(UserError, match="no store was given"):
        open_stores([])
    with pytest.raises(UserError, match="given twice"):
        open_stores([cast / "ray", cast / ".." / "cast" / "ray"])
