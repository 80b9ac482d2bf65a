"""A Redis or Valkey of a test's own: to be killed, stopped in its tracks, and filled with other things."""

import os
import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from slipway.stack.redis_server import find_binary, render_config
from tests.gateway.live import wait_for
from tests.service_process import free_port


@dataclass(kw_only=True)
class RedisProcess:
    folder: Path
    port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        config = self.folder / "redis.conf"
        passwords = {"password": self.password, "gateway_password": secrets.token_hex(16)}
        config.write_text(render_config(port=self.port, **passwords, data_dir=self.folder))
        self.process = subprocess.Popen([find_binary(), config], stdout=subprocess.DEVNULL)
        wait_for("redis", self.is_answering)

    def is_answering(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5)

    def names(self) -> set[bytes]:
        """Of the kept answers; limits have keys of their own there."""
        with self.client() as client:
            return set(client.scan_iter("slipway:1:*"))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def redis_process(folder: Path) -> Iterator[RedisProcess]:
    """A server that is gone at the end; it is not started yet."""
    folder.mkdir()
    server = RedisProcess(folder=folder)
    try:
        yield server
    finally:
        server.kill()
