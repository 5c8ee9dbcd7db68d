"""Dynamic programming over candidates, against all sequences that there are."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from pydeepexpr.errors import UserError
from pydeepexpr.retrieval.smoothing import Smoother

STORE = np.random.default_rng(3).dirichlet(np.full(6, 0.4), size=8)


@st.composite
def sequences(draw, frames=5, candidates=4):
    """Frames of some candidates each: their rows in STORE, and their distances."""
    rows = st.lists(st.integers(0, len(STORE) - 1), min_size=1, max_size=candidates, unique=True)
    distance = st.floats(0, 1, width=16)
    sequence = []
    for chosen in draw(st.lists(rows, min_size=1, max_size=frames)):
        sequence.append((chosen, draw(st.lists(distance, min_size=len(chosen), max_size=len(chosen)))))
    return sequence


def smoothed(sequence, strength, lag):
    """The chosen candidates, by number among those of their frames."""
    smoother = Smoother(strength, lag)
    settled = [smoother.add(distances, STORE[rows]) for rows, distances in sequence]
    assert [one is None for one in settled] == [number < lag for number in range(len(sequence))]
    return [one for one in settled if one is not None] + smoother.finish()


def cost(sequence, choice, strength):
    """By the definition, with SciPy's distance, of which the divergence is the square."""
    rows = [rows[c] for (rows, _), c in zip(sequence, choice, strict=True)]
    steps = sum(0 if a == b else jensenshannon(STORE[a], STORE[b]) ** 2 for a, b in itertools.pairwise(rows))
    return sum(distances[c] for (_, distances), c in zip(sequence, choice, strict=True)) + strength * steps


@settings(deadline=None)
@given(sequences(), st.floats(0, 5))
def test_with_enough_lag_no_sequence_is_better(sequence, strength):
    chosen = smoothed(sequence, strength, lag=len(sequence))
    assert len(chosen) == len(sequence)
    every = itertools.product(*(range(len(rows)) for rows, _ in sequence))
    best = min(cost(sequence, choice, strength) for choice in every)
    assert cost(sequence, chosen, strength) == pytest.approx(best, abs=1e-9)


@settings(deadline=None)
@given(sequences(), st.integers(0, 6))
def test_strength_0_takes_the_best_of_each_frame(sequence, lag):
    assert smoothed(sequence, 0.0, lag) == [int(np.argmin(distances)) for _, distances in sequence]


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(0, 1), min_size=8, max_size=8), min_size=1, max_size=12), st.integers(0, 12))
def test_a_great_strength_holds_one_frame_throughout(distances, lag):
    """Whatever the lag: what is settled binds all that follows."""
    chosen = smoothed([(range(8), one) for one in distances], 1e4, lag)
    assert len(set(chosen)) == 1
    if lag >= len(distances):
        assert np.sum(distances, axis=0)[chosen[0]] == pytest.approx(np.sum(distances, axis=0).min())


@settings(deadline=None)
@given(sequences(frames=7), st.floats(0, 5), st.integers(0, 7))
def test_a_shorter_lag_never_beats_the_best(sequence, strength, lag):
    short, best = (smoothed(sequence, strength, this) for this in (lag, len(sequence)))
    assert cost(sequence, short, strength) >= cost(sequence, best, strength) - 1e-9


def test_the_choice_for_a_frame_waits_for_the_lag():
    """By hand: ln 2 lies between a and b. To b and back costs 2 ln 2 > 0.9, known a frame later."""
    a, b = [1.0, 0.0], [0.0, 1.0]
    said = {}
    for lag in (0, 1):
        smoother = Smoother(strength=1.0, lag=lag)
        said[lag] = [smoother.add(distances, [a, b]) for distances in ([0, 0.9], [0.9, 0], [0, 0.9])]
        said[lag] += smoother.finish()
    assert said == {0: [0, 1, 0], 1: [None, 0, 0, 0]}


@pytest.mark.parametrize("lag", [0, 3])
def test_after_finish_a_new_sequence_begins(lag):
    smoother = Smoother(1e6, lag)
    a, b = [1.0, 0.0], [0.0, 1.0]
    first = [smoother.add([0.0, 0.1], [a, b]), *smoother.finish()]
    second = [smoother.add([0.1, 0.0], [a, b]), *smoother.finish()]
    assert [one for one in first + second if one is not None] == [0, 1]
    assert smoother.finish() == []


def test_a_long_sequence_takes_no_more_memory_than_a_short_one():
    smoother = Smoother(1.0, lag=4)
    for _ in range(1000):
        smoother.add([0.3, 0.2, 0.1], STORE[:3])
    assert len(smoother._came_from) == 4 and np.nanmin(smoother._cost) < 1


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_a_strength_that_makes_no_sense(strength):
    with pytest.raises(UserError, match="strength of smoothing must be a number of at least 0"):
        Smoother(strength)


def test_a_lag_that_makes_no_sense():
    with pytest.raises(UserError, match="cannot look -1 frames ahead"):
        Smoother(1.0, -1)


@pytest.mark.parametrize(
    ("distances", "features", "message"),
    [
        ([], np.empty((0, 6)), "no candidates"),
        ([0.1], STORE[:2], "no candidates"),
        ([[0.1]], STORE[:1], "no candidates"),
        ([0.1], STORE[0], "no candidates"),
        ([np.nan], STORE[:1], "not a finite number"),
        ([np.inf, 0], STORE[:2], "not a finite number"),
    ],
)
def test_candidates_that_are_none(distances, features, message):
    with pytest.raises(UserError, match=message):
        Smoother(1.0).add(distances, features)


def test_features_of_another_length():
    smoother = Smoother(1.0)
    smoother.add([0.1], STORE[:1])
    with pytest.raises(UserError, match="cannot be compared"):
        smoother.add([0.1], STORE[:1, :4])
