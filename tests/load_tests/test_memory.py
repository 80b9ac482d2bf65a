"""The slope of memory, and when it is called flat."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.load_tests.folders import imported


@pytest.fixture(scope="module")
def memory() -> Iterator[dict[str, Any]]:
    with imported("memory", "compare", names=("resident", "slope")) as modules:
        yield modules


def series(per_hour: float, *, noise: float, r: float = 0.0, seed: int = 0) -> tuple[Any, Any]:
    """Ten minutes, a value a second: a line, and noise in which neighbours are alike."""
    rng, at_s = np.random.default_rng(seed), np.arange(600.0)
    errors = rng.normal(size=600) * noise
    for n in range(1, 600):
        errors[n] = r * errors[n - 1] + math.sqrt(1 - r * r) * errors[n]
    return at_s, 300 + per_hour * at_s / 3600 + errors


def test_a_straight_line_has_its_slope_for_certain(memory: dict[str, Any]) -> None:
    it = memory["slope"].slope(*series(36.0, noise=0.0))
    assert (it.per_hour, it.low, it.high) == pytest.approx((36.0, 36.0, 36.0), abs=1e-6)
    assert (it.at_start, it.at_end) == pytest.approx((300.0, 305.99))


@pytest.mark.parametrize("r", [0.0, 0.9])
def test_the_interval_holds_the_true_slope_as_often_as_it_says(memory: dict[str, Any], r: float) -> None:
    found = [memory["slope"].slope(*series(20.0, noise=2.0, r=r, seed=n)) for n in range(200)]
    assert 0.90 <= np.mean([it.low <= 20.0 <= it.high for it in found]) <= 0.99


def test_values_that_hang_together_tell_less(memory: dict[str, Any]) -> None:
    wide, narrow = (memory["slope"].slope(*series(0.0, noise=2.0, r=r)) for r in (0.9, 0.0))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_too_few_independent_values_tell_nothing(memory: dict[str, Any]) -> None:
    it = memory["slope"].slope([0.0, 1.0, 2.0], [1.0, 2.0, 1.0])
    assert (it.low, it.high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("per_hour", "low", "is_flat"), [(5.0, 4.0, True), (50.0, -3.0, True), (50.0, 30.0, False)]
)
def test_flat_is_little_growth_or_none_that_can_be_told(
    memory: dict[str, Any], per_hour: float, low: float, is_flat: bool
) -> None:
    it = memory["slope"].Slope(per_hour=per_hour, low=low, high=99.0, at_start=1.0, at_end=2.0)
    assert memory["resident"].judged("gateway", it, 10.0).is_met is is_flat
    assert memory["resident"].judged("gateway", it, 1.0).is_met is None
