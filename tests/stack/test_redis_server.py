import asyncio
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import Unavailable
from slipway.ports import ports
from slipway.stack.credentials import SHARED, make_secrets, read_secret
from slipway.stack.layout import Layout, make_directories
from slipway.stack.redis_server import answers, redis_part, render_config
from tests.service_process import free_port


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    it = Layout(home=tmp_path, cache=tmp_path)
    make_directories(it)
    make_secrets(it.secrets, names=SHARED)
    return it


def test_it_listens_on_loopback_behind_a_password_in_bounded_memory_and_keeps_nothing() -> None:
    lines = render_config(
        port=1234, password="geheim", gateway_password="g2", data_dir=Path("/data")
    ).splitlines()
    assert {
        "bind 127.0.0.1",
        "port 1234",
        "requirepass geheim",
        "maxmemory 64mb",
        "maxmemory-policy allkeys-lru",
        'save ""',
        "appendonly no",
        "dir /data",
    } <= set(lines)


async def test_the_password_stands_in_a_private_file_and_not_in_the_command(layout: Layout) -> None:
    part = redis_part(layout, ports({}))
    assert part.prepare is not None
    await part.prepare()
    await part.prepare()
    config = layout.config / "redis.conf"
    password = read_secret(layout.secrets, "redis.password")
    assert password in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600
    assert not any(password in word for word in (*part.command, *part.environment.values()))


def test_a_missing_server_is_named_with_both_packages(layout: Layout) -> None:
    (requirement,) = redis_part(layout, ports({})).requirements
    assert "redis-server" in requirement.package
    assert "valkey-server" in requirement.package


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"+OK\r\n+PONG\r\n", True), (b"+OK\r\n-LOADING dataset\r\n", False), (b"", False)],
)
async def test_it_is_ready_when_it_takes_the_password_and_answers(
    layout: Layout, reply: bytes, expected: bool
) -> None:
    async with await _server(reply) as server:
        assert await answers(layout, _port_of(server)) is expected


async def test_nobody_there_is_not_ready(layout: Layout) -> None:
    assert await answers(layout, {"redis": free_port()}) is False


async def test_a_server_with_another_password_is_named(layout: Layout) -> None:
    async with await _server(b"-WRONGPASS invalid\r\n-NOAUTH\r\n") as server:
        with pytest.raises(Unavailable, match="SLIPWAY_PORT_REDIS"):
            await answers(layout, _port_of(server))


async def _server(reply: bytes) -> asyncio.Server:
    async def reply_and_close(reader: Any, writer: Any) -> None:
        await reader.readline()
        await reader.readline()
        writer.write(reply)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(reply_and_close, "127.0.0.1", 0)


def _port_of(server: asyncio.Server) -> dict[str, int]:
    return {"redis": server.sockets[0].getsockname()[1]}
