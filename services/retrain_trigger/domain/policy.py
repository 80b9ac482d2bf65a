"""The decision to retrain: a cause, no veto, and the evidence in words."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from services.retrain_trigger.domain.state import (
    CONCEPT,
    DATA,
    DATA_QUALITY,
    LIVE_STATES,
    SECONDARY,
    Alarm,
    OpenRequest,
    Policy,
    TriggerState,
)


class Cause(StrEnum):
    """Why a model is retrained, named as in the contract without the prefix."""

    CONCEPT_DRIFT = "CONCEPT_DRIFT"
    SECONDARY = "SECONDARY"
    STALENESS = "STALENESS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What speaks for a retraining."""

    cause: Cause
    evidence: str
    alarms: tuple[Alarm, ...] = ()

    @property
    def drift_since_s(self) -> float | None:
        """Start of the earliest window in which the drift was seen."""
        return min((alarm.since_s for alarm in self.alarms), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Veto:
    """What speaks against it now: a name that stays the same while it lasts, and words with numbers."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Train now."""

    request_id: str
    case: Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """There is a case, but not now."""

    case: Case
    veto: Veto


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUp:
    """A request had no outcome in time; others may follow."""

    request_id: str
    reason: str


Decision = Requested | Declined | GivenUp


def decide(
    state: TriggerState, policy: Policy, *, now_s: float, request_id: str
) -> tuple[TriggerState, list[Decision]]:
    """Look at a model after something has happened.

    Args:
        state: The model as it stands.
        policy: Its owner's wishes.
        now_s: Time, for the backstop against requests that are never answered.
        request_id: The identifier of a request, should there be one.
    Returns:
        The new state, and what is to be said: nothing that has been said already.
    """
    state, decisions = _give_up(state, policy, now_s=now_s)
    state = _with_secondary(state, policy)
    case = find_case(state, policy)
    if case is None:
        return replace(state, last_decline=""), decisions
    veto = next(find_vetoes(state, policy), None)
    if veto is not None:
        return _declined(state, case, veto, decisions)
    cited = {alarm.alarm_id for alarm in case.alarms}
    state = replace(
        state,
        open_request=OpenRequest(request_id=request_id, requested_at_s=now_s),
        alarms=tuple(replace(a, is_spent=a.is_spent or a.alarm_id in cited) for a in state.alarms),
        trained_at_row=state.rows,
        new_labels={},
        secondary_since_row=None,
        last_decline="",
        requests=state.requests + 1,
    )
    return state, [*decisions, Requested(request_id=request_id, case=case)]


def _declined(
    state: TriggerState, case: Case, veto: Veto, decisions: list[Decision]
) -> tuple[TriggerState, list[Decision]]:
    said = f"{case.cause}/{veto.name}"
    if said == state.last_decline:
        return state, decisions
    state = replace(state, last_decline=said, declined=state.declined + 1)
    return state, [*decisions, Declined(case=case, veto=veto)]


def _give_up(state: TriggerState, policy: Policy, *, now_s: float) -> tuple[TriggerState, list[Decision]]:
    request = state.open_request
    if request is None or now_s - request.requested_at_s <= policy.open_request_timeout_s:
        return state, []
    reason = f"No outcome within {policy.open_request_timeout_s:.0f} s."
    return replace(state, open_request=None), [GivenUp(request_id=request.request_id, reason=reason)]


def _with_secondary(state: TriggerState, policy: Policy) -> TriggerState:
    """Note since when weaker signals have been on together."""
    if len({alarm.signal for alarm in secondary_alarms(state, policy)}) < 2:
        return replace(state, secondary_since_row=None)
    return state if state.secondary_since_row is not None else replace(state, secondary_since_row=state.rows)


def secondary_alarms(state: TriggerState, policy: Policy) -> tuple[Alarm, ...]:
    """Weaker signals that count: not spent, and data drift only where enough features drift."""
    found = [a for a in state.current_alarms if a.signal in SECONDARY and not a.is_spent]
    needed = max(1, math.ceil(policy.drifted_features_share * policy.features))
    if len([a for a in found if a.signal == DATA]) < needed:
        found = [a for a in found if a.signal != DATA]
    return tuple(found)


def find_case(state: TriggerState, policy: Policy) -> Case | None:
    """The strongest cause there is: concept drift, several weaker signals, staleness."""
    concept = tuple(a for a in state.current_alarms if a.signal == CONCEPT and not a.is_spent)
    if concept:
        return Case(cause=Cause.CONCEPT_DRIFT, evidence=_words(concept), alarms=concept)
    since = state.secondary_since_row
    if since is not None and state.rows - since >= policy.secondary_rows:
        weaker = secondary_alarms(state, policy)
        return Case(cause=Cause.SECONDARY, evidence=_words(weaker), alarms=weaker)
    if 0 < policy.max_staleness_rows <= state.rows_since_training:
        return Case(
            cause=Cause.STALENESS,
            evidence=f"{state.rows_since_training} labels have come since the last training; "
            f"{policy.max_staleness_rows} are the limit.",
        )
    return None


def find_vetoes(state: TriggerState, policy: Policy) -> Iterator[Veto]:
    """Everything that speaks against a training now, the most lasting first."""
    if not policy.is_automatic:
        yield Veto(name="manual", reason="The spec says `automatic: false`.")
    if not state.champion:
        yield Veto(name="no_champion", reason="No version serves yet.")
    if state.rollout_state in LIVE_STATES:
        yield Veto(name="rollout", reason=f"A rollout is live ({state.rollout_state}).")
    if state.open_request is not None:
        yield Veto(name="open_request", reason=f"Request {state.open_request.request_id} has no outcome yet.")
    bad = [alarm for alarm in state.current_alarms if alarm.signal == DATA_QUALITY]
    if bad:
        yield Veto(name="data_quality", reason=f"The data are not sound: {_words(tuple(bad))}")
    if state.cool_down_rows_left:
        yield Veto(
            name="cool_down",
            reason=f"Cooling down for {state.cool_down_rows_left} more labels after the last training.",
        )
    yield from _label_vetoes(state, policy)


def _label_vetoes(state: TriggerState, policy: Policy) -> Iterator[Veto]:
    rows = sum(state.new_labels.values())
    if rows < policy.min_rows:
        yield Veto(name="few_rows", reason=f"Only {rows} new labels, {policy.min_rows} are needed.")
    for name in policy.classes:
        count = state.new_labels.get(name, 0)
        if count < policy.min_rows_per_class:
            yield Veto(
                name=f"few_rows_of_class/{name}",
                reason=f"Only {count} new labels of class {name!r}, {policy.min_rows_per_class} are needed.",
            )


def _words(alarms: tuple[Alarm, ...]) -> str:
    """The evidence of the first few alarms."""
    texts = [alarm.evidence for alarm in alarms[:5]]
    if len(alarms) > len(texts):
        texts.append(f"And {len(alarms) - len(texts)} more.")
    return " ".join(texts)
