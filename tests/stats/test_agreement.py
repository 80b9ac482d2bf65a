"""The agreement with neighbours: against the published formula, and by what it promises."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from slipway.errors import InvalidInput
from slipway.stats import agreement_fit, density
from slipway.stats.agreement import (
    MAX_NUMBERS,
    MAX_REFERENCES,
    AgreementModel,
    decoded,
    encoded,
    model_of,
    raw_scores,
    score,
    together,
)
from slipway.stats.columns import to_points
from slipway.stats.density_score import DensityModel

RATE = 0.05
RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(900, 2)).astype(np.float32)


def answers(rows: np.ndarray) -> np.ndarray:
    """The version: three stripes."""
    codes: np.ndarray = np.digitize(rows[:, 0], [-0.5, 0.5]).astype(np.int64)
    return codes


def fitted(rows: np.ndarray, codes: np.ndarray, *, classes: int = 3) -> tuple[DensityModel, AgreementModel]:
    alone = density.fit(rows, false_positive_rate=RATE)
    apart = density.apart(len(rows), false_positive_rate=RATE)
    return alone, agreement_fit.fit(alone, rows, codes=codes, classes=classes, rows=apart)


@pytest.fixture(scope="module")
def models() -> tuple[DensityModel, AgreementModel]:
    return fitted(ROWS, answers(ROWS))


def test_it_is_the_trust_score_turned_and_bounded(models: tuple[DensityModel, AgreementModel]) -> None:
    alone, model = models
    rows = ROWS[:50] + 0.1
    codes = answers(rows)
    points = to_points(alone.columns, rows, ())
    units = (points - model.low) * model.weights
    of_class = np.repeat(np.arange(3), model.counts)
    for row, (unit, code) in enumerate(zip(units, codes, strict=True)):
        own, other = (
            NearestNeighbors(n_neighbors=1).fit(model.references[chosen]).kneighbors(unit[None])[0][0, 0]
            for chosen in (of_class == code, of_class != code)
        )
        assert raw_scores(model, points, codes)[row] == pytest.approx(1 / (1 + other / own), abs=0.02)


def test_an_answer_that_flipped_among_its_neighbours_is_suspicious(
    models: tuple[DensityModel, AgreementModel],
) -> None:
    alone, model = together(*models, RATE)
    points = to_points(alone.columns, np.zeros((1, 2), dtype=np.float32), ())
    assert score(model, points, np.array([0]))[0] > 1 > score(model, points, np.array([1]))[0]


def test_the_rate_is_that_of_both_together(models: tuple[DensityModel, AgreementModel]) -> None:
    alone, model = together(*models, RATE)
    fresh = np.random.default_rng(1).normal(size=(4000, 2)).astype(np.float32)
    strange = score(model, to_points(alone.columns, fresh, ()), answers(fresh))
    is_called = (density.score(alone, fresh) > 1) | (strange > 1)
    assert RATE / 4 < is_called.mean() < RATE + 4 * (RATE / 360) ** 0.5


def test_calibration_stands_in_the_order_of_the_densitys(models: tuple[DensityModel, AgreementModel]) -> None:
    alone, model = models
    held = density.apart(len(ROWS), false_positive_rate=RATE).held_out
    furthest = held[density.score(alone, ROWS[held]).argmax()]
    found = raw_scores(model, to_points(alone.columns, ROWS[[furthest]], ()), answers(ROWS[[furthest]]))
    assert model.calibration[-1] == pytest.approx(found[0], rel=1e-3)


def test_an_answer_that_no_training_row_got_is_as_strange_as_can_be() -> None:
    alone, model = fitted(ROWS, answers(ROWS), classes=4)
    points = to_points(alone.columns, ROWS[:2], ())
    found = raw_scores(model, points, np.array([3, answers(ROWS[1:2])[0]]))
    assert found[0] == 1
    assert found[1] < 0.5


def test_where_all_answers_are_the_same_none_is_strange() -> None:
    _, model = fitted(ROWS, np.zeros(900, dtype=np.int64))
    assert not model.calibration.any()
    assert together(*fitted(ROWS, np.zeros(900, dtype=np.int64)), RATE)[1].threshold > 0


def test_a_rare_class_keeps_its_rows_and_the_bounds_hold() -> None:
    rows = RNG.normal(size=(5000, 2)).astype(np.float32)
    codes = np.zeros(5000, dtype=np.int64)
    codes[:20] = 1
    _, model = fitted(rows, codes, classes=2)
    learned = density.apart(5000, false_positive_rate=RATE).learned
    assert model.counts.tolist() == [MAX_REFERENCES - (learned < 20).sum(), (learned < 20).sum()]
    wide = RNG.normal(size=(400, 300)).astype(np.float32)
    _, of_wide = fitted(wide, RNG.integers(0, 2, 400), classes=2)
    assert of_wide.references.size <= MAX_NUMBERS


def test_a_constant_column_does_not_count() -> None:
    rows = np.column_stack([ROWS, np.ones(900, dtype=np.float32)])
    alone, model = fitted(rows, answers(ROWS))
    moved = rows[:5] + np.array([0, 0, 3], dtype=np.float32)
    same, other = (to_points(alone.columns, each, ()) for each in (rows[:5], moved))
    np.testing.assert_allclose(
        raw_scores(model, same, answers(rows[:5])), raw_scores(model, other, answers(rows[:5])), atol=1e-5
    )


def test_references_come_back_from_their_bytes(models: tuple[DensityModel, AgreementModel]) -> None:
    _, model = models
    np.testing.assert_array_equal(decoded(encoded(model.references)), model.references)
    again = model_of(
        low=model.low,
        weights=model.weights,
        references=model.references,
        counts=model.counts,
        calibration=model.calibration,
    )
    np.testing.assert_array_equal(again.starts, model.starts)


def test_too_few_rows_for_the_rate_are_an_error(models: tuple[DensityModel, AgreementModel]) -> None:
    alone, model = models
    few = replace(alone, calibration=alone.calibration[:50])
    with pytest.raises(InvalidInput, match="50 held-out rows"):
        together(few, replace(model, calibration=model.calibration[:50]), 0.01)
