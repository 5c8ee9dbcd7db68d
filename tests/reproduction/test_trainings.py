"""Which trainings the full form does, by which commands."""

from pathlib import Path

import pytest

from pydeepexpr.reproduction.material import Material
from pydeepexpr.reproduction.trainings import character_trainings, training_stages

CAST = {"mery": Path("s/mery"), "ray": Path("s/ray")}


def material(**what):
    settings = {"people": (Path("r/kdef"), Path("r/mmi")), "frames": Path("r/FERG"), **what}
    return Material("own", "yours", Path("s/people"), CAST, human_epochs=50, character_epochs=4, **settings)


def words(step):
    """Return a command with its tool's name alone."""
    return " ".join((Path(step.arguments[0]).stem, *step.arguments[1:]))


def commands(stages):
    return {stage.name: [words(step) for step in stage.steps()] for stage in stages}


def test_every_training_is_a_tool_that_takes_its_arguments(parsed_to_the_end):
    stages = training_stages(material(), Path("full"), "bf16", "cpu")
    parsed_to_the_end([step.arguments for stage in stages for step in stage.steps()])
    assert [stage.name for stage in stages] == ["human", "random", "apart", "without-mery", "without-ray"]


def test_the_commands():
    found = commands(training_stages(material(), Path("full"), "fp32", "cpu"))
    how = "--precision fp32 --device cpu"
    assert found["human"] == [
        f"cross_validate r/kdef r/mmi --out full/human --epochs 50 --drop-every 10 {how}"  # the papers' schedule
    ]
    assert found["without-ray"] == [
        "build_lmdb r/FERG full/without-ray/lmdb --split blocks --hold-out ray",
        "train --solver solvers/character.prototxt --deploy prototxt/character_deploy.prototxt "
        f"--data full/without-ray/lmdb --out full/without-ray/character --resume --epochs 4 --drop-every 3 {how}",
        "extract_features full/without-ray/character/character.caffemodel full/without-ray/lmdb/test_lmdb "
        "full/without-ray/store --device cpu",
    ]
    assert found["random"][0].endswith("--split random") and found["apart"][0].endswith("--split blocks")


@pytest.mark.parametrize(("missing", "left"), [({"people": ()}, "random"), ({"frames": None}, "human")])
def test_without_people_or_frames_the_rest_is_trained(missing, left):
    stages = training_stages(material(**missing), Path("full"), "fp32")
    assert stages[0].name == left and (len(stages) == 1) == (left == "human")


def test_rendered_frames_are_divided_by_their_key_poses():
    assert character_trainings(material(division="own"))[1].division == ("--split", "own")
