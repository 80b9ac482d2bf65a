"""Prometheus from Debian's package, scraping every service."""

import asyncio
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Final

from slipway.stack.layout import DEPLOY, Layout
from slipway.stack.part import Part, Requirement
from slipway.stack.readiness import LOOPBACK, http_ok

NAME: Final = "prometheus"


def prometheus_part(layout: Layout, ports: Mapping[str, int], *, services: Iterable[str]) -> Part:
    """The metrics store; time and size of what it keeps are bounded."""
    binary = Path(shutil.which(NAME) or "/usr/bin/prometheus")
    config = layout.config / "prometheus.yml"
    scraped = tuple(services)

    async def prepare() -> None:
        await asyncio.to_thread(config.write_text, render_config(scraped, ports))

    return Part(
        name=NAME,
        command=(
            str(binary),
            f"--config.file={config}",
            f"--storage.tsdb.path={layout.data(NAME)}",
            "--storage.tsdb.retention.time=15d",
            "--storage.tsdb.retention.size=1GB",
            f"--web.listen-address={LOOPBACK}:{ports[NAME]}",
            "--log.level=warn",
        ),
        ports={NAME: ports[NAME]},
        is_ready=lambda: http_ok(ports[NAME], "/-/ready"),
        directory=layout.home,
        requirements=(Requirement(path=binary, package="prometheus"),),
        prepare=prepare,
    )


def render_config(services: Iterable[str], ports: Mapping[str, int]) -> str:
    """The scrape configuration: each service's /metrics, labelled with its name."""
    targets = "\n".join(
        f'      - targets: ["{LOOPBACK}:{ports[f"{service}_http"]}"]\n        labels: {{service: {service}}}'
        for service in services
    )
    return Template((DEPLOY / "prometheus.yml").read_text()).substitute(targets=targets or "      []")
