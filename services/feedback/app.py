"""The composition root of the feedback service."""

import asyncio
from pathlib import Path

from services.feedback.consumer import FeedbackConsumer
from services.feedback.handlers import Joiner
from services.feedback.housekeeping import Housekeeper
from services.feedback.rpc import FeedbackQueries
from services.feedback.settings import Settings
from services.feedback.specs import SpecBook
from services.feedback.store.housekeeping import HousekeepingStore
from services.feedback.store.joins import JoinStore
from services.feedback.store.summaries import SummaryStore
from slipway import kafka, postgres, tokens
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.control_port import control_server
from slipway.envelope import Event
from slipway.outbox import Relay
from slipway.policy.model_book import ModelBook
from slipway.process import Process
from slipway.v1 import feedback_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"


async def build(process: Process, settings: Settings) -> None:
    """Connect everything, bottom up."""
    secret = settings.secret(tokens.SECRET_FILE).encode()
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS))
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    relay, specs, specs_known, clock = Relay(pool, producer), SpecBook(), asyncio.Event(), SystemClock()
    models = ModelBook(specs_known.is_set)

    def learn(event: Event) -> None:
        specs.apply(event)
        models.apply(event)

    async def follow_specs(stop: asyncio.Event) -> None:
        await read_compacted(settings.kafka_bootstrap, "model_specs", learn, stop, specs_known)

    joiner = Joiner(
        store=JoinStore(pool), relay=relay, rules=specs.rules, secret=secret, settings=settings, clock=clock
    )
    consumer = FeedbackConsumer(joiner, settings, producer=producer, specs_known=specs_known)
    tidy = HousekeepingStore(pool, batch_rows=settings.housekeeping_batch_rows)
    process.spawn("outbox", relay.run)
    process.spawn("specs", follow_specs)
    process.spawn("housekeeping", Housekeeper(store=tidy, settings=settings, clock=clock).run)
    process.spawn("consumer", consumer.run)
    process.ready_when("specs", specs_known.is_set)
    process.ready_when("consumer", lambda: consumer.is_ready)
    server = control_server(process, settings, find=models.find)
    server.add(
        feedback_pb2_grpc.add_FeedbackQueriesServicer_to_server,
        FeedbackQueries(SummaryStore(pool)),
        service="slipway.v1.FeedbackQueries",
    )
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))
