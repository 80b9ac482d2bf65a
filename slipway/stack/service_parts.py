"""The services of this repository as parts of the stack."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from slipway.stack.environment import SERVICES, service_environment
from slipway.stack.layout import REPOSITORY, Layout
from slipway.stack.part import Part, Step
from slipway.stack.readiness import http_ok

INFRASTRUCTURE: Final = ("kafka", "postgres")
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
    return Part(
        name=name,
        command=command_of(name),
        ports=own_ports(name, ports),
        is_ready=lambda: http_ok(http_port, "/readyz"),
        environment=service_environment(name, environ),
        directory=REPOSITORY,
        needs=(*INFRASTRUCTURE, *_NEEDS_MORE.get(name, ())),
        prepare=making(layout.service_state(name)),
        is_service=True,
    )


def command_of(service: str) -> tuple[str, ...]:
    """What runs one service."""
    return (sys.executable, "-m", f"services.{service}")


def making(state_dir: Path) -> Step:
    """The step before a start: its directory is there."""

    async def prepare() -> None:
        await asyncio.to_thread(state_dir.mkdir, parents=True, exist_ok=True)

    return prepare


def own_ports(name: str, ports: Mapping[str, int]) -> dict[str, int]:
    """The rows of the port table that belong to a service."""
    kinds = ("grpc", "http", "admin")
    return {f"{name}_{kind}": ports[f"{name}_{kind}"] for kind in kinds if f"{name}_{kind}" in ports}
