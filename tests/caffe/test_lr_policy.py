"""The seven policies against the formulas in caffe.proto's comment on lr_policy, computed by hand."""

import math

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.lr_policy import LR_POLICIES, check_policy, drops_at, learning_rate
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def rates(text, iterations):
    """Return the rates of so many iterations from the first on."""
    param = text_format.Parse("base_lr: 0.5 " + text, pb.SolverParameter())
    check_policy(param)
    drops, found = 0, []
    for iteration in range(iterations):
        drops = drops_at(param, iteration, drops)
        found.append(learning_rate(param, iteration, drops))
    return found


@pytest.mark.parametrize(
    ("text", "iteration", "wanted"),
    [
        ('lr_policy: "fixed"', 1000, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 0, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 3, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 4, 0.05),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 12, 0.0005),
        ('lr_policy: "exp" gamma: 0.5', 3, 0.0625),
        ('lr_policy: "exp" gamma: 10', 400, math.inf),
        ('lr_policy: "inv" gamma: 0.25 power: 2', 4, 0.125),
        ('lr_policy: "inv" gamma: 0.25 power: -2', 4, 2),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 2, 0.5),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 3, 0.05),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 5, 0.005),
        ('lr_policy: "multistep" gamma: 0.1', 5, 0.5),
        ('lr_policy: "poly" power: 2 max_iter: 10', 5, 0.125),
        ('lr_policy: "poly" power: 2 max_iter: 10', 10, 0),
        ('lr_policy: "poly" power: 2 max_iter: 10', 12, 0),
        ('lr_policy: "poly" power: 0.5 max_iter: 8', 6, 0.25),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 6, 0.25),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 4, 0.5 * 0.7310585786300049),  # 1 / (1 + e⁻¹)
        ('lr_policy: "sigmoid" gamma: 1 stepsize: 2000', 0, 0),  # e²⁰⁰⁰ is beyond a float
        ('lr_policy: "sigmoid" gamma: -1 stepsize: 10', 1000, 0),
    ],
)
def test_policies(text, iteration, wanted):
    assert rates(text, iteration + 1)[-1] == pytest.approx(wanted, rel=1e-6, abs=1e-30)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([2, 2, 4], [0, 0, 1, 2, 3, 3]),  # SGDSolver::GetLearningRate: at most one an iteration
        ([4, 2], [0, 0, 0, 0, 1, 2]),  # the next one alone
        ([0, 0], [1, 2, 2, 2, 2, 2]),
        ([], [0] * 6),
    ],
)
def test_the_steps_of_multistep(values, wanted):
    param = pb.SolverParameter(lr_policy="multistep", stepvalue=values)
    drops, found = 0, []
    for iteration in range(6):
        drops = drops_at(param, iteration, drops)
        found.append(drops)
    assert found == wanted


@given(st.sampled_from(sorted(LR_POLICIES)), st.integers(0, 10**6), st.floats(-1, 1), st.floats(0, 3))
def test_no_policy_fails_or_leaves_the_range(policy, iteration, gamma, power):
    gamma = abs(gamma) if policy != "sigmoid" else gamma
    param = pb.SolverParameter(
        lr_policy=policy, base_lr=1, gamma=gamma, power=power, stepsize=100, stepvalue=[10, 1000], max_iter=10**5
    )
    assert 0 <= learning_rate(param, iteration, drops_at(param, iteration, 0)) <= 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lr_policy '' is unknown; use one of: fixed, step, exp, inv, multistep, poly, sigmoid"),
        ('lr_policy: "Step"', "lr_policy 'Step' is unknown"),
        ('lr_policy: "step"', "lr_policy 'step' needs a stepsize above 0"),
        ('lr_policy: "sigmoid" gamma: -1', "lr_policy 'sigmoid' needs a stepsize above 0"),
        ('lr_policy: "poly"', "lr_policy 'poly' needs a max_iter above 0"),
        ('lr_policy: "exp" gamma: -0.5', "lr_policy 'exp' needs a gamma of 0 or more, not -0.5"),
        ('lr_policy: "step" stepsize: 1 gamma: -1', "lr_policy 'step' needs a gamma of 0 or more"),
        ('lr_policy: "inv" gamma: nan', "lr_policy 'inv' needs a gamma of 0 or more, not nan"),
        ('lr_policy: "multistep" gamma: -2', "lr_policy 'multistep' needs a gamma of 0 or more"),
    ],
)
def test_bad_policies(text, said):
    with pytest.raises(UserError, match=said):
        rates(text, 1)
