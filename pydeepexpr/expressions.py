"""The seven expressions, their label order, and the words that databases use for them."""

from pydeepexpr.errors import UserError

__all__ = ["EXPRESSIONS", "UNLABELLED", "label_of"]

#: Names by label, 0 to 6.
EXPRESSIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")

#: The label of an image whose expression is not known.
UNLABELLED = -1

_SYNONYMS = {
    "anger": ("angry", "an", "ang"),
    "disgust": ("disgusted", "di", "dis"),
    "fear": ("afraid", "fearful", "scared", "af", "fea"),
    "joy": ("happy", "happiness", "joyful", "smile", "ha", "hap"),
    "neutral": ("none", "normal", "ne", "neu"),
    "sadness": ("sad", "sa", "unhappy"),
    "surprise": ("surprised", "su", "sur"),
}
_LABELS = {word: label for label, name in enumerate(EXPRESSIONS) for word in (name, *_SYNONYMS[name])}


def label_of(word: str) -> int:
    """Return the label 0 to 6 of an expression's name or common synonym, in any case.

    Raises
    ------
    UserError
        If the word names none of the seven expressions.

    Examples
    --------
    >>> label_of("Happiness")
    3
    """
    try:
        return _LABELS[word.strip().lower()]
    except KeyError:
        raise UserError(f"{word!r} is no expression known here; use one of: {', '.join(EXPRESSIONS)}") from None
