import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import ADWIN

from services.drift_detection.domain.errors_over_time import (
    Detectors,
    ErrorBlock,
    _Adwin,
    change_point,
    concept_verdict,
    performance_verdict,
)

DETECTORS = Detectors(
    adwin_delta=0.002, page_hinkley_delta=0.01, page_hinkley_threshold=0.4, page_hinkley_min_blocks=7
)
ROWS = 48


def blocks(rates: list[float]) -> list[ErrorBlock]:
    return [
        ErrorBlock(labels=1000, errors=round(1000 * rate), start_s=float(i), end_s=i + 1.0)
        for i, rate in enumerate(rates)
    ]


def stream(rng: np.random.Generator, rates: list[float], correlation: float) -> list[ErrorBlock]:
    """Blocks of single errors; neighbours are alike with the given lag-1 correlation."""
    found = []
    for index, rate in enumerate(rates):
        errors = rng.random(ROWS) < rate
        for row in range(1, ROWS):
            errors[row] = errors[row - 1] if rng.random() < correlation else errors[row]
        found.append(ErrorBlock(labels=ROWS, errors=int(errors.sum()), start_s=index, end_s=index + 1))
    return found


def detections(history: list[ErrorBlock]) -> list[int]:
    return [
        end
        for end in range(1, len(history) + 1)
        if concept_verdict(history[:end], detectors=DETECTORS).is_raised
    ]


@pytest.mark.parametrize(("correlation", "at_most"), [(0.0, 2), (0.5, 18)])
def test_a_steady_error_raises_few_alarms_even_when_errors_come_in_runs(
    correlation: float, at_most: int
) -> None:
    """40 streams of 28 blocks (four weeks of Elec2, the longest life of a version) at 20 % error.

    Runs double the variance of a block, and the defaults are tuned to find weak drift early: then
    two in five such streams alarm once. The gate answers for that: a needless training is rejected.
    """
    rng = np.random.default_rng(7)
    streams = [stream(rng, [0.2] * 28, correlation) for _ in range(40)]
    assert sum(bool(detections(s)) for s in streams) <= at_most


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_a_jump_of_the_error_is_found_within_two_weeks(correlation: float) -> None:
    """Of 20 streams, nearly every jump from 20 to 40 % is found in 14 blocks, and not before it."""
    rng = np.random.default_rng(8)
    found = [detections(stream(rng, [0.2] * 14 + [0.4] * 14, correlation)) for _ in range(20)]
    assert sum(any(at > 14 for at in each) for each in found) >= 19


def test_the_evidence_says_from_what_to_what() -> None:
    history = blocks([0.2] * 14 + [0.45] * 7)
    [at] = [end for end in range(1, 22) if concept_verdict(history[:end], detectors=DETECTORS).is_raised][:1]
    verdict = concept_verdict(history[:at], detectors=DETECTORS)
    assert verdict.statistic_name in {"adwin", "page_hinkley"}
    assert verdict.statistic > verdict.clear_below > verdict.threshold
    assert verdict.evidence.startswith("The error rose from ")
    assert verdict.start_s < 15
    assert verdict.end_s == at


def test_adwin_alone_finds_a_rise_and_lets_a_fall_pass() -> None:
    only_adwin = Detectors(
        adwin_delta=0.3, page_hinkley_delta=0.01, page_hinkley_threshold=1e9, page_hinkley_min_blocks=7
    )

    def names(rates: list[float]) -> set[str]:
        history = blocks(rates)
        looks = [concept_verdict(history[:end], detectors=only_adwin) for end in range(1, len(rates) + 1)]
        return {look.statistic_name for look in looks if look.is_raised}

    assert names([0.05] * 20 + [0.95] * 12) == {"adwin"}
    assert names([0.95] * 20 + [0.05] * 12) == set()


@given(st.lists(st.sampled_from([0.0, 0.1, 0.9, 1.0]), min_size=1, max_size=60))
def test_adwin_reports_where_rivers_does(values: list[float]) -> None:
    ours = _Adwin(0.2)
    rivers = ADWIN(delta=0.2, clock=1, min_window_length=3, grace_period=5)  # type: ignore[no-untyped-call]
    for value in values:
        before = 0.0 if rivers.drift_detected else rivers.estimation
        rivers.update(value)  # type: ignore[no-untyped-call]
        assert ours.update(value) == (rivers.drift_detected and rivers.estimation > before)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_change_point_is_where_the_cumulative_sum_is_lowest(values: list[float]) -> None:
    sums = np.concatenate([[0.0], np.cumsum(np.array(values) - np.mean(values))[:-1]])
    assert sums[change_point(values)] == pytest.approx(sums.min(), abs=1e-9)


def test_the_change_point_of_a_step_is_the_step() -> None:
    assert change_point([0.2] * 9 + [0.5] * 4) == 9
    assert change_point([0.5] * 9 + [0.2] * 4) == 0


def test_a_sure_and_large_loss_of_accuracy_is_raised() -> None:
    verdict = performance_verdict(blocks([0.2, 0.22] * 4), blocks([0.3, 0.32] * 4), drop=0.05)
    assert verdict.is_raised
    assert (
        verdict.evidence == "Accuracy over the last 8000 labels is 69.0%, right after promotion it was 79.0%."
    )


@pytest.mark.parametrize(
    ("then", "now"),
    [([0.2, 0.22] * 4, [0.23, 0.25] * 4), ([0.0, 0.4] * 4, [0.1, 0.5] * 4), ([0.3, 0.32], [0.2, 0.22])],
    ids=["sure but small", "large but unsure", "better"],
)
def test_other_differences_are_not(then: list[float], now: list[float]) -> None:
    assert not performance_verdict(blocks(then), blocks(now), drop=0.05).is_raised


def test_performance_of_a_steady_error_seldom_alarms() -> None:
    """300 pairs of seven blocks each with runs of errors."""
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(300):
        both = stream(rng, [0.2] * 14, 0.5)
        alarms += performance_verdict(both[:7], both[7:], drop=0.05).is_raised
    assert alarms <= 300 * 0.02
