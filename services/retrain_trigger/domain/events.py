"""What happens to a model: each event makes a new state."""

from dataclasses import replace
from typing import Final

from services.retrain_trigger.domain.state import Alarm, Policy, TriggerState

MAX_ALARMS: Final = 300

BLESSED: Final = "blessed"
REJECTED: Final = "rejected"
INSUFFICIENT: Final = "insufficient"


def label_came(state: TriggerState, label: str) -> TriggerState:
    """One more matched label: the clock moves on."""
    counts = {**state.new_labels, label: state.new_labels.get(label, 0) + 1}
    return replace(state, rows=state.rows + 1, new_labels=counts)


def alarm_raised(state: TriggerState, alarm: Alarm) -> TriggerState:
    """An alarm came on; it takes the place of an older one of its kind."""
    key = (alarm.version, alarm.signal, alarm.subject)
    others = [a for a in state.alarms if (a.version, a.signal, a.subject) != key]
    return replace(state, alarms=tuple([*others, alarm][-MAX_ALARMS:]))


def alarm_cleared(state: TriggerState, alarm_id: str) -> TriggerState:
    """An alarm ended."""
    return replace(state, alarms=tuple(a for a in state.alarms if a.alarm_id != alarm_id))


def rollout_moved(state: TriggerState, to_state: str, *, champion: str) -> TriggerState:
    """A rollout made a step. Alarms about the old champion count no more; their end is on its way."""
    return replace(state, rollout_state=to_state, champion=champion)


def training_ended(state: TriggerState, outcome: str, *, request_id: str, policy: Policy) -> TriggerState:
    """A training was judged, ours or one asked for by hand: the cool-down begins.

    A rejection doubles the cool-down, a blessing sets it back.
    """
    length = policy.cool_down_rows if state.cool_down_rows is None else state.cool_down_rows
    if outcome == BLESSED:
        length = policy.cool_down_rows
    elif outcome == REJECTED:
        length = min(2 * length, policy.max_cool_down_rows)
    is_ours = state.open_request is not None and state.open_request.request_id == request_id
    state = replace(
        state,
        cool_down_rows=length,
        cool_down_until_row=state.rows + length,
        last_decline="",
    )
    if is_ours:
        return replace(state, open_request=None)
    return replace(state, trained_at_row=state.rows, new_labels={})
