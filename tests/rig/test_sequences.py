from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.rig.sequences import PARTS, divide, ease, frame_counts, sequence

SEEDS = st.integers(0, 2**32 - 1)


@given(st.integers(15, 20), st.integers(0, 400), SEEDS)
def test_no_frame_lies_between_key_poses_of_two_parts(keys, frames, seed):
    rng = np.random.default_rng(seed)
    parts = divide(keys, rng)
    laid = sequence(parts, frames, rng)
    assert len(laid) == frames
    for at in laid:
        assert parts[at.first] == parts[at.second] == at.split
        assert at.first != at.second
        assert 0 <= at.blend < 1
    seen = {split: {k for at in laid if at.split == split for k in (at.first, at.second)} for split in PARTS}
    assert not (seen["train"] & seen["val"] or seen["train"] & seen["test"] or seen["val"] & seen["test"])


@given(st.integers(0, 300), SEEDS)
def test_division(count, seed):
    parts = divide(count, np.random.default_rng(seed)).tolist()
    assert len(parts) == count
    assert parts.count("val") == parts.count("test") == (max(1, round(0.15 * count)) if count >= 3 else 0)
    assert set(parts) <= set(PARTS)


def test_division_is_by_lot():
    divisions = {tuple(divide(18, np.random.default_rng(seed))) for seed in range(20)}
    assert len(divisions) == 20


@given(st.integers(0, 10_000), st.integers(3, 30))
def test_frame_counts_add_up_to_their_shares(frames, keys):
    counts = frame_counts(frames, divide(keys, np.random.default_rng(0)))
    assert sum(counts.values()) == frames
    for part, share in PARTS.items():
        assert abs(counts[part] - share * frames) <= 1


def test_frame_counts_leave_out_empty_parts():
    assert frame_counts(10, np.array(["train", "train"])) == {"train": 10}


@pytest.mark.parametrize("frames", [86, 857, 4000])
def test_every_key_pose_is_used(frames):
    rng = np.random.default_rng(3)
    laid = sequence(divide(18, rng), frames, rng)
    assert {k for at in laid for k in (at.first, at.second)} == set(range(18))


def test_pairs_are_used_evenly():
    """600 frames among 12 key poses of train: 50 of the 66 pairs, 12 frames each."""
    rng = np.random.default_rng(3)
    laid = sequence(divide(18, rng), 857, rng)
    pairs = [frozenset((at.first, at.second)) for at in laid if at.split == "train"]
    times = [pairs.count(pair) for pair in set(pairs)]
    assert len(times) >= 48
    assert 11 <= np.median(times) <= 13


def test_neighbours_follow_one_another():
    """Within a part the path is unbroken: where one passage ends, the next begins."""
    rng = np.random.default_rng(5)
    laid = [at for at in sequence(divide(16, rng), 600, rng) if at.split == "train"]
    for before, after in pairwise(laid):
        if (before.first, before.second) == (after.first, after.second):
            assert after.blend > before.blend
        else:
            assert before.second == after.first


def test_movement_starts_and_ends_at_rest():
    times = np.linspace(0, 1, 101)
    way = np.array([ease(t) for t in times])
    assert (np.diff(way) > 0).all()
    np.testing.assert_allclose(way + way[::-1], 1)
    assert way[1] < 0.0004  # 3 t² − 2 t³
    assert np.diff(way).max() == pytest.approx(0.015, rel=1e-2)  # half again the even pace


def test_a_single_key_pose_has_nothing_to_interpolate():
    with pytest.raises(UserError, match="val has only 1"):
        sequence(np.array(["train"] * 5 + ["val", "test"]), 100, np.random.default_rng(0))
