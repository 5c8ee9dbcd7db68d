"""What a store holds, in words."""

from pydeepexpr.features import FeatureStore, describe, merge, write_store
from tests.features.samples import HUMAN, MERY, fc7_of, images, make_store


def test_a_store_of_two_models(tmp_path):
    make_store(tmp_path / "s", (HUMAN, range(5)), lmdb="../data/val_lmdb")
    store = make_store(tmp_path / "s", (MERY, range(5, 9)))
    lines = describe(store).splitlines()
    assert lines[0].startswith(f"{tmp_path / 's'}: 9 images, ") and lines[0].endswith(" kB")
    assert lines[1:5] == [
        "  features  fc6 of 2, 7 classes, 9 geometric measures",
        "  pixels    scale 0.015625, mean_value 104 117 123, crop_size 227",
        "  model 1   human.caffemodel (aaaaaaaa)",
        "  model 2   mery.caffemodel (bbbbbbbb), fine-tuned from cccccccc, aaaaaaaa",
    ]
    made = store.meta["parts"][0]["provenance"]["made"]
    assert lines[5].startswith(f"  part 1    5 images by human.caffemodel (aaaaaaaa), {made}: ")
    assert lines[6] == "            from the LMDB ../data/val_lmdb"
    assert lines[7].startswith("  part 2    4 images by mery.caffemodel")
    assert lines[8] == "" and lines[9].split()[:2] == ["character", "split"]
    assert lines[-1].split() == ["all", "1", "1", "1", "1", "1", "1", "1", "2", "9"]


def test_counts_by_character_and_split(tmp_path):
    store = make_store(tmp_path / "s", (HUMAN, range(12)))
    # By hand: number % 3 → mery, ray, nobody; number // 4 → train, val, test; number % 8 − 1 → the expression.
    assert describe(store).split("\n\n")[1].splitlines() == [
        "  character  split  anger  disgust  fear  joy  neutral  sadness  surprise  unlabelled  images",
        "             test       0        0     1    0        0        0         0           1       2",
        "             train      0        1     0    0        0        0         0           0       1",
        "             val        0        0     0    0        1        0         0           0       1",
        "  mery       test       1        0     0    0        0        0         0           0       1",
        "  mery       train      0        0     1    0        0        0         0           1       2",
        "  mery       val        0        0     0    0        0        1         0           0       1",
        "  ray        test       0        1     0    0        0        0         0           0       1",
        "  ray        train      1        0     0    0        0        0         0           0       1",
        "  ray        val        0        0     0    1        0        0         1           0       2",
        "  all                   2        2     2    1        1        1         1           2      12",
    ]


def test_chosen_rows_and_a_merge(tmp_path):
    store = make_store(tmp_path / "s", (HUMAN, range(5)), (MERY, range(5, 9)))
    told = describe(store.where(model="mery"))
    assert ": 4 of its 9 images, " in told and "part 2" in told and "part 1" not in told and "human" not in told
    assert "\n  merged    " in describe(merge([store], tmp_path / "m"))


def test_rows_that_know_their_label_alone(tmp_path):
    with write_store(tmp_path / "s", HUMAN, fc7_of(HUMAN)) as writer:
        writer.append(*images(range(1, 4), without=("character", "split")))
    table = describe(FeatureStore.open(tmp_path / "s")).split("\n\n")[1].splitlines()
    assert table == [
        "  anger  disgust  fear  joy  neutral  sadness  surprise  images",
        "      1        1     1    0        0        0         0       3",
    ]
