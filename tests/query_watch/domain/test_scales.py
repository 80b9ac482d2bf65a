import numpy as np
import pytest

from services.query_watch.domain.scales import radius_beside, scales_of, to_points
from slipway.stats.profile import FeatureProfile, numeric_profile


def test_numbers_are_in_spreads_around_their_middle() -> None:
    values = np.random.default_rng(1).normal(50, 4, size=5000)
    scales = scales_of([numeric_profile("a", values)])
    [[middle], [far], [missing]] = to_points(scales, np.array([[50.0], [54.0], [np.nan]]))
    assert abs(middle) < 0.1
    assert abs(far - 1) < 0.1
    assert missing == 0


def test_categories_have_numbers_and_an_unknown_one_has_its_own() -> None:
    kinds = FeatureProfile(feature="kind", categories=("x", "y"), counts=(3, 1))
    scales = scales_of([], [kinds])
    points = to_points(scales, np.zeros((3, 0)), [["y", "x", "new"]])
    assert points.tolist() == [[1.0], [0.0], [2.0]]


def test_features_without_a_distribution_can_still_be_compared() -> None:
    empty = FeatureProfile(feature="a")
    constant = FeatureProfile(feature="b", edges=(3.0,), counts=(5, 5))
    unfilled = FeatureProfile(feature="c", edges=(1.0, 2.0), counts=(0, 0, 0))
    scales = scales_of([empty, constant, unfilled])
    assert scales.spread.tolist()[:2] == [1.0, 3.0]
    assert np.isfinite(scales.radius)
    assert scales_of([]).radius == 0.0


def test_unrelated_features_lie_farther_apart_than_related_ones() -> None:
    rng = np.random.default_rng(2)
    along = rng.normal(size=(500, 1))
    rows = along + 0.1 * rng.normal(size=(500, 6))
    scales = scales_of([numeric_profile(str(at), column) for at, column in enumerate(rows.T)])
    points = to_points(scales, rows[:128])
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag([np.inf] * 128)
    assert np.median(apart.min(axis=1)) < scales.radius / 2


def test_where_most_features_take_few_values_distances_tell_nothing() -> None:
    coarse = [numeric_profile(name, np.arange(300.0) % 3) for name in "ab"]
    fine = numeric_profile("c", np.arange(300.0))
    kind = FeatureProfile(feature="kind", categories=("x", "y"), counts=(5, 5))
    assert scales_of([*coarse, fine, fine], [kind]).radius == 0
    assert scales_of([*coarse, fine, fine, fine], [kind]).radius > 0
    assert scales_of([]).radius == 0


def test_the_nearest_of_few_rows_is_farther_than_that_of_many() -> None:
    rng = np.random.default_rng(1)
    many = rng.uniform(size=(400, 128, 3))
    apart = np.linalg.norm(many - rng.uniform(size=(400, 1, 3)), axis=2)
    radius, of_eight = np.median(apart.min(axis=1)), np.median(apart[:, :8].min(axis=1))
    assert radius_beside(float(radius), features=3, rows=8) == pytest.approx(of_eight, rel=0.15)
    assert radius_beside(1.0, features=3, rows=500) == 1.0
