"""The words for expressions."""

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.expressions import EXPRESSIONS, label_of


def test_label_order():
    assert EXPRESSIONS == ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")


@pytest.mark.parametrize(
    ("word", "label"),
    [("angry", 0), ("Disgusted", 1), ("FEAR", 2), ("happy", 3), (" Happiness ", 3), ("sad", 5), ("surprised", 6)]
    + [(code, label) for label, code in enumerate(["AN", "DI", "AF", "HA", "NE", "SA", "SU"])],  # KDEF's codes
)
def test_synonyms(word, label):
    assert label_of(word) == label


@pytest.mark.parametrize("word", ["contempt", "", "joyy", "3"])
def test_other_words_are_named(word):
    with pytest.raises(UserError, match="use one of: anger"):
        label_of(word)
