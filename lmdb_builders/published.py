"""How a copy of a database differs from the published one, in lines of text."""

from collections import Counter
from collections.abc import Iterable, Mapping

__all__ = ["count_differences", "name_differences"]

_NAMED = 5  # names that are given one by one


def count_differences(found: Iterable[str], published: Mapping[str, int]) -> list[str]:
    """Say which classes have more or fewer images than were published.

    Parameters
    ----------
    found : iterable of str
        The class of each image.
    published : mapping of str to int
        How many images of each class there are in the published database.

    Returns
    -------
    list of str
        One line a class that differs, in the order of `published`; classes that are not published come last.

    Examples
    --------
    >>> count_differences(["joy", "joy", "fear", "awe"], {"fear": 1, "joy": 3})
    ['joy: 2 images, published 3', 'awe: 1 images, published 0']
    """
    counts = Counter(found)
    classes = dict.fromkeys([*published, *sorted(counts)])
    differing = [name for name in classes if counts[name] != published.get(name, 0)]
    return [f"{name}: {counts[name]} images, published {published.get(name, 0)}" for name in differing]


def name_differences(what: str, found: Iterable[str], published: Iterable[str]) -> list[str]:
    """Say which names are missing and which were not published; of many, the first few.

    Examples
    --------
    >>> name_differences("subjects", ["F01", "F36"], ["F01", "F02", "F03"])
    ['missing subjects: F02, F03', 'unpublished subjects: F36']
    """
    found, published = set(found), set(published)
    kinds = {"missing": sorted(published - found), "unpublished": sorted(found - published)}
    return [f"{kind} {what}: {_some(names)}" for kind, names in kinds.items() if names]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
