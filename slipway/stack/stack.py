"""The local stack as a whole: its directories and its parts, in the order people think of them."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from slipway.errors import NotFound
from slipway.ports import ports as read_ports
from slipway.stack.gateway_parts import GATEWAY, gateway_parts, probe_port, worker_names
from slipway.stack.kafka_broker import kafka_part
from slipway.stack.layout import Layout, find_layout, make_directories
from slipway.stack.mlflow_server import mlflow_part
from slipway.stack.part import Part
from slipway.stack.postgres_server import postgres_part
from slipway.stack.prometheus_server import prometheus_part
from slipway.stack.ray_head import ray_part
from slipway.stack.redis_server import redis_part
from slipway.stack.service_parts import find_services, service_part
from slipway.stack.trust import initialise
from slipway.topics import BY_NAME


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
    """Put the stack together; makes directories, secrets and certificates where missing, starts nothing."""
    source = dict(os.environ if environ is None else environ)
    layout, ports = find_layout(source), read_ports(source)
    make_directories(layout)
    initialise(layout)
    services = find_services()
    infrastructure = (
        kafka_part(layout, ports, reply_topics=_reply_topics(source)),
        postgres_part(layout, ports),
        redis_part(layout, ports),
        mlflow_part(layout, ports),
        prometheus_part(layout, ports, scraped=_scraped(services, ports, source)),
        ray_part(layout, ports),
    )
    return Stack(
        layout=layout,
        parts=(
            *infrastructure,
            *(part for name in services for part in _parts_of(name, layout, ports=ports, environ=source)),
        ),
    )


def _parts_of(
    service: str, layout: Layout, *, ports: Mapping[str, int], environ: Mapping[str, str]
) -> tuple[Part, ...]:
    if service == GATEWAY:
        return gateway_parts(layout, ports=ports, environ=environ)
    return (service_part(service, layout, ports=ports, environ=environ),)


def _reply_topics(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = (name.strip() for name in environ.get("SLIPWAY_REPLY_TOPICS", "").split(","))
    return tuple(name for name in names if name and name not in BY_NAME)


def _scraped(
    services: Iterable[str], ports: Mapping[str, int], environ: Mapping[str, str]
) -> dict[str, tuple[int, ...]]:
    """The ports of each service's metrics."""
    gateways = tuple(probe_port(worker, ports) for worker in worker_names(environ))
    return {name: gateways if name == GATEWAY else (ports[f"{name}_http"],) for name in services}
