"""Prediction sets: by their definition, and by what they cover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from slipway.stats.conformal import (
    MAX_SCORES,
    absolute_residuals,
    aps_scores,
    lac_scores,
    limit,
    of_truth,
    thinned,
)


def test_lac_is_one_minus_the_probability() -> None:
    np.testing.assert_allclose(lac_scores(np.array([[0.7, 0.3]])), [[0.3, 0.7]])


def test_aps_adds_up_what_is_likelier_and_a_drawn_part() -> None:
    found = aps_scores(np.array([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]), np.array([0.5, 0.0]))
    np.testing.assert_allclose(found, [[0.9, 0.25, 0.65], [0.0, 0.9, 0.6]])


def test_the_limit_is_a_quantile_with_a_correction_for_few_rows() -> None:
    scores = np.arange(1.0, 10.0)
    assert limit(scores, 0.5) == 5.0
    assert limit(scores, 0.9) == 9.0
    assert limit(scores, 0.91) == np.inf


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_the_limit_is_the_first_score_that_leaves_enough_below(count: int, coverage: float) -> None:
    scores = np.sort(np.random.default_rng(count).random(count))
    enough = [s for s in scores if (scores <= s).sum() >= (count + 1) * coverage - 1e-9]
    assert limit(scores, coverage) == (enough[0] if enough else np.inf)


def test_of_many_scores_few_are_kept_and_the_quantiles_stay() -> None:
    scores = np.random.default_rng(0).random(50_000)
    kept = thinned(scores)
    assert len(kept) == MAX_SCORES
    assert limit(kept, 0.9) == pytest.approx(np.quantile(scores, 0.9), abs=2e-3)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.9, 0.95]))
def test_sets_cover_as_promised_whatever_the_probabilities_are_worth(seed: int, coverage: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4), size=6000)
    truth = rng.integers(0, 4, size=6000)
    draws = rng.random(6000)
    for scores in (lac_scores(probabilities), aps_scores(probabilities, draws)):
        q = limit(of_truth(scores[:2000], truth[:2000]), coverage)
        covered = (scores[2000:] <= q)[np.arange(4000), truth[2000:]].mean()
        assert covered == pytest.approx(coverage, abs=5 * (coverage * (1 - coverage) / 1300) ** 0.5)


def _mean_coverage(scores: np.ndarray, truth: np.ndarray, coverage: float) -> float:
    """Over splits of the held-out rows: one split of a few hundred rows says little."""
    rng, found = np.random.default_rng(0), []
    for _ in range(100):
        order = rng.permutation(len(truth))
        half = len(order) // 2
        calibration, test = order[:half], order[half:]
        q = limit(of_truth(scores[calibration], truth[calibration]), coverage)
        found.append((scores[test] <= q)[np.arange(len(test)), truth[test]].mean())
    return float(np.mean(found))


@pytest.mark.parametrize("load", [load_digits, load_breast_cancer])
@pytest.mark.parametrize("kind", ["forest", "logistic"])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_is_within_one_point_on_real_rows(load: object, kind: str, coverage: float) -> None:
    data = load()  # type: ignore[operator]
    order = np.random.default_rng(1).permutation(len(data.target))
    training, held_out = order[: len(order) // 2], order[len(order) // 2 :]
    model = (
        RandomForestClassifier(30, min_samples_leaf=3, random_state=0)
        if kind == "forest"
        else make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    )
    probabilities = model.fit(data.data[training], data.target[training]).predict_proba(data.data[held_out])
    truth = data.target[held_out]
    # Ties of a small forest's probabilities can only add to the coverage.
    jitter = np.random.default_rng(2).random(probabilities.shape) * 1e-6
    assert _mean_coverage(lac_scores(probabilities) + jitter, truth, coverage) == pytest.approx(
        coverage, abs=0.01
    )
    draws = np.random.default_rng(3).random(len(truth))
    assert _mean_coverage(aps_scores(probabilities, draws), truth, coverage) == pytest.approx(
        coverage, abs=0.01
    )


def test_intervals_cover_as_promised_on_real_rows() -> None:
    data = load_diabetes()
    order = np.random.default_rng(1).permutation(len(data.target))
    training, held_out = order[:150], order[150:]
    model = LinearRegression().fit(data.data[training], data.target[training])
    predicted, truth = model.predict(data.data[held_out]), data.target[held_out]
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        mixed = rng.permutation(len(truth))
        calibration, test = mixed[:146], mixed[146:]
        q = limit(absolute_residuals(predicted[calibration], truth[calibration]), 0.9)
        found.append((np.abs(predicted[test] - truth[test]) <= q).mean())
    assert np.mean(found) == pytest.approx(0.9, abs=0.01)
