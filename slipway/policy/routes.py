"""Every way in and the action that it is: one table for gRPC and HTTP, on public and on control ports.

A method that does not stand here is refused, and a server that offers one does not start. A test walks the
services as they are registered and compares.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from google.protobuf import descriptor_pool

from slipway.errors import InvalidInput

ACTIONS: Final = (
    *("infer", "job", "feedback", "explain", "review", "read", "apply", "register", "train", "rollout"),
    *("rollback", "approve", "keys", "limits", "audit", "suspects", "policy", "internal"),
)


class By(StrEnum):
    """How the resource is found that the action is done to."""

    MODEL = "the request's field `model`"
    TENANT = "the request's field `tenant`; empty: the default one"
    TENANTS = "the request's field `tenant`; empty: all of them"
    CALLER = "the caller's own tenant"
    HANDLER = "the handler: only it can tell"
    NOBODY = "no permission is asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a call is.

    Attributes:
        action: As policies name it; empty: open to everybody.
        by: How the resource is found.
        why_open: Why nobody is asked who he is.
        services: The parts of the system that may call; none of them calls what names none.
    """

    action: str
    by: By
    why_open: str = ""
    services: tuple[str, ...] = ()


def _of(action: str, by: By, *methods: str) -> dict[str, Route]:
    return {method: Route(action=action, by=by) for method in methods}


def _internal(services: tuple[str, ...], *methods: str) -> dict[str, Route]:
    return {method: Route(action="internal", by=By.CALLER, services=services) for method in methods}


def _open(why: str, *methods: str) -> dict[str, Route]:
    return {method: Route(action="", by=By.NOBODY, why_open=why) for method in methods}


_OIP: Final = "/inference.GRPCInferenceService"
_CONTROL: Final = "/slipway.v1.RolloutControl"
_ASYNC: Final = "/slipway.v1.AsyncInference"
_RETRAINING: Final = "/slipway.v1.RetrainingControl"
_KEYS: Final = "/slipway.v1.KeyAdmin"
_LIMITS: Final = "/slipway.v1.LimitsAdmin"
_NOTICES: Final = "/slipway.v1.RolloutNotices"
_DESK: Final = "/slipway.v1.JobDesk"
_DIRECTORY: Final = "/slipway.v1.InferenceDirectory"
_REPLICAS: Final = "/slipway.v1.ReplicaDesk"

GRPC: Final[Mapping[str, Route]] = {
    **_of("infer", By.HANDLER, f"{_OIP}/ModelInfer", f"{_ASYNC}/Submit"),
    **_of("read", By.HANDLER, f"{_OIP}/ModelMetadata", f"{_OIP}/ModelConfig", f"{_OIP}/RepositoryIndex"),
    **_of("job", By.HANDLER, *(f"{_ASYNC}/{name}" for name in ("GetJob", "CancelJob", "GetCallbackSecret"))),
    **_of("feedback", By.HANDLER, "/slipway.v1.FeedbackIntake/SubmitFeedback"),
    **_of("keys", By.TENANT, f"{_KEYS}/CreateKey"),
    **_of("keys", By.HANDLER, *(f"{_KEYS}/{verb}" for verb in ("ListKeys", "RotateKey", "RevokeKey"))),
    **_of("limits", By.TENANTS, f"{_LIMITS}/ShowLimits"),
    **_of("keys", By.MODEL, f"{_NOTICES}/GetNoticeSecret"),
    **_of("apply", By.HANDLER, f"{_CONTROL}/ApplySpec"),
    **_of("rollout", By.MODEL, *(f"{_CONTROL}/{verb}" for verb in ("StartRollout", "Pause", "Resume"))),
    **_of("rollout", By.HANDLER, f"{_CONTROL}/Promote"),
    **_of("rollback", By.MODEL, f"{_CONTROL}/Abort", f"{_CONTROL}/Rollback"),
    **_of("approve", By.HANDLER, f"{_CONTROL}/Approve"),
    **_of("read", By.MODEL, f"{_CONTROL}/GetReport", f"{_CONTROL}/GetStatus"),
    **_of("read", By.MODEL, f"{_NOTICES}/ListFailedNotices"),
    **_of("read", By.HANDLER, f"{_CONTROL}/ListModels"),
    **_of("register", By.MODEL, f"{_RETRAINING}/RegisterDataset"),
    **_of("train", By.MODEL, f"{_RETRAINING}/Train"),
    **_of("read", By.MODEL, f"{_RETRAINING}/GetTrainingStatus"),
    **_of("explain", By.MODEL, "/slipway.v1.RetrainTriggerQueries/Explain"),
    **_of("read", By.MODEL, "/slipway.v1.FeedbackQueries/Summarize"),
    **_of(
        "suspects", By.MODEL, *(f"/slipway.v1.QueryWatch/{verb}" for verb in ("ListSuspects", "ClearSuspect"))
    ),
    **_internal(("rollout",), f"{_DIRECTORY}/GetVersion"),
    **_internal(("gateway",), f"{_DIRECTORY}/WatchEndpoints"),
    **_internal(("gateway",), *(f"{_DESK}/{name}" for name in ("Find", "Cancel", "DeriveCallbackSecret"))),
    **_internal(("jobs",), "/slipway.v1.TrustedInference/Infer"),
    **_open(
        "each replica shows a key of its own, made for its version; it stands for no caller",
        f"{_REPLICAS}/Report",
        f"{_REPLICAS}/FetchModel",
    ),
    **_open(
        "probes and clients ask before they know who they are; tells that a server is up, and its name",
        *(f"{_OIP}/{name}" for name in ("ServerLive", "ServerReady", "ServerMetadata")),
    ),
    **_open("clients wait for a model before they ask it; tells that it has a server", f"{_OIP}/ModelReady"),
    **_open(
        "load balancers probe without credentials",
        *(f"/grpc.health.v1.Health/{name}" for name in ("Check", "Watch")),
    ),
    **_open(
        "the interface is public: it stands in proto/",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ),
}

