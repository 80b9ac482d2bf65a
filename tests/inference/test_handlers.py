"""The service's state: reports, keys, the directory and those who watch it."""

import asyncio

import pytest

from services.inference.domain.demand import Resources
from services.inference.domain.directory import Directory
from services.inference.domain.fleet import Policy
from services.inference.domain.replicas import READY, Report, Use
from services.inference.domain.version import Version, replica_key
from services.inference.handlers import UNKNOWN, Inference
from slipway.clock import ManualClock
from slipway.errors import Overloaded, Unauthenticated, Unavailable

V1 = Version(model="m", version="1", digest="a" * 64)
POLICY = Policy(drain_s=10, load_deadline_s=120, retry_first_s=30, retry_limit_s=600, max_loading=4)
RESOURCES = Resources(spec_yaml="", replicas=1, cpus_per_replica=0.1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def inference(clock: ManualClock) -> Inference:
    made = Inference(POLICY, clock, report_s=1.0, operator_token="token")
    made.set_resources("m", RESOURCES, revision=1)
    made.set_arms("m", frozenset({V1}), epoch=1)
    return made


def _ready(target: str = "host:1") -> Report:
    return Report(version=V1, replica_id=target, state=READY, target=target, use=Use(requests=1))


async def test_nothing_is_told_before_replicas_could_report(inference: Inference, clock: ManualClock) -> None:
    with pytest.raises(Unavailable, match="just started"):
        inference.get_version("m", "1")
    inference.report(_ready())
    stop = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(inference.settle(stop))
        await asyncio.sleep(0)
        assert not inference.is_settled
        clock.advance(2.5)
        while not inference.is_settled:
            await asyncio.sleep(0.01)
        stop.set()
    assert inference.get_version("m", "1").targets == ("host:1",)
    assert inference.get_version("m", "2").state == UNKNOWN


async def test_watchers_hear_each_change_until_the_end(inference: Inference, clock: ManualClock) -> None:
    inference.is_settled = True
    heard: list[Directory] = []

    async def watch() -> None:
        async for directory in inference.watch():
            heard.append(directory)

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(watch())
        await asyncio.sleep(0)
        inference.report(_ready())
        await asyncio.sleep(0)
        clock.advance(14.1)
        inference.expire()
        await asyncio.sleep(0)
        inference.close()
    assert [d.versions[0].targets for d in heard] == [(), ("host:1",), ()]
    assert [d.epoch for d in heard] == sorted({d.epoch for d in heard})


async def test_the_number_of_watchers_is_bounded(inference: Inference) -> None:
    inference.is_settled = True
    watches = [inference.watch() for _ in range(65)]
    for watch in watches[:64]:
        await anext(watch)
    with pytest.raises(Overloaded, match="64 streams"):
        await anext(watches[64])
    for watch in watches[:64]:
        await watch.aclose()  # type: ignore[attr-defined]
    assert (await anext(inference.watch())).epoch > 0


async def test_only_a_replica_of_the_version_may_report(inference: Inference) -> None:
    inference.check_key(V1, f"Bearer {replica_key('token', V1)}")
    for wrong in ("", "Bearer token", f"Bearer {replica_key('other', V1)}"):
        with pytest.raises(Unauthenticated, match="not a replica of m version 1"):
            inference.check_key(V1, wrong)
