"""Composition root: the only place that opens anything."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from services.query_watch.consumer import WatchConsumer
from services.query_watch.handlers import Limits, WatchHandler
from services.query_watch.models import ModelBook
from services.query_watch.rpc import QueryWatch
from services.query_watch.settings import Settings
from services.query_watch.store import WatchStore
from slipway import kafka, postgres
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.control_port import control_server
from slipway.envelope import Event
from slipway.outbox import Relay
from slipway.policy import model_book
from slipway.process import Process
from slipway.topics import MODEL_SPECS, ROUTES
from slipway.v1 import extraction_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"


async def build(process: Process, settings: Settings) -> None:
    """Connect everything, bottom up."""
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS))
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    store, models, relay = WatchStore(pool), ModelBook(), Relay(pool, producer)
    limits = Limits(rows_per_request=settings.rows_per_request, kept_callers=settings.kept_callers)
    handler = WatchHandler(store, models, relay, clock=SystemClock(), limits=limits)
    specs_known = asyncio.Event()
    book = model_book.ModelBook(specs_known.is_set)

    def learn(event: Event) -> None:
        book.apply(event)
        models.apply_spec(event)

    _follow(process, settings, topic=MODEL_SPECS.name, apply=learn, known=specs_known)
    routes_known = asyncio.Event()
    _follow(process, settings, topic=ROUTES.name, apply=models.apply_routes, known=routes_known)
    consumer = WatchConsumer(handler, settings, producer=producer, models_known=(specs_known, routes_known))
    process.spawn("outbox", relay.run)
    process.spawn("consumer", consumer.run)
    process.ready_when("consumer", lambda: consumer.is_ready)
    server = control_server(process, settings, find=book.find)
    server.add(
        extraction_pb2_grpc.add_QueryWatchServicer_to_server,
        QueryWatch(store, handler),
        service="slipway.v1.QueryWatch",
    )
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))


def _follow(
    process: Process, settings: Settings, *, topic: str, apply: Callable[[Event], None], known: asyncio.Event
) -> None:
    async def follow(stop: asyncio.Event) -> None:
        await read_compacted(settings.kafka_bootstrap, topic, apply, stop, known)

    process.spawn(topic, follow)
    process.ready_when(topic, known.is_set)
