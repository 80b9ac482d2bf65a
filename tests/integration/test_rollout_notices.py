"""Notices of rollouts: the real service, and receivers that fail, are slow, or are not allowed."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from slipway import rpc
from slipway.v1 import notices_pb2
from slipway.v1.notices_pb2_grpc import RolloutNoticesStub
from tests.receiver import Receiver, receiver, verify
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def hooks() -> Iterator[Receiver]:
    with receiver() as it:
        yield it


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, hooks: Receiver) -> Iterator[ServiceProcess]:
    settings = {
        "SLIPWAY_CALLBACK_ALLOW": hooks.url,
        "SLIPWAY_CALLBACK_PRIVATE_NETWORKS": "127.0.0.0/8",
        "SLIPWAY_NOTICE_TIMEOUT_S": "30",
    }
    with bench.rollout_service(tmp_path_factory.mktemp("notices"), **settings) as it:
        it.start()
        it.wait_ready()
        yield it


@dataclass(frozen=True, kw_only=True)
class Told:
    """A model, and what its receivers got."""

    it: Bench
    hooks: Receiver
    notices: Any

    def path(self, name: str) -> str:
        return f"/hooks/{self.it.model}/{name}"

    def yaml(self, *entries: str, freeze: bool = False) -> str:
        window = "  freeze: [{name: always}]\n" if freeze else ""
        listed = ", ".join(
            "{" + entry.replace("URL", self.hooks.url + self.it.model) + "}" for entry in entries
        )
        return f"{self.it.yaml()}{window}  notify: [{listed}]\n"

    async def got(self, name: str, *, count: int = 1) -> list[tuple[dict[str, str], bytes]]:
        """The headers and bodies that came to a path, once there are so many."""

        async def check() -> Any:
            seen = self.hooks.of(self.path(name))
            return seen if len(seen) >= count else None

        seen = await until(f"{count} notices at {name}", check, seen=lambda: str(self.hooks.got))
        return [(headers, body) for _, headers, body in seen]

    async def failed(self, wanted: Callable[[Any], bool]) -> Any:
        """The first notice that did not arrive and is as wanted."""

        async def check() -> Any:
            request = notices_pb2.ListFailedNoticesRequest(model=self.it.model)
            answer = await self.notices.ListFailedNotices(request, metadata=self.it.metadata, timeout=10)
            return next((notice for notice in answer.notices if wanted(notice)), None)

        return await until("a failed notice", check)


@pytest.fixture
async def told(service: ServiceProcess, hooks: Receiver) -> AsyncIterator[Told]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        async with rpc.channel(f"127.0.0.1:{service.environment['SLIPWAY_GRPC_PORT']}") as channel:
            yield Told(it=around, hooks=hooks, notices=RolloutNoticesStub(channel))


async def test_each_entry_of_the_log_arrives_signed_in_both_forms(told: Told) -> None:
    yaml = told.yaml("url: 'URL/full'", "url: 'URL/chat', form: chat, 'on': [promoted]")
    await told.it.apply(yaml)
    await told.it.start("1")
    await told.it.reaches("DONE")
    [(headers, body), (_, second)] = await told.got("full", count=2)
    request = notices_pb2.NoticeSecretRequest(model=told.it.model)
    answer = await told.notices.GetNoticeSecret(request, metadata=told.it.metadata, timeout=10)
    started = verify(answer.secret, headers, body)
    assert headers["idempotency-key"] == headers["webhook-id"] == started["id"] == f"{told.it.model}/1/0"
    assert (started["kind"], started["event"]["toState"], json.loads(second)["kind"]) == (
        "start",
        "WARMING",
        "promoted",
    )
    assert started["evidence"]["quality"]
    [(_, line)] = await told.got("chat")
    assert json.loads(line)["text"].startswith(f"{told.it.model}: version 1 is promoted")


async def test_a_receiver_that_fails_gets_the_same_notice_again(told: Told) -> None:
    await told.it.apply(told.yaml("url: 'URL/failing', 'on': [start]"))
    told.hooks.statuses[:] = [500, 503]
    await told.it.start("1")
    failed = await told.failed(lambda notice: notice.tries > 0)
    assert failed.state == "PENDING"
    assert failed.receiver == "http://127.0.0.1"
    assert "the receiver answered 50" in failed.reason
    tries = await told.got("failing", count=3)
    assert len({headers["idempotency-key"] for headers, _ in tries}) == 1


async def test_a_notice_that_failed_is_not_overtaken_by_the_next(told: Told) -> None:
    await told.it.apply(told.yaml("url: 'URL/ordered'"))
    told.hooks.statuses[:] = [500]
    await told.it.start("1")
    await told.it.reaches("DONE")
    ids = [headers["webhook-id"] for headers, _ in await told.got("ordered", count=3)]
    assert ids == [f"{told.it.model}/{seq}/0" for seq in (1, 1, 2)]


async def test_a_slow_receiver_keeps_no_other_model_waiting(told: Told, service: ServiceProcess) -> None:
    released = told.hooks.held[told.path("slow")] = threading.Event()
    try:
        await told.it.apply(told.yaml("url: 'URL/slow'"))
        await told.it.start("1")
        await told.got("slow")  # and is not answered
        async with bench.bench(service) as other:
            quick = Told(it=other, hooks=told.hooks, notices=told.notices)
            await other.apply(quick.yaml("url: 'URL/quick'"))
            await other.start("1")
            await other.reaches("DONE")
            await quick.got("quick", count=2)
        assert len(told.hooks.of(told.path("slow"))) == 1
    finally:
        released.set()
    await told.got("slow", count=2)


async def test_a_kill_in_mid_delivery_loses_no_notice(told: Told, service: ServiceProcess) -> None:
    released = told.hooks.held[told.path("killed")] = threading.Event()
    await told.it.apply(told.yaml("url: 'URL/killed', 'on': [start]"))
    await told.it.start("1")
    await told.got("killed")
    service.kill()
    released.set()
    # What was claimed is due again after its lease; nobody here wants to wait for that.
    await told.it.database.execute("UPDATE notices SET due_at = now() WHERE model = $1", told.it.model)
    service.start()
    await asyncio.to_thread(service.wait_ready)
    tries = await told.got("killed", count=2)
    assert len({headers["webhook-id"] for headers, _ in tries}) == 1


async def test_a_receiver_that_is_not_allowed_is_refused_with_the_spec(told: Told) -> None:
    with pytest.raises(
        grpc.aio.AioRpcError, match=r"rollout\.notify\.0\.url .* SLIPWAY_CALLBACK_ALLOW"
    ) as refusal:
        await told.it.apply(told.it.yaml() + "  notify: [{url: 'http://169.254.169.254/'}]\n")
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_receiver_that_is_not_allowed_any_more_is_given_up(
    told: Told, service: ServiceProcess
) -> None:
    await told.it.apply(told.yaml("url: 'URL/gone', 'on': [start]"))

    def start_with_a_shorter_list() -> Any:
        return service.restarted_with(SLIPWAY_CALLBACK_ALLOW="https://elsewhere.example/")

    with start_with_a_shorter_list():
        await told.it.start("1")
        failed = await told.failed(lambda notice: notice.state == "GIVEN_UP")
    assert "SLIPWAY_CALLBACK_ALLOW" in failed.reason
    assert told.hooks.of(told.path("gone")) == []


async def test_an_open_freeze_window_is_told_while_a_version_is_on_its_way(told: Told) -> None:
    await told.it.promote_first()
    await told.it.apply(told.yaml("url: 'URL/gate', 'on': [gate]", freeze=True))
    await told.it.start("2")
    [(_, body), *_] = await told.got("gate")
    said = json.loads(body)
    assert (said["kind"], said["event"]["trigger"]) == ("gate", "gate")
    assert "freeze window 'always'" in said["text"]


async def test_a_step_that_has_passed_and_waits_for_a_signature_is_told(told: Told) -> None:
    await told.it.promote_first()
    yaml = told.yaml("url: 'URL/sign', form: chat, 'on': [gate]").replace(
        "min_rows: 20}, {", "min_rows: 0, approval: owner}, {", 1
    )
    await told.it.apply(yaml)
    await told.it.start("2")
    texts = [json.loads(body)["text"] for _, body in await told.got("sign", count=2)]
    assert "needs the approval of 'owner'" in texts[0]
    assert "has passed step 1 and is held: waits for the approval of 'owner'" in texts[1]
