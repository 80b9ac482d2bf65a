"""What each service, and each command, is told about the others."""

import os
from collections.abc import Mapping
from typing import Final

from slipway.mlflow_rest import mlflow_url
from slipway.ports import ports
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.credentials import MLFLOW_PASSWORD, OPERATOR, password_file, read_secret
from slipway.stack.kafka_provision import kafka_url
from slipway.stack.layout import Layout, find_layout
from slipway.stack.ray_head import ray_client_environment
from slipway.stack.readiness import LOOPBACK
from slipway.stack.redis_server import redis_url
from slipway.stack.role_provision import DATABASE, SERVICE_ROLES
from slipway.tls import REPLICA, Target, unparse_target

SERVICES: Final = (
    "rollout",
    "inference",
    "gateway",
    "feedback",
    "drift_detection",
    "retrain_trigger",
    "retraining",
    "jobs",
    "query_watch",
)
DRAIN_VARIABLE: Final = "SLIPWAY_DRAIN_S"
DRAIN_S: Final = 35
_USES_RAY: Final = frozenset({"inference", "retraining"})
_PROCESS: Final = {
    # Two cores, a dozen processes: none may start a thread per core of its own.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


def service_environment(
    name: str, environ: Mapping[str, str] | None = None, *, worker: str | None = None
) -> dict[str, str]:
    """The variables that configure one service of the running stack.

    Args:
        name: A folder of `services/`, e.g. `gateway`.
        environ: Where overrides of ports and directories are read; the process's own when omitted.
        worker: The name of one process of several of this service.
    """
    layout, table = find_layout(environ), ports(environ)
    own = {
        "SLIPWAY_STATE_DIR": str(layout.service_state(worker or name)),
        "SLIPWAY_INSTANCE": "local",
        "SLIPWAY_GRPC_PORT": str(table[f"{name}_grpc"]),
        "SLIPWAY_HTTP_PORT": str(table[f"{name}_http"]),
        "SLIPWAY_MESH_CERT": str(certificate_path(layout.certificates, name)),
        "SLIPWAY_MESH_CA": str(ca_path(layout.certificates)),
    }
    if name == "gateway":
        own |= {
            "SLIPWAY_ADMIN_PORT": str(table["gateway_admin"]),
            "SLIPWAY_REDIS_URL": redis_url(layout, table),
            "SLIPWAY_PROBE_PORT": str(table[f"{worker or name}_probe"]),
            "SLIPWAY_SHARE_PORTS": "1",
            "SLIPWAY_ADOPT_FROM": str(layout.service_state(name).parent),
            **_connection_ages(os.environ if environ is None else environ),
        }
        if layout.public_tls.exists():
            own["SLIPWAY_TLS_CERT"] = str(certificate_path(layout.certificates, name))
    if name == "inference":
        replica = str(certificate_path(layout.certificates, REPLICA))
        own["SLIPWAY_REPLICA_CERT"] = (os.environ if environ is None else environ).get(
            "SLIPWAY_REPLICA_CERT", replica
        )
    if name in SERVICE_ROLES:
        own["SLIPWAY_POSTGRES_DSN"] = _dsn(layout, role=name, port=table["postgres"])
    if name in _USES_RAY:
        own |= ray_client_environment(layout.secrets)
    return {**_PROCESS, **_shared(layout, table, party=name), **own}


def _connection_ages(source: Mapping[str, str]) -> dict[str, str]:
    # A restart lasts as long as connections do: half a minute, where a gateway by itself gives them ten.
    defaults = {"SLIPWAY_CONNECTION_AGE_S": "30", DRAIN_VARIABLE: str(DRAIN_S)}
    return {variable: source.get(variable, value) for variable, value in defaults.items()}


def cli_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a command: where everything answers, and no database."""
    layout, table = find_layout(environ), ports(environ)
    scheme = "https" if layout.public_tls.exists() else "http"
    return {
        **_shared(layout, table, party=OPERATOR),
        "SLIPWAY_STATE_DIR": str(layout.home / "cli"),
        "SLIPWAY_GATEWAY_HTTP_URL": f"{scheme}://{LOOPBACK}:{table['gateway_http']}",
        "SLIPWAY_PROMETHEUS_URL": f"http://{LOOPBACK}:{table['prometheus']}",
    }


def apply_cli_environment() -> None:
    """Add `cli_environment()` to this process's own; what the caller has set stays."""
    for variable, value in cli_environment().items():
        os.environ.setdefault(variable, value)


def _shared(layout: Layout, table: Mapping[str, int], *, party: str) -> dict[str, str]:
    def neighbour(port: str) -> str:
        address, own = f"{LOOPBACK}:{table[port]}", certificate_path(layout.certificates, party)
        ca = ca_path(layout.certificates)
        return unparse_target(Target(address=address, ca_file=str(ca), cert_file=str(own)))

    targets = {f"SLIPWAY_{service.upper()}_TARGET": neighbour(f"{service}_grpc") for service in SERVICES}
    return {
        **targets,
        "SLIPWAY_GATEWAY_TARGET": _public_target(layout, table),
        "SLIPWAY_GATEWAY_ADMIN_TARGET": neighbour("gateway_admin"),
        "SLIPWAY_KAFKA_BOOTSTRAP": kafka_url(layout, table, user=party),
        "SLIPWAY_MLFLOW_URL": mlflow_url(
            f"{LOOPBACK}:{table['mlflow']}", password_file=layout.secrets / MLFLOW_PASSWORD
        ),
        "SLIPWAY_RAY_ADDRESS": f"{LOOPBACK}:{table['ray_gcs']}",
        "SLIPWAY_SECRETS_DIR": str(layout.secrets),
        "SLIPWAY_ACCESS_DIR": str(layout.access),
    }


def _public_target(layout: Layout, table: Mapping[str, int]) -> str:
    """The gateway's own port: its callers show keys, no certificates."""
    address = f"{LOOPBACK}:{table['gateway_grpc']}"
    if not layout.public_tls.exists():
        return address
    return unparse_target(Target(address=address, ca_file=str(ca_path(layout.certificates))))


def _dsn(layout: Layout, *, role: str, port: int) -> str:
    password = read_secret(layout.secrets, password_file(role))
    return f"postgresql://{role}:{password}@{LOOPBACK}:{port}/{DATABASE}"
