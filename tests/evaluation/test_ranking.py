"""Rank correlations by hand and against SciPy."""

import itertools
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.ranking import chance_deviations, correlate
from pydeepexpr.evaluation.study.questionnaire import Picture, Question, Questionnaire
from pydeepexpr.evaluation.study.votes import Ranked, Votes


def study_of(*sets, kind="ranking"):
    """A study whose sets have these ranks by `deepexpr`, the reverse by `js`, and none by `geometry`: all are tied."""
    questions = []
    for number, ranks in enumerate(sets):
        pictures = tuple(
            Picture(
                f"p{number}.{place}",
                f"mery/{number}/{place}.png",
                "mery",
                "joy" if number % 2 else "fear",
                {"deepexpr": rank, "js": len(ranks) + 1 - rank, "geometry": (len(ranks) + 1) / 2},
            )
            for place, rank in enumerate(ranks, 1)
        )
        questions.append(Question(f"q{number}", pictures, Picture(f"a{number}", "joy/a.png")))
    return Questionnaire(kind, tuple(questions))


def votes_of(study, *sets, by="50 people"):
    questions = {
        f"q{number}": Ranked(50, {f"p{number}.{place}": float(rank) for place, rank in enumerate(ranks, 1)})
        for number, ranks in enumerate(sets)
        if ranks
    }
    return Votes("ranking", study.identifier, by, 50, questions)


def of(system, theirs, ranking="deepexpr"):
    study = study_of(*system)
    return correlate(study, votes_of(study, *theirs), ranking)


ORDER = (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("theirs", "rho", "tau"),
    [
        (ORDER, 1, 1),
        ((5, 4, 3, 2, 1), -1, -1),
        ((2, 1, 3, 4, 5), 0.9, 0.8),  # Σd² = 2: 1 − 6·2/(5·24); one of 10 pairs is discordant: (9 − 1)/10
        ((2, 1, 4, 3, 5), 0.8, 0.6),  # Σd² = 4; two pairs
        ((5, 2, 3, 4, 1), -0.6, -0.4),  # Σd² = 32; 1 and 5 against all others and each other: 7 pairs
        # With a tie: deviations −2 −1 0 1 2 and −1.5 −1.5 0 1 2, ρ = 9.5/√(10 · 9.5). Nine pairs agree, one is tied on
        # one side: τ-b = 9/√(10 · 9).
        ((1.5, 1.5, 3, 4, 5), 9.5 / math.sqrt(95), 9 / math.sqrt(90)),
    ],
)
def test_one_set_by_hand(theirs, rho, tau):
    found = of([ORDER], [theirs])
    assert found.coefficients["spearman"] == pytest.approx([rho])
    assert found.coefficients["kendall"] == pytest.approx([tau])
    assert of([ORDER], [theirs], "js").coefficients["spearman"] == pytest.approx([-rho])


def test_several_sets_by_hand():
    """ρ 0.9, −1, 1: mean 0.3, deviations 0.6, −1.3, 0.7, their squares 0.36 + 1.69 + 0.49 = 2.54, √(2.54/2)."""
    found = of([ORDER] * 3, [(2, 1, 3, 4, 5), ORDER[::-1], ORDER])
    assert found.mean("spearman") == pytest.approx(0.3)
    assert found.deviation("spearman") == pytest.approx(math.sqrt(1.27))
    assert found.mean("kendall") == pytest.approx((0.8 - 1 + 1) / 3)
    assert found.share("spearman", 0.8) == pytest.approx(2 / 3)
    assert (found.perfect("spearman"), found.negative("spearman")) == (pytest.approx(1 / 3), 1)


def test_exactly_0_8_is_not_above():
    found = of([ORDER, ORDER], [(2, 1, 4, 3, 5), (2, 1, 3, 4, 5)])  # ρ 0.8 and 0.9, τ 0.6 and 0.8
    assert found.share("spearman", 0.8) == 0.5 and found.share("kendall", 0.8) == 0


RANKS = st.lists(st.integers(1, 5), min_size=5, max_size=5)


@given(st.lists(st.tuples(RANKS, RANKS), min_size=1, max_size=6))
def test_coefficients_are_scipys(sets):
    found = of(*zip(*sets, strict=True))
    for (system, theirs), rho, tau in zip(sets, *found.coefficients.values(), strict=True):
        if len(set(system)) == 1 or len(set(theirs)) == 1:
            assert math.isnan(rho) and math.isnan(tau)
        else:
            assert rho == pytest.approx(spearmanr(system, theirs).statistic)
            assert tau == pytest.approx(kendalltau(system, theirs).statistic)
    assert len(found.questions) == len(sets)


