"""The decision as a table: every cause, every veto, and how they follow each other."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrain_trigger.domain import events
from services.retrain_trigger.domain.policy import Cause, Declined, GivenUp, Requested, decide, find_case
from services.retrain_trigger.domain.state import Alarm, OpenRequest, Policy, TriggerState

POLICY = Policy(
    is_automatic=True,
    classes=("0", "1"),
    features=4,
    drifted_features_share=0.5,
    min_rows=100,
    min_rows_per_class=30,
    cool_down_rows=200,
    max_cool_down_rows=800,
    max_staleness_rows=1000,
    secondary_rows=50,
    open_request_timeout_s=3600.0,
)
NOW_S = 1_000_000.0


def alarm(signal: str, subject: str = "", **more: object) -> Alarm:
    values: dict[str, object] = {
        "alarm_id": f"{signal}/{subject}",
        "signal": signal,
        "subject": subject,
        "version": "3",
        "since_s": 500.0,
        "evidence": f"{signal} {subject} moved.",
    }
    return Alarm(**{**values, **more})  # type: ignore[arg-type]


CONCEPT = alarm("CONCEPT")
QUIET = TriggerState(champion="3", rows=500, new_labels={"0": 250, "1": 250})
READY = replace(QUIET, alarms=(CONCEPT,))


def look(
    state: TriggerState, policy: Policy = POLICY, now_s: float = NOW_S
) -> tuple[TriggerState, list[str]]:
    state, decisions = decide(state, policy, now_s=now_s, request_id="r1")
    return state, [describe(d) for d in decisions]


def describe(decision: object) -> str:
    if isinstance(decision, Requested):
        return f"requested {decision.case.cause}"
    if isinstance(decision, Declined):
        return f"declined {decision.case.cause}: {decision.veto.name}"
    assert isinstance(decision, GivenUp)
    return f"gave up {decision.request_id}"


def test_nothing_speaks_for_a_training() -> None:
    assert look(QUIET) == (QUIET, [])


def test_a_concept_alarm_is_enough() -> None:
    state, said = look(READY)
    assert said == ["requested CONCEPT_DRIFT"]
    assert state.open_request == OpenRequest(request_id="r1", requested_at_s=NOW_S)
    assert (state.trained_at_row, state.new_labels, state.requests) == (500, {}, 1)
    assert [a.is_spent for a in state.alarms] == [True]


def weaker(*alarms: Alarm, since: int | None = 450) -> TriggerState:
    return replace(QUIET, alarms=alarms, secondary_since_row=since)


PREDICTION, PERFORMANCE = alarm("PREDICTION"), alarm("PERFORMANCE")
A, B = alarm("DATA", "a"), alarm("DATA", "b", since_s=400.0)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (weaker(PREDICTION, PERFORMANCE), Cause.SECONDARY),
        (weaker(A, B, PERFORMANCE), Cause.SECONDARY),
        (weaker(A, PERFORMANCE), None),  # one of four features is not data drift
        (weaker(A, B), None),  # one signal, however many features
        (weaker(PREDICTION), None),
        (weaker(PREDICTION, PERFORMANCE, since=451), None),  # not long enough together
        (weaker(PREDICTION, PERFORMANCE, since=None), None),  # since this very row
        (weaker(PREDICTION, replace(PERFORMANCE, is_spent=True)), None),
        (weaker(PREDICTION, replace(PERFORMANCE, version="2")), None),  # about another version
        (replace(QUIET, alarms=(replace(CONCEPT, is_spent=True),)), None),
        (replace(QUIET, alarms=(replace(CONCEPT, version="2"),)), None),
        (replace(weaker(PREDICTION, PERFORMANCE, CONCEPT)), Cause.CONCEPT_DRIFT),  # the strongest first
        (replace(QUIET, rows=1000), Cause.STALENESS),
        (replace(QUIET, rows=999), None),
    ],
)
def test_causes(state: TriggerState, cause: Cause | None) -> None:
    _, said = look(state)
    assert said == ([f"requested {cause}"] if cause else [])


def test_staleness_can_be_switched_off() -> None:
    assert look(replace(QUIET, rows=10**6), replace(POLICY, max_staleness_rows=0))[1] == []


def test_a_pair_of_weaker_signals_that_parts_starts_over() -> None:
    together, _ = look(weaker(PREDICTION, PERFORMANCE, since=None))
    assert together.secondary_since_row == 500
    apart, _ = look(replace(together, alarms=(PREDICTION,)))
    assert apart.secondary_since_row is None


def test_the_drift_began_with_the_earliest_cited_window() -> None:
    case = find_case(weaker(A, B, PERFORMANCE), POLICY)
    assert case is not None
    assert case.drift_since_s == 400.0
    assert case.evidence == "DATA a moved. DATA b moved. PERFORMANCE  moved."
    stale = find_case(replace(QUIET, rows=1000), POLICY)
    assert stale is not None
    assert stale.drift_since_s is None


def test_evidence_stays_readable_with_many_alarms() -> None:
    many = tuple(alarm("DATA", str(i)) for i in range(9))
    case = find_case(weaker(*many, PERFORMANCE), POLICY)
    assert case is not None
    assert case.evidence.endswith("And 5 more.")


VETOES = {
    "manual": (READY, replace(POLICY, is_automatic=False)),
    "no_champion": (replace(READY, champion=""), POLICY),
    "rollout": (replace(READY, rollout_state="CANARY"), POLICY),
    "open_request": (replace(READY, open_request=OpenRequest(request_id="r0", requested_at_s=NOW_S)), POLICY),
    "data_quality": (replace(READY, alarms=(CONCEPT, alarm("DATA_QUALITY", "a"))), POLICY),
    "cool_down": (replace(READY, cool_down_until_row=501), POLICY),
    "few_rows": (replace(READY, new_labels={"0": 50, "1": 49}), POLICY),
    "few_rows_of_class/1": (replace(READY, new_labels={"0": 471, "1": 29}), POLICY),
}


@pytest.mark.parametrize("veto", VETOES)
def test_each_veto_holds_a_case_back_and_says_so_once(veto: str) -> None:
    state, policy = VETOES[veto]
    declined, said = look(state, policy)
    assert said == [f"declined CONCEPT_DRIFT: {veto}"]
    assert declined.declined == 1
    again, said = look(declined, policy)
    assert (again, said) == (declined, [])


@pytest.mark.parametrize("rollout_state", ["WARMING", "CANARY", "BAKE"])
def test_a_live_rollout_is_a_veto_in_each_of_its_states(rollout_state: str) -> None:
    _, said = look(replace(READY, rollout_state=rollout_state))
    assert said == ["declined CONCEPT_DRIFT: rollout"]


@pytest.mark.parametrize("rollout_state", ["IDLE", "DONE", "ABORTED", "ROLLED_BACK"])
def test_a_rollout_that_is_over_is_none(rollout_state: str) -> None:
    assert look(replace(READY, rollout_state=rollout_state))[1] == ["requested CONCEPT_DRIFT"]


def test_a_case_fires_when_its_veto_ends_and_another_veto_is_said_anew() -> None:
    state, said = look(replace(READY, rollout_state="BAKE", cool_down_until_row=501))
    state, more = look(replace(state, rollout_state="DONE"))
    _, last = look(replace(state, rows=501))
    assert said + more + last == [
        "declined CONCEPT_DRIFT: rollout",
        "declined CONCEPT_DRIFT: cool_down",
        "requested CONCEPT_DRIFT",
    ]


def test_a_case_that_ends_and_returns_is_declined_anew() -> None:
    state, _ = look(replace(READY, rollout_state="BAKE"))
    state, _ = look(events.alarm_cleared(state, CONCEPT.alarm_id))
    _, said = look(events.alarm_raised(state, CONCEPT))
    assert said == ["declined CONCEPT_DRIFT: rollout"]


def test_bad_data_of_a_version_that_no_longer_serves_is_no_veto() -> None:
    state = replace(READY, alarms=(CONCEPT, alarm("DATA_QUALITY", "a", version="2")))
    assert look(state)[1] == ["requested CONCEPT_DRIFT"]


def test_a_request_that_is_never_answered_is_given_up() -> None:
    state, _ = look(READY)
    assert look(state, now_s=NOW_S + 3600.0) == (state, [])
    state, said = look(state, now_s=NOW_S + 3601.0)
    assert (said, state.open_request) == (["gave up r1"], None)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["label 0", "label 1", "WARMING", "DONE", "blessed", "rejected", "insufficient"]),
            st.sampled_from(["CONCEPT", "DATA", "PREDICTION", "PERFORMANCE", "DATA_QUALITY"]),
            st.sampled_from(["end CONCEPT", "end DATA_QUALITY", "end DATA"]),
        ),
        max_size=120,
    )
)
def test_whatever_happens_one_request_is_open_at_the_most(story: list[str]) -> None:
    policy = replace(POLICY, min_rows=1, min_rows_per_class=0, cool_down_rows=3, max_cool_down_rows=12)
    state = TriggerState(champion="3")
    open_requests: set[str] = set()
    for number, word in enumerate(story):
        open_request = state.open_request
        if word in {"blessed", "rejected", "insufficient"}:
            request_id = open_request.request_id if open_request else "by hand"
            state = events.training_ended(state, word, request_id=request_id, policy=policy)
            open_requests.discard(request_id)
        elif word.startswith("label"):
            state = events.label_came(state, word[-1])
        elif word.startswith("end "):
            state = events.alarm_cleared(state, f"{word[4:]}/")
        elif word in {"WARMING", "DONE"}:
            state = events.rollout_moved(state, word, champion="3")
        else:
            state = events.alarm_raised(state, alarm(word))
        cool_down_left, rollout = state.cool_down_rows_left, state.rollout_state
        state, decisions = decide(state, policy, now_s=NOW_S, request_id=str(number))
        requested = [d for d in decisions if isinstance(d, Requested)]
        assert not (requested and (open_requests or cool_down_left or rollout == "WARMING"))
        open_requests |= {d.request_id for d in requested}
        assert len(open_requests) <= 1
        assert (state.open_request is not None) == bool(open_requests)
