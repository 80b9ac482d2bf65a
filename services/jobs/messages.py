"""Jobs between protobuf and plain values."""

from typing import Any, Final
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from services.jobs.store.entries import Ended, NewJob, Owner, View
from slipway.envelope import Event, Outgoing, encode
from slipway.errors import InvalidInput
from slipway.job_terms import PRIORITIES
from slipway.oip.open_inference_pb2 import ModelInferResponse
from slipway.topics import JOB_RESULTS
from slipway.v1.jobs_pb2 import Job, JobFinished

SERVICE: Final = "jobs"
LOST: Final = "its result was kept for a time, and has been deleted"


def read_job(event: Event) -> NewJob:
    """A job out of its topic.

    Raises:
        InvalidInput: It lacks what every job has.
    """
    m = event.message
    texts = (m.job_id, m.tenant, m.principal, m.model, m.callback_url, m.reply_topic)
    if any("\0" in text for text in texts) or not _is_uuid(m.job_id):
        raise InvalidInput(f"job {m.job_id[:60]!r} has no UUID, or a NUL in one of its texts")
    if not (m.tenant and m.principal) or m.priority not in PRIORITIES:
        raise InvalidInput(f"job {m.job_id[:60]!r} lacks owner or priority")
    if not (m.HasField("submitted_at") and m.HasField("expires_at")):
        raise InvalidInput(f"job {m.job_id[:60]!r} lacks the time of its submission or expiry")
    return NewJob(
        job_id=m.job_id,
        owner=Owner(tenant=m.tenant, principal=m.principal),
        model=m.model,
        priority=m.priority,
        request=m.request,
        submitted_at_s=_seconds(m.submitted_at),
        expires_at_s=_seconds(m.expires_at),
        callback_url=m.callback_url,
        reply_topic=m.reply_topic,
        submitter=m.submitter.SerializeToString(),
    )


def announcements(ended: Ended) -> list[Outgoing]:
    """What others are told of an ended job: one event, and the reply where another topic was named."""
    is_reply = ended.reply_topic == JOB_RESULTS.name
    told = [_finished(ended, response=ended.response if is_reply else None, topic=JOB_RESULTS.name)]
    if ended.reply_topic and not is_reply:
        told.append(_finished(ended, response=ended.response, topic=ended.reply_topic))
    return told


def job_message(view: View) -> Job:
    """A job as its owner sees it."""
    job = Job(
        job_id=view.job_id,
        model=view.model,
        state=view.state,
        priority=view.priority,
        submitted_at=_timestamp(view.submitted_at_s),
        expires_at=_timestamp(view.expires_at_s),
        tries=view.tries,
        code=view.code,
        message=LOST if view.has_lost_result else view.message,
        callback=view.callback,
    )
    if view.finished_at_s is not None:
        job.finished_at.CopyFrom(_timestamp(view.finished_at_s))
    if view.response is not None:
        job.response.CopyFrom(ModelInferResponse.FromString(view.response))
    return job


def _finished(ended: Ended, *, response: bytes | None, topic: str) -> Outgoing:
    message = JobFinished(
        job_id=ended.job_id,
        tenant=ended.owner.tenant,
        principal=ended.owner.principal,
        model=ended.model,
        state=ended.state,
        code=ended.code,
        message=ended.message,
        response=response or b"",
        submitted_at=_timestamp(ended.submitted_at_s),
        finished_at=_timestamp(ended.finished_at_s),
    )
    it = encode(JOB_RESULTS.name, message, key=ended.owner.principal, event_id=ended.job_id, source=SERVICE)
    return Outgoing(topic=topic, key=it.key, value=it.value, headers=it.headers)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _seconds(at: Any) -> float:
    return float(at.seconds + at.nanos / 1e9)


def _timestamp(at_s: float) -> Timestamp:
    return Timestamp(seconds=int(at_s), nanos=int((at_s % 1) * 1e9))
