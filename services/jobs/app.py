"""The composition root of the jobs service."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient

from services.jobs.callbacks import CallbackDelivery
from services.jobs.consumer import JobConsumer
from services.jobs.dispatcher import Dispatcher
from services.jobs.gateway_client import gateway
from services.jobs.handlers import Desk, Intake
from services.jobs.housekeeping import Housekeeper, Timekeeper
from services.jobs.messages import announcements
from services.jobs.rpc import JobDesk
from services.jobs.settings import Settings
from services.jobs.store.callbacks import CallbackStore
from services.jobs.store.housekeeping import HousekeepingStore
from services.jobs.store.jobs import JobStore
from services.jobs.waiters import Waiters
from slipway import kafka, postgres
from slipway.callback_http import callback_http
from slipway.clock import Clock, SystemClock
from slipway.control_port import control_server
from slipway.errors import InvalidInput
from slipway.ids import new_id
from slipway.job_terms import PRIORITIES
from slipway.kafka_access import client_options
from slipway.outbox import Relay
from slipway.postgres import Pool
from slipway.process import Process
from slipway.rpc import MAX_MESSAGE_BYTES
from slipway.v1.jobs_pb2_grpc import add_JobDeskServicer_to_server

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_CONNECTIONS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What the loops share."""

    pool: Pool
    store: JobStore
    relay: Relay
    waiters: Waiters
    clock: Clock


async def build(process: Process, settings: Settings) -> None:
    """Connect everything, bottom up."""
    callback_key = settings.callback_key()
    pool = await process.enter(
        postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS, max_size=_CONNECTIONS)
    )
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    await _check_topics(settings)
    parts = _parts(pool, settings, relay=Relay(pool, producer))
    away = await process.enter(gateway(settings.gateway_admin_target))
    dispatcher = Dispatcher(
        parts.store, away, waiters=parts.waiters, relay=parts.relay, settings=settings, clock=parts.clock
    )
    process.spawn("outbox", parts.relay.run)
    await _spawn_loops(process, settings, parts=parts, dispatcher=dispatcher, callback_key=callback_key)
    intake = Intake(parts.store, dispatcher, settings=settings, clock=parts.clock)
    for priority in PRIORITIES:
        consumer = JobConsumer(priority, intake, settings=settings, producer=producer)
        process.spawn(f"consumer {priority}", consumer.run)
        process.ready_when(f"consumer {priority}", partial(getattr, consumer, "is_ready"))
    desk = Desk(
        parts.store,
        dispatcher,
        waiters=parts.waiters,
        relay=parts.relay,
        clock=parts.clock,
        callback_key=callback_key,
    )
    # The largest answer travels inside another message.
    server = control_server(process, settings, max_message_bytes=2 * MAX_MESSAGE_BYTES)
    server.add(add_JobDeskServicer_to_server, JobDesk(desk), service="slipway.v1.JobDesk")
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))


def _parts(pool: Pool, settings: Settings, *, relay: Relay) -> _Parts:
    store = JobStore(
        pool,
        announce=announcements,
        instance=settings.instance or new_id(),
        callback_deadline_s=settings.callback_deadline_s,
    )
    return _Parts(pool=pool, store=store, relay=relay, waiters=Waiters(), clock=SystemClock())


async def _spawn_loops(
    process: Process, settings: Settings, *, parts: _Parts, dispatcher: Dispatcher, callback_key: bytes
) -> None:
    http = await process.enter(
        callback_http(
            settings.callback_policy(),
            timeout_s=settings.callback_timeout_s,
            parallel=settings.parallel_callbacks,
        )
    )
    delivery = CallbackDelivery(
        CallbackStore(parts.pool), http, settings=settings, clock=parts.clock, key=callback_key
    )
    timekeeper = Timekeeper(
        parts.store,
        dispatcher,
        waiters=parts.waiters,
        relay=parts.relay,
        settings=settings,
        clock=parts.clock,
    )
    tidy = HousekeepingStore(parts.pool, batch_rows=settings.housekeeping_batch_rows)
    process.spawn("dispatcher", dispatcher.run)
    process.spawn("callbacks", delivery.run)
    process.spawn("timekeeper", timekeeper.run)
    process.spawn("housekeeping", Housekeeper(tidy, settings=settings, clock=parts.clock).run)


async def _check_topics(settings: Settings) -> None:
    """One reply to a topic that does not exist would hold up all events behind it.

    Raises:
        InvalidInput: A reply topic is not there.
    """
    wanted = settings.extra_reply_topics()
    if not wanted:
        return
    admin = AIOKafkaAdminClient(**client_options(settings.kafka_bootstrap))
    await kafka.connect(admin.start)
    try:
        missing = set(wanted) - set(await admin.list_topics())
    finally:
        await admin.close()
    if missing:
        raise InvalidInput(
            f"SLIPWAY_REPLY_TOPICS names topics that do not exist: {', '.join(sorted(missing))}"
        )
