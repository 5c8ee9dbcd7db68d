"""Which data, split and models a number was made from: what stands below every table."""

from collections.abc import Iterable, Mapping

from pydeepexpr.features import FeatureStore

__all__ = ["origin_of"]


def origin_of(people: FeatureStore | str = "", characters: Iterable[FeatureStore] = ()) -> dict[str, str]:
    """Say in words what stores hold, by `data`, `split` and `model`.

    Parameters
    ----------
    people : FeatureStore or str
        The store of those who ask or are recognised; or what a list of photographs is called.
    characters : iterable of FeatureStore
        The stores that answer.

    Returns
    -------
    dict of str to str
    """
    stores = ([people] if isinstance(people, FeatureStore) else []) + list(characters)
    columns = [_columns(store) for store in stores]
    images: dict[str, int] = {}
    whose: dict[str, dict[str, None]] = {}
    for store, its in zip(stores, columns, strict=True):
        database = _several(its["database"])
        images[database] = images.get(database, 0) + len(store)
        whose.setdefault(database, {}).update(dict.fromkeys(its["character"]))
    data = [people] if isinstance(people, str) and people else []
    data += [
        f"{database}, {count:,} images" + (f" of {_several(whose[database])}" if whose[database] else "")
        for database, count in images.items()
    ]
    splits = dict.fromkeys(split for its in columns for split in its["split"])
    models = dict.fromkeys(f"{model.name} ({model.sha256[:8]})" for store in stores for model in store.models)
    return {"data": "; ".join(data), "split": _several(splits), "model": _several(models)}


def _columns(store: FeatureStore) -> Mapping[str, list[str]]:
    """Return the words that stand in each column of a store's rows, none twice."""
    rows, known = store.rows, set(store.rows.column_names)
    return {
        name: sorted({word for word in rows[name].unique().to_pylist() if word}) if name in known else []
        for name in ("database", "character", "split")
    }


def _several(words: Iterable[str]) -> str:
    return ", ".join(words)
