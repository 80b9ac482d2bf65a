import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from slipway import rpc, web
from slipway.errors import InvalidInput
from slipway.stack.certificates import ca_path, certificate_path, make_certificates
from slipway.tls import ServerTls, Target, parse_target, unparse_target
from tests.service_process import free_port

DEADLINE_S = 10


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return stack(tmp_path / "ours")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    return stack(tmp_path / "strangers")


def stack(directory: Path) -> Path:
    make_certificates(directory, names=["jobs", "gateway"], now=datetime.datetime.now(datetime.UTC))
    return directory


def mutual(directory: Path) -> ServerTls:
    return ServerTls(cert_file=str(certificate_path(directory, "jobs")), client_ca=str(ca_path(directory)))


def target(address: str, *, ca: Path, own: Path | None) -> str:
    cert = str(certificate_path(own, "gateway")) if own else ""
    return unparse_target(Target(address=address, ca_file=str(ca_path(ca)), cert_file=cert))


async def ask(target: str) -> int:
    async with rpc.channel(target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=DEADLINE_S)
    return int(answer.status)


@asynccontextmanager
async def server(tls: ServerTls | None) -> AsyncIterator[str]:
    address = f"127.0.0.1:{free_port()}"
    async with rpc.RpcServer().serving(address, tls=tls, drain_s=0):
        yield address


async def test_a_neighbour_with_a_certificate_of_the_stack_is_answered(ours: Path) -> None:
    async with server(mutual(ours)) as address:
        assert await ask(target(address, ca=ours, own=ours)) == health_pb2.HealthCheckResponse.SERVING


async def test_nobody_else_is_answered(ours: Path, strangers: Path) -> None:
    async with server(mutual(ours)) as address:
        for wrong in (
            address,  # in the clear
            target(address, ca=ours, own=None),
            target(address, ca=ours, own=strangers),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask(wrong)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_server_of_another_authority_is_not_talked_to(ours: Path, strangers: Path) -> None:
    async with server(mutual(strangers)) as address:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(target(address, ca=ours, own=ours))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_http_speaks_tls_and_asks_for_certificates_where_told(ours: Path) -> None:
    app, port = web.application("test", not_ready=list), free_port()
    async with web.serving(app, host="127.0.0.1", port=port, tls=mutual(ours)):
        url, context = f"https://127.0.0.1:{port}/healthz", httpx.create_ssl_context(str(ca_path(ours)))
        async with httpx.AsyncClient(verify=context, timeout=DEADLINE_S) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(url)
        context.load_cert_chain(certificate_path(ours, "gateway"))
        async with httpx.AsyncClient(verify=context, timeout=DEADLINE_S) as client:
            assert (await client.get(url)).status_code == 200


def test_a_target_is_read_as_it_was_written() -> None:
    wanted = Target(address="127.0.0.1:1", ca_file="/a b/ca.pem", cert_file="/c&d.pem")
    assert parse_target(unparse_target(wanted)) == wanted
    assert parse_target("127.0.0.1:1") == Target(address="127.0.0.1:1")


@pytest.mark.parametrize(
    "text", ["https://h:1", "tls://h:1", "tls://?ca_file=x", "tls://h:1?ca_file=x&key=y"]
)
def test_a_target_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is neither host:port nor tls"):
        parse_target(text)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    with pytest.raises(InvalidInput, match=r"x\.pem holds no certificate"):
        ServerTls(cert_file=str(tmp_path / "x.pem")).grpc()
    with pytest.raises(InvalidInput, match=r"cannot read .*none\.pem: No such file"):
        Target(address="h:1", ca_file=str(tmp_path / "none.pem")).grpc()
