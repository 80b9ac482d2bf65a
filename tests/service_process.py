"""One service as a process of its own beside the stack: own ports, own group, own database."""

import asyncio
import atexit
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import requests
from aiokafka import AIOKafkaConsumer, TopicPartition

from slipway import tokens
from slipway.kafka_access import client_options
from slipway.ports import ports
from slipway.rpc import OPERATOR_TOKEN_FILE
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.environment import cli_environment
from slipway.stack.layout import find_layout
from slipway.stack.postgres_server import admin_dsn
from slipway.stack.stack import build_stack
from slipway.stack.supervision import ProcessState, Supervision
from slipway.tls import Target, unparse_target
from slipway.topics import BY_NAME
from tests.nursery import Child, Nursery

WITHIN_S = 180.0  # a busy machine is slow, not broken
# Their starts cost imports more than anything else. What imports Ray or faust begins as a process of its own.
_FORKED = frozenset({"feedback", "gateway", "jobs", "query_watch", "retrain_trigger", "rollout"})
_SECRETS = (OPERATOR_TOKEN_FILE, tokens.SECRET_FILE, "api_keys.pepper", "callback.key", "model_signing.key")


async def until(what: str, check: Callable[[], Awaitable[Any]], *, seen: Callable[[], Any] = str) -> Any:
    """Ask again until the answer is true; returns it. `seen` tells in a failure how far it came."""
    deadline = time.monotonic() + WITHIN_S
    while not (answer := await check()):
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}; seen: {seen()}"
        await asyncio.sleep(0.05)
    return answer


@dataclass(kw_only=True)
class ServiceProcess:
    """A process that can be killed and started again."""

    name: str
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | Child | None = None

    @property
    def bootstrap(self) -> str:
        return self.environment["SLIPWAY_KAFKA_BOOTSTRAP"]

    def start(self) -> None:
        if self.name in _FORKED:
            self.process = _nursery().start(self.name, self.environment, log=self.log)
            return
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", f"services.{self.name}"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        own = self.environment.get("SLIPWAY_PROBE_PORT", self.environment["SLIPWAY_HTTP_PORT"])
        return _is_ready(f"http://127.0.0.1:{own}/readyz")

    def wait_ready(self) -> None:
        _wait(self.is_ready, f"{self.name} to be ready; see {self.log}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    @contextmanager
    def restarted_with(self, **settings: str) -> Iterator[None]:
        """Run with other settings for a while."""
        before = self.environment
        self._restart(before | settings)
        try:
            yield
        finally:
            self._restart(before)

    def _restart(self, environment: dict[str, str]) -> None:
        self.terminate()
        self.environment = environment
        self.start()
        self.wait_ready()

    def twin(self) -> "ServiceProcess":
        """A second process of the same kind on the same database."""
        own = {"SLIPWAY_GRPC_PORT": str(free_port()), "SLIPWAY_HTTP_PORT": str(free_port())}
        own["SLIPWAY_INSTANCE"] = secrets.token_hex(4)
        return replace(
            self, environment=self.environment | own, log=self.log.with_suffix(".twin"), process=None
        )


@cache
def _nursery() -> Nursery:
    nursery = Nursery()
    atexit.register(nursery.close)
    return nursery


@contextmanager
def own_service(name: str, folder: Path, **settings: str) -> Iterator[ServiceProcess]:
    """A service that knows the stack's Kafka and nothing else of it; killed at the end.

    The stack's own instance rests meanwhile: it would read the same topics and answer too.
    """
    (folder / "secrets").mkdir(parents=True)
    for secret in _SECRETS:
        (folder / "secrets" / secret).write_text(secrets.token_hex(32))
    own = {
        "SLIPWAY_SECRETS_DIR": str(folder / "secrets"),
        "SLIPWAY_STATE_DIR": str(folder),
        "SLIPWAY_GRPC_PORT": str(free_port()),
        "SLIPWAY_HTTP_PORT": str(free_port()),
    }
    service = ServiceProcess(
        name=name, environment={**cli_environment(), **os.environ, **own, **settings}, log=folder / "log"
    )
    with _resting(name):
        try:
            yield service
        finally:
            if service.process is not None:
                service.kill()


@contextmanager
def _resting(name: str) -> Iterator[None]:
    """Stop a part of the running stack, and have it ready again at the end."""
    supervision = Supervision(build_stack())
    is_ours = supervision.is_running() and supervision.processes()[name].state is ProcessState.RUNNING
    if is_ours:
        supervision.stop(name)
        _wait(lambda: supervision.processes()[name].state is ProcessState.STOPPED, f"{name} to stop")
    try:
        yield
    finally:
        if is_ours:
            supervision.start(name)
            url = f"http://127.0.0.1:{ports()[f'{name}_http']}/readyz"
            _wait(lambda: _is_ready(url), f"{name} to be ready again")


def _wait(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not check():
        assert time.monotonic() < deadline, f"not within {WITHIN_S:.0f} s: {what}"
        time.sleep(0.1)


def mesh(name: str) -> dict[str, str]:
    """The settings by which a service of a test shows the certificate that the stack made for it."""
    folder = find_layout().certificates
    return {
        "SLIPWAY_MESH_CERT": str(certificate_path(folder, name)),
        "SLIPWAY_MESH_CA": str(ca_path(folder)),
    }


def neighbour(port: int | str, *, to: str) -> str:
    """The target of a service of a test, for another that shows its own certificate to it."""
    folder = find_layout().certificates
    files = {"ca_file": str(ca_path(folder)), "cert_file": str(certificate_path(folder, to))}
    return unparse_target(Target(address=f"127.0.0.1:{port}", **files))


@contextmanager
def own_database(prefix: str) -> Iterator[str]:
    """The connection string of a fresh database that is gone at the end."""
    database = f"{prefix}_test_{secrets.token_hex(4)}"
    owner = os.environ.get("SLIPWAY_TEST_POSTGRES_ADMIN_DSN") or admin_dsn(find_layout(), ports())
    asyncio.run(_execute(owner, f"CREATE DATABASE {database}"))
    try:
        yield owner.rpartition("/")[0] + "/" + database
    finally:
        asyncio.run(_execute(owner, f"DROP DATABASE {database} WITH (FORCE)"))


async def skip_history(bootstrap: str, group: str, topics: Sequence[str]) -> None:
    """Let a new group begin at the end of its topics: what others did before is not its business."""
    consumer = AIOKafkaConsumer(**client_options(bootstrap), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(t, p) for t in topics for p in range(BY_NAME[t].partitions)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
    finally:
        await consumer.stop()


def _is_ready(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10, ssl=False)
    try:
        await connection.execute(statement, timeout=30)
    finally:
        await connection.close()


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])
