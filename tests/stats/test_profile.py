import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.stats.profile import (
    MISSING,
    OUTSIDE,
    categorical_profile,
    count_codes,
    encode_categorical,
    encode_numeric,
    numeric_profile,
)


@given(st.lists(st.floats(allow_infinity=False, width=32), max_size=50))
def test_coding_the_training_data_gives_back_its_counts(values: list[float]) -> None:
    column = np.array(values)
    profile = numeric_profile("x", column)
    counts, outside, missing = count_codes(encode_numeric(profile, column), bins=len(profile.counts))
    assert tuple(counts) == profile.counts
    assert (outside, missing) == (0, profile.missing)


def test_quantile_bins_hold_equal_shares() -> None:
    assert numeric_profile("x", np.arange(1000.0), bins=10).counts == (100,) * 10


def test_constant_column_has_at_most_two_bins() -> None:
    profile = numeric_profile("x", np.full(100, 3.0))
    assert sum(profile.counts) == 100
    assert len(profile.counts) <= 2


def test_categories_are_ordered_by_count_and_unknown_ones_are_outside() -> None:
    profile = categorical_profile("c", np.array(["a", "b", "b", None, ""], dtype=object))
    assert profile.categories == ("b", "a")
    assert (profile.counts, profile.missing) == ((2, 1), 2)
    assert encode_categorical(profile, ["a", "b", "z", ""]).tolist() == [1, 0, OUTSIDE, MISSING]


def test_nan_is_missing_as_number_and_as_text() -> None:
    profile = numeric_profile("x", np.array([1.0, np.nan]))
    assert encode_numeric(profile, np.array([np.nan]))[0] == MISSING
    assert categorical_profile("c", np.array([float("nan"), "a"], dtype=object)).missing == 1


@pytest.mark.parametrize("size", [0, 1])
def test_profiles_of_almost_nothing(size: int) -> None:
    assert sum(numeric_profile("x", np.ones(size)).counts) == size
