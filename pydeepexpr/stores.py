"""Several feature stores at once, each under a name: the columns of a sheet, the rows of a report."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydeepexpr import paths
from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore

__all__ = ["CHARACTER_STORES", "character_stores", "open_stores"]

#: The folder of the stores that come with the project: a store a character, in a folder of the character's name.
CHARACTER_STORES = "models/stores"


def open_stores(folders: Sequence[str | os.PathLike]) -> dict[str, FeatureStore]:
    """Open stores under the names of their folders; where two folders share a name, under their paths.

    Raises
    ------
    UserError
        If no store is given, one is given twice, or one cannot be opened.
    """
    places = [Path(folder) for folder in folders]
    names = [place.resolve().name for place in places]
    if not places:
        raise UserError("no store was given; make one with tools/extract_features.py")
    if len({place.resolve() for place in places}) < len(places):
        raise UserError("a store is given twice; name each once")
    if len(set(names)) < len(names):
        names = [str(place) for place in places]
    return {name: FeatureStore.open(place) for name, place in zip(names, places, strict=True)}


def character_stores(which: str = "all", folder: str | os.PathLike = CHARACTER_STORES) -> dict[str, FeatureStore]:
    """Open the stores of characters that stand side by side in a folder.

    Parameters
    ----------
    which : str
        `all`, in alphabetical order, or names with commas between them, in that order.
    folder : path
        Every store in it is a character's, named as its own folder is. Looked for as `paths.find` does.

    Returns
    -------
    dict of str to FeatureStore
        By character.

    Raises
    ------
    UserError
        If there is no such folder or store, or it cannot be opened.
    """
    try:
        place = paths.find(folder)
    except UserError:
        raise UserError(
            f"there is no folder {os.fspath(folder)} of characters' stores; name yours (--stores)"
        ) from None
    known = sorted(path.parent.name for path in place.glob("*/meta.json") if not path.parent.name.startswith("."))
    if not known:
        raise UserError(f"{place} holds no feature store of a character; make some with tools/extract_features.py")
    wanted = known if which == "all" else [name.strip() for name in which.split(",") if name.strip()]
    if missing := [name for name in wanted if name not in known]:
        raise UserError(f"there is no store of {', '.join(missing)} in {place}; there are: {', '.join(known)}")
    return open_stores([place / name for name in wanted])
