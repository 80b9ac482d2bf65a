"""Order, pace, time and bounds of jobs, on the real PostgreSQL, with a gateway that is played."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from services.jobs.app import MIGRATIONS
from services.jobs.callbacks import CallbackDelivery
from services.jobs.dispatcher import Dispatcher
from services.jobs.domain.verdict import Failed, Unanswered, prediction_id_of
from services.jobs.gateway_client import Gateway
from services.jobs.handlers import Desk, Intake
from services.jobs.housekeeping import Housekeeper, Timekeeper
from services.jobs.messages import announcements
from services.jobs.settings import Settings
from services.jobs.store.callbacks import CallbackStore
from services.jobs.store.entries import Claim, NewJob, Owner
from services.jobs.store.housekeeping import HousekeepingStore
from services.jobs.store.jobs import JobStore
from services.jobs.waiters import Waiters
from slipway import postgres
from slipway.clock import ManualClock
from slipway.envelope import Event
from slipway.errors import NotFound, Overloaded, Unavailable
from slipway.ids import new_id
from slipway.outbox import Relay
from slipway.v1.jobs_pb2 import JobFinished, JobSubmitted
from tests.service_process import own_database

pytestmark = pytest.mark.integration

ANNA = Owner(tenant="default", principal="anna")
START_S = 1_790_000_000.0
DAY_S = 24 * 3600.0


class SilentRelay:
    """Leaves what is in the outbox where it is."""

    def wake(self) -> None:
        return


@dataclass(kw_only=True)
class PlayedGateway:
    """Answers what the script says, by default with a small answer."""

    script: Callable[[Claim], bytes | Failed | Unanswered] = lambda claim: b""
    asked: list[tuple[str, str]] = field(default_factory=list)  # priority and prediction id
    under_way: int = 0
    most: int = 0
    gate: asyncio.Event | None = None

    async def infer(self, claim: Claim, *, timeout_s: float) -> bytes | Failed | Unanswered:
        assert timeout_s > 0
        self.asked.append((claim.priority, prediction_id_of(claim.trial.job_id, claim.trial.attempt)))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self.script(claim)
        finally:
            self.under_way -= 1


@dataclass(kw_only=True)
class Room:
    """The service without its edges."""

    pool: Any
    settings: Settings
    clock: ManualClock
    gateway: PlayedGateway
    store: JobStore
    waiters: Waiters
    relay: Relay

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(
            self.store,
            cast(Gateway, self.gateway),
            waiters=self.waiters,
            relay=self.relay,
            settings=self.settings,
            clock=self.clock,
        )

    def timekeeper(self) -> Timekeeper:
        return Timekeeper(
            self.store,
            self.dispatcher(),
            waiters=self.waiters,
            relay=self.relay,
            settings=self.settings,
            clock=self.clock,
        )

    def housekeeper(self) -> Housekeeper:
        return Housekeeper(
            HousekeepingStore(self.pool, batch_rows=3), settings=self.settings, clock=self.clock
        )

    def desk(self) -> Desk:
        return Desk(
            self.store,
            self.dispatcher(),
            waiters=self.waiters,
            relay=self.relay,
            clock=self.clock,
            callback_key=b"k" * 32,
        )

    async def add(self, priority: str = "normal", **fields: Any) -> str:
        job_id = new_id()
        given = {
            "job_id": job_id,
            "owner": ANNA,
            "model": "m",
            "priority": priority,
            "request": b"request",
            "submitted_at_s": self.clock.now_s(),
            "expires_at_s": self.clock.now_s() + 3600,
            "callback_url": "",
            "reply_topic": "",
        }
        assert await self.store.add([NewJob(**{**given, **fields})], now_s=self.clock.now_s()) == 1
        return job_id

    async def work_until(self, check: Callable[[], bool]) -> None:
        """Let a dispatcher work; it counts on a clock that is moved on."""
        dispatcher, stop = self.dispatcher(), asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stop))
        async with asyncio.timeout(60):
            while not check():
                assert not running.done(), running.result()
                dispatcher.wake()
                self.clock.advance(0.05)
                await asyncio.sleep(0.005)
        stop.set()
        await running

    async def state(self, job_id: str) -> str:
        view = await self.store.find(ANNA, job_id)
        return "" if view is None else view.state

    async def events(self) -> list[tuple[str, JobFinished]]:
        rows = await self.pool.fetch("SELECT topic, value FROM outbox ORDER BY id")
        return [(row["topic"], JobFinished.FromString(row["value"])) for row in rows]


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with own_database("jobs") as it:
        yield it


@pytest.fixture
async def room(dsn: str, tmp_path: Path) -> AsyncIterator[Room]:
    settings = Settings(
        kafka_bootstrap="unused",
        state_dir=tmp_path,
        secrets_dir=tmp_path,
        grpc_port=1,
        http_port=1,
        postgres_dsn=dsn,
        gateway_admin_target="unused",
        max_parallel=2,
        max_queued_jobs=5,
        max_result_bytes=100,
        max_results_bytes=250,
        callback_allow="https://hooks.example.com/",
    )
    async with postgres.pool(dsn, migrations=MIGRATIONS) as pool:
        await pool.execute("TRUNCATE jobs, callbacks, outbox")
        store = JobStore(pool, announce=announcements, instance="one", callback_deadline_s=3600.0)
        yield Room(
            pool=pool,
            settings=settings,
            clock=ManualClock(START_S),
            gateway=PlayedGateway(),
            store=store,
            waiters=Waiters(),
            relay=cast(Relay, SilentRelay()),
        )


async def test_high_goes_before_normal_before_low_and_low_does_not_starve(room: Room) -> None:
    for priority in ("low", "normal", "high"):
        for _ in range(40):
            await room.add(priority)
    await room.work_until(lambda: len(room.gateway.asked) == 120)
    order = [priority for priority, _ in room.gateway.asked]
    assert Counter(order[:42]) == {"high": 32, "normal": 8, "low": 2}
    assert max(n for n, p in enumerate(order) if p == "high") < max(
        n for n, p in enumerate(order) if p == "low"
    )
    assert room.gateway.most <= 2


async def test_jobs_of_one_priority_go_in_order_of_arrival(room: Room) -> None:
    ids = []
    for _ in range(10):
        ids.append(await room.add())
        room.clock.advance(0.001)
    await room.work_until(lambda: len(room.gateway.asked) == 10)
    assert [asked for _, asked in room.gateway.asked] == [prediction_id_of(job_id, 0) for job_id in ids]


async def test_a_refusing_gateway_is_asked_less_and_every_job_is_answered(room: Room) -> None:
    refusals = 12

    def script(_: Claim) -> bytes | Failed:
        nonlocal refusals
        refusals -= 1
        return Failed(code="RESOURCE_EXHAUSTED", message="full") if refusals >= 0 else b""

    room.gateway.script = script
    ids = [await room.add() for _ in range(5)]
    await room.work_until(lambda: len(room.gateway.asked) == 17)
    assert [await room.state(job_id) for job_id in ids] == ["DONE"] * 5


async def test_what_another_process_had_taken_up_is_taken_over_as_the_same_prediction(room: Room) -> None:
    job_id = await room.add()
    dead = JobStore(room.pool, announce=announcements, instance="dead", callback_deadline_s=3600.0)
    claim = await dead.claim(("normal",), now_s=START_S, until_s=START_S + 60)
    assert claim is not None
    await room.timekeeper().look()
    assert await room.state(job_id) == "RUNNING"
    room.clock.advance(61)
    await room.timekeeper().look()
    await room.work_until(lambda: len(room.gateway.asked) == 1)
    assert room.gateway.asked == [("normal", prediction_id_of(job_id, 0))]
    view = await room.store.find(ANNA, job_id)
    assert view is not None
    assert (view.state, view.tries) == ("DONE", 2)
    # The dead one comes back late: its word counts no more.
    ended = room.dispatcher()._answered(claim, b"late")
    assert not await dead.finish(claim, ended)


async def test_a_job_that_is_cancelled_while_it_runs_frees_its_place(room: Room) -> None:
    room.gateway.gate = asyncio.Event()
    job_id = await room.add()
    dispatcher, stop = room.dispatcher(), asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    async with asyncio.timeout(20):
        while room.gateway.under_way == 0:
            await asyncio.sleep(0.005)
        assert await room.store.cancel(ANNA, job_id, now_s=START_S)
        dispatcher.drop(job_id)
        while room.gateway.under_way:
            await asyncio.sleep(0.005)
        stop.set()
        await running
    assert await room.state(job_id) == "CANCELLED"
    assert [(topic, m.state) for topic, m in await room.events()] == [("job_results", "CANCELLED")]


async def test_a_job_may_be_cancelled_before_it_arrives(room: Room) -> None:
    job_id = new_id()
    assert (await room.desk().cancel(ANNA, job_id)).state == "CANCELLED"
    job = NewJob(
        job_id=job_id,
        owner=ANNA,
        model="m",
        priority="low",
        request=b"r",
        submitted_at_s=START_S,
        expires_at_s=START_S + 9,
        callback_url="",
        reply_topic="",
    )
    assert await room.store.add([job], now_s=START_S) == 0
    assert await room.state(job_id) == "CANCELLED"


async def test_owners_see_and_cancel_their_own_only(room: Room) -> None:
    job_id = await room.add()
    for stranger in (Owner(tenant="default", principal="bert"), Owner(tenant="other", principal="anna")):
        with pytest.raises(NotFound):
            await room.desk().find(stranger, job_id, wait_s=0)
        with pytest.raises(NotFound):
            await room.desk().cancel(stranger, job_id)
    assert await room.state(job_id) == "QUEUED"


async def test_who_waits_is_told_at_once(room: Room) -> None:
    job_id = await room.add()
    waiting = asyncio.create_task(room.desk().find(ANNA, job_id, wait_s=20))
    await room.work_until(lambda: len(room.gateway.asked) == 1)
    async with asyncio.timeout(10):
        assert (await waiting).state == "DONE"


async def test_time_runs_out_with_an_event_and_a_callback(room: Room) -> None:
    late = await room.add(expires_at_s=START_S + 5, callback_url="https://hooks.example.com/a")
    other = await room.add()
    room.clock.advance(5)
    await room.timekeeper().look()
    assert (await room.state(late), await room.state(other)) == ("EXPIRED", "QUEUED")
    [(topic, event)] = await room.events()
    assert (topic, event.job_id, event.code) == ("job_results", late, "DEADLINE_EXCEEDED")
    assert await room.pool.fetchval("SELECT count(*) FROM callbacks WHERE job_id = $1", late) == 1


async def test_the_reply_goes_where_it_was_asked_for(room: Room) -> None:
    room.gateway.script = lambda _: b"answer"
    for reply_topic in ("", "job_results", "mine"):
        await room.add(reply_topic=reply_topic)
        room.clock.advance(0.1)
    await room.work_until(lambda: len(room.gateway.asked) == 3)
    events = sorted((topic, m.response) for topic, m in await room.events())
    assert events == [
        ("job_results", b""),
        ("job_results", b""),
        ("job_results", b"answer"),
        ("mine", b"answer"),
    ]


async def test_a_result_that_is_too_large_fails_its_job(room: Room) -> None:
    room.gateway.script = lambda _: b"x" * 101
    job_id = await room.add()
    await room.work_until(lambda: len(room.gateway.asked) == 1)
    view = await room.store.find(ANNA, job_id)
    assert view is not None
    assert (view.state, view.code, view.response) == ("FAILED", "RESOURCE_EXHAUSTED", None)
    assert "send fewer rows" in view.message


async def test_results_are_bounded_in_bytes_and_time_and_jobs_in_number(room: Room) -> None:
    room.gateway.script = lambda _: b"x" * 100
    ids = []
    for count in range(1, 6):
        ids.append(await room.add())
        await room.work_until(lambda count=count: len(room.gateway.asked) == count)  # type: ignore[misc]
        room.clock.advance(10)
    await room.housekeeper().tidy()
    kept = [view.response is not None for view in [await room.store.find(ANNA, i) for i in ids] if view]
    assert kept == [False, False, False, True, True]
    job = await room.desk().find(ANNA, ids[0], wait_s=0)
    assert (job.state, job.HasField("response"), "deleted" in job.message) == ("DONE", False, True)
    room.clock.advance(DAY_S)
    await room.housekeeper().tidy()
    assert await room.pool.fetchval("SELECT sum(response_bytes) FROM jobs") == 0
    assert await room.state(ids[4]) == "DONE"
    waiting = await room.add(expires_at_s=START_S + 100 * DAY_S)
    room.clock.advance(8 * DAY_S)
    await room.housekeeper().tidy()
    assert [await room.state(i) for i in (*ids, waiting)] == [""] * 5 + ["QUEUED"]


async def test_a_full_table_leaves_jobs_in_kafka_and_takes_each_once(room: Room) -> None:
    intake = Intake(room.store, room.dispatcher(), settings=room.settings, clock=room.clock)

    def event(priority: str) -> Event:
        message = JobSubmitted(
            job_id=new_id(), tenant="default", principal="anna", model="m", request=b"r", priority=priority
        )
        message.submitted_at.FromSeconds(int(START_S))
        message.expires_at.FromSeconds(int(START_S) + 60)
        return Event(topic="t", key="k", message=message, event_id="e")

    batch = [event("low") for _ in range(5)]
    await intake.take(batch)
    with pytest.raises(Overloaded, match="5 jobs of low priority wait"):
        await intake.take([event("low")])
    await intake.take([event("high")])
    assert (await room.store.backlog("low")).jobs == 5
    await room.pool.execute("DELETE FROM jobs WHERE job_id = $1", batch[0].message.job_id)
    await intake.take(batch)
    assert (await room.store.backlog("low")).jobs == 5


class Receiver:
    """Fails as often as it is told to."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.got: list[str] = []

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        self.got.append(url)
        if len(self.got) <= self.failures:
            raise Unavailable("the receiver answered 503")


