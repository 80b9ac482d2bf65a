"""What the overload test makes of the calls that it has seen."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.load_tests.folders import imported


@pytest.fixture(scope="module")
def overload() -> Iterator[Any]:
    with imported("overload", "compare", names=("overload",)) as modules:
        yield modules["overload"]


SEEN = [
    (0.1, 0.2, "OK"),
    (0.9, 1.3, "OK"),  # answered in the next span
    (1.1, 1.2, "RESOURCE_EXHAUSTED"),
    (1.5, 1.6, "OK"),
    (2.2, 2.3, "DEADLINE_EXCEEDED"),
    (2.5, 2.6, "OK"),
]


def test_goodput_is_what_was_answered_in_time_within_the_span(overload: Any) -> None:
    phase = overload.judge(SEEN, 1.0, 2.0)
    assert (phase.sent_per_s, phase.goodput_per_s, phase.answered_share) == (2.0, 2.0, 0.5)
    assert phase.codes == {"RESOURCE_EXHAUSTED": 1, "OK": 1}
    assert phase.p50_ms == pytest.approx(100)


def test_recovery_ends_with_the_last_call_that_got_no_answer(overload: Any) -> None:
    assert overload.recovered_s(SEEN, 2.0) == pytest.approx(0.2)
    assert overload.recovered_s(SEEN, 2.3) == 0.0


@pytest.mark.parametrize(("goodput", "after", "met"), [(180, 1.0, [True, True]), (100, 0.9, [False, False])])
def test_a_collapse_or_a_low_goodput_is_a_miss(
    overload: Any, goodput: float, after: float, met: list[bool]
) -> None:
    def phase(goodput_per_s: float, answered_share: float) -> Any:
        return overload.Phase(
            sent_per_s=600,
            goodput_per_s=goodput_per_s,
            answered_share=answered_share,
            p50_ms=1,
            p99_ms=2,
            codes={"OK": 1},
        )

    run = overload.Run(
        times=3.0,
        capacity_per_s=190,
        before=phase(95, 1.0),
        overload=phase(goodput, 0.3),
        after=phase(95, after),
        recovered_s=0.5,
        driver_behind={},
    )
    outcome = overload.outcome_of(run)
    assert [it.is_met for it in outcome.figures] == met
    assert any(line.startswith("| overload, 3 times | 600 |") for line in outcome.lines)
