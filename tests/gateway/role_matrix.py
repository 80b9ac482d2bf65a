"""Who is told what, by role, route and tenant: written down by hand, so that no policy vouches for itself.

A route's row says which roles may, what they are told about what is theirs (`own`), what they are told about
what is another tenant's (`other`), and what those hear of the other tenant whose role may not (`barred`).
"""

from dataclasses import dataclass
from typing import Final

OK, DENIED, UNKNOWN, AWAY = "OK", "PERMISSION_DENIED", "NOT_FOUND", "UNAVAILABLE"
NOTHING: Final = "SEES NOTHING"  # of what is the other's, in a list
NONE_SUCH: Final = "UNIMPLEMENTED"
IN_CONFLICT: Final = (
    "FAILED_PRECONDITION"  # he was let through; nothing is under way that it could be done to
)

ROLES: Final = ("viewer", "app", "labeler", "reviewer", "operator", "owner", "admin")
EVERYBODY: Final = frozenset(ROLES)
ASKERS: Final = frozenset({"app", "owner", "admin"})
TELLERS: Final = frozenset({"app", "labeler", "reviewer", "owner", "admin"})
MOVERS: Final = frozenset({"operator", "owner", "admin"})
DECLARERS: Final = frozenset({"owner", "admin"})
ADMINS: Final = frozenset({"admin"})
NOBODY: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What callers are told on one route."""

    may: frozenset[str]
    own: str = OK
    other: str = UNKNOWN
    barred: str = UNKNOWN
    is_open: bool = False

    def expected(self, role: str, *, is_own: bool) -> str:
        if self.is_open:
            return self.own
        if role not in self.may:
            return DENIED if is_own else self.barred
        return self.own if is_own else self.other


_OIP: Final = "/inference.GRPCInferenceService"
_ASYNC: Final = "/slipway.v1.AsyncInference"
_KEYS: Final = "/slipway.v1.KeyAdmin"
_CONTROL: Final = "/slipway.v1.RolloutControl"
_NOTICES: Final = "/slipway.v1.RolloutNotices"
_HEALTH: Final = "/grpc.health.v1.Health"

_OPEN: Final = Row(may=EVERYBODY, is_open=True)
_INFER: Final = Row(may=ASKERS)
_READ: Final = Row(may=EVERYBODY)
_LIST: Final = Row(may=EVERYBODY, other=NOTHING)
# The jobs service is away: who hears so was let through to it, and who is not the owner does not get so far.
_JOB: Final = Row(may=ASKERS, own=AWAY, barred=DENIED)
_OWN_SECRET: Final = Row(may=ASKERS, own=AWAY, other=AWAY, barred=DENIED)
# Words about any id are taken, signed with who says them; feedback keeps those of others apart.
_TELL: Final = Row(may=TELLERS, other=OK, barred=DENIED)
_KEY: Final = Row(may=ADMINS, barred=DENIED)
_ADMIN: Final = Row(may=ADMINS, other=DENIED, barred=DENIED)
_INTERNAL: Final = Row(may=NOBODY, barred=DENIED)
_MOVE: Final = Row(may=MOVERS)
_MOVE_LIVE: Final = Row(may=MOVERS, own=IN_CONFLICT)

PUBLIC: Final[dict[str, Row]] = {
    f"{_OIP}/ModelInfer": _INFER,
    f"{_OIP}/ModelMetadata": _READ,
    f"{_OIP}/ModelConfig": _READ,
    f"{_OIP}/RepositoryIndex": _LIST,
    f"{_OIP}/ServerLive": _OPEN,
    f"{_OIP}/ServerReady": _OPEN,
    f"{_OIP}/ServerMetadata": _OPEN,
    f"{_OIP}/ModelReady": _OPEN,
    f"{_ASYNC}/Submit": _INFER,
    f"{_ASYNC}/GetJob": _JOB,
    f"{_ASYNC}/CancelJob": _JOB,
    f"{_ASYNC}/GetCallbackSecret": _OWN_SECRET,
    "/slipway.v1.FeedbackIntake/SubmitFeedback": _TELL,
    f"{_HEALTH}/Check": _OPEN,
    f"{_HEALTH}/Watch": _OPEN,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _OPEN,
}
OPERATORS: Final[dict[str, Row]] = {
    f"{_KEYS}/CreateKey": _ADMIN,
    f"{_KEYS}/ListKeys": Row(may=ADMINS, other=NOTHING, barred=DENIED),
    f"{_KEYS}/RotateKey": Row(may=ADMINS, own=IN_CONFLICT, barred=DENIED),
    f"{_KEYS}/RevokeKey": _KEY,
    "/slipway.v1.LimitsAdmin/ShowLimits": _ADMIN,
    "/slipway.v1.TrustedInference/Infer": _INTERNAL,
}
ROLLOUT: Final[dict[str, Row]] = {
    f"{_CONTROL}/ApplySpec": Row(may=DECLARERS, other=DENIED, barred=DENIED),
    f"{_CONTROL}/StartRollout": _MOVE_LIVE,
    f"{_CONTROL}/Pause": _MOVE_LIVE,
    f"{_CONTROL}/Resume": _MOVE_LIVE,
    f"{_CONTROL}/Promote": _MOVE_LIVE,
    f"{_CONTROL}/Abort": _MOVE,
    f"{_CONTROL}/Rollback": _MOVE_LIVE,
    f"{_CONTROL}/Approve": Row(may=DECLARERS, own=IN_CONFLICT),
    f"{_CONTROL}/GetReport": _READ,
    f"{_CONTROL}/GetStatus": _READ,
    f"{_CONTROL}/ListModels": _LIST,
    f"{_NOTICES}/ListFailedNotices": _READ,
    f"{_NOTICES}/GetNoticeSecret": Row(may=ADMINS),
}
_MODEL: Final = "/v2/models/{model}"
_ONE: Final = "/v2/models/{model}/versions/{version}"
_LOADING: Final = Row(may=EVERYBODY, own=NONE_SUCH, other=NONE_SUCH)  # told before the model is looked up
REST: Final[dict[str, Row]] = {
    f"POST {_MODEL}/infer": _INFER,
    f"POST {_ONE}/infer": _INFER,
    "POST /v1/jobs": _INFER,
    **dict.fromkeys((f"GET {_MODEL}", f"GET {_ONE}", f"GET {_MODEL}/config", f"GET {_ONE}/config"), _READ),
    "POST /v2/repository/index": _LIST,
    **dict.fromkeys(
        (f"POST /v2/repository/models/{{model}}/{verb}" for verb in ("load", "unload")), _LOADING
    ),
    "GET /v1/jobs/{job_id}": _JOB,
    "DELETE /v1/jobs/{job_id}": _JOB,
    "GET /v1/callback-secret": _OWN_SECRET,
    "POST /v1/feedback": _TELL,
    **dict.fromkeys(("GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /healthz"), _OPEN),
    **dict.fromkeys(("GET /readyz", f"GET {_MODEL}/ready", f"GET {_ONE}/ready"), _OPEN),
    **dict.fromkeys(("GET /openapi.json", "GET /metrics", "GET /statusz"), _OPEN),
}
# Of other processes than those asked here.
ELSEWHERE: Final = frozenset(
    {
        *("slipway.v1.RetrainingControl", "slipway.v1.RetrainTriggerQueries", "slipway.v1.FeedbackQueries"),
        *("slipway.v1.InferenceDirectory", "slipway.v1.JobDesk", "slipway.v1.ReplicaDesk"),
        "slipway.v1.QueryWatch",
    }
)
