"""Whether a division is independent of the persons, and how that is said."""

from pydeepexpr.persons import independence, why_persons_mix


def test_everybody_in_one_part():
    assert why_persons_mix(["a", "a", "b"], ["x", "x", "x"], [0, 0, 1]) == "", "x of a and x of b are two persons"
    assert independence("") == "subject-independent"


def test_persons_in_several_parts_are_counted():
    why = why_persons_mix(["a"] * 5, ["x", "x", "y", "y", "z"], ["train", "val", "test", "train", "val"])
    assert why == "2 of 3 persons stand in several parts"
    assert independence(why) == "not subject-independent: 2 of 3 persons stand in several parts"


def test_who_is_not_named_may_be_anybody():
    why = why_persons_mix(["fer2013"] * 1200 + ["a", "a", "b"], [""] * 1200 + ["", "x", "x"], [0] * 1203)
    assert why == "a does not say who is who (1 images); fer2013 does not say who is who (1,200 images)"
