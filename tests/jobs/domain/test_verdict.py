from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.verdict import (
    Again,
    End,
    Failed,
    Trial,
    Unanswered,
    delay_s,
    judge,
    prediction_id_of,
)
from slipway.ids import new_id

TRIAL = Trial(
    job_id="01999999-9999-7000-8000-000000000001", tries=1, attempt=0, arm_failures=0, expires_at_s=1000.0
)


def verdict(trial: Trial, failure: Failed | Unanswered, now_s: float = 0.0) -> Again | End:
    return judge(trial, failure, now_s=now_s, max_arm_failures=3)


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_what_may_pass_is_tried_again_as_another_prediction(code: str) -> None:
    again = verdict(TRIAL, Failed(code=code, message="later"))
    assert isinstance(again, Again)
    assert (again.attempt, again.arm_failures) == (1, 0)
    assert 0.125 <= again.due_at_s <= 0.25


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNAUTHENTICATED"])
def test_what_is_open_is_tried_again_as_the_same_prediction(code: str) -> None:
    again = verdict(TRIAL, Unanswered(code=code, message="cut"))
    assert isinstance(again, Again)
    assert (again.attempt, again.arm_failures) == (0, 0)


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"])
def test_what_will_not_change_ends_it(code: str) -> None:
    assert verdict(TRIAL, Failed(code=code, message="no")) == End(state="FAILED", code=code, message="no")


def test_a_version_may_fail_a_few_times() -> None:
    failure = Failed(code="INTERNAL", message="broken")
    first = verdict(TRIAL, failure)
    assert isinstance(first, Again)
    assert (first.attempt, first.arm_failures) == (1, 1)
    second = verdict(replace(TRIAL, tries=5, attempt=4, arm_failures=1), failure)
    assert isinstance(second, Again)
    last = verdict(replace(TRIAL, tries=6, attempt=5, arm_failures=2), failure)
    assert last == End(state="FAILED", code="INTERNAL", message="broken")


def test_earlier_failures_of_the_version_do_not_excuse_a_refusal_for_good() -> None:
    trial = replace(TRIAL, arm_failures=1)
    assert isinstance(verdict(trial, Failed(code="INVALID_ARGUMENT", message="no")), End)


def test_what_would_come_after_the_expiry_does_not_come() -> None:
    end = verdict(TRIAL, Unanswered(code="UNAVAILABLE", message="cut"), now_s=999.95)
    assert isinstance(end, End)
    assert (end.state, end.code) == ("EXPIRED", "UNAVAILABLE")
    assert "after 1 tries; the last one: cut" in end.message


def test_only_an_overload_slows_down() -> None:
    assert Failed(code="RESOURCE_EXHAUSTED", message="").is_overload
    assert not Failed(code="UNAVAILABLE", message="").is_overload


@given(st.integers(1, 10_000))
def test_pauses_grow_and_are_bounded(tries: int) -> None:
    longest = min(60.0, 0.25 * 2 ** min(tries - 1, 20))
    assert longest / 2 <= delay_s("job", tries) <= longest


def test_pauses_of_many_jobs_are_spread() -> None:
    assert len({delay_s(f"job {n}", 20) for n in range(100)}) > 90


def test_prediction_ids_repeat_for_an_attempt_and_differ_between_attempts() -> None:
    job_id = new_id()
    first, second = prediction_id_of(job_id, 0), prediction_id_of(job_id, 1)
    assert first == prediction_id_of(job_id, 0)
    assert len({job_id, first, second, prediction_id_of(new_id(), 0)}) == 4
    for text in (first, second):
        assert UUID(text).version == 7
        assert UUID(text).int >> 80 == UUID(job_id).int >> 80
