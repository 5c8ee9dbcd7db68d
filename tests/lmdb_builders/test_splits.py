"""Splits: nobody on two sides, every class in proportion, the same by the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdb_builders.splits import (
    SPLITS,
    assign_splits,
    block_splits,
    fold_splits,
    folds_of,
    group_ids,
    partition,
    training_order,
)
from pydeepexpr.errors import UserError

SEEDS = st.integers(0, 2**32)
SHARES = st.tuples(st.floats(0, 0.45), st.floats(0, 0.45))


@st.composite
def populations(draw, most_groups=40):
    """Labels and groups: some people with many images, some images alone."""
    size = draw(st.integers(1, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = rng.integers(0, draw(st.integers(1, 7)), size)
    return labels, rng.integers(0, draw(st.integers(1, most_groups)), size)


@given(populations(), SHARES, SEEDS)
@settings(max_examples=150, deadline=None)
def test_every_image_has_one_part_and_no_group_is_divided(population, shares, seed):
    labels, groups = population
    shares = (1 - sum(shares), *shares)
    parts = partition(labels, groups, shares, seed)
    assert len(parts) == len(labels)
    assert all(len(set(parts[groups == group])) == 1 for group in groups)
    assert all(shares[part] > 0 for part in set(parts))
    np.testing.assert_array_equal(parts, partition(labels, groups, shares, seed))


@given(st.lists(st.integers(0, 200), min_size=1, max_size=7), SHARES, SEEDS)
@settings(max_examples=150, deadline=None)
def test_images_that_stand_alone_are_divided_in_proportion(class_sizes, shares, seed):
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    shares = (1 - sum(shares), *shares)
    parts = partition(labels, np.arange(len(labels)), shares, seed)
    for part, share in enumerate(shares):
        assert abs((parts == part).sum() - share * len(labels)) < 2
        for label, size in enumerate(class_sizes):
            assert abs((parts[labels == label] == part).sum() - share * size) < 2


def test_twenty_subjects_of_seven_expressions_are_divided_as_asked():
    labels, subjects = np.tile(np.arange(7), 20), np.repeat(np.arange(20), 7)
    parts = partition(labels, subjects, (0.7, 0.15, 0.15), seed=3)
    assert np.bincount(parts).tolist() == [14 * 7, 3 * 7, 3 * 7]


def test_five_equal_shares_make_five_folds():
    labels, subjects = np.tile(np.arange(7), 20), np.repeat(np.arange(20), 7)
    assert np.bincount(partition(labels, subjects, (0.2,) * 5, seed=0)).tolist() == [28] * 5


def test_small_classes_do_not_all_round_the_same_way():
    labels = np.repeat(np.arange(7), 3)  # 0.45 of an image a class: each class alone would give test none
    parts = partition(labels, np.arange(21), (0.7, 0.15, 0.15), seed=0)
    assert np.bincount(parts, minlength=3).tolist() == [15, 3, 3]


def test_another_seed_makes_other_parts():
    labels, groups = np.zeros(100, int), np.arange(100)
    assert (partition(labels, groups, (0.5, 0.5), 0) != partition(labels, groups, (0.5, 0.5), 1)).any()


def test_a_group_is_a_person_of_one_database_or_a_sequence_or_one_image():
    groups = group_ids(
        ["a", "a", "b", "a", "a", "a", "a"], ["x", "x", "x", "", "", "", ""], ["1", "2", "1", "1", "1", "", ""]
    )
    assert groups.tolist() == [0, 0, 1, 2, 2, 3, 4]


def test_a_databases_own_split_is_kept_and_its_people_follow():
    own = ["train", "test", "", "", "val", ""]
    splits = assign_splits(np.zeros(6, int), np.array([0, 1, 1, 0, 2, 3]), own, val=0, test=0, seed=0)
    assert splits.tolist() == ["train", "test", "test", "train", "val", "train"]


@given(populations(), SHARES, SEEDS, st.data())
@settings(max_examples=80, deadline=None)
def test_own_splits_hold_whatever_else_is_drawn(population, shares, seed, data):
    labels, groups = population
    own_by_group = data.draw(st.lists(st.sampled_from(["", *SPLITS]), min_size=40, max_size=40))
    own = [own_by_group[group] for group in groups]
    splits = assign_splits(labels, groups, own, val=shares[0], test=shares[1], seed=seed)
    assert all(split == name for split, name in zip(splits, own, strict=True) if name)
    assert set(splits) <= set(SPLITS)
    assert all(len(set(splits[groups == group])) == 1 for group in groups)


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0), (0, -0.1), (0.5, 0.5), (1, 0), (float("nan"), 0), (2, 3)])
def test_shares_out_of_range_are_named(val, test):
    with pytest.raises(UserError, match="must leave some to train"):
        assign_splits(np.zeros(3, int), np.arange(3), [""] * 3, val=val, test=test, seed=0)


@st.composite
def clips(draw):
    """Names and frame numbers of a few sequences, shuffled, with numbers missing here and there."""
    lengths = draw(st.lists(st.integers(30, 80), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = np.repeat([f"pip_{i}" for i in range(len(lengths))], lengths)
    frames = np.concatenate([np.sort(rng.choice(2 * length, length, replace=False)) + 1 for length in lengths])
    order = rng.permutation(len(names))
    return names[order].tolist(), frames[order]


@given(clips(), SHARES, st.integers(0, 12), SEEDS)
@settings(max_examples=100, deadline=None)
def test_blocks_are_contiguous_with_gaps_between_them(clip, shares, gap, seed):
    names, frames = clip
    splits = block_splits(names, frames, val=shares[0], test=shares[1], gap=gap, seed=seed)
    for name in set(names):
        rows = np.flatnonzero(np.array(names) == name)
        rows = rows[np.argsort(frames[rows])]
        of, numbers = splits[rows], frames[rows]
        for split in SPLITS:
            (places,) = np.nonzero(of == split)
            assert len(places) == 0 or len(places) == places[-1] - places[0] + 1, "one block a split"
        for a, b in zip(range(len(rows) - 1), range(1, len(rows)), strict=True):
            assert of[a] == of[b] or "" in (of[a], of[b]) or gap == 0
        blocks = 1 + sum(share > 0 for share in shares)
        assert (of == "").sum() == gap * (blocks - 1)
        kept = len(rows) - gap * (blocks - 1)
        for split, share in zip(("val", "test"), shares, strict=True):
            assert abs((of == split).sum() - share * kept) <= 1
        for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
            apart = np.abs(numbers[of == one][:, None] - numbers[of == other])
            assert apart.size == 0 or apart.min() > gap


def test_a_sequence_is_cut_alike_alone_and_in_company():
    names, frames = ["mery_joy"] * 50 + ["ray_joy"] * 60, np.r_[1:51, 1:61]
    options = {"val": 0.2, "test": 0.2, "gap": 5}
    together = block_splits(names, frames, seed=3, **options)
    np.testing.assert_array_equal(together[:50], block_splits(names[:50], frames[:50], seed=3, **options))
    assert any((together != block_splits(names, frames, seed=seed, **options)).any() for seed in range(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gap": -1}, "the gap of -1 frames is negative"),
        ({"gap": 9}, "the sequence a has 20 images, too few for 3 blocks with gaps of 9"),
        ({"val": 0.6, "test": 0.4}, "must leave some to train"),
    ],
)
def test_blocks_that_cannot_be_cut(options, message):
    with pytest.raises(UserError, match=message):
        block_splits(["a"] * 20, np.arange(20), **{"val": 0.2, "test": 0.2, "gap": 2, "seed": 0, **options})


@st.composite
def several_databases(draw):
    """Columns of one to three databases whose persons go by the same names, with sequences and loose images beside."""
    rng = np.random.default_rng(draw(SEEDS))
    database, subject, sequence = [], [], []
    for base in "abc"[: draw(st.integers(1, 3))]:
        for who in range(draw(st.integers(0, 8))):
            count = int(rng.integers(1, 30))
            subject += [f"S{who}"] * count
            sequence += [f"{rng.integers(3)}"] * count  # of one name for all persons
        for clip in range(draw(st.integers(0, 3))):
            count = int(rng.integers(1, 10))
            subject += [""] * count
            sequence += [f"{clip}"] * count
        loose = draw(st.integers(10, 40))
        subject += [""] * loose
        sequence += [""] * loose
        database += [base] * (len(subject) - len(database))
    labels = rng.integers(0, draw(st.integers(1, 7)), len(database))
    return database, subject, sequence, labels


@given(several_databases(), st.integers(2, 6), st.floats(0, 0.3), SEEDS)
@settings(max_examples=60, deadline=None)
def test_every_fold_tests_once_and_nobody_stands_on_two_sides(columns, folds, val, seed):
    *names, labels = columns
    groups = group_ids(*names)
    _, origins = np.unique(names[0], return_inverse=True)
    fold_of = folds_of(labels, groups, folds, seed, origins=origins)
    assert fold_of.shape == labels.shape and set(fold_of) == set(range(folds)), "each image in one, no fold empty"
    np.testing.assert_array_equal(fold_of, folds_of(labels, groups, folds, seed, origins=origins))
    options = {"val": val, "seed": seed, "origins": origins}
    rounds = [fold_splits(labels, groups, fold_of, fold, **options) for fold in range(folds)]
    for fold, splits in enumerate(rounds):
        assert set(splits) <= set(SPLITS)
        np.testing.assert_array_equal(splits == "test", fold_of == fold)
        np.testing.assert_array_equal(splits, fold_splits(labels, groups, fold_of, fold, **options))
    for part in (fold_of, *rounds):
        sides = {}
        for base, who, clip, side in zip(*names, part.tolist(), strict=True):
            if who or clip:
                sides.setdefault((base, who) if who else (base, "", clip), set()).add(side)
        assert all(len(of) == 1 for of in sides.values())


@given(st.lists(st.integers(0, 90), min_size=1, max_size=7).filter(lambda sizes: sum(sizes) > 20), SEEDS)
@settings(max_examples=60, deadline=None)
def test_loose_images_of_several_databases_make_folds_alike(class_sizes, seed):
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    fold_of = folds_of(labels, np.arange(len(labels)), 5, seed, origins=np.arange(len(labels)) % 3)
    for label, size in enumerate(class_sizes):
        counts = np.bincount(fold_of[labels == label], minlength=5)
        assert (abs(counts - size / 5) < 2).all()
    val = fold_splits(labels, np.arange(len(labels)), fold_of, 0, val=0.2, seed=seed) == "val"
    assert abs(val.sum() - 0.2 * len(labels)) < 2, "a share of all images, not of those that do not test"


#: How common expressions are in the large one: mostly neutral, some joy.
COMMON = [0.05, 0.05, 0.03, 0.3, 0.45, 0.06, 0.06]


def test_a_small_database_is_spread_over_the_folds_beside_a_large_one():
    """As CK+ and KDEF beside DISFA: 20 persons with two images of each expression, 27 with about 1,800.

    A fold's share of the small one is 20·14/5 = 56 images.
    """
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1500, 2100, 27)
        groups = np.repeat(np.arange(47), [*[14] * 20, *sizes])
        labels = np.r_[np.tile(np.repeat(np.arange(7), 2), 20), rng.choice(7, sizes.sum(), p=COMMON)]
        origins = (groups >= 20).astype(int)
        fold_of = folds_of(labels, groups, 5, seed, origins=origins)
        small, large = (np.bincount(fold_of[origins == which], minlength=5) for which in (0, 1))
        assert small.min() >= 0.75 * 56 and small.max() <= 1.25 * 56
        assert large.min() >= 0.75 * sizes.sum() / 5 and large.max() <= 1.25 * sizes.sum() / 5
        for fold in range(5):
            val = fold_splits(labels, groups, fold_of, fold, val=0.2, seed=seed, origins=origins) == "val"
            assert 42 <= (val & (origins == 0)).sum() <= 70


def test_persons_who_show_one_expression_each_are_spread_too():
    """Seven of ten images in five folds: no two classes' first persons into the same fold while another is empty."""
    one_each = np.repeat(np.arange(7), 10)
    assert sorted(np.bincount(folds_of(one_each, one_each, 5, 0))) == [10, 10, 10, 20, 20]


