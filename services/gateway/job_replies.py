"""What is answered over HTTP when a request was taken as a job."""

from typing import Any, Final

from services.gateway.handlers.jobs import Submitted

LOOK_AGAIN_S: Final = "1"


def accepted_body(submitted: Submitted) -> dict[str, Any]:
    """Of a 202."""
    return {"job_id": submitted.job_id, "expires_at_s": submitted.expires_at_s}


def accepted_headers(submitted: Submitted) -> dict[str, str]:
    """Where to look, and when."""
    return {
        "location": f"/v1/jobs/{submitted.job_id}",
        "preference-applied": "respond-async",
        "retry-after": LOOK_AGAIN_S,
    }