def test_what_has_no_order_is_counted_and_left_out():
    found = of([ORDER, ORDER, (3, 3, 3, 3, 3)], [ORDER, (3, 3, 3, 3, 3), ORDER])
    assert found.defined.tolist() == [True, False, False]
    assert found.mean("spearman") == 1 and math.isnan(found.deviation("spearman"))
    assert found.same_first == 1
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert (record["sets"], record["undefined"]) == (3, 2)
    assert record["spearman"]["sets"] == {"q0": 1.0, "q1": None, "q2": None}
    assert record["spearman"]["deviation"] is None
    nothing = of([ORDER], [ORDER], "geometry")
    assert math.isnan(nothing.mean("spearman")) and math.isnan(nothing.share("kendall", 0.8))
    assert math.isnan(nothing.same_first) and math.isnan(nothing.first_rank("spearman"))


def choose(*numbers):
    """Ranks of sets of five in which these faces come first, the others behind in order."""
    return [[1 if place == first else place + (place < first) for place in ORDER] for first in numbers]


def test_the_first_rank_by_hand():
    """Faces 1 2 3 4 and 1 2 4 3: ρ = 1 − 6 · 2/(4 · 15), τ = (5 − 1)/6, and two of four are one face."""
    found = of(choose(1, 2, 3, 4), choose(1, 2, 4, 3))
    assert found.first.tolist() == [[1, 1], [2, 2], [3, 4], [4, 3]]
    assert found.first_rank("spearman") == pytest.approx(0.8)
    assert found.first_rank("kendall") == pytest.approx(2 / 3)
    assert found.same_first == 0.5


def test_of_several_firsts_the_lowest_number_counts():
    found = of([(1.5, 3, 1.5, 4, 5)], [(4, 1.5, 1.5, 3, 5)])
    assert found.first.tolist() == [[1, 2]]


def test_a_side_that_always_chooses_the_same_number_has_no_first_rank():
    found = of(choose(3, 3, 3), choose(1, 2, 3))
    assert math.isnan(found.first_rank("spearman")) and found.same_first == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("ours", "theirs", "rho", "tau"),
    [
        ("111111122222333344444444444555", "111111142224333344444444444555", 0.934, 0.910),
        ("111111222222223344444555555555", "111111222222223244444555555552", 0.942, 0.927),
    ],
)
def test_the_papers_first_ranks_can_be_had(ours, theirs, rho, tau):
    """30 sets, two of which were chosen otherwise: the papers' pairs of numbers, so our reading allows them."""
    found = of(choose(*map(int, ours)), choose(*map(int, theirs)))
    assert round(found.first_rank("spearman"), 3) == rho and round(found.first_rank("kendall"), 3) == tau
    assert found.same_first == pytest.approx(28 / 30)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_what_chance_gives(size):
    """Over all orders there are, against a fixed one."""
    orders = list(itertools.permutations(range(1, size + 1)))
    found = of([orders[0]] * len(orders), orders)
    for name, expected in chance_deviations(size).items():
        assert found.mean(name) == pytest.approx(0, abs=1e-12)
        assert found.coefficients[name].std() == pytest.approx(expected)
    assert found.same_first == pytest.approx(1 / size)


def test_some_sets_alone():
    found = of([ORDER] * 3, [ORDER, ORDER[::-1], ORDER]).among({"q1", "q2", "other"})
    assert found.questions == ("q1", "q2") and found.mean("spearman") == 0 and found.first.tolist() == [[1, 5], [1, 1]]


def test_sets_that_nobody_ordered_take_no_part():
    found = of([ORDER] * 3, [ORDER, None, ORDER])
    assert found.questions == ("q0", "q2")
    nothing = of([ORDER], [None])
    assert nothing.questions == () and math.isnan(nothing.mean("spearman")) and nothing.first.shape == (0, 2)


def test_what_does_not_fit():
    study, other = study_of(ORDER), study_of(ORDER, ORDER)
    with pytest.raises(UserError, match=f"are of study {other.identifier}, not of this one, {study.identifier}"):
        correlate(study, votes_of(other, ORDER))
    recognition = study_of(ORDER, kind="recognition")
    with pytest.raises(UserError, match="this is a recognition study"):
        correlate(recognition, votes_of(recognition, ORDER))
    with pytest.raises(UserError, match="question q0 has no rank"):
        correlate(study, votes_of(study, ORDER[:4]))
    with pytest.raises(UserError, match="question q0 has no rank 'phi'"):
        correlate(study, votes_of(study, ORDER), "phi")
