"""The seven policies against the formulas in caffe.proto's comment on lr_policy, computed by hand."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from pydeepexpr.caffe.lr_policy import LR_POLICIES, learning_rate
from pydeepexpr.caffe.proto import caffe_pb2 as pb
from pydeepexpr.errors import UserError


def rate(text, iteration):
    return learning_rate(text_format.Parse(text, pb.SolverParameter()), iteration)


@pytest.mark.parametrize(
    ("text", "iteration", "wanted"),
    [
        ('lr_policy: "fixed"', 1000, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 0, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 3, 0.5),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 4, 0.05),
        ('lr_policy: "step" gamma: 0.1 stepsize: 4', 12, 0.0005),
        ('lr_policy: "exp" gamma: 0.5', 3, 0.0625),
        ('lr_policy: "inv" gamma: 0.25 power: 2', 4, 0.125),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 2, 0.5),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 3, 0.05),
        ('lr_policy: "multistep" gamma: 0.1 stepvalue: 3 stepvalue: 5', 5, 0.005),
        ('lr_policy: "multistep" gamma: 0.1', 5, 0.5),
        ('lr_policy: "poly" power: 2 max_iter: 10', 5, 0.125),
        ('lr_policy: "poly" power: 2 max_iter: 10', 10, 0),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 6, 0.25),
        ('lr_policy: "sigmoid" gamma: -0.5 stepsize: 6', 4, 0.5 * 0.7310585786300049),  # 1 / (1 + e⁻¹)
        ('lr_policy: "sigmoid" gamma: 1 stepsize: 2000', 0, 0),  # e²⁰⁰⁰ is beyond a float
        ('lr_policy: "sigmoid" gamma: -1 stepsize: 10', 100000, 0),
    ],
)
def test_policies(text, iteration, wanted):
    assert rate("base_lr: 0.5 " + text, iteration) == pytest.approx(wanted, rel=1e-6, abs=1e-30)


@given(st.sampled_from(sorted(LR_POLICIES)), st.integers(0, 10**6), st.floats(-1, 1), st.floats(0, 3))
def test_no_policy_fails_or_leaves_the_range(policy, iteration, gamma, power):
    gamma = abs(gamma) if policy != "sigmoid" else gamma
    param = pb.SolverParameter(
        lr_policy=policy, base_lr=1, gamma=gamma, power=power, stepsize=100, stepvalue=[10, 1000], max_iter=10**5
    )
    assert 0 <= learning_rate(param, iteration) <= 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lr_policy '' is unknown; use one of: fixed, step, exp, inv, multistep, poly, sigmoid"),
        ('lr_policy: "Step"', "lr_policy 'Step' is unknown"),
        ('lr_policy: "step"', "lr_policy 'step' needs a stepsize above 0"),
        ('lr_policy: "poly"', "lr_policy 'poly' needs a max_iter above 0"),
    ],
)
def test_bad_policies(text, said):
    with pytest.raises(UserError, match=said):
        rate(text, 0)
