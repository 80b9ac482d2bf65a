"""The policy of a lane through minutes of overload, simulated."""

from dataclasses import dataclass
from random import Random

import pytest

from services.gateway.domain.lane_policy import LanePolicy
from services.gateway.domain.priorities import DEFAULT
from tests.gateway.domain.lane_simulation import Caller, Cost, Simulation, Stream, contract

USUAL = contract("timeout_ms: 2000")
CAPACITY = 200.0  # rows per second at five milliseconds each


def noisy(per_row_s: float, per_call_s: float, *, spread: float = 0.15) -> Cost:
    rng = Random(5)
    return lambda rows, _now_s: (per_row_s * rows + per_call_s) * rng.lognormvariate(0, spread)


FIVE_MS = (0.005, 0.0005)


def test_goodput_stays_at_capacity_under_three_times_the_load_and_nothing_is_left_of_it_afterwards() -> None:
    it = Simulation(contract=USUAL, cost=noisy(*FIVE_MS))
    after = Stream(per_s=0.5 * CAPACITY, start_s=30, end_s=45)
    outcome = it.run(Stream(per_s=3 * CAPACITY, start_s=0, end_s=30), after)
    assert outcome.rate(0, 30) >= 0.9 * CAPACITY
    assert outcome.late < 0.01 * len(outcome.answers)
    latencies_s = outcome.latencies_s(15, 30)
    assert latencies_s[len(latencies_s) // 2] < 0.75
    assert outcome.refusals(32, 45) == 0
    assert outcome.latencies_s(35, 45)[-1] < 0.2
    assert it.policy.in_flight == 0


@pytest.mark.parametrize("within_s", [0.1, 0.5])
def test_callers_with_little_time_cost_little_of_the_rate(within_s: float) -> None:
    it = Simulation(contract=USUAL, cost=noisy(*FIVE_MS))
    outcome = it.run(Stream(per_s=3 * CAPACITY, start_s=0, end_s=20, within_s=within_s))
    assert outcome.rate(0, 20) >= 0.9 * CAPACITY


@pytest.mark.parametrize(("per_row_s", "per_call_s"), [(0.00005, 0.010), (0.0001, 0.001)])
def test_a_version_that_needs_large_calls_gets_them_under_overload(
    per_row_s: float, per_call_s: float
) -> None:
    most = 256 / (256 * per_row_s + per_call_s)
    for within_ms in (50, 2000):
        it = Simulation(contract=contract(f"timeout_ms: {within_ms}"), cost=noisy(per_row_s, per_call_s))
        outcome = it.run(Stream(per_s=3 * most, start_s=0, end_s=2, within_s=within_ms / 1000))
        assert outcome.rate(0.5, 2) >= 0.75 * most, within_ms


def test_below_capacity_nobody_is_refused_however_many_come_together() -> None:
    it = Simulation(contract=USUAL, cost=noisy(0.0001, 0.001))
    outcome = it.run(Stream(per_s=7500, start_s=0, end_s=2))
    assert (outcome.refusals(0, 2), outcome.late, outcome.unsent) == (0, 0, 0)


def test_several_slots_share_the_load() -> None:
    it = Simulation(contract=USUAL, cost=noisy(*FIVE_MS), slots=4)
    outcome = it.run(Stream(per_s=12 * CAPACITY, start_s=0, end_s=8))
    assert outcome.rate(0, 8) >= 0.9 * 4 * CAPACITY


def test_a_version_that_is_slow_for_a_while_is_used_fully_again() -> None:
    steady = noisy(*FIVE_MS)
    it = Simulation(contract=USUAL, cost=lambda rows, s: steady(rows, s) * (4 if 20 <= s < 40 else 1))
    outcome = it.run(Stream(per_s=0.75 * CAPACITY, start_s=0, end_s=60))
    assert outcome.rate(25, 40) >= 0.8 * CAPACITY / 4
    assert outcome.refusals(45, 60) == 0
    assert outcome.rate(45, 60) >= 0.7 * CAPACITY


def test_the_urgent_are_answered_before_all_others_who_still_get_the_rest() -> None:
    it = Simulation(contract=USUAL, cost=noisy(*FIVE_MS))
    levels = {1: 0.5, 2: 1.0, 3: 1.0}
    outcome = it.run(
        *(Stream(per_s=share * CAPACITY, start_s=0, end_s=30, level=p) for p, share in levels.items())
    )
    rates = [outcome.rate(10, 30, level=level) for level in levels]
    assert rates[0] >= 0.95 * 0.5 * CAPACITY
    assert rates[0] > rates[1] > rates[2] > 0
    assert sum(rates) >= 0.9 * CAPACITY
    medians = [s[len(s) // 2] for s in (outcome.latencies_s(10, 30, level=p) for p in levels)]
    assert medians[0] < medians[1]


def caller(now_s: float, within_s: float = 30.0) -> Caller:
    return Caller(rows=1, level=2, queued_s=now_s, deadline_s=now_s + within_s)


def test_what_is_known_of_an_idle_version_is_believed_for_a_second_only() -> None:
    policy: LanePolicy[Caller] = LanePolicy()
    now_s = 0.0
    for _ in range(10):
        policy.queue(caller(now_s))
        call, _ = policy.start(USUAL, now_s)
        assert call is not None
        now_s += 5.0
        policy.given_up(call, now_s=now_s)
        policy.end(call, now_s=now_s)
    policy.queue(caller(now_s, within_s=1.0))
    assert [len(late) for late in policy.start(USUAL, now_s)[1:]] == [1]
    now_s += 1.1
    policy.queue(caller(now_s, within_s=1.0))
    call, late = policy.start(USUAL, now_s)
    assert call is not None
    assert late == []


def test_who_leaves_gives_the_place_back_once() -> None:
    policy: LanePolicy[Caller] = LanePolicy()
    first, second = caller(0.0), caller(0.0)
    policy.queue(first)
    policy.queue(second)
    assert policy.in_flight == 2
    policy.leave(first)
    policy.leave(first)
    call, _ = policy.start(USUAL, 0.0)
    assert call is not None
    assert list(call.members) == [second]
    policy.leave(second)
    assert policy.in_flight == 1
    policy.end(call, now_s=0.0)
    assert policy.in_flight == 0


@dataclass(slots=True, eq=False)
class Waiting:
    """A request of one row."""

    queued_s: float
    deadline_s: float
    rows: int = 1
    size_bytes: int = 4
    level: int = DEFAULT


def used(company: int) -> LanePolicy[Waiting]:
    """A lane that has sent calls of one row and of `company`, 9 ms and 0.1 ms a row; the time is 1.0."""
    policy: LanePolicy[Waiting] = LanePolicy()
    for number in range(50):
        now_s, rows = number * 0.02, company if number % 3 else 1
        for _ in range(rows):
            policy.queue(Waiting(queued_s=now_s, deadline_s=now_s + 2))
        call, _ = policy.start(USUAL, now_s)
        assert call is not None
        policy.answered(USUAL, call, now_s=now_s + 0.009 + 0.0001 * rows, slots=1)
        policy.end(call, now_s=now_s + 0.01)
    return policy


def test_a_call_waits_for_company_as_long_as_it_will_take() -> None:
    policy = used(4)
    policy.queue(Waiting(queued_s=1.0, deadline_s=3.0))
    assert policy.gathers(USUAL, 1.0)
    policy.queue(Waiting(queued_s=1.001, deadline_s=3.0))
    assert policy.gathers(USUAL, 1.001)
    assert not policy.gathers(USUAL, 1.02)


def test_a_caller_alone_never_waits() -> None:
    policy = used(1)
    policy.queue(Waiting(queued_s=1.0, deadline_s=3.0))
    assert not policy.gathers(USUAL, 1.0)


def test_a_request_waits_a_quarter_of_its_time_at_most() -> None:
    policy = used(4)
    policy.queue(Waiting(queued_s=1.0, deadline_s=1.004))
    assert policy.gathers(USUAL, 1.0)
    policy.queue(Waiting(queued_s=1.0011, deadline_s=3.0))
    assert not policy.gathers(USUAL, 1.0011)


def test_a_call_that_is_large_enough_starts() -> None:
    policy = used(4)
    for _ in range(USUAL.max_batch_rows):
        policy.queue(Waiting(queued_s=1.0, deadline_s=3.0))
    assert not policy.gathers(USUAL, 1.0)
