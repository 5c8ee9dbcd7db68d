"""Whether images of one person may stand on two sides of a division."""

from collections import Counter
from collections.abc import Sequence

__all__ = ["independence", "why_persons_mix"]


def why_persons_mix(database: Sequence[str], subject: Sequence[str], part: Sequence) -> str:
    """Say why a division is not independent of the persons: what is measured with it may be too good.

    Parameters
    ----------
    database, subject : sequence of str, length N
        Of each image.
    part : sequence, length N
        What each image is divided into: splits, or folds.

    Returns
    -------
    str
        Empty where every image names its person, and all images of a person lie in one part.
    """
    unnamed = Counter(base for base, who in zip(database, subject, strict=True) if not who)
    if unnamed:
        return "; ".join(
            f"{base} does not say who is who ({count:,} images)" for base, count in sorted(unnamed.items())
        )
    sides: dict[tuple[str, str], set[str]] = {}
    for base, who, side in zip(database, subject, part, strict=True):
        sides.setdefault((base, who), set()).add(side)
    torn = sum(len(names) > 1 for names in sides.values())
    return f"{torn} of {len(sides)} persons stand in several parts" if torn else ""


def independence(why: str) -> str:
    """Say in a few words what `why_persons_mix` found, for wherever a number made from the division is shown."""
    return f"not subject-independent: {why}" if why else "subject-independent"
