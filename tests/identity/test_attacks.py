"""What attackers send as tokens and keys: nothing of it comes in, neither by gRPC nor by REST."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from services.gateway.handlers.models import Models
from services.gateway.permissions import Permissions
from services.gateway.rest import Rest
from slipway import rpc
from slipway.clock import ManualClock
from slipway.identity.api_keys import ApiKey, mac_of, text_of
from slipway.identity.authenticator import Authenticator
from slipway.identity.callers import Callers
from slipway.identity.json_web_tokens import MAX_CHARACTERS
from slipway.identity.key_book import KeyBook
from slipway.policy.access import builtin_policies
from slipway.rpc import RpcServer
from slipway.v1 import rollout_pb2, rollout_pb2_grpc
from tests.gateway import rest_stand_in
from tests.identity import issuer
from tests.identity.issuer import NOW_S, by_hmac, claims, ec_key, jwk, rsa_key, token, unsigned, with_header
from tests.identity.known import authenticator_of, write

# gRPC itself refuses metadata that is too large.
_REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
PEPPER = b"p" * 32
TEXT = text_of("k1", "secret")
KEY = ApiKey(key_id="k1", principal="shop", tenant="default", mac=mac_of(PEPPER, TEXT))


def sql_injection() -> str:
    return "' OR '1'='1"


def spliced() -> str:
    """The signature of an honest token under other claims."""
    head, _, rest = token().partition(".")
    changed = issuer.part(json.dumps(claims(sub="owner")).encode())
    return f"{head}.{changed}.{rest.partition('.')[2]}"


def truncated() -> str:
    return token()[:-4]


def key_of_others() -> str:
    return token(key="ec-of-others", kid="ec-1")


ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned({"alg": "none", "kid": "ec-1", "typ": "JWT"}),
    "alg None in capitals": lambda: unsigned({"alg": "NONE", "kid": "ec-1", "typ": "JWT"}),
    "alg none with a signature": lambda: unsigned({"alg": "none"}, signature=b"x" * 64),
    "alg of no kind": lambda: unsigned({"alg": ["ES256"], "kid": "ec-1"}),
    "HS256 by the RSA public key": lambda: by_hmac(issuer.public_pem(rsa_key()), kid="rsa-1"),
    "HS256 by the EC public key": lambda: by_hmac(issuer.public_pem(ec_key())),
    "HS256 by the JWK": lambda: by_hmac(json.dumps(jwk("rsa-1")).encode(), kid="rsa-1"),
    "HS256 by an empty secret": lambda: by_hmac(b""),
    "RS256 by the EC key's id": lambda: token(key="rsa-1", kid="ec-1"),
    "an algorithm that is not pinned": lambda: token(key="rsa-1", alg="RS512"),
    "somebody else's key": key_of_others,
    "no signature": lambda: unsigned({"alg": "ES256", "kid": "ec-1", "typ": "JWT"}),
    "a signature of zeros": lambda: unsigned({"alg": "ES256", "kid": "ec-1"}, signature=bytes(64)),
    "another token's signature": spliced,
    "a truncated signature": truncated,
    "crit": lambda: with_header(crit=["exp"]),
    "crit of nothing": lambda: with_header(crit=[]),
    "jku": lambda: with_header(jku="https://evil.example/keys"),
    "jwk of one's own": lambda: with_header(jwk=jwk("ec-of-others")),
    "x5u": lambda: with_header(x5u="https://evil.example/chain"),
    "x5c": lambda: with_header(x5c=["MIIB"]),
    "b64 false": lambda: with_header(b64=False),
    "kid of a file": lambda: token(kid="../../../../dev/null"),
    "kid with SQL": lambda: token(kid="ec-1' UNION SELECT 'x"),
    "kid with a NUL": lambda: token(kid="ec-1\0"),
    "kid of a huge size": lambda: token(kid="k" * 1000),
    "kid that is a number": lambda: unsigned({"alg": "ES256", "kid": 1}),
    "no kid among several keys": lambda: with_header(kid=""),
    "typ of something else": lambda: with_header(typ="logout+jwt"),
    "wrong aud": lambda: token(claims(aud="another")),
    "aud that begins alike": lambda: token(claims(aud="slipway2")),
    "aud in a list of lists": lambda: token(claims(aud=[["slipway"]])),
    "no aud": lambda: token(claims(aud=None)),
    "wrong iss": lambda: token(claims(iss="https://evil.example")),
    "iss that begins alike": lambda: token(claims(iss=issuer.ISSUER + "/")),
    "no iss": lambda: token(claims(iss=None)),
    "expired": lambda: token(claims(exp=NOW_S - 31)),
    "no exp": lambda: token(claims(exp=None)),
    "exp that is text": lambda: token(claims(exp=str(NOW_S + 300))),
    "exp that is true": lambda: token(claims(exp=True)),
    "exp without end": lambda: token(claims(exp=float("inf"))),
    "nbf in the future": lambda: token(claims(nbf=NOW_S + 31)),
    "iat in the future": lambda: token(claims(iat=NOW_S + 31)),
    "no sub": lambda: token(claims(sub=None)),
    "sub with a line break": lambda: token(claims(sub="shop\nadmin")),
    "sub that is a list": lambda: token(claims(sub=["shop"])),
    "another's tenant": lambda: token(claims(org="default")),
    "tenant in a list": lambda: token(claims(org=["acme"])),
    "claims that are a list": lambda: "eyJhbGciOiJFUzI1NiJ9.W10.AAAA",
    "five parts, as JWE has": lambda: "a.b.c.d.e",
    "an oversize token": lambda: token(claims(pad="x" * MAX_CHARACTERS)),
    "SQL": sql_injection,
    "nothing": str,
    "a stored hash": lambda: KEY.mac.hex(),
    "a stored hash in the form of a key": lambda: text_of("k1", KEY.mac.hex()),
    "another secret for a known id": lambda: text_of("k1", "other"),
    "a key cut short": lambda: TEXT[:-1],
    "a key with more behind it": lambda: TEXT + "x",
    "the stack's token on a public port": lambda: "stack",
}


class WhoAmI(rollout_pb2_grpc.RolloutControlServicer):
    """Lists who calls in place of models."""

    async def ListModels(self, _request: Any, context: Any) -> Any:
        return rollout_pb2.ListModelsResponse(models=[rpc.caller(context).principal])


@pytest.fixture
def authenticator(tmp_path: Path) -> Authenticator:
    write(tmp_path, {"issuers.yaml": issuer.FROM_FILE, "jwks/acme.json": issuer.jwks("ec-1", "rsa-1")})
    book = KeyBook(PEPPER)
    book.replace([KEY])
    return authenticator_of(book, folder=tmp_path, clock=ManualClock(NOW_S))


@pytest.fixture
async def by_grpc(authenticator: Authenticator) -> AsyncIterator[Any]:
    """Asks with a credential; returns whether it came in."""
    server = RpcServer(interceptors=(Callers(authenticator),))
    server.add(
        rollout_pb2_grpc.add_RolloutControlServicer_to_server, WhoAmI(), service="slipway.v1.RolloutControl"
    )
    port = server.server.add_insecure_port("127.0.0.1:0")
    await server.server.start()
    async with rpc.channel(f"127.0.0.1:{port}") as channel:

        async def ask(*metadata: tuple[str, str]) -> bool:
            stub = rollout_pb2_grpc.RolloutControlStub(channel)
            call = stub.ListModels(rollout_pb2.ListModelsRequest(), metadata=metadata, timeout=10)
            code = await call.code()
            assert code in (grpc.StatusCode.OK, *_REFUSED)
            return code is grpc.StatusCode.OK

        yield ask
    await server.server.stop(0)


@pytest.fixture
async def by_rest(authenticator: Authenticator) -> AsyncIterator[Any]:
    """The same over /v2; the model is the key's tenant's."""
    it = rest_stand_in.behind()
    catalog = rest_stand_in.catalog()
    models = Models(
        catalog,
        _NOBODY,
        authenticator=authenticator,
        permissions=Permissions(builtin_policies(), catalog),
        not_ready=list,
    )
    it.front.mount("v2", Rest(it.predictions, models, jobs=it.jobs, version="1"))  # type: ignore[arg-type]
    async with rest_stand_in.near(it) as client:

        async def ask(*headers: tuple[str, str]) -> bool:
            client.headers.pop("authorization", None)
            answer = await client.post("/v2/repository/index", headers=list(headers), content=b"{}")
            assert answer.status_code in (200, 401), answer.text
            return answer.status_code == 200

        yield ask


_NOBODY: Any = type("Nobody", (), {"targets": lambda *_: ()})()


async def test_what_is_honest_comes_in(by_grpc: Any, by_rest: Any) -> None:
    for ask in (by_grpc, by_rest):
        for text in (TEXT, token(), token(key="rsa-1"), token(claims(aud=["x", "slipway"]))):
            assert await ask(("authorization", f"Bearer {text}"))
        assert await ask(("x-api-key", TEXT))


@pytest.mark.parametrize("attack", ATTACKS)
async def test_no_attack_comes_in(by_grpc: Any, by_rest: Any, attack: str) -> None:
    text = ATTACKS[attack]()
    assert not await by_grpc(("authorization", f"Bearer {text}"))
    assert not await by_rest(("authorization", f"Bearer {text}"))
    if "\0" not in text:
        assert not await by_grpc(("x-api-key", text))
        assert not await by_rest(("x-api-key", text))


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Basic c2hvcDpzZWNyZXQ=")],
        [("authorization", TEXT)],
        [("authorization", f"Bearer {TEXT}"), ("x-api-key", TEXT)],
        [("authorization", f"Bearer {TEXT}"), ("authorization", "Bearer x")],
        [("x-api-key", "x"), ("x-api-key", TEXT)],
        [("cookie", TEXT)],
        [],
    ],
)
async def test_a_key_comes_in_one_way_only(by_grpc: Any, by_rest: Any, headers: Any) -> None:
    assert not await by_grpc(*headers)
    assert not await by_rest(*headers)


async def test_two_tokens_that_begin_alike_are_two(by_grpc: Any, by_rest: Any) -> None:
    honest = token()
    forged = honest[:-20] + ("A" * 20 if not honest.endswith("A" * 20) else "B" * 20)
    assert honest[:20] == forged[:20]
    for ask in (by_grpc, by_rest):
        assert await ask(("authorization", f"Bearer {honest}"))
        assert not await ask(("authorization", f"Bearer {forged}"))
        assert await ask(("authorization", f"Bearer {honest}"))
