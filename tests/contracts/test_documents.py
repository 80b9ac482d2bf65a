"""Documents say what the code says: topics, metrics, settings, commands, rooms."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from slipway.cli.main import COMMANDS
from slipway.settings import ServiceSettings, variable_name
from slipway.topics import SOURCES

ROOT = Path(__file__).resolve().parents[2]
SERVICES = sorted(p.parent.name for p in (ROOT / "services").glob("*/__main__.py"))
HEADINGS = [
    "## Owns",
    "## Consumes",
    "## Publishes",
    "## RPCs",
    "## Tables",
    "## Metrics",
    "## Settings",
    "## When something is down",
]


def readme(service: str) -> str:
    return (ROOT / "services" / service / "README.md").read_text()


def section(text: str, heading: str) -> str:
    return text.split(heading, 1)[1].split("\n## ", 1)[0]


def test_the_topic_table_in_the_architecture_is_the_one_in_code() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    assert rows == [
        (
            t.name,
            t.key,
            ", ".join(m.DESCRIPTOR.name for m in t.messages),
            ", ".join(t.writers),
            ", ".join(t.readers),
        )
        for t in SOURCES
    ]


def test_every_service_stands_in_the_room_table() -> None:
    text = (ROOT / "README.md").read_text()
    assert [s for s in SERVICES if f"services/{s}/README.md" not in text] == []


def test_every_command_of_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text()
    used = set(re.findall(r"^slipway (\w+)", text, re.MULTILINE))
    assert used <= set(COMMANDS)


@pytest.mark.parametrize("service", SERVICES)
def test_readme_has_the_fixed_headings_in_order(service: str) -> None:
    assert re.findall(r"^## .*$", readme(service), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("service", SERVICES)
def test_readme_names_the_topics_of_the_service(service: str) -> None:
    text = readme(service)
    consumed, published = section(text, "## Consumes"), section(text, "## Publishes")
    assert [t.name for t in SOURCES if service in t.readers and f"`{t.name}`" not in consumed] == []
    assert [t.name for t in SOURCES if service in t.writers and f"`{t.name}`" not in published] == []


@pytest.mark.parametrize("service", SERVICES)
def test_readme_names_every_metric(service: str) -> None:
    source = (ROOT / "services" / service / "metrics.py").read_text()
    metrics = re.findall(r'"(slipway_\w+)"', source)
    assert metrics
    assert [m for m in metrics if f"`{m}`" not in section(readme(service), "## Metrics")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_readme_names_every_setting_of_its_own(service: str) -> None:
    settings = importlib.import_module(f"services.{service}.settings").Settings
    common = {f.name for f in fields(ServiceSettings)}
    names = [variable_name(f.name) for f in fields(settings) if f.name not in common]
    assert [n for n in names if f"`{n}`" not in section(readme(service), "## Settings")] == []


@pytest.mark.parametrize("service", SERVICES)
def test_readme_names_every_table(service: str) -> None:
    scripts = (ROOT / "services" / service / "migrations").glob("*.sql")
    text = "\n".join(s.read_text() for s in sorted(scripts))
    dropped = re.findall(r"DROP TABLE (?:IF EXISTS )?(\w+)", text)
    created = [t for t in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text) if t not in dropped]
    assert [t for t in created if f"`{t}`" not in section(readme(service), "## Tables")] == []
