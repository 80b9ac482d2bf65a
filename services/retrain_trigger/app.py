"""Composition root: the only place that opens anything."""

import asyncio
from pathlib import Path

from services.retrain_trigger.consumer import TriggerConsumer
from services.retrain_trigger.handlers import TriggerHandler
from services.retrain_trigger.policies import PolicyBook
from services.retrain_trigger.rpc import RetrainTriggerQueries
from services.retrain_trigger.settings import Settings
from services.retrain_trigger.store import TriggerStore
from slipway import kafka, postgres
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.control_port import control_server
from slipway.envelope import Event
from slipway.outbox import Relay
from slipway.policy.model_book import ModelBook
from slipway.process import Process
from slipway.topics import MODEL_SPECS
from slipway.v1 import retraining_pb2_grpc

MIGRATIONS = Path(__file__).parent / "migrations"


async def build(process: Process, settings: Settings) -> None:
    """Connect everything, bottom up."""
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=MIGRATIONS))
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    relay, policies, specs_known = Relay(pool, producer), PolicyBook(), asyncio.Event()
    models = ModelBook(specs_known.is_set)
    store = TriggerStore(pool, kept_decisions=settings.kept_decisions)

    def learn(event: Event) -> None:
        policies.apply(event)
        models.apply(event)

    async def follow_specs(stop: asyncio.Event) -> None:
        await read_compacted(settings.kafka_bootstrap, MODEL_SPECS.name, learn, stop, specs_known)

    handler = TriggerHandler(store, policies, relay, clock=SystemClock())
    consumer = TriggerConsumer(handler, settings, producer=producer, specs_known=specs_known)
    process.spawn("outbox", relay.run)
    process.spawn("specs", follow_specs)
    process.spawn("consumer", consumer.run)
    process.ready_when("specs", specs_known.is_set)
    process.ready_when("consumer", lambda: consumer.is_ready)
    server = control_server(process, settings, find=models.find)
    server.add(
        retraining_pb2_grpc.add_RetrainTriggerQueriesServicer_to_server,
        RetrainTriggerQueries(store),
        service="slipway.v1.RetrainTriggerQueries",
    )
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))
