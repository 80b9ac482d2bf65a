"""Covariance against scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.covariance import EmpiricalCovariance, ledoit_wolf
from sklearn.decomposition import PCA

from slipway.stats.covariance import ledoit_wolf_shrinkage, log_likelihood, shrunk_covariance, whiten

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, *, rows: int = 60, columns: int = 7) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns))
    centred: np.ndarray = points - points.mean(axis=0)
    return centred


@given(SEEDS, st.integers(1, 12), st.integers(3, 80))
def test_shrinkage_and_covariance_are_those_of_scikit_learn(seed: int, columns: int, rows: int) -> None:
    points = drawn(seed, rows=rows, columns=columns)
    covariance, shrinkage = ledoit_wolf(points, assume_centered=True)
    if columns > 1:
        assert ledoit_wolf_shrinkage(points) == pytest.approx(shrinkage, abs=1e-6)
    np.testing.assert_allclose(
        shrunk_covariance(points, shrinkage), covariance, rtol=1e-6, atol=1e-9 * np.abs(covariance).max()
    )


def test_what_is_a_multiple_of_the_identity_needs_no_shrinkage() -> None:
    assert ledoit_wolf_shrinkage(np.array([[1.0], [-1.0]])) == 0.0


def test_whitened_points_have_the_identity_as_covariance() -> None:
    points = drawn(1)
    whitening = whiten(shrunk_covariance(points, 0.0), 7)
    white = points @ (whitening.directions / np.sqrt(whitening.variances))
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(7), atol=1e-8)
    assert whitening.rest_variance == 0.0


def test_directions_left_out_share_their_mean_variance() -> None:
    points = drawn(2)
    whitening = whiten(shrunk_covariance(points, 0.0), 3)
    oracle = PCA(n_components=3).fit(points)
    factor = (len(points) - 1) / len(points)
    np.testing.assert_allclose(whitening.variances, oracle.explained_variance_ * factor, rtol=1e-8)
    assert whitening.rest_variance == pytest.approx(oracle.noise_variance_ * factor)


def test_log_likelihood_is_that_of_scikit_learn_but_for_the_constant() -> None:
    points = drawn(3)
    oracle = EmpiricalCovariance(assume_centered=True).fit(points)
    constant = -0.5 * 7 * np.log(2 * np.pi)
    found = log_likelihood(points, shrunk_covariance(points, 0.0))
    assert found + constant == pytest.approx(oracle.score(points))
