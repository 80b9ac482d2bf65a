"""The gateway as several processes behind one set of ports, and one that stands in for a single one."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from slipway.errors import InvalidInput
from slipway.stack.environment import DRAIN_VARIABLE, service_environment
from slipway.stack.layout import REPOSITORY, Layout
from slipway.stack.part import Part
from slipway.stack.readiness import http_ok
from slipway.stack.service_parts import INFRASTRUCTURE, command_of, making, own_ports

GATEWAY: Final = "gateway"
STANDBY: Final = "gateway_standby"
WORKERS_VARIABLE: Final = "SLIPWAY_GATEWAY_WORKERS"
_MOST_WORKERS: Final = 4  # rows of the port table
_CLOSING_S: Final = 40  # calls in flight, then what is left for Kafka


def worker_names(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The parts that serve all the time.

    Raises:
        InvalidInput: Their number is none, or more than the port table has rows for.
    """
    text = environ.get(WORKERS_VARIABLE, "1")
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_WORKERS:
        raise InvalidInput(f"{WORKERS_VARIABLE}={text!r} is not a number within 1..{_MOST_WORKERS}")
    return (GATEWAY, *(f"{GATEWAY}_{number}" for number in range(2, int(text) + 1)))


def probe_port(worker: str, ports: Mapping[str, int]) -> int:
    """Where a worker tells of itself."""
    return ports[_probe(worker)]


def gateway_parts(
    layout: Layout, *, ports: Mapping[str, int], environ: Mapping[str, str]
) -> tuple[Part, ...]:
    """The workers, and the one that stands in while a single worker restarts."""
    workers = [_part(name, layout, ports=ports, environ=environ) for name in worker_names(environ)]
    return (*workers, replace(_part(STANDBY, layout, ports=ports, environ=environ), on_demand=True))


def _part(worker: str, layout: Layout, *, ports: Mapping[str, int], environ: Mapping[str, str]) -> Part:
    environment = service_environment(GATEWAY, environ, worker=worker)
    port = probe_port(worker, ports)
    return Part(
        name=worker,
        command=command_of(GATEWAY),
        ports={**own_ports(GATEWAY, ports), _probe(worker): port},
        is_ready=lambda: http_ok(port, "/readyz"),
        environment=environment,
        directory=REPOSITORY,
        needs=INFRASTRUCTURE,
        prepare=making(layout.service_state(worker)),
        stop_wait_s=_drain_s(environment[DRAIN_VARIABLE]) + _CLOSING_S,
        is_service=True,
        worker_of=GATEWAY,
    )


def _drain_s(text: str) -> int:
    try:
        return math.ceil(float(text))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{DRAIN_VARIABLE}={text!r} is not a number of seconds") from error


def _probe(worker: str) -> str:
    return f"{worker}_probe"
