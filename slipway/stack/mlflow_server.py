"""MLflow's tracking server and registry, on PostgreSQL, with artifacts behind it."""

import base64
import sys
from collections.abc import Mapping
from typing import Final

from slipway.mlflow_rest import USER
from slipway.stack.credentials import MLFLOW_PASSWORD, password_file, read_secret
from slipway.stack.layout import Layout
from slipway.stack.part import Part
from slipway.stack.readiness import LOOPBACK, http_ok
from slipway.stack.role_provision import MLFLOW

NAME: Final = "mlflow"
# Reads the store: the server is not ready while its tables are being made.
_READY_PATH: Final = "/api/2.0/mlflow/experiments/search?max_results=1"


def mlflow_part(layout: Layout, ports: Mapping[str, int]) -> Part:
    """One uvicorn worker that serves tracking, the registry and the artifacts."""

    async def prepare() -> None:
        layout.data("artifacts").mkdir(parents=True, exist_ok=True)

    return Part(
        name=NAME,
        command=_command(ports[NAME]),
        ports={NAME: ports[NAME]},
        is_ready=lambda: http_ok(ports[NAME], _READY_PATH, authorization=_authorization(layout)),
        environment=_environment(layout, ports),
        directory=layout.home,
        needs=("postgres",),
        prepare=prepare,
    )


def _command(port: int) -> tuple[str, ...]:
    # `mlflow server` keeps a second Python process only to start this one: 250 MB for nothing.
    options = ("--host", LOOPBACK, "--port", str(port), "--workers", "1", "--log-level", "warning")
    return (sys.executable, "-m", "uvicorn", *options, "--factory", "slipway.stack.mlflow_app:build")


def _authorization(layout: Layout) -> str:
    pair = f"{USER}:{read_secret(layout.secrets, MLFLOW_PASSWORD)}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _environment(layout: Layout, ports: Mapping[str, int]) -> dict[str, str]:
    password = read_secret(layout.secrets, password_file(MLFLOW))
    store = f"postgresql+psycopg2://{MLFLOW}:{password}@{LOOPBACK}:{ports['postgres']}/{MLFLOW}"
    return {
        # What `mlflow server` passes to its workers; the lock pins the version that reads it.
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_REGISTRY_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"file://{layout.data('artifacts')}",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        # Job runners would add nine processes and 2 GB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": "localhost,localhost:*,127.0.0.1,127.0.0.1:*",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "4",
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "4",
        "SLIPWAY_MLFLOW_PASSWORD_FILE": str(layout.secrets / MLFLOW_PASSWORD),
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }
