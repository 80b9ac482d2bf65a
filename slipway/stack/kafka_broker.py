"""Apache Kafka as one KRaft node, from Maven's jars."""

import asyncio
import base64
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from slipway.errors import Unavailable
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.credentials import BROKER, OPERATOR, kafka_password_file, read_secret
from slipway.stack.kafka_provision import kafka_url, provision_access
from slipway.stack.layout import DEPLOY, Layout
from slipway.stack.new_file import replace_file
from slipway.stack.part import Part, Requirement
from slipway.stack.readiness import tcp_open
from slipway.stack.topic_provision import provision_topics

NAME: Final = "kafka"
VERSION: Final = "4.1.1"
# 200 MB live after hours of replay: the ceiling is for bursts, the floor keeps an idle stack small.
_HEAP: Final = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:+ExitOnOutOfMemoryError")
# The quick compiler alone: the optimising one would spend two of its own seconds on every start.
_COMPILER: Final = ("-XX:TieredStopAtLevel=1",)


def kafka_part(layout: Layout, ports: Mapping[str, int], *, reply_topics: tuple[str, ...] = ()) -> Part:
    """The broker, bound to loopback; users, permissions and topics are provisioned when it answers.

    Args:
        layout: The stack's directories.
        ports: The port table.
        reply_topics: Topics beside the table's to which the jobs service may write.
    """
    jars = layout.cache / f"kafka-{VERSION}"
    config = layout.config / "kafka.properties"
    java = Path(shutil.which("java") or "/usr/bin/java")
    classpath = (str(java), *_HEAP, *_COMPILER, *_logging_options(), "-cp", f"{jars}/*")

    async def prepare() -> None:
        await asyncio.to_thread(_write_config, config, layout=layout, ports=ports)
        if not (layout.data(NAME) / "meta.properties").exists():
            await _format(classpath, config)

    async def provision() -> None:
        await provision_access(layout, controller_port=ports["kafka_controller"], reply_topics=reply_topics)
        await provision_topics(kafka_url(layout, ports, user=OPERATOR))

    return Part(
        name=NAME,
        command=(*classpath, "kafka.Kafka", str(config)),
        ports={"kafka": ports["kafka"], "kafka_controller": ports["kafka_controller"]},
        is_ready=lambda: tcp_open(ports["kafka"]),
        directory=layout.home,
        requirements=(
            Requirement(path=java, package="openjdk-17-jre-headless"),
            Requirement(path=jars / f"kafka_2.13-{VERSION}.jar", package="Kafka's jars (from Maven)"),
        ),
        prepare=prepare,
        provision=provision,
        stop_wait_s=30,
    )


def _logging_options() -> tuple[str, ...]:
    return (f"-Dlog4j2.configurationFile={DEPLOY / 'kafka' / 'log4j2.properties'}",)


def _write_config(target: Path, *, layout: Layout, ports: Mapping[str, int]) -> None:
    template = Template((DEPLOY / "kafka" / "server.properties").read_text())
    text = template.substitute(
        port=ports["kafka"],
        controller_port=ports["kafka_controller"],
        data_dir=layout.data(NAME),
        broker_user=BROKER,
        broker_password=read_secret(layout.secrets, kafka_password_file(BROKER)),
        operator=OPERATOR,
        certificate=certificate_path(layout.certificates, BROKER),
        ca=ca_path(layout.certificates),
    )
    replace_file(target, text.encode(), mode=0o600)


async def _format(classpath: tuple[str, ...], config: Path) -> None:
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    # One in 64 ids begins with a dash, and would be taken for an option of its own.
    wanted = (f"--cluster-id={cluster_id}", "-c", str(config), "--ignore-formatted")
    tool = ("kafka.tools.StorageTool", "format", *wanted)
    process = await asyncio.create_subprocess_exec(
        *classpath, *tool, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise Unavailable(f"formatting Kafka's storage failed: {output.decode().strip()[-400:]}")
