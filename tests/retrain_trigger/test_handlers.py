from services.retrain_trigger.domain.state import TriggerState
from services.retrain_trigger.handlers import advance, in_order_of_time
from slipway.envelope import Event
from slipway.v1.drift_pb2 import DriftCleared, DriftDetected, DriftSignal
from slipway.v1.feedback_pb2 import LabelMatched, LabelRetracted, OutcomeMatched
from slipway.v1.retraining_pb2 import CandidateRejected
from slipway.v1.rollout_pb2 import RolloutEvent
from tests.retrain_trigger.domain.test_policy import POLICY


def after(*messages: object) -> TriggerState:
    state = TriggerState()
    for message in messages:
        state = advance(state, message, policy=POLICY)
    return state


def test_corrections_retractions_and_outcomes_are_no_new_labels() -> None:
    state = after(
        LabelMatched(model="m", label="1", revision=1),
        LabelMatched(model="m", label="0", revision=2),
        LabelRetracted(model="m", revision=3),
        OutcomeMatched(model="m", accepted=False),
    )
    assert (state.rows, state.new_labels) == (1, {"1": 1})


def test_alarms_come_and_go() -> None:
    detected = DriftDetected(
        alarm_id="x", model="m", version="3", signal=DriftSignal.DRIFT_SIGNAL_DATA_QUALITY
    )
    detected.window_start.FromSeconds(77)
    [alarm] = after(detected).alarms
    assert (alarm.signal, alarm.since_s, alarm.version) == ("DATA_QUALITY", 77.0, "3")
    assert after(detected, DriftCleared(alarm_id="x", model="m")).alarms == ()


def test_rollouts_and_outcomes_change_the_state() -> None:
    state = after(
        RolloutEvent(model="m", to_state="BAKE", champion_version="4"),
        CandidateRejected(model="m", request_id="r"),
    )
    assert (state.rollout_state, state.champion, state.cool_down_rows) == ("BAKE", "4", 400)


def test_partitions_are_read_in_order_of_time_and_never_out_of_their_own_order() -> None:
    def event(topic: str, offset: int, at_ms: int) -> Event:
        return Event(
            topic=topic, key="m", message=None, event_id="", partition=0, offset=offset, timestamp_ms=at_ms
        )

    labels = [event("labels", 0, 10), event("labels", 1, 30), event("labels", 2, 29), event("labels", 3, 40)]
    alarms = [event("drift_alarms", 0, 20), event("drift_alarms", 1, 35)]
    ordered = [(e.topic[0], e.offset) for e in in_order_of_time(labels + alarms)]
    assert ordered == [("l", 0), ("d", 0), ("l", 1), ("l", 2), ("d", 1), ("l", 3)]
