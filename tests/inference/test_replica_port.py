"""Who gets an answer of a replica, and whom a gateway takes for one: real TLS on both sides."""

import datetime
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from services.gateway.channels import Channels, replica_credentials
from services.inference.replica_port import REFUSED, replica_server
from slipway.stack.certificates import ca_path, certificate_path, make_certificates
from slipway.tls import REPLICA, ServerTls

REQUEST = b"asked"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    names = ("gateway", "feedback", REPLICA)
    make_certificates(made, names=names, now=datetime.datetime.now(datetime.UTC))
    return made


@asynccontextmanager
async def replica(folder: Path | None, *, shown: str = REPLICA) -> AsyncIterator[str]:
    """Answers what it is asked; `shown` is the name in its certificate, without a folder it has none."""

    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    tls = None
    if folder is not None:
        tls = ServerTls(cert_file=str(certificate_path(folder, shown)), client_ca=str(ca_path(folder)))
    server, target = replica_server("127.0.0.1", tls_files=tls)
    handler: Any = grpc.unary_unary_rpc_method_handler(echo, lambda raw: raw)
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler})
    server.add_generic_rpc_handlers((service,))
    await server.start()
    try:
        yield target
    finally:
        await server.stop(None)


async def ask(target: str, folder: Path, *, shown: str) -> bytes:
    """What the replica tells whoever has this certificate; by the gateway's own way to it."""
    files = {
        "cert_file": str(certificate_path(folder, shown)) if shown else "",
        "ca_file": str(ca_path(folder)),
    }
    channels = Channels(replica_credentials(**files))
    try:
        return bytes(await channels.to(target).infer(REQUEST, timeout=20))
    finally:
        await channels.close_except(())


async def test_a_gateway_is_answered(folder: Path) -> None:
    async with replica(folder) as target:
        assert target.startswith("tls://127.0.0.1:")
        assert await ask(target, folder, shown="gateway") == REQUEST


async def test_another_part_with_a_certificate_of_the_same_authority_is_refused(folder: Path) -> None:
    async with replica(folder) as target:
        with pytest.raises(grpc.aio.AioRpcError, match=REFUSED) as refused:
            await ask(target, folder, shown="feedback")
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_whoever_shows_no_certificate_does_not_get_in(folder: Path) -> None:
    async with replica(folder) as target:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(target, folder, shown="")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        trusting = grpc.ssl_channel_credentials(ca_path(folder).read_bytes())
        async with grpc.aio.secure_channel(target.removeprefix("tls://"), trusting) as channel:
            call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(REQUEST, timeout=20)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_another_part_is_not_taken_for_a_replica(folder: Path) -> None:
    async with replica(folder, shown="feedback") as target:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(target, folder, shown="gateway")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_without_certificates_everybody_is_answered_in_the_clear(folder: Path) -> None:
    async with replica(None) as target:
        assert await ask(target, folder, shown="") == REQUEST
