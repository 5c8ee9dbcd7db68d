"""Which images train, validate and test, by every rule."""

import pyarrow.parquet as pq
import pytest

from lmdb_builders.build import build_lmdb
from pydeepexpr.errors import UserError
from tests.lmdb_builders.building.made_builds import cast, register


def test_a_drawn_split_is_stratified_and_divides_no_subject(tmp_path):
    subjects = [f"S{index // 7}" for index in range(28)]
    faces = register(tmp_path / "faces", subjects=subjects)
    build_lmdb([faces], tmp_path / "out", val=0.25, test=0.25)
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {subject: {row["split"] for row in rows if row["subject"] == subject} for subject in subjects}
    assert sorted(side for (side,) in sides.values()) == ["test", "train", "train", "val"]


def test_own_split_is_left_aside_on_request(faces, tmp_path):
    report = build_lmdb([faces], tmp_path / "out", split="stratified", val=0.25, test=0)
    assert {split: sum(counts.values()) for split, counts in report["counts"].items()} == {
        "train": 21,
        "val": 7,
        "test": 0,
    }
    assert not (tmp_path / "out/test_lmdb").exists()


def test_frames_are_split_into_blocks_and_those_in_gaps_left_out(tmp_path, capsys):
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="blocks", val=0.25, test=0.25, gap=2)
    # Of 12 frames two gaps take 4; 4, 2, 2 of the others train, validate and test: four sequences of them.
    sums = {split: sum(counts.values()) for split, counts in report["counts"].items()}
    assert sums == {"train": 16, "val": 8, "test": 8} and report["in_gaps"] == 16
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {split: {(r["sequence"], r["frame"]) for r in rows if r["split"] == split} for split in ("train", "test")}
    assert min(abs(a - b) for name, a in sides["train"] for other, b in sides["test"] if name == other) == 3


def test_one_character_may_be_chosen_and_is_split_as_in_company(tmp_path):
    faces, options = cast(tmp_path / "cast"), {"split": "blocks", "val": 0.25, "test": 0.25, "gap": 2}
    build_lmdb([faces], tmp_path / "all", **options)
    report = build_lmdb([faces], tmp_path / "ray", characters=["ray"], **options)
    assert report["options"]["characters"] == ["ray"]

    def parts(folder):
        rows = pq.read_table(tmp_path / folder / "manifest.parquet").to_pylist()
        return {(row["source"], row["split"]) for row in rows if row["character"] == "ray"}, len(rows)

    assert parts("ray") == (parts("all")[0], 16)


def test_a_held_out_character_tests_on_the_frames_that_test_it_in_company(tmp_path):
    faces, options = cast(tmp_path / "cast"), {"split": "blocks", "val": 0.25, "test": 0.25, "gap": 2}
    build_lmdb([faces], tmp_path / "all", **options)
    report = build_lmdb([faces], tmp_path / "out", hold_out="ray", **options)

    def parts(folder):
        rows = pq.read_table(tmp_path / folder / "manifest.parquet").to_pylist()
        return {(row["character"], row["source"], row["split"]) for row in rows}

    whole = parts("all")
    assert parts("out") == {row for row in whole if (row[0] == "ray") == (row[2] == "test")}
    # Of ray's two sequences 8 + 4 frames train and validate in company, of the others' two 4 test.
    assert (report["in_gaps"], report["held_out"]) == (16, 16)


def test_an_unknown_character_cannot_be_held_out(tmp_path):
    with pytest.raises(UserError, match=r"no character 'rey' to hold out .* there are: mery, ray"):
        build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="blocks", gap=2, hold_out="rey")


def test_a_character_without_test_frames_cannot_be_held_out(tmp_path):
    with pytest.raises(UserError, match="no frame of ray falls to the test split"):
        build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="random", test=0, hold_out="ray")


def test_a_random_split_divides_sequences(tmp_path):
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="random", val=0.25, test=0.25)
    assert report["counts"]["train"]["joy"] == 12 and report["in_gaps"] == 0
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    assert {row["split"] for row in rows if row["sequence"] == "mery_joy"} == {"train", "val", "test"}


def test_a_stratified_split_keeps_sequences_whole(tmp_path):
    build_lmdb([cast(tmp_path / "cast")], tmp_path / "out", split="stratified", val=0.25, test=0.25)
    rows = pq.read_table(tmp_path / "out/manifest.parquet").to_pylist()
    sides = {(row["sequence"], row["split"]) for row in rows}
    assert len(sides) == 4


def test_rendered_frames_keep_their_own_split(tmp_path):
    splits = (["train"] * 6 + ["val"] * 3 + ["test"] * 3) * 4
    report = build_lmdb([cast(tmp_path / "cast", splits=splits)], tmp_path / "out")
    assert [sum(report["counts"][split].values()) for split in ("train", "val", "test")] == [24, 12, 12]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({}, {}, "use --split blocks"),
        ({"frame": None}, {"split": "blocks"}, "48 of 48 images have no sequence or frame number"),
        ({}, {"split": "blocks", "gap": 30}, "ferg/mery_fear has 12 images, too few for 3 blocks with gaps of 30"),
        ({}, {"split": "random", "characters": ["pip"]}, "no character 'pip' .* there are: mery, ray"),
    ],
)
def test_frames_that_cannot_be_split(tmp_path, columns, options, message):
    faces = cast(tmp_path / "cast", database=["ferg"] * 48, **columns)
    with pytest.raises(UserError, match=message):
        build_lmdb([faces], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_folds_test_every_image_once_and_divide_no_person(tmp_path):
    faces = register(tmp_path / "faces", subjects=[f"S{index // 2:02d}" for index in range(28)])
    tested = []
    for fold in range(4):
        report = build_lmdb([faces], tmp_path / f"{fold}", split="folds", folds=4, fold=fold, val=0.2, test=0.9)
        assert report["why_persons_mix"] == ""
        rows = pq.read_table(tmp_path / f"{fold}/manifest.parquet").to_pylist()
        assert len(rows) == 28
        assert all((row["split"] == "test") == (row["fold"] == fold) for row in rows)
        sides = {(row["subject"], row["split"]) for row in rows}
        assert len(sides) == 14, "nobody on two sides"
        tested += [row["source"] for row in rows if row["split"] == "test"]
    assert sorted(tested) == sorted(pq.read_table(faces / "manifest.parquet")["source"].to_pylist())


def test_who_may_be_on_two_sides_is_said(faces, tmp_path):
    report = build_lmdb([faces], tmp_path / "out", split="folds", folds=4, fold=1)
    assert report["why_persons_mix"] == "folder does not say who is who (28 images)"
    named = register(tmp_path / "named", subjects=["a", "b"] * 14)
    report = build_lmdb([named], tmp_path / "torn", split="random")
    assert report["why_persons_mix"] == "2 of 2 persons stand in several parts"
    report = build_lmdb([cast(tmp_path / "cast")], tmp_path / "frames", split="blocks", gap=0)
    assert report["why_persons_mix"] is None, "characters are no persons"
