"""Client certificates: whom they stand for, by real ones over a real TLS port."""

import ssl
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from slipway import rpc
from slipway.clock import ManualClock, SystemClock
from slipway.errors import Unauthenticated
from slipway.http_protocol import certificate_of
from slipway.identity.callers import Callers
from slipway.identity.credentials import Credentials
from slipway.identity.key_book import KeyBook
from slipway.rpc import RpcServer
from slipway.v1 import rollout_pb2, rollout_pb2_grpc
from tests.identity.issuer import Authority
from tests.identity.known import authenticator_of, write

RULES = """
certificates:
  - {uri: spiffe://acme/admin, principal: anna, roles: [owner, app]}
  - {uri: spiffe://acme/app/*, tenant: acme, roles: [app]}
  - {dns: "*.apps.acme.example", roles: [viewer]}
  - {subject: CN=Old Batch, principal: batch, roles: [app]}
"""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def known(folder: Path, clock: Any = None, **more: Any) -> Any:
    write(folder, {"issuers.yaml": RULES})
    return authenticator_of(KeyBook(b"p" * 32), folder=folder, clock=clock, **more)


@pytest.mark.parametrize(
    ("names", "who"),
    [
        ({"uris": ["spiffe://acme/admin"]}, ("anna", "default", ("app", "owner"))),
        ({"uris": ["spiffe://acme/app/shop"]}, ("shop", "acme", ("app",))),
        ({"dns": ["www.acme.example", "eu.apps.acme.example"]}, ("eu", "default", ("viewer",))),
        ({"subject": "Old Batch"}, ("batch", "default", ("app",))),
    ],
)
def test_a_certificate_stands_for_whom_its_rule_says(
    tmp_path: Path, authority: Authority, names: Any, who: Any
) -> None:
    pem, _ = authority.issue(**names)
    for certificate in (pem, ssl.PEM_cert_to_DER_cert(pem.decode())):
        caller = known(tmp_path).identify(Credentials(certificate=certificate))
        assert (caller.principal, caller.tenant, caller.roles, caller.method) == (*who, "mtls")
        assert caller.credential_id.startswith("x509:")


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"uris": ["spiffe://acme/app/shop/more"]},
        {"uris": ["spiffe://acme/app/"]},
        {"uris": ["spiffe://acme/app/shop x"]},
        {"uris": ["spiffe://acme/app/operator"]},
        {"uris": ["spiffe://acme/administrator"]},
        {"dns": ["a.b.apps.acme.example", "apps.acme.example", "eu.apps.acme.example.evil.example"]},
        {"subject": "spiffe://acme/admin"},
        {"uris": ["spiffe://slipway/jobs"]},
    ],
)
def test_any_other_stands_for_nobody(tmp_path: Path, authority: Authority, names: Any) -> None:
    with pytest.raises(Unauthenticated):
        known(tmp_path).identify(Credentials(certificate=authority.issue(**names)[0]))


def test_a_part_of_the_system_is_known_among_themselves_alone(tmp_path: Path, authority: Authority) -> None:
    inside = known(tmp_path, operator_token="stack")
    jobs = inside.identify(Credentials(certificate=authority.issue(uris=["spiffe://slipway/jobs"])[0]))
    assert (jobs.principal, jobs.roles, jobs.method) == ("jobs", ("service",), "service")
    for uri in ("spiffe://slipway/nobody", "spiffe://slipway/jobs/x", "spiffe://other/jobs"):
        with pytest.raises(Unauthenticated):
            inside.identify(Credentials(certificate=authority.issue(uris=[uri])[0]))


def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path, authority: Authority) -> None:
    shown = Credentials(certificate=authority.issue(uris=["spiffe://acme/admin"], valid_s=60.0)[0])
    clock = ManualClock(SystemClock().now_s())
    it = known(tmp_path, clock)
    assert it.identify(shown).principal == "anna"
    clock.advance(61)
    with pytest.raises(Unauthenticated, match="expired"):
        it.identify(shown)


def test_a_wrong_token_is_not_made_good_by_a_certificate(tmp_path: Path, authority: Authority) -> None:
    pem, _ = authority.issue(uris=["spiffe://acme/admin"])
    with pytest.raises(Unauthenticated):
        known(tmp_path).identify(Credentials(authorization="Bearer slk_a_b", certificate=pem))
    with pytest.raises(Unauthenticated, match="cannot be read"):
        known(tmp_path).identify(Credentials(certificate=b"-----BEGIN nothing"))


class WhoAmI(rollout_pb2_grpc.RolloutControlServicer):
    """Lists who calls in place of models."""

    async def ListModels(self, _request: Any, context: Any) -> Any:
        who = rpc.caller(context)
        return rollout_pb2.ListModelsResponse(models=[who.principal, who.method])


async def test_a_caller_over_tls_is_known_by_his_certificate(tmp_path: Path, authority: Authority) -> None:
    server_pem, server_key = authority.issue(dns=["localhost"])
    anna_pem, anna_key = authority.issue(uris=["spiffe://acme/admin"])
    callers = Callers(known(tmp_path))
    server = RpcServer(interceptors=(callers,))
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server, WhoAmI(), service="slipway.v1.RolloutControl"
    )
    credentials = grpc.ssl_server_credentials(
        [(server_key, server_pem)], root_certificates=authority.pem, require_client_auth=True
    )
    port = server.server.add_secure_port("127.0.0.1:0", credentials)
    await server.server.start()
    shown = grpc.ssl_channel_credentials(authority.pem, anna_key, anna_pem)
    async with grpc.aio.secure_channel(f"localhost:{port}", shown) as channel:
        stub = rollout_pb2_grpc.RolloutControlStub(channel)
        answer = await stub.ListModels(rollout_pb2.ListModelsRequest(), timeout=20)
    await server.server.stop(0)
    assert list(answer.models) == ["anna", "mtls"]


class Transport:
    """A connection as asyncio shows it to HTTP."""

    def __init__(self, verify_mode: ssl.VerifyMode | None) -> None:
        self._verify_mode = verify_mode

    def get_extra_info(self, name: str) -> Any:
        assert name == "ssl_object"
        return None if self._verify_mode is None else self

    @property
    def context(self) -> Any:
        return type("Context", (), {"verify_mode": self._verify_mode})

    def getpeercert(self, *, binary_form: bool) -> bytes:
        assert binary_form
        return b"der"


@pytest.mark.parametrize(
    ("mode", "certificate"), [(None, b""), (ssl.CERT_NONE, b""), (ssl.CERT_REQUIRED, b"der")]
)
def test_http_takes_a_certificate_only_where_tls_verified_it(mode: Any, certificate: bytes) -> None:
    transport: Any = Transport(mode)
    assert certificate_of(transport) == certificate
