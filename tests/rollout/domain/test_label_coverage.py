from math import comb, exp, log

import pytest

from services.rollout.domain.label_coverage import (
    MAX_OPEN,
    ArmCoverage,
    Coverage,
    add_labelled,
    add_served,
    begin,
    close_matured,
    is_matured,
    of_horizon,
)
from slipway.errors import InvalidInput


def served(
    coverage: Coverage, *, at_s: float, canary: tuple[int, int], champion: tuple[int, int]
) -> Coverage:
    """Requests and labels per arm, at a share of a half."""
    for is_canary, (requests, labels) in ((True, canary), (False, champion)):
        for i in range(requests):
            coverage = add_served(coverage, at_s, is_canary=is_canary, share=0.5)
            if i < labels:
                coverage = add_labelled(coverage, at_s, is_canary=is_canary, share=0.5)
    return coverage


def test_a_request_is_matured_at_the_horizon() -> None:
    assert not is_matured(100.0, now_s=159.9, horizon_s=60.0)
    assert is_matured(100.0, now_s=160.0, horizon_s=60.0)


def test_young_requests_count_for_no_arm() -> None:
    coverage = served(begin(width_s=10, horizon_s=60), at_s=5, canary=(4, 4), champion=(4, 1))
    assert close_matured(coverage, now_s=69.9).canary.served == 0
    closed = close_matured(coverage, now_s=70.0)
    assert (closed.canary.share, closed.champion.share, closed.gap) == (1.0, 0.25, 0.75)
    assert closed.open == ()


def test_each_cohort_is_judged_once() -> None:
    coverage = served(begin(width_s=10, horizon_s=0), at_s=5, canary=(4, 4), champion=(4, 4))
    closed = close_matured(coverage, now_s=100)
    assert close_matured(closed, now_s=200) == closed


def test_a_label_after_its_cohort_was_closed_changes_nothing() -> None:
    coverage = close_matured(
        served(begin(width_s=10, horizon_s=0), at_s=5, canary=(2, 0), champion=(2, 2)), now_s=100
    )
    assert add_labelled(coverage, 5, is_canary=True, share=0.5) == coverage


def test_open_cohorts_are_bounded() -> None:
    coverage = begin(width_s=1, horizon_s=100)
    for at_s in range(MAX_OPEN + 5):
        coverage = add_served(coverage, at_s, is_canary=True, share=0.5)
    assert [c.index for c in coverage.open] == list(range(MAX_OPEN))
    assert add_served(coverage, 0, is_canary=True, share=0.5, requests=3).open[0].canary.served == 4


def test_nothing_matured_is_no_evidence() -> None:
    coverage = begin(width_s=10, horizon_s=60)
    assert (coverage.log_e_value, coverage.gap) == (0.0, 0.0)


def test_labels_lost_alike_give_no_evidence_on_average() -> None:
    """Of six missing labels each falls on the canary with its share, 0.5 here."""
    expected = 0.0
    for lost in range(7):
        coverage = served(begin(width_s=10, horizon_s=0), at_s=5, canary=(6, 6 - lost), champion=(6, lost))
        closed = close_matured(coverage, now_s=100)
        terms = closed.log_missing
        expected += comb(6, lost) / 2**6 * sum(exp(x) for x in terms) / len(terms)
    assert expected == pytest.approx(1.0)


def test_labels_lost_on_one_arm_are_found() -> None:
    coverage = served(begin(width_s=10, horizon_s=0), at_s=5, canary=(200, 140), champion=(200, 195))
    assert close_matured(coverage, now_s=100).log_e_value > log(1000)


def test_without_another_arm_there_is_nothing_to_compare() -> None:
    coverage = add_served(begin(width_s=10, horizon_s=0), 5, is_canary=True, share=1.0)
    closed = close_matured(coverage, now_s=100)
    assert (closed.canary.served, closed.log_e_value) == (1, 0.0)


@pytest.mark.parametrize(("width_s", "horizon_s"), [(0, 60), (-1, 60), (10, -1), (1, 101)])
def test_refuses_times_that_are_none(width_s: float, horizon_s: float) -> None:
    with pytest.raises(InvalidInput, match="horizon"):
        begin(width_s=width_s, horizon_s=horizon_s)


def test_a_label_may_be_read_before_its_request() -> None:
    coverage = add_labelled(begin(width_s=10, horizon_s=0), 5, is_canary=True, share=0.5)
    coverage = add_served(coverage, 5, is_canary=True, share=0.5)
    assert close_matured(coverage, now_s=100).canary == ArmCoverage(served=1, labelled=1)


def test_labels_of_requests_that_were_never_seen_do_not_count() -> None:
    coverage = add_labelled(begin(width_s=10, horizon_s=0), 5, is_canary=True, share=0.5, labels=3)
    assert close_matured(coverage, now_s=100).canary == ArmCoverage()


def test_requests_that_are_read_too_late_count_for_no_arm() -> None:
    coverage = served(begin(width_s=10, horizon_s=0), at_s=25, canary=(1, 1), champion=(1, 1))
    closed = close_matured(coverage, now_s=100)
    assert add_served(closed, 5, is_canary=True, share=0.5) is closed


def test_the_finest_cohorts_of_a_horizon() -> None:
    assert of_horizon(3600.0).width_s == pytest.approx(36.0)
