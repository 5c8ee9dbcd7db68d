"""Attention checks: drawn by a seed, from nothing that faces should show, and kept with the study."""

import dataclasses

import pytest

from pydeepexpr.errors import UserError
from pydeepexpr.evaluation.study.checks import checks_of, with_checks
from pydeepexpr.evaluation.study.questionnaire import Questionnaire
from pydeepexpr.expressions import EXPRESSIONS


@pytest.mark.parametrize("kind", ["recognition", "ranking"])
def test_they_are_kept_with_the_study(request, tmp_path, kind):
    study = with_checks(request.getfixturevalue(kind), 2)
    study.write(tmp_path / "study.json")
    checks = checks_of(Questionnaire.read(tmp_path / "study.json"))
    assert checks == checks_of(study) and len(checks) == 2
    assert not {*checks} & {question.identifier for question in study.questions}
    sets = [{picture.identifier for picture in question.pictures} for question in study.questions]
    for check in checks.values():
        assert {*check.pictures} in sets
        assert check.wanted in EXPRESSIONS if kind == "recognition" else {*check.wanted} == {*check.pictures}


def test_a_seed_fixes_them(recognition):
    assert with_checks(recognition, 3, 5) == with_checks(recognition, 3, 5)
    assert checks_of(with_checks(recognition, 3, 5)) != checks_of(with_checks(recognition, 3, 6))
    asked = {check.wanted for seed in range(60) for check in checks_of(with_checks(recognition, 1, seed)).values()}
    assert asked == {*EXPRESSIONS}


@pytest.mark.parametrize("number", [-1, 8])
def test_too_many(recognition, number):
    with pytest.raises(UserError, match="--checks 0 to 7"):
        with_checks(recognition, number)


def test_none(recognition):
    assert checks_of(recognition) == checks_of(with_checks(recognition, 0)) == {}


@pytest.mark.parametrize("damaged", [3, [3], [{}], [{"identifier": "a", "pictures": None, "wanted": "joy"}]])
def test_damaged_ones(recognition, damaged):
    with pytest.raises(UserError, match="attention checks are damaged"):
        checks_of(dataclasses.replace(recognition, settings={"checks": damaged}))
