"""The local stack as a whole: its directories and its parts, in the order people think of them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from slipway.errors import NotFound
from slipway.ports import ports as read_ports
from slipway.stack.credentials import SHARED, make_secrets, password_file
from slipway.stack.kafka_broker import kafka_part
from slipway.stack.layout import Layout, find_layout, make_directories
from slipway.stack.mlflow_server import mlflow_part
from slipway.stack.part import Part
from slipway.stack.postgres_server import ADMIN, postgres_part
from slipway.stack.prometheus_server import prometheus_part
from slipway.stack.ray_head import ray_part
from slipway.stack.redis_server import redis_part
from slipway.stack.role_provision import ROLES
from slipway.stack.service_parts import find_services, service_part


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Directories and parts."""

    layout: Layout
    parts: tuple[Part, ...]

    def part(self, name: str) -> Part:
        """One part by name.

        Raises:
            NotFound: No part has this name.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise NotFound(f"no part is named {name!r}; there are: {', '.join(part.name for part in self.parts)}")


def build_stack(environ: Mapping[str, str] | None = None) -> Stack:
    """Put the stack together from the environment; makes directories and secrets, starts nothing."""
    source = dict(os.environ if environ is None else environ)
    layout, ports = find_layout(source), read_ports(source)
    make_directories(layout)
    make_secrets(layout.secrets, names=(*SHARED, *(password_file(role) for role in (ADMIN, *ROLES))))
    services = find_services()
    infrastructure = (
        kafka_part(layout, ports),
        postgres_part(layout, ports),
        redis_part(layout, ports),
        mlflow_part(layout, ports),
        prometheus_part(layout, ports, services=services),
        ray_part(layout, ports),
    )
    return Stack(
        layout=layout,
        parts=(
            *infrastructure,
            *(service_part(name, layout, ports=ports, environ=source) for name in services),
        ),
    )