_MODEL: Final = "/v2/models/{model}"
_ONE: Final = "/v2/models/{model}/versions/{version}"
_LOADING: Final = "/v2/repository"

HTTP: Final[Mapping[str, Route]] = {
    **_of("infer", By.HANDLER, f"POST {_MODEL}/infer", f"POST {_ONE}/infer", "POST /v1/jobs"),
    **_of("read", By.HANDLER, f"GET {_MODEL}", f"GET {_ONE}", f"GET {_MODEL}/config", f"GET {_ONE}/config"),
    **_of("read", By.HANDLER, f"POST {_LOADING}/index"),
    **_of("read", By.HANDLER, *(f"POST {_LOADING}/models/{{model}}/{verb}" for verb in ("load", "unload"))),
    **_of("job", By.HANDLER, "GET /v1/jobs/{job_id}", "DELETE /v1/jobs/{job_id}", "GET /v1/callback-secret"),
    **_of("feedback", By.HANDLER, "POST /v1/feedback"),
    **_open(
        "probes and clients ask before they know who they are; tells that a server is up, and its name",
        *("GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /healthz", "GET /readyz"),
    ),
    **_open(
        "clients wait for a model before they ask it; tells that it has a server",
        f"GET {_MODEL}/ready",
        f"GET {_ONE}/ready",
    ),
    **_open("the interface is public: it stands in the documentation", "GET /openapi.json"),
    **_open("read by Prometheus and alerts, on ports that are not reachable from outside", "GET /metrics"),
    **_open("for people who look after the machine; numbers, and names of models with gaps", "GET /statusz"),
}


def check_service(name: str) -> None:
    """Make sure that every method of a gRPC service is listed.

    Raises:
        InvalidInput: Names those that are not; such a server must not start.
    """
    methods = descriptor_pool.Default().FindServiceByName(name).methods
    _check([f"/{name}/{method.name}" for method in methods], GRPC)


def check_http(offered: Iterable[str]) -> None:
    """Make sure that every path of an application is listed, each as `GET /path/{of}/it`.

    Raises:
        InvalidInput: Names those that are not; such a server must not start.
    """
    _check(offered, HTTP)


def _check(offered: Iterable[str], listed: Mapping[str, Route]) -> None:
    missing = sorted(set(offered) - set(listed))
    if missing:
        raise InvalidInput(
            f"no permission is named in slipway/policy/routes.py for {', '.join(missing)}: "
            "whoever comes that way would be asked for nothing"
        )
