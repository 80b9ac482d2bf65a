import numpy as np
import pytest
from scipy.stats import shapiro

from services.query_watch.domain.spacing import (
    FEWEST_DISTANCES,
    MOST_DISTANCES,
    MOST_KEPT,
    Kept,
    Spacing,
    normality,
    novelty,
    remember,
)


def point(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_the_first_question_is_far_from_everything() -> None:
    seen = novelty(Kept(), point(1, 2), 0)
    assert (seen.nearest, seen.nearest_alike, seen.changed, seen.is_repeat) == (np.inf, np.inf, 2, False)


def test_a_question_is_measured_against_the_nearest_and_against_those_with_its_answer() -> None:
    spacing = remember(Spacing(), point(0, 0), answer=0, nearest_alike=np.inf)
    spacing = remember(spacing, point(6, 8), answer=1, nearest_alike=np.inf)
    seen = novelty(spacing.kept, point(0, 3), 1)
    assert (seen.nearest, seen.changed) == (3.0, 1)
    assert seen.nearest_alike == pytest.approx(np.hypot(6, 5))
    assert novelty(spacing.kept, point(6, 8), 0).is_repeat
    assert novelty(spacing.kept, point(6, 8), 7).nearest_alike == np.inf


def test_what_is_remembered_is_bounded_and_the_latest_stays() -> None:
    spacing = Spacing()
    for at in range(MOST_DISTANCES + 10):
        spacing = remember(spacing, point(at, 0), answer=0, nearest_alike=float(at))
    assert len(spacing.kept.points) == len(spacing.kept.answers) == MOST_KEPT
    assert (len(spacing.recent), spacing.recent[-1]) == (MOST_DISTANCES, MOST_DISTANCES + 9)
    assert spacing.kept.points[-1, 0] == MOST_DISTANCES + 9
    wide = remember(Spacing(), np.zeros(10_000, dtype=np.float32), answer=0, nearest_alike=np.inf)
    assert wide.recent == ()


def test_normality_is_that_of_shapiro_and_wilk() -> None:
    rng = np.random.default_rng(1)
    for values in (rng.normal(size=200), rng.uniform(size=200), rng.exponential(size=200)):
        expected = shapiro(values[np.abs(values - values.mean()) <= 3 * values.std()]).statistic
        assert normality(tuple(np.exp(values))) == pytest.approx(expected, abs=0.02)


def test_normality_needs_distances_and_a_constant_is_not_normal() -> None:
    assert normality((1.0,) * (FEWEST_DISTANCES - 1)) is None
    assert normality((1.0,) * FEWEST_DISTANCES) == 0.0


@pytest.mark.parametrize(
    ("asked", "is_in_line"),
    [
        ((2, 2, 2), True),
        ((0.5, 0.5, 0.5), True),
        ((-9, -9, -9), True),
        ((1, 1, 0), False),
        ((2, 2, 2.3), False),
    ],
)
def test_a_question_on_the_line_of_the_two_nearest_is_in_line(
    asked: tuple[float, ...], is_in_line: bool
) -> None:
    spacing = remember(Spacing(), point(0, 0, 0), answer=0, nearest_alike=np.inf)
    spacing = remember(spacing, point(1, 1, 1), answer=0, nearest_alike=np.inf)
    spacing = remember(spacing, point(50, 0, 0), answer=0, nearest_alike=np.inf)
    assert novelty(spacing.kept, point(*asked), 0).is_in_line is is_in_line


def test_one_question_one_feature_and_a_repeat_make_no_line() -> None:
    one = remember(Spacing(), point(0, 0), answer=0, nearest_alike=np.inf)
    assert not novelty(one.kept, point(1, 1), 0).is_in_line
    assert not novelty(
        remember(one, point(1, 1), answer=0, nearest_alike=1.0).kept, point(1, 1), 0
    ).is_in_line
    narrow = remember(Spacing(), point(0), answer=0, nearest_alike=np.inf)
    narrow = remember(narrow, point(1), answer=0, nearest_alike=1.0)
    assert not novelty(narrow.kept, point(2), 0).is_in_line