def test_a_fold_without_images_is_refused():
    """A person's two images and two loose ones of another class, of which folds 0 and 1 get one each."""
    labels, groups = np.array([1, 1, 0, 0]), np.array([0, 0, 1, 2])
    with pytest.raises(UserError, match="1 of 3 folds would be empty; give fewer folds"):
        folds_of(labels, groups, 3, 0)
    with pytest.raises(UserError, match=r"3 persons .* cannot be divided into 4 folds"):
        folds_of(labels, groups, 4, 0)


LABELS = np.array([0, 0, 0, 0, 0, 2, 2, 6, 6, 6])  # 5, 2, 3


@pytest.mark.parametrize(
    ("balance", "counts"), [("none", [5, 2, 3]), ("undersample", [2, 2, 2]), ("oversample", [5, 5, 5])]
)
def test_balance_counted_by_hand(balance, counts):
    order = training_order(LABELS, balance, seed=0)
    assert np.bincount(LABELS[order])[[0, 2, 6]].tolist() == counts


def test_oversampling_repeats_the_members_of_a_class_evenly_and_keeps_every_image():
    times = np.bincount(training_order(LABELS, "oversample", seed=0), minlength=len(LABELS))
    assert sorted(times[5:7]) == [2, 3]
    assert sorted(times[7:]) == [1, 2, 2]
    assert times[:5].tolist() == [1] * 5


def test_undersampling_repeats_nothing():
    order = training_order(LABELS, "undersample", seed=0)
    assert len(set(order.tolist())) == len(order)


@pytest.mark.parametrize("balance", ["none", "undersample", "oversample"])
def test_the_order_is_shuffled_by_the_seed(balance):
    labels = np.repeat(np.arange(7), 20)
    order = training_order(labels, balance, seed=5)
    assert order.tolist() == training_order(labels, balance, seed=5).tolist()
    assert order.tolist() != training_order(labels, balance, seed=6).tolist()
    assert order.tolist() != sorted(order)


def test_nothing_to_order():
    assert training_order(np.array([], int), "oversample", seed=0).tolist() == []
