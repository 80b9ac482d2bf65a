"""Decisions as messages and as lines for people."""

from google.protobuf.timestamp_pb2 import Timestamp

from services.retrain_trigger.domain.policy import Decision, Declined, GivenUp, Requested
from slipway.envelope import Outgoing, encode
from slipway.ids import new_id
from slipway.topics import RETRAIN_REQUESTS
from slipway.v1.retraining_pb2 import RetrainDeclined, RetrainRequested

SERVICE = "retrain_trigger"


def message_of(decision: Decision, *, model: str, tenant: str, now_s: float) -> Outgoing | None:
    """What is published of a decision; None where it concerns only this service."""
    if isinstance(decision, Requested):
        case = decision.case
        request = RetrainRequested(
            request_id=decision.request_id,
            tenant=tenant,
            model=model,
            cause=f"RETRAIN_CAUSE_{case.cause}",
            evidence=case.evidence,
            alarm_ids=[alarm.alarm_id for alarm in case.alarms],
            requested_at=_time(now_s),
            actor=SERVICE,
        )
        if case.drift_since_s is not None:
            request.drift_since.CopyFrom(_time(case.drift_since_s))
        return encode(RETRAIN_REQUESTS.name, request, key=model, event_id=decision.request_id, source=SERVICE)
    if isinstance(decision, Declined):
        declined = RetrainDeclined(
            model=model,
            tenant=tenant,
            cause=f"RETRAIN_CAUSE_{decision.case.cause}",
            reason=f"{decision.veto.reason} What spoke for it: {decision.case.evidence}",
            declined_at=_time(now_s),
        )
        return encode(RETRAIN_REQUESTS.name, declined, key=model, event_id=new_id(), source=SERVICE)
    return None


def line_of(decision: Decision) -> str:
    """A decision for people."""
    if isinstance(decision, Requested):
        return f"requested ({decision.case.cause}): {decision.case.evidence}"
    if isinstance(decision, GivenUp):
        return f"gave up request {decision.request_id}: {decision.reason}"
    return f"declined ({decision.case.cause}): {decision.veto.reason} {decision.case.evidence}"


def _time(at_s: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(round(at_s * 1e9))
    return stamp
