import tomllib
from pathlib import Path
from xml.etree import ElementTree

import orjson

from slipway.ports import ports
from slipway.stack import kafka_broker
from slipway.stack.layout import DEPLOY, REPOSITORY, Layout
from slipway.stack.prometheus_server import render_config, render_targets
from slipway.stack.ray_head import ray_part


def test_the_broker_s_version_is_the_one_maven_fetches() -> None:
    tree = ElementTree.parse(DEPLOY / "kafka" / "pom.xml")
    assert tree.findtext("{http://maven.apache.org/POM/4.0.0}version") == kafka_broker.VERSION


def test_every_listener_of_kafka_is_on_loopback() -> None:
    text = (DEPLOY / "kafka" / "server.properties").read_text()
    listeners = [line for line in text.splitlines() if "listeners=" in line]
    assert listeners
    assert all("://127.0.0.1:" in address for line in listeners for address in line.split("=")[1].split(","))


def test_prometheus_scrapes_each_process_of_each_service() -> None:
    targets = orjson.loads(render_targets({"gateway": (8003, 8004), "feedback": (18021,)}))
    assert targets == [
        {"targets": ["127.0.0.1:8003", "127.0.0.1:8004"], "labels": {"service": "gateway"}},
        {"targets": ["127.0.0.1:18021"], "labels": {"service": "feedback"}},
    ]


def test_prometheus_reads_its_targets_from_a_file() -> None:
    assert 'file_sd_configs:\n      - files: ["/c/targets.json"]' in render_config(Path("/c/targets.json"))


def test_ray_stays_on_loopback_and_asks_for_a_token(tmp_path: Path) -> None:
    part = ray_part(Layout(home=tmp_path, cache=tmp_path), ports({}))
    assert "--node-ip-address=127.0.0.1" in part.command
    assert part.environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert part.environment["RAY_AUTH_MODE"] == "token"


def test_the_supervisor_is_a_locked_dependency() -> None:
    lock = tomllib.loads(Path(REPOSITORY / "uv.lock").read_text())
    assert any(package["name"] == "supervisor" for package in lock["package"])
