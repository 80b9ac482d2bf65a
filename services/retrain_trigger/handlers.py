"""Events become states and decisions, in one transaction with the offsets that were counted."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.retrain_trigger import metrics
from services.retrain_trigger.domain import events as happened
from services.retrain_trigger.domain.policy import Decision, Declined, Requested, decide
from services.retrain_trigger.domain.state import Alarm, Policy, TriggerState
from services.retrain_trigger.messages import line_of, message_of
from services.retrain_trigger.policies import PolicyBook
from services.retrain_trigger.store import TriggerStore
from slipway.clock import Clock
from slipway.envelope import Event, Outgoing
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.outbox import Relay
from slipway.positions import Place
from slipway.recently_seen import RecentlySeen
from slipway.v1.drift_pb2 import DriftCleared, DriftDetected, DriftSignal
from slipway.v1.feedback_pb2 import LabelMatched
from slipway.v1.retraining_pb2 import CandidateBlessed, CandidateInsufficient, CandidateRejected
from slipway.v1.rollout_pb2 import RolloutEvent

log = logging.getLogger(__name__)

_REMEMBERED: Final = 8192
_OUTCOMES: Final = {
    CandidateBlessed: happened.BLESSED,
    CandidateRejected: happened.REJECTED,
    CandidateInsufficient: happened.INSUFFICIENT,
}


@dataclass(slots=True)
class _Said:
    """What a batch leads to."""

    messages: list[Outgoing] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    decisions: list[tuple[str, Decision]] = field(default_factory=list)


class TriggerHandler:
    """Counts each event once and decides after each."""

    def __init__(self, store: TriggerStore, policies: PolicyBook, relay: Relay, *, clock: Clock) -> None:
        self._store = store
        self._policies = policies
        self._relay = relay
        self._clock = clock
        self._seen = RecentlySeen(_REMEMBERED)

    async def handle(self, events: Sequence[Event]) -> None:
        """Take in one batch; what it leads to is published when this returns.

        Raises:
            InvalidInput: An event names no model.
        """
        now_s, said = self._clock.now_s(), _Said()
        async with self._store.transaction() as transaction:
            positions = await transaction.positions(sorted({_place(e) for e in events}))
            fresh = [e for e in in_order_of_time(events) if e.offset >= positions[_place(e)]]
            own = [(model_of(e), e) for e in self._without_doubles(fresh)]
            states = await transaction.load(sorted({model for model, _ in own}))
            for model, event in own:
                policy = self._policies.find(model)
                if policy is not None:
                    states[model] = self._step(
                        model, states[model], event=event, policy=policy, now_s=now_s, said=said
                    )
            await transaction.save(states)
            await transaction.save_positions({**positions, **_ends(fresh)})
            await transaction.add_lines(said.lines, now_s=now_s)
            await transaction.publish(said.messages)
        self._remember(fresh)
        _count(said.decisions, states)
        if said.messages:
            await self._relay.flush()

    def _step(
        self, model: str, state: TriggerState, *, event: Event, policy: Policy, now_s: float, said: _Said
    ) -> TriggerState:
        state = advance(state, event.message, policy=policy)
        state, decisions = decide(state, policy, now_s=now_s, request_id=new_id())
        for decision in decisions:
            message = message_of(decision, model=model, tenant=event.message.tenant, now_s=now_s)
            said.messages += [message] if message else []
            said.lines.append((model, line_of(decision)))
            said.decisions.append((model, decision))
        return state

    def _without_doubles(self, events: Iterable[Event]) -> list[Event]:
        """Drop what a sender delivered twice under different offsets."""
        batch = RecentlySeen(_REMEMBERED)
        kept: list[Event] = []
        for event in events:
            if event.event_id and (event.event_id in self._seen or not batch.add(event.event_id)):
                metrics.DOUBLES.labels(event.topic).inc()
            else:
                kept.append(event)
        return kept

    def _remember(self, events: Iterable[Event]) -> None:
        """Only after the transaction: what was rolled back has not been counted."""
        for event in events:
            if event.event_id:
                self._seen.add(event.event_id)


def advance(state: TriggerState, message: object, *, policy: Policy) -> TriggerState:
    """The state after one message; corrections and retractions of labels change nothing."""
    if isinstance(message, LabelMatched) and message.revision <= 1:
        return happened.label_came(state, message.label)
    if isinstance(message, DriftDetected):
        return happened.alarm_raised(state, _alarm(message))
    if isinstance(message, DriftCleared):
        return happened.alarm_cleared(state, message.alarm_id)
    if isinstance(message, RolloutEvent):
        return happened.rollout_moved(state, message.to_state, champion=message.champion_version)
    if isinstance(message, CandidateBlessed | CandidateRejected | CandidateInsufficient):
        outcome = _OUTCOMES[type(message)]
        return happened.training_ended(state, outcome, request_id=message.request_id, policy=policy)
    return state


def model_of(event: Event) -> str:
    """The model that an event is about.

    Raises:
        InvalidInput: It names none.
    """
    if not event.message.model:
        raise InvalidInput(f"{event.topic}: {event.message.DESCRIPTOR.full_name} names no model")
    return str(event.message.model)


def in_order_of_time(events: Sequence[Event]) -> list[Event]:
    """Events of several partitions as they happened, those of one partition in the order of their offsets."""
    latest: dict[Place, int] = defaultdict(int)
    stamped: list[tuple[int, Event]] = []
    for event in events:
        latest[_place(event)] = max(latest[_place(event)], event.timestamp_ms)
        stamped.append((latest[_place(event)], event))
    return [event for _, event in sorted(stamped, key=lambda pair: pair[0])]


def _place(event: Event) -> Place:
    return event.topic, event.partition


def _ends(events: Iterable[Event]) -> dict[Place, int]:
    ends: dict[Place, int] = {}
    for event in events:
        ends[_place(event)] = max(ends.get(_place(event), 0), event.offset + 1)
    return ends


def _alarm(message: DriftDetected) -> Alarm:
    return Alarm(
        alarm_id=message.alarm_id,
        signal=DriftSignal.Name(message.signal).removeprefix("DRIFT_SIGNAL_"),
        subject=message.subject,
        version=message.version,
        since_s=message.window_start.ToNanoseconds() / 1e9,
        evidence=message.evidence,
    )


def _count(decisions: Iterable[tuple[str, Decision]], states: dict[str, TriggerState]) -> None:
    for model, decision in decisions:
        if isinstance(decision, Requested):
            metrics.REQUESTED.labels(model, str(decision.case.cause)).inc()
        elif isinstance(decision, Declined):
            metrics.DECLINED.labels(model, str(decision.case.cause)).inc()
        log.info(line_of(decision), extra={"model": model})
    for model, state in states.items():
        metrics.OPEN.labels(model).set(int(state.open_request is not None))
        metrics.ROWS_SINCE.labels(model).set(state.rows_since_training)
        metrics.COOL_DOWN.labels(model).set(state.cool_down_rows_left)
