"""Krippendorff's α against his own examples, hand counts, and what it must be at its ends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pydeepexpr.evaluation.study.agreement import agreement

_ = np.nan
#: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers, twelve units, gaps.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_the_published_example(level, published):
    found = agreement(KRIPPENDORFF, level)
    assert found["alpha"] == pytest.approx(published, abs=5e-4)
    assert (found["raters"], found["units"]) == (4, 11)  # the twelfth unit has one observer


def test_nominal_by_hand():
    """Two raters, four units: aa ab bb bb.

    Coincidences: aa 2, ab 1, ba 1, bb 4; n(a) = 3, n(b) = 5, n = 8.
    Observed disagreement 2/8; expected 2 · 3 · 5 / (8 · 7) = 30/56; α = 1 − (2/8) / (30/56) = 1 − 7/15 = 8/15.
    """
    assert agreement([[0, 0, 1, 1], [0, 1, 1, 1]], "nominal")["alpha"] == pytest.approx(8 / 15)


def test_ordinal_by_hand():
    """Two raters rank three things: 1 2 3 and 1 3 2.

    Coincidences: 11 2, 23 2, 32 2; each rank is given twice, n = 6. δ² = (counts from one to the other, ends halved)²:
    12: (1 + 1)² = 4, 23: 4, 13: (1 + 2 + 1)² = 16. Observed 4 · 4 = 16;
    expected 2 · (4 · 4 + 4 · 4 + 4 · 16) / 5 = 38.4. α = 1 − 16 / 38.4 = 7/12.
    """
    assert agreement([[1, 2, 3], [1, 3, 2]], "ordinal")["alpha"] == pytest.approx(7 / 12)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([[0, 1, 2]], "no question was answered by two raters"),
        ([[0, 1, _, _], [_, _, 0, 1]], "no question was answered by two raters"),
        ([[3, 3], [3, 3]], "same answer to every question"),
        ([[3, 3, 1], [3, 3, _]], "same answer to every question"),  # the other answer has nothing to agree with
    ],
)
def test_where_it_is_undefined(values, why):
    found = agreement(values, "nominal")
    assert found["alpha"] is None and why in found["why"]


answers = arrays(np.float64, st.tuples(st.integers(2, 5), st.integers(2, 6)), elements=st.sampled_from([_, 0, 1, 2, 3]))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@given(answers, st.randoms())
def test_properties(level, values, lot):
    found = agreement(values, level)
    raters, units = (lot.sample(range(length), length) for length in values.shape)
    other = agreement(values[raters][:, units], level)
    assert other["alpha"] == pytest.approx(found["alpha"])
    if found["alpha"] is not None:
        assert -1 - 1e-9 <= found["alpha"] <= 1
        shared = values[:, (~np.isnan(values)).sum(axis=0) > 1]
        alike = all(len({*unit[~np.isnan(unit)]}) == 1 for unit in shared.T)
        assert (found["alpha"] == 1) == alike


@given(answers)
def test_names_of_categories_do_not_matter(values):
    named = np.array([2.0, 7.0, 0.0, 5.0])[np.nan_to_num(values).astype(int)]
    named[np.isnan(values)] = np.nan
    assert agreement(named, "nominal")["alpha"] == pytest.approx(agreement(values, "nominal")["alpha"])
