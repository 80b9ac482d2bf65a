from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rollout.domain.moments import NO_MOMENTS, Moments, merge, observe
from slipway.errors import InvalidInput

numbers = st.lists(st.floats(-1e6, 1e6), max_size=30)


def of(values: list[float]) -> Moments:
    moments = NO_MOMENTS
    for value in values:
        moments = observe(moments, value)
    return moments


@given(numbers)
def test_agrees_with_numpy(values: list[float]) -> None:
    moments = of(values)
    assert moments.count == len(values)
    if len(values) > 1:
        assert moments.mean == pytest.approx(np.mean(values), abs=1e-6)
        assert moments.variance == pytest.approx(np.var(values, ddof=1), rel=1e-6, abs=1e-6)


@given(numbers, numbers)
def test_parts_merge_to_the_whole(one: list[float], other: list[float]) -> None:
    merged, whole = merge(of(one), of(other)), of(one + other)
    assert merged.count == whole.count
    assert merged.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
    assert merged.squares == pytest.approx(whole.squares, rel=1e-6, abs=1e-3)


def test_one_value_has_no_spread() -> None:
    assert of([3.0]).variance == 0


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_refuses_what_is_no_number(value: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        observe(NO_MOMENTS, value)