@pytest.mark.parametrize(
    ("failures", "state", "tries"), [(0, "DELIVERED", 1), (3, "DELIVERED", 4), (99, "GIVEN_UP", 12)]
)
async def test_a_callback_is_tried_until_it_arrives_or_its_deadline(
    room: Room, failures: int, state: str, tries: int
) -> None:
    job_id = await room.add(callback_url="https://hooks.example.com/a")
    await room.work_until(lambda: len(room.gateway.asked) == 1)
    receiver = Receiver(failures)
    delivery = CallbackDelivery(
        CallbackStore(room.pool), receiver, settings=room.settings, clock=room.clock, key=b"k"
    )
    for _ in range(20):
        for due in await delivery._claim(5):
            await delivery._deliver(due)
        room.clock.advance(150)
    view = await room.store.find(ANNA, job_id)
    assert view is not None
    assert (view.callback, len(receiver.got)) == (state, tries)


async def test_a_callback_that_is_no_longer_allowed_is_given_up(room: Room) -> None:
    job_id = await room.add(callback_url="https://elsewhere.example/a")
    await room.work_until(lambda: len(room.gateway.asked) == 1)
    receiver = Receiver(0)
    delivery = CallbackDelivery(
        CallbackStore(room.pool), receiver, settings=room.settings, clock=room.clock, key=b"k"
    )
    for due in await delivery._claim(5):
        await delivery._deliver(due)
    view = await room.store.find(ANNA, job_id)
    assert view is not None
    assert (view.callback, receiver.got) == ("GIVEN_UP", [])
