"""Prometheus from Debian's package, scraping every service."""

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

import orjson

from slipway.stack.layout import DEPLOY, Layout
from slipway.stack.part import Part, Requirement
from slipway.stack.readiness import LOOPBACK, http_ok

NAME: Final = "prometheus"


def prometheus_part(
    layout: Layout, ports: Mapping[str, int], *, scraped: Mapping[str, tuple[int, ...]]
) -> Part:
    """The metrics store; time and size of what it keeps are bounded. New targets are told while it runs."""
    binary = Path(shutil.which(NAME) or "/usr/bin/prometheus")
    config, targets = layout.config / "prometheus.yml", layout.config / "prometheus_targets.json"

    async def prepare() -> None:
        await asyncio.to_thread(config.write_text, render_config(targets))
        await provision()

    async def provision() -> None:
        await asyncio.to_thread(targets.write_bytes, render_targets(scraped))

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
        provision=provision,
    )


def render_config(targets: Path) -> str:
    """The scrape configuration, which names the file of targets."""
    return Template((DEPLOY / "prometheus.yml").read_text()).substitute(targets=targets)


def render_targets(scraped: Mapping[str, tuple[int, ...]]) -> bytes:
    """Each process's /metrics, labelled with the name of its service."""
    return orjson.dumps(
        [
            {"targets": [f"{LOOPBACK}:{port}" for port in ports], "labels": {"service": service}}
            for service, ports in scraped.items()
        ]
    )
