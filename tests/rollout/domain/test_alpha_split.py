from math import inf, log, nan

import pytest

from services.rollout.domain.alpha_split import is_rejected, split_alpha
from slipway.errors import InvalidInput


def test_parts_sum_to_alpha_and_follow_the_weights() -> None:
    assert split_alpha(0.05, {"errors": 3, "latency": 1, "accuracy": 1}) == pytest.approx(
        {"errors": 0.03, "latency": 0.01, "accuracy": 0.01}
    )


def test_no_rules_have_no_parts() -> None:
    assert split_alpha(0.05, {}) == {}


def test_evidence_suffices_at_one_over_alpha() -> None:
    assert is_rejected(log(20.0) + 1e-12, alpha=0.05)
    assert not is_rejected(log(19.99), alpha=0.05)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -1, nan])
def test_refuses_an_alpha_that_is_no_chance(alpha: float) -> None:
    with pytest.raises(InvalidInput, match="alpha"):
        split_alpha(alpha, {"errors": 1})


@pytest.mark.parametrize("weight", [0.0, -1.0, inf, nan])
def test_refuses_a_weight_that_is_none(weight: float) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        split_alpha(0.05, {"errors": weight})
