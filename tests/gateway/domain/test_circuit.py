import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from services.gateway.domain.circuit import CALL, Circuit, CircuitPolicy, State

POLICY = CircuitPolicy()


def circuit(states: list[State] | None = None, policy: CircuitPolicy = POLICY) -> Circuit:
    seen: list[State] = [] if states is None else states
    return Circuit(policy, seen.append)


def count(it: Circuit, now_s: float, *, good: int = 0, bad: int = 0) -> None:
    for _ in range(good):
        it.succeeded(CALL, now_s=now_s)
    for _ in range(bad):
        it.failed(CALL, now_s=now_s)


def opened(states: list[State] | None = None) -> Circuit:
    it = circuit(states)
    count(it, 0.0, bad=20)
    assert it.state is State.OPEN
    return it


def test_a_share_of_failures_opens_it() -> None:
    it = circuit()
    count(it, 0.0, good=11, bad=10)
    assert it.is_closed
    count(it, 0.0, bad=1)
    assert it.state is State.OPEN
    assert it.admit(1.0) is None


def test_few_calls_say_nothing() -> None:
    it = circuit()
    count(it, 0.0, bad=19)
    assert it.admit(0.0) == CALL


def test_calls_older_than_the_window_do_not_count() -> None:
    it = circuit()
    count(it, 0.0, bad=19)
    count(it, 10.0, bad=19)
    assert it.is_closed
    count(it, 19.9, bad=1)  # 10 to 19 are the last ten seconds
    assert it.state is State.OPEN


def test_failures_whose_cause_is_gone_do_not_count() -> None:
    it = circuit()
    count(it, 0.0, bad=19)
    it.forgive()
    count(it, 0.0, bad=19)
    assert it.is_closed
    count(it, 0.0, bad=1)
    assert it.state is State.OPEN


def test_it_says_when_it_is_tried_again() -> None:
    it = opened()
    assert it.is_refusing(1.5)
    assert it.retry_after_s(1.5) == 0.5
    assert not it.is_refusing(2.0)
    assert it.retry_after_s(3.0) == 0


def test_one_probe_closes_it() -> None:
    states: list[State] = []
    it = opened(states)
    probe = it.admit(2.0)
    assert probe
    assert it.admit(2.1) is None
    it.succeeded(probe, now_s=2.2)
    assert it.admit(2.3) == CALL
    assert states == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    count(it, 2.3, bad=19)  # what was before does not count again
    assert it.is_closed


def test_a_failed_probe_opens_it_for_longer() -> None:
    it = opened()
    now_s, waits = 0.0, []
    for _ in range(6):
        waits.append(it.retry_after_s(now_s))
        now_s += waits[-1]
        probe = it.admit(now_s)
        assert probe
        it.failed(probe, now_s=now_s)
    assert waits == [2, 4, 8, 16, 30, 30]


def test_after_it_closed_the_next_time_is_short_again() -> None:
    it = opened()
    for now_s, verdict in ((2.0, it.failed), (6.0, it.succeeded)):
        probe = it.admit(now_s)
        assert probe
        verdict(probe, now_s=now_s)
    count(it, 7.0, bad=20)
    assert it.retry_after_s(7.0) == POLICY.open_s


def test_a_lost_probe_gives_way_to_another_and_its_late_failure_is_nothing() -> None:
    it = opened()
    lost = it.admit(2.0)
    assert lost
    assert it.admit(6.9) is None
    second = it.admit(7.0)
    assert second
    it.failed(lost, now_s=7.1)
    assert it.state is State.HALF_OPEN
    it.succeeded(lost, now_s=7.2)  # but a late answer is an answer
    assert it.is_closed
    it.failed(second, now_s=7.3)
    assert it.is_closed


def test_an_answer_to_a_probe_that_others_have_followed_in_vain_does_not_close_it() -> None:
    it = opened()
    lost, second = it.admit(2.0), it.admit(7.0)
    assert lost
    assert second
    it.failed(second, now_s=7.1)
    it.succeeded(lost, now_s=7.2)
    assert it.state is State.OPEN


def test_a_probe_without_a_verdict_is_followed_by_the_next() -> None:
    it = opened()
    probe = it.admit(2.0)
    assert probe
    it.released(probe, now_s=2.1)
    assert it.admit(2.1)
    it.released(CALL, now_s=2.2)
    assert it.admit(2.2) is None


def test_calls_from_before_it_opened_change_nothing() -> None:
    it = opened()
    count(it, 1.0, good=100, bad=1)
    assert it.state is State.OPEN
    assert it.retry_after_s(1.0) == 1.0


def test_a_change_is_worth_a_try_at_once() -> None:
    it = opened()
    it.retry_now(0.5)
    probe = it.admit(0.5)
    assert probe
    it.retry_now(0.6)  # one probe is on its way already
    assert it.admit(0.6) is None
    it.succeeded(probe, now_s=0.7)
    it.retry_now(0.8)
    assert it.is_closed


@pytest.mark.parametrize("late_s", [0.0, 1e9])
def test_a_probe_always_comes(late_s: float) -> None:
    assert opened().admit(POLICY.open_s + late_s)


class CircuitMachine(RuleBasedStateMachine):
    """Whatever the calls do, an open circuit lets one probe through at a time, and never refuses for ever."""

    permits = Bundle("permits")

    @initialize()
    def start(self) -> None:
        self.now_s = 0.0
        self.out: dict[int, float] = {}
        self.it = circuit(policy=CircuitPolicy(min_calls=4))

    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=permits)
    def call(self) -> int:
        before, refuses = self.it.state, self.it.is_refusing(self.now_s)
        permit = self.it.admit(self.now_s)
        assert (permit is None) is refuses
        if before is State.CLOSED:
            assert permit == CALL
        elif permit is not None:
            waiting = [at_s for at_s in self.out.values() if self.now_s - at_s < POLICY.probe_timeout_s]
            assert not waiting, "two probes at once"
            self.out[permit] = self.now_s
        return -1 if permit is None else permit

    @rule(permit=consumes(permits), verdict=st.sampled_from(["succeeded", "failed", "released"]))
    def end(self, permit: int, verdict: str) -> None:
        if permit >= 0:
            was_awaited = permit in self.out and self.it.state is State.HALF_OPEN and permit == max(self.out)
            getattr(self.it, verdict)(permit, now_s=self.now_s)
            self.out.pop(permit, None)
            if was_awaited and verdict != "released":
                assert self.it.state is (State.CLOSED if verdict == "succeeded" else State.OPEN)
        if self.it.state is not State.HALF_OPEN:
            self.out.clear()

    @invariant()
    def never_refuses_for_ever(self) -> None:
        if hasattr(self, "it"):
            assert self.it.retry_after_s(self.now_s) <= POLICY.max_open_s
            assert not self.it.is_refusing(self.now_s + POLICY.max_open_s)


TestCircuitMachine = CircuitMachine.TestCase
TestCircuitMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
