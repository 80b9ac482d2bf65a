"""A job as people see it: what the gateway answers over HTTP, and what a callback brings."""

from typing import Any, Final

from slipway import oip_json
from slipway.job_terms import DONE

_TEXTS: Final = ("job_id", "model", "state", "priority", "tries", "code", "message", "callback")
_TIMES: Final = ("submitted_at", "expires_at", "finished_at")


def describe(job: Any) -> dict[str, Any]:
    """A slipway.v1.Job as JSON, with its answer once it has one."""
    said: dict[str, Any] = {name: getattr(job, name) for name in _TEXTS}
    for name in _TIMES:
        said[name] = getattr(job, name).ToJsonString() if job.HasField(name) else None
    if job.state == DONE and job.HasField("response"):
        said["response"] = oip_json.write_response(job.response)
    return said
