from typing import Any

import pytest

from services.jobs.messages import read_job
from slipway.envelope import Event
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.v1.jobs_pb2 import JobSubmitted


def event(**fields: Any) -> Event:
    given = {"job_id": new_id(), "tenant": "default", "principal": "anna", "model": "m", "priority": "low"}
    message = JobSubmitted(**{**given, **fields})
    if "submitted_at" not in fields:
        message.submitted_at.FromMilliseconds(1_790_000_000_250)
        message.expires_at.FromSeconds(1_790_000_060)
    return Event(topic="inference_jobs_low", key="", message=message, event_id="")


def test_a_job_is_read_with_its_times() -> None:
    job = read_job(event(request=b"r"))
    assert (job.owner.principal, job.request, job.priority) == ("anna", b"r", "low")
    assert (job.submitted_at_s, job.expires_at_s) == (1_790_000_000.25, 1_790_000_060.0)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"job_id": ""}, "no UUID"),
        ({"job_id": "mine"}, "no UUID"),
        ({"model": "a\0b"}, "NUL"),
        ({"tenant": ""}, "owner"),
        ({"principal": ""}, "owner"),
        ({"priority": "urgent"}, "priority"),
        ({"submitted_at": None}, "time of its submission"),
    ],
)
def test_what_is_no_job_is_poison(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read_job(event(**fields))
