"""The distance from training rows: against scikit-learn, and by what it promises."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from slipway.errors import InvalidInput
from slipway.stats.columns import fit_columns, to_points
from slipway.stats.density import MAX_COLUMNS, _auroc, _best_detector, fit
from slipway.stats.density_score import (
    DensityModel,
    at_rate,
    from_middle,
    from_neighbours,
    p_values,
    raw_scores,
    rows_needed,
    score,
    threshold_of,
)

RNG = np.random.default_rng(7)
TRAINING = (RNG.normal(size=(600, 5)) @ RNG.normal(size=(5, 5)) + 3).astype(np.float32)

SMALL = fit(TRAINING[:100], false_positive_rate=0.1)


@pytest.fixture(scope="module")
def model() -> DensityModel:
    return fit(TRAINING, false_positive_rate=0.05)


def whole_precision(model: DensityModel) -> np.ndarray:
    precision: np.ndarray = (model.projection @ model.projection.T).astype(np.float64)
    return precision


def test_distance_from_the_middle_is_mahalanobis(model: DensityModel) -> None:
    points = to_points(model.columns, TRAINING, ())
    oracle = EmpiricalCovariance()
    oracle.location_ = np.zeros(points.shape[1])
    oracle.store_precision = True
    oracle.precision_ = whole_precision(model)
    found = from_middle(model, points, points @ model.projection)
    np.testing.assert_allclose(found**2, oracle.mahalanobis(points), rtol=1e-3)


def test_distance_from_neighbours_is_that_to_the_third(model: DensityModel) -> None:
    along = to_points(model.columns, TRAINING[:50] + 1, ()) @ model.projection
    nearest = NearestNeighbors(n_neighbors=3).fit(model.references).kneighbors(along)[0][:, 2]
    np.testing.assert_allclose(from_neighbours(model, along), nearest, rtol=1e-2, atol=1e-2)


def test_rows_far_away_are_suspicious_and_rows_like_the_training_rows_are_not(model: DensityModel) -> None:
    assert score(model, TRAINING[:1] + 100)[0] > 1
    assert (score(model, TRAINING) > 1).mean() < 0.15


def test_one_row_scores_as_it_does_among_others(model: DensityModel) -> None:
    together = score(model, TRAINING[:20])
    alone = [score(model, TRAINING[i : i + 1])[0] for i in range(20)]
    np.testing.assert_allclose(alone, together, rtol=1e-3)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.02, 0.05, 0.1]))
def test_the_false_positive_rate_holds_on_rows_of_the_same_law(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    rows = (rng.standard_t(3, size=(3000, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    fitted = fit(rows[:1000], false_positive_rate=rate, seed=seed)
    # Given the threshold, the rate is Beta distributed around its bound: 400 rows set it.
    spread = 5 * (rate / 400 + rate / 2000) ** 0.5
    assert (score(fitted, rows[1000:]) > 1).mean() <= rate + spread


def test_a_threshold_at_another_rate_needs_no_new_fit(model: DensityModel) -> None:
    strict, loose = at_rate(model, 0.01), at_rate(model, 0.2)
    assert strict.threshold > model.threshold > loose.threshold
    scores = score(model, TRAINING[:9])
    np.testing.assert_allclose(
        score(strict, TRAINING[:9]), scores * model.threshold / strict.threshold, rtol=1e-5
    )


@given(st.lists(st.floats(0.125, 10, width=32), min_size=1, max_size=60, unique=True), st.floats(0.01, 0.9))
def test_a_score_is_above_the_threshold_where_its_p_value_is_within_the_rate(
    values: list[float], rate: float
) -> None:
    calibration = np.sort(np.array(values, dtype=np.float32))
    if len(values) < rows_needed(rate):
        with pytest.raises(InvalidInput, match="held-out rows cannot show"):
            threshold_of(calibration, rate)
        return
    threshold = threshold_of(calibration, rate)
    fitted = replace(SMALL, calibration=calibration, threshold=threshold)
    raw = np.array([threshold * 1.01, threshold], dtype=np.float32)
    above, at = p_values(fitted, raw / np.float32(threshold))
    assert above <= rate + 1e-9 or threshold * 1.01 <= calibration[-1]
    assert at > rate - 1e-9


def test_a_missing_number_where_none_was_missing_is_suspicious() -> None:
    fitted = fit(TRAINING, false_positive_rate=0.05)
    row = TRAINING[:1].copy()
    before = score(fitted, row)[0]
    row[0, :3] = np.nan
    assert score(fitted, row)[0] > max(1, before)


def test_a_missing_number_where_many_are_missing_is_usual() -> None:
    rows = TRAINING.copy()
    rows[RNG.random(rows.shape) < 0.3] = np.nan
    fitted = fit(rows, false_positive_rate=0.05)
    assert (score(fitted, rows) > 1).mean() < 0.15


def test_a_category_never_seen_is_more_suspicious_than_a_rare_one() -> None:
    colours = RNG.choice(["red", "blue", "mauve"], size=600, p=[0.6, 0.39, 0.01]).tolist()
    fitted = fit(TRAINING, texts=[colours], false_positive_rate=0.05)
    usual, rare, new = score(fitted, np.repeat(TRAINING[:1], 3, axis=0), texts=[["red", "mauve", "plaid"]])
    assert new > rare > usual


def test_categories_alone_are_enough() -> None:
    texts = [RNG.choice(["a", "b"], size=300).tolist(), RNG.choice(["x", "y"], size=300).tolist()]
    fitted = fit(np.empty((300, 0), dtype=np.float32), texts=texts, false_positive_rate=0.05)
    usual, new = score(fitted, np.empty((2, 0), dtype=np.float32), texts=[["a", "q"], ["x", "q"]])
    assert new > 1 >= usual


def test_constant_columns_say_so_when_they_change() -> None:
    rows = np.ones((200, 2), dtype=np.float32)
    fitted = fit(rows, false_positive_rate=0.05)
    assert score(fitted, rows[:1])[0] <= 1 < score(fitted, rows[:1] + 1)[0]


def test_wide_rows_are_scored_in_the_widest_directions_and_what_they_leave_over() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(300, 4)) @ rng.normal(size=(4, 300)) + 0.1 * rng.normal(size=(300, 300))).astype(
        np.float32
    )
    fitted = fit(rows, false_positive_rate=0.05)
    assert fitted.projection.shape[1] < 300
    assert fitted.projection.size + fitted.references.size <= 2 * 28_000
    assert (score(fitted, rows + 3 * rng.normal(size=rows.shape)) > 1).all()
    plain = replace(fitted, detector="mahalanobis")
    alone = replace(fitted, detector="neighbours")
    points = to_points(fitted.columns, rows, ())
    np.testing.assert_allclose(
        raw_scores(fitted, points), np.maximum(raw_scores(plain, points), raw_scores(alone, points))
    )


def test_the_detector_that_tells_probes_apart_is_chosen() -> None:
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, 900)
    ring = (np.stack([np.cos(angles), np.sin(angles)], 1) + 0.02 * rng.normal(size=(900, 2))).astype(
        np.float32
    )
    fitted = fit(ring)
    assert fitted.detector != "mahalanobis"
    assert score(fitted, np.zeros((1, 2), dtype=np.float32))[0] > 1


def test_a_detector_alone_must_be_clearly_better() -> None:
    low = np.array([[1.0, 1.1, 1.2], [5.0, 6.0, 7.0]])
    assert _best_detector(low, np.array([[2.0, 2.1, 2.2], [5.0, 6.0, 7.0]])) == "mahalanobis"
    assert _best_detector(low, low + 10) == "both"


@given(st.integers(0, 2**32 - 1))
def test_auroc_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low, high = rng.integers(0, 9, 20).astype(float), rng.integers(3, 12, 30).astype(float)
    truth = np.r_[np.zeros(20), np.ones(30)]
    assert _auroc(low, high) == pytest.approx(roc_auc_score(truth, np.r_[low, high]))


def test_the_same_seed_gives_the_same_model() -> None:
    first, second = fit(TRAINING, seed=3), fit(TRAINING, seed=3)
    np.testing.assert_array_equal(score(first, TRAINING), score(second, TRAINING))


def test_too_few_rows_for_the_rate_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"100 rows are too few .* takes 119"):
        fit(TRAINING[:100], false_positive_rate=0.01)


def test_infinite_numbers_are_refused() -> None:
    rows = TRAINING.copy()
    rows[0, 0] = np.inf
    with pytest.raises(InvalidInput, match="infinite"):
        fit(rows)


def test_too_many_features_are_refused() -> None:
    with pytest.raises(InvalidInput, match=f"at most {MAX_COLUMNS}"):
        fit(np.zeros((200, MAX_COLUMNS + 1), dtype=np.float32))


def test_numbers_beyond_all_measure_do_not_overflow(model: DensityModel) -> None:
    row = np.full((1, 5), np.finfo(np.float32).max, dtype=np.float32)
    assert np.isfinite(score(model, row)[0])


def test_numbers_of_a_skewed_law_are_drawn_together_and_symmetric_ones_stay() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.normal(size=2000), np.exp(2 * rng.normal(size=2000))], axis=1).astype(np.float32)
    columns = fit_columns(rows, ())
    bent = to_points(columns, rows, ())[:, 1].astype(np.float64)
    assert columns.bend[1] > 0
    assert abs((bent**3).mean()) < 0.3
    assert columns.bend[0] == 0 or abs((to_points(columns, rows, ())[:, 0] ** 3).mean()) < 0.1


def test_columns_without_any_value_count_as_zero() -> None:
    rows = np.full((4, 1), np.nan, dtype=np.float32)
    columns = fit_columns(rows, ())
    np.testing.assert_array_equal(to_points(columns, rows, ()), np.zeros((4, 2)))


@pytest.mark.parametrize(("load", "least"), [(load_breast_cancer, 0.95), (load_digits, 0.95)])
def test_on_real_rows_the_rate_holds_and_noise_is_seen(load: object, least: float) -> None:
    data = load().data.astype(np.float32)  # type: ignore[operator]
    rng = np.random.default_rng(1)
    order = rng.permutation(len(data))
    training, rest = data[order[: len(data) * 7 // 10]], data[order[len(data) * 7 // 10 :]]
    fitted = fit(training)
    benign = score(fitted, rest)
    noisy = score(fitted, rest + rng.normal(size=rest.shape) * training.std(axis=0))
    assert (benign > 1).mean() <= 0.03
    assert _auroc(benign, noisy) >= least
