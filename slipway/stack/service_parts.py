"""The services of this repository as parts of the stack."""

import sys
from collections.abc import Mapping
from typing import Final

from slipway.stack.environment import SERVICES, service_environment
from slipway.stack.layout import REPOSITORY, Layout
from slipway.stack.part import Part
from slipway.stack.readiness import http_ok

_INFRASTRUCTURE: Final = ("kafka", "postgres")
_NEEDS_MORE: Final = {
    "inference": ("mlflow", "ray"),
    "retraining": ("mlflow", "ray"),
    "rollout": ("mlflow",),
}


def find_services() -> tuple[str, ...]:
    """The services that can be run: `services/<name>/__main__.py` exists."""
    return tuple(name for name in SERVICES if (REPOSITORY / "services" / name / "__main__.py").is_file())


def service_part(name: str, layout: Layout, *, ports: Mapping[str, int], environ: Mapping[str, str]) -> Part:
    """One service: `python -m services.<name>`, ready when its /readyz says so."""
    http_port = ports[f"{name}_http"]
    state_dir = layout.service_state(name)

    async def prepare() -> None:
        state_dir.mkdir(parents=True, exist_ok=True)

    return Part(
        name=name,
        command=(sys.executable, "-m", f"services.{name}"),
        ports=_own_ports(name, ports),
        is_ready=lambda: http_ok(http_port, "/readyz"),
        environment=service_environment(name, environ),
        directory=REPOSITORY,
        needs=(*_INFRASTRUCTURE, *_NEEDS_MORE.get(name, ())),
        prepare=prepare,
        is_service=True,
    )


def _own_ports(name: str, ports: Mapping[str, int]) -> dict[str, int]:
    kinds = ("grpc", "http", "admin")
    return {f"{name}_{kind}": ports[f"{name}_{kind}"] for kind in kinds if f"{name}_{kind}" in ports}
