"""Posts to a real receiver, and to places where nothing may go."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from slipway.callback_http import CallbackHttp, callback_http
from slipway.callback_urls import policy_of
from slipway.errors import Denied, Unavailable
from tests.receiver import Receiver, receiver
from tests.service_process import free_port


@pytest.fixture
def hooks() -> Iterator[Receiver]:
    with receiver() as it:
        yield it


@asynccontextmanager
async def http(networks: str = "127.0.0.0/8,::1/128") -> AsyncIterator[CallbackHttp]:
    async with callback_http(policy_of("http://localhost/", networks), timeout_s=5, parallel=2) as it:
        yield it


async def test_a_body_arrives_as_it_is(hooks: Receiver) -> None:
    async with http() as it:
        await it.post(hooks.url + "a?b=%2F", b'{"a": 1}', {"webhook-id": "x"})
    [(path, headers, body)] = hooks.got
    assert (path, body, headers["webhook-id"]) == ("/hooks/a?b=%2F", b'{"a": 1}', "x")
    assert (headers["content-type"], headers["user-agent"]) == ("application/json", "slipway-callback/1")


@pytest.mark.parametrize(
    ("status", "why"), [(500, "answered 500"), (404, "answered 404"), (302, "redirects")]
)
async def test_only_2xx_is_delivery_and_redirects_lead_nowhere(
    hooks: Receiver, status: int, why: str
) -> None:
    hooks.statuses[:] = [status]
    async with http() as it:
        with pytest.raises(Unavailable, match=why):
            await it.post(hooks.url, b"{}", {})
    assert len(hooks.got) == 1


async def test_an_address_in_the_url_is_checked(hooks: Receiver) -> None:
    async with http("") as it:
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254"):
            with pytest.raises(Denied, match="may not reach"):
                await it.post(f"http://{host}:{hooks.port}/hooks/", b"{}", {})
    assert hooks.got == []


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001"])
async def test_what_a_name_leads_to_is_checked(hooks: Receiver, host: str) -> None:
    async with http("") as it:
        with pytest.raises(Unavailable, match=r"may not reach|not a canonical"):
            await it.post(f"http://{host}:{hooks.port}/hooks/", b"{}", {})
    assert hooks.got == []


async def test_proxies_of_the_environment_are_not_used(
    hooks: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    async with http() as it:
        await it.post(hooks.url, b"{}", {})
    assert len(hooks.got) == 1


async def test_who_does_not_listen_is_named() -> None:
    async with http() as it:
        with pytest.raises(Unavailable, match="Connect"):
            await it.post(f"http://127.0.0.1:{free_port()}/", b"{}", {})
