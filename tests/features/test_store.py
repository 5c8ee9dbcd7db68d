"""An opened store: what was written is read, memory is mapped, a choice of rows is a store again."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.errors import UserError
from pydeepexpr.features import FeatureStore, append_store, write_store
from tests.features.samples import HUMAN, MERY, RAY, assert_same, fc7_of, images, make_store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", (MERY, range(9)), lmdb="../val_lmdb")


@pytest.fixture
def several(tmp_path):
    """Three parts of two models."""
    return make_store(tmp_path / "several", (HUMAN, range(6)), (MERY, range(6, 10)), (HUMAN, range(10, 24)))


def test_what_is_written_is_read(store):
    assert len(store) == 9
    assert store.meta["layer"] == "fc6" and store.meta["parts"][0]["lmdb"] == "../val_lmdb"
    assert store.meta["dims"] == {"fc6": 2, "prob": 7, "geometry": 9}
    fc6, prob, geometry, table = images(range(9))
    np.testing.assert_array_equal(store.fc6, fc6)
    np.testing.assert_array_equal(store.prob, prob)
    np.testing.assert_array_equal(store.geometry, geometry)
    np.testing.assert_array_equal(store.fc7, fc7_of(MERY))
    assert store.predicted.tolist() == store.fc7_rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert store.labels.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, -1]
    assert store.rows.drop_columns("predicted").equals(table)
    assert store.model == MERY and store.models == (MERY,)


def test_arrays_are_read_only_memory_maps(store):
    assert all(isinstance(array, np.memmap) for array in (store.fc6, store.prob, store.geometry, store.fc7))
    with pytest.raises(ValueError):
        store.fc6[0] = 1


def test_opening_reads_no_array_and_no_table(store, monkeypatch):
    monkeypatch.setattr("pydeepexpr.features.store.read_table", None)
    monkeypatch.setattr(np, "fromfile", None)
    opened = FeatureStore.open(store.path)
    assert opened.fc6.shape == (9, 2)
    with pytest.raises(TypeError):
        _ = opened.rows


def test_models_stand_side_by_side(several):
    assert several.models == (HUMAN, MERY)
    np.testing.assert_array_equal(several.fc7, np.vstack([fc7_of(HUMAN), fc7_of(MERY)]))
    models = [HUMAN] * 6 + [MERY] * 4 + [HUMAN] * 14
    for row, model in enumerate(models):  # the weights that class-weight normalisation takes for an image
        np.testing.assert_array_equal(several.fc7[several.fc7_rows[row]], fc7_of(model)[row % 7])
    for model in (HUMAN, MERY):
        np.testing.assert_array_equal(several.weights(model), fc7_of(model))


def test_the_one_model_of_several(several):
    with pytest.raises(UserError, match=r"2 models \(human.caffemodel \(aaaaaaaa\), mery.* choose it with") as caught:
        _ = several.model
    assert "\n" not in str(caught.value)
    assert several.where(model="mery").model == MERY


def test_a_choice_knows_its_weights_parts_and_places(several):
    mery = several.where(model="mery.caffemodel")
    np.testing.assert_array_equal(mery.fc7, fc7_of(MERY))
    assert mery.fc7_rows.tolist() == mery.predicted.tolist() == [6, 0, 1, 2]
    assert [mery.place(row) for row in (0, 3)] == [(several.meta["parts"][1], 0), (several.meta["parts"][1], 3)]
    assert mery.parts == [several.meta["parts"][1]]
    train = several.where(split="train")
    assert train.rows["path"].to_pylist() == [
        f"{number}.png" for number in (0, 1, 2, 3, 12, 13, 14, 15, 20, 21, 22, 23)
    ]
    assert [train.place(row)[1] for row in range(12)] == [0, 1, 2, 3, 2, 3, 4, 5, 10, 11, 12, 13]
    assert [part["rows"] for part in train.parts] == [6, 14]


def test_a_stretch_of_rows_stays_mapped_and_others_are_copied(several):
    stretch = several.where(model="mery")
    assert all(isinstance(array, np.memmap) for array in (stretch.fc6, stretch.prob, stretch.geometry))
    assert np.shares_memory(stretch.fc6, several.fc6)
    assert not np.shares_memory(several.where(split="train").fc6, several.fc6)


words = st.fixed_dictionaries(
    {},
    optional={
        "character": st.sampled_from(["mery", "ray", "", ["mery", "ray"]]),
        "expression": st.sampled_from(["joy", "Happiness", "unlabelled", ["fear", "sadness", "unlabelled"]]),
        "split": st.sampled_from(["train", ["train", "test"]]),
        "model": st.sampled_from(["human", "b" * 8, "e" * 64, ["mery.caffemodel", "human"]]),
        "predicted": st.sampled_from(["joy", ["anger", "surprise", "sad"]]),
    },
)
LABELS = {"joy": [3], "Happiness": [3], "unlabelled": [-1], "fear": [2], "sadness": [5], "sad": [5]}
LABELS |= {"anger": [0], "surprise": [6]}
MODELS = {"human": HUMAN, "b" * 8: MERY, "mery.caffemodel": MERY, "e" * 64: RAY}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """All that criteria tell apart, in five parts of three models."""
    numbers = iter(range(240))
    parts = [(model, [next(numbers) for _ in range(48)]) for model in (HUMAN, MERY, HUMAN, RAY, MERY)]
    return make_store(tmp_path_factory.mktemp("large") / "store", *parts)


@given(wanted=words)
def test_filters_choose_what_their_words_say(large, wanted):
    """Against a filter in plain Python, row by row."""

    def fits(number, row):
        facts = {
            "character": lambda word: row["character"] == word,
            "split": lambda word: row["split"] == word,
            "expression": lambda word: row["expression"] in LABELS[word],
            "predicted": lambda word: number % 7 in LABELS[word],
            "model": lambda word: (HUMAN, MERY, HUMAN, RAY, MERY)[number // 48] == MODELS[word],
        }
        return all(
            any(map(facts[what], [given] if isinstance(given, str) else given)) for what, given in wanted.items()
        )

    expected = [number for number, row in enumerate(large.rows.to_pylist()) if fits(number, row)]
    if not expected:
        with pytest.raises(UserError, match=r"no image of .* has all of"):
            large.where(**wanted)
        return
    chosen = large.where(**wanted)
    assert chosen.fc6[:, 0].tolist() == expected and len(chosen) == len(expected)
    assert chosen.rows["path"].to_pylist() == [f"{number}.png" for number in expected]
    np.testing.assert_array_equal(chosen.prob, large.prob[expected])
    np.testing.assert_array_equal(chosen.geometry, large.geometry[expected])
    np.testing.assert_array_equal(chosen.labels, large.labels[expected])
    np.testing.assert_array_equal(chosen.fc7[chosen.fc7_rows], large.fc7[large.fc7_rows[expected]])


@given(st.lists(st.sampled_from(["character", "split", "expression"]), unique=True))
def test_filters_one_after_another_are_one_filter(large, order):
    wanted = {"character": "mery", "split": ["val", "test"], "expression": ["anger", "joy", "surprise"]}
    step = large
    for what in order:
        step = step.where(**{what: wanted[what]})
    assert_same(step, large.where(**{what: wanted[what] for what in order}))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"character": "bob"}, "no image of .*several has the character 'bob'; there are: mery, ray, ''"),
        ({"character": ["mery", "bob"]}, "has the character 'bob'"),
        ({"expression": "hunger"}, "'hunger' is no expression known here; use one of: anger, disgust"),
        ({"predicted": "unlabelled"}, "has the predicted 'unlabelled'; there are: anger"),
        ({"split": "Test"}, "has the split 'Test'; there are: train, val, test"),
        ({"model": "ray"}, r"has the model 'ray'; there are: human.caffemodel \(aaaaaaaa\), mery.caffemodel \(bbbb"),
        ({"model": "bbbbbbb"}, "has the model 'bbbbbbb'"),
        ({"model": "b" * 8 + "c"}, None),
        ({"model": "mery", "split": "train"}, "has all of: split train, model mery; leave one out"),
        ({"model": ["mery"], "split": ["train"]}, "has all of: split train, model mery"),
        ({"split": []}, "has all of: split ; leave one out"),
    ],
)
def test_filters_that_choose_nothing_say_what_there_is(several, wanted, message):
    if message is None:  # the eight digits that messages show are enough
        assert several.where(**wanted).model == MERY
        return
    with pytest.raises(UserError, match=message) as caught:
        several.where(**wanted)
    assert "\n" not in str(caught.value)


def test_a_column_that_is_not_there(tmp_path):
    with write_store(tmp_path / "s", HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(*images(range(4), without=("split",)))
    with pytest.raises(UserError, match="cannot be filtered by split: it has no such column, but: path, source"):
        FeatureStore.open(tmp_path / "s").where(split="test")


def test_parts_may_have_other_columns_and_wider_numbers(tmp_path):
    store = make_store(tmp_path / "s", (HUMAN, range(3)))
    with append_store(store.path, HUMAN, fc7_of(HUMAN)) as writer:
        fc6, prob, geometry, table = images(range(3, 5), without=("character",))
        writer.append(fc6, prob, geometry, table.append_column("frame", pa.array([7, 8], pa.int32())))
    with append_store(store.path, HUMAN, fc7_of(HUMAN)) as writer:
        fc6, prob, geometry, table = images(range(5, 6))
        writer.append(fc6, prob, geometry, table.append_column("frame", pa.array([1 << 40], pa.int64())))
    opened = FeatureStore.open(store.path)
    assert opened.rows["character"].to_pylist() == ["mery", "ray", "", None, None, ""]
    assert opened.rows["frame"].to_pylist() == [None, None, None, 7, 8, 1 << 40]
    assert opened.where(character="").rows["path"].to_pylist() == ["2.png", "3.png", "4.png", "5.png"]


@given(size=st.integers(1, 30))
def test_blocks_hold_all_rows_in_order_and_none_two_parts(large, size):
    chosen = large.where(split=["train", "test"])
    blocks = [*chosen.blocks(size)]
    assert max(len(block.rows) for block in blocks) <= size
    np.testing.assert_array_equal(np.concatenate([block.fc6 for block in blocks]), chosen.fc6)
    assert [path for block in blocks for path in block.rows["path"].to_pylist()] == chosen.rows["path"].to_pylist()
    for block in blocks:
        numbers = block.fc6[:, 0].astype(int) // 48
        assert {large.meta["parts"][number]["table"] for number in numbers} == {block.part["table"]}
        assert block.model == large.models[block.part["model"]]


def test_rows_of_another_store_that_took_the_place_are_not_mixed_in(store):
    opened = FeatureStore.open(store.path)
    with write_store(store.path, HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(*images(range(9, 18)))
    np.testing.assert_array_equal(opened.fc6[:, 0], range(9))  # the memory map outlives the file's name
    with pytest.raises(UserError, match=r"rows-00000.parquet has changed since it was written; open the store again"):
        _ = opened.rows
