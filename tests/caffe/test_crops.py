"""Fixed views of an image: where they lie and when each is shown."""

import numpy as np
import pytest

from pydeepexpr.caffe.crops import CROPS, Cut, crops_of, turns


def test_five_crops_are_the_centre_the_corners_and_their_mirror_images():
    cuts = crops_of((256, 256, 3), 227, "five")
    assert {(cut.top, cut.left) for cut in cuts} == {(0, 0), (0, 29), (29, 0), (29, 29), (14, 14)}
    assert len(set(cuts)) == 10 and sum(cut.mirror for cut in cuts) == 5


@pytest.mark.parametrize("rule", CROPS)
def test_each_rule_gives_the_first_of_the_ten(rule):
    cuts = crops_of((12, 9, 1), 6, rule)
    assert cuts == crops_of((12, 9, 1), 6, "five")[: CROPS[rule]]
    assert cuts[:2] == [Cut(3, 1, False), Cut(3, 1, True)][: len(cuts)]


def test_each_view_has_its_turn_in_an_order_of_the_images_own():
    order = turns(50, 10, 1)
    assert order.dtype == np.int8 and (np.sort(order, axis=1) == np.arange(10)).all()
    assert len(np.unique(order, axis=0)) > 40
    np.testing.assert_array_equal(order, turns(50, 10, 1))
    assert (order != turns(50, 10, 2)).any()
