from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.gateway.domain.outliers import OutlierPolicy, Outliers, State

POLICY = OutlierPolicy()
ABC = ("a", "b", "c")


class Told:
    """What was told of changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, State, str]] = []

    def __call__(self, target: str, state: State, reason: str) -> None:
        self.changes.append((target, state, reason))


def pool(*targets: str, told: Any = None, policy: OutlierPolicy = POLICY) -> Outliers:
    it = Outliers(policy, told or Told())
    it.sync(targets)
    return it


def fail(it: Outliers, target: str, *, times: int = 1, now_s: float = 0.0, is_gone: bool = False) -> None:
    for _ in range(times):
        it.failed(target, now_s=now_s, is_gone=is_gone, is_probe=False)


def succeed(
    it: Outliers,
    target: str,
    *,
    times: int = 1,
    now_s: float = 0.0,
    latency_s: float = 0.01,
    slowness: float = 1,
) -> None:
    for _ in range(times):
        it.succeeded(target, now_s=now_s, latency_s=latency_s, slowness=slowness, is_probe=False)


def test_failures_in_a_row_eject() -> None:
    told = Told()
    it = pool(*ABC, told=told)
    fail(it, "a", times=4)
    succeed(it, "a")
    fail(it, "a", times=4)
    assert it.active(ABC) == ABC
    fail(it, "a")
    assert it.active(ABC) == ["b", "c"]
    assert told.changes == [("a", State.EJECTED, "consecutive_failures")]


def test_one_that_is_gone_is_ejected_at_once() -> None:
    it = pool(*ABC)
    fail(it, "a", is_gone=True)
    assert it.active(ABC) == ["b", "c"]


def test_the_last_one_is_never_ejected() -> None:
    it = pool("a", "b")
    fail(it, "a", is_gone=True)
    fail(it, "b", is_gone=True, times=20)
    assert it.active(("a", "b")) == ["b"]
    alone = pool("a")
    fail(alone, "a", is_gone=True, times=20)
    assert alone.active(("a",)) == ("a",)


def test_no_more_than_the_share_is_ejected() -> None:
    targets = tuple("abcdefg")
    it = pool(*targets)
    for target in targets:
        fail(it, target, is_gone=True)
    assert it.active(targets) == list("defg")


def test_when_all_that_are_left_are_ejected_they_are_used_all_the_same() -> None:
    it = pool("a", "b")
    fail(it, "a", is_gone=True)
    it.sync(("a",))
    assert it.active(("a",)) == ("a",)
    assert it.state("a") is State.EJECTED


def test_an_ejected_one_is_tried_by_a_single_call_and_returns() -> None:
    told = Told()
    it = pool(*ABC, told=told)
    fail(it, "a", is_gone=True)
    assert it.take_probe(0.9) is None
    assert it.take_probe(1.0) == "a"
    assert it.take_probe(1.1) is None
    assert it.state("a") is State.HALF_OPEN
    assert it.active(ABC) == ["b", "c"]
    it.succeeded("a", now_s=1.2, latency_s=0.01, slowness=1, is_probe=True)
    assert it.active(ABC) == ABC
    assert [state for _, state, _ in told.changes] == [State.EJECTED, State.HALF_OPEN, State.ACTIVE]


def test_ejections_grow_with_each_failed_probe_and_are_forgiven_by_and_by() -> None:
    it = pool(*ABC)
    fail(it, "a", is_gone=True)
    now_s, waits = 0.0, []
    for _ in range(7):
        begin_s = now_s
        while it.take_probe(now_s) is None:
            now_s += 0.5
        waits.append(now_s - begin_s)
        it.failed("a", now_s=now_s, is_gone=True, is_probe=True)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    now_s += 30
    assert it.take_probe(now_s) == "a"
    it.succeeded("a", now_s=now_s, latency_s=0.01, slowness=1, is_probe=True)
    later_s = now_s + 7 * POLICY.forgive_s
    fail(it, "a", now_s=later_s, is_gone=True)
    assert it.take_probe(later_s + 1.9) is None  # 8 ejections less 7: the second
    assert it.take_probe(later_s + 2) == "a"


def test_a_lost_probe_gives_way_to_another() -> None:
    it = pool(*ABC)
    fail(it, "a", is_gone=True)
    assert it.take_probe(1.0) == "a"
    assert it.take_probe(5.9) is None
    assert it.take_probe(6.0) == "a"


def test_a_probe_without_a_verdict_is_followed_by_the_next() -> None:
    it = pool(*ABC)
    fail(it, "a", is_gone=True)
    assert it.take_probe(1.0) == "a"
    it.released("a", now_s=1.1, is_probe=True)
    assert it.take_probe(1.1) == "a"
    it.released("b", now_s=1.2, is_probe=False)
    it.released("gone", now_s=1.2, is_probe=True)
    assert it.take_probe(1.2) is None


def test_calls_from_before_the_ejection_do_not_end_it() -> None:
    it = pool(*ABC)
    fail(it, "a", is_gone=True)
    succeed(it, "a")
    assert it.state("a") is State.EJECTED
    assert it.take_probe(1.0) == "a"
    succeed(it, "a", now_s=1.0)
    fail(it, "a", now_s=1.0, is_gone=True)
    assert it.state("a") is State.HALF_OPEN


def test_answers_of_endpoints_that_left_are_nothing() -> None:
    it = pool(*ABC)
    it.sync(("a",))
    fail(it, "b", is_gone=True)
    succeed(it, "b")
    assert it.active(("a",)) == ("a",)


def interval(it: Outliers, now_s: float, **calls: tuple[int, int, float]) -> None:
    """Failures, successes and latency of each endpoint; the last call ends the interval."""
    for target, (failures, successes, latency_s) in calls.items():
        for _ in range(failures):  # never many in a row
            fail(it, target, now_s=now_s)
            succeed(it, target, now_s=now_s, latency_s=latency_s, slowness=latency_s / 0.01)
        succeed(
            it,
            target,
            times=successes - failures,
            now_s=now_s,
            latency_s=latency_s,
            slowness=latency_s / 0.01,
        )
    succeed(it, next(iter(calls)), now_s=now_s + POLICY.interval_s)


@pytest.mark.parametrize(
    ("a", "ejected"),
    [
        ((20, 30, 0.01), ["a", "success_share"]),  # 60 % of 50
        ((10, 40, 0.01), []),  # 80 %
        ((0, 50, 0.1), ["a", "latency"]),
        ((0, 50, 0.025), []),  # 2.5 times the others
        ((5, 6, 0.5), []),  # too few calls
    ],
)
def test_one_that_does_worse_than_the_median_of_the_others_is_ejected(
    a: tuple[int, int, float], ejected: Sequence[str]
) -> None:
    told = Told()
    it = pool(*ABC, told=told)
    interval(it, 0.0, a=a, b=(0, 50, 0.01), c=(1, 49, 0.01))
    assert [part for target, _, reason in told.changes for part in (target, reason)] == ejected


def test_a_ratio_of_very_short_times_is_noise() -> None:
    told = Told()
    it = pool("a", "b", told=told)
    succeed(it, "a", times=50, latency_s=0.005, slowness=10)
    succeed(it, "b", times=50, latency_s=0.0005, slowness=1)
    succeed(it, "b", now_s=POLICY.interval_s)
    assert told.changes == []


def test_an_endpoint_that_only_fails_has_no_latency_to_compare() -> None:
    told = Told()
    policy = OutlierPolicy(consecutive_failures=100, success_gap=1.0)
    it = pool("a", "b", told=told, policy=policy)
    fail(it, "a", times=30)
    succeed(it, "b", times=30)
    succeed(it, "b", now_s=POLICY.interval_s)
    assert told.changes == []


def test_each_interval_is_counted_anew() -> None:
    told = Told()
    it = pool("a", "b", told=told)
    for start_s in (0.0, 11.0, 22.0):
        interval(it, start_s, a=(0, 15, 0.5), b=(0, 50, 0.01))
    assert told.changes == []


class OutliersMachine(RuleBasedStateMachine):
    """Whatever happens, calls have somewhere to go, and each ejected endpoint has one probe at a time."""

    @initialize(count=st.integers(1, 6))
    def start(self, count: int) -> None:
        self.now_s = 0.0
        self.targets = tuple("abcdef"[:count])
        self.states = dict.fromkeys(self.targets, State.ACTIVE)
        self.probes: dict[str, float] = {}
        self.it = Outliers(OutlierPolicy(consecutive_failures=2), self.note)
        self.it.sync(self.targets)

    def note(self, target: str, state: State, _reason: str) -> None:
        allowed = {
            State.ACTIVE: {State.EJECTED},
            State.EJECTED: {State.HALF_OPEN},
            State.HALF_OPEN: {State.ACTIVE, State.EJECTED},
        }
        assert state in allowed[self.states[target]]
        self.states[target] = state

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(index=st.integers(0, 5), is_gone=st.booleans())
    def fail(self, index: int, is_gone: bool) -> None:
        target = self.targets[index % len(self.targets)]
        self.it.failed(target, now_s=self.now_s, is_gone=is_gone, is_probe=False)

    @rule(index=st.integers(0, 5), latency_s=st.floats(0.001, 1))
    def succeed(self, index: int, latency_s: float) -> None:
        target = self.targets[index % len(self.targets)]
        for _ in range(7):
            self.it.succeeded(
                target, now_s=self.now_s, latency_s=latency_s, slowness=latency_s / 0.01, is_probe=False
            )

    @rule()
    def probe(self) -> None:
        target = self.it.take_probe(self.now_s)
        if target is not None:
            assert self.states[target] is State.HALF_OPEN
            assert self.now_s - self.probes.get(target, -100.0) >= POLICY.probe_timeout_s
            self.probes[target] = self.now_s

    @precondition(lambda self: self.probes)
    @rule(data=st.data(), verdict=st.sampled_from(["good", "bad", "none"]))
    def end_probe(self, data: st.DataObject, verdict: str) -> None:
        target = data.draw(st.sampled_from(sorted(self.probes)))
        del self.probes[target]
        if verdict == "good":
            self.it.succeeded(target, now_s=self.now_s, latency_s=0.01, slowness=1, is_probe=True)
        elif verdict == "bad":
            self.it.failed(target, now_s=self.now_s, is_gone=True, is_probe=True)
        else:
            self.it.released(target, now_s=self.now_s, is_probe=True)

    @precondition(lambda self: len(self.targets) > 1)
    @rule()
    def lose_an_endpoint(self) -> None:
        gone, self.targets = self.targets[-1], self.targets[:-1]
        del self.states[gone]
        self.probes.pop(gone, None)
        self.it.sync(self.targets)

    @invariant()
    def calls_have_somewhere_to_go(self) -> None:
        active = self.it.active(self.targets)
        assert active
        good = [t for t in self.targets if self.states[t] is State.ACTIVE]
        assert list(active) == (good or list(self.targets))
        assert {t: self.it.state(t) for t in self.targets} == self.states


TestOutliersMachine = OutliersMachine.TestCase
TestOutliersMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
