"""Composition root: the only place that opens anything."""

import asyncio
import logging
from functools import partial

from services.drift_detection.consumer import Streams
from services.drift_detection.handlers import BlockHandler, SketchHandler
from services.drift_detection.lag import follow_lag
from services.drift_detection.settings import Settings
from services.drift_detection.store import Accumulators, ModelStates
from services.drift_detection.watch_list import WatchList
from slipway import kafka
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.process import Process
from slipway.rpc import RpcServer
from slipway.topics import DRIFT_BLOCKS, LABELS, MODEL_SPECS, PREDICTIONS, ROUTES

# Faust tells of every rebalance and of every commit that takes longer than its interval.
_QUIET = {
    "faust": logging.WARNING,
    "services.drift_detection.recovery": logging.WARNING,
    "mode": logging.WARNING,
    "mode.timers": logging.ERROR,
}


async def build(process: Process, settings: Settings) -> None:
    """Follow routes and specs, then start the streams."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    watch_list = WatchList()
    routes_read, specs_read = asyncio.Event(), asyncio.Event()
    follow = partial(read_compacted, settings.kafka_bootstrap)
    process.spawn("routes", lambda stop: follow(ROUTES.name, watch_list.apply_routes, stop, routes_read))
    process.spawn(
        "model_specs", lambda stop: follow(MODEL_SPECS.name, watch_list.apply_spec, stop, specs_read)
    )
    process.ready_when("routes", routes_read.is_set)
    process.ready_when("model_specs", specs_read.is_set)
    streams = _streams(settings, watch_list, producer)

    async def work(stop: asyncio.Event) -> None:
        for known in (routes_read, specs_read):
            await _first(known, stop)
        await streams.run(stop)

    async def lag(stop: asyncio.Event) -> None:
        sources = (PREDICTIONS, LABELS, DRIFT_BLOCKS)
        await follow_lag(settings.kafka_bootstrap, settings.drift_app_id, sources, stop=stop)

    process.spawn("lag", lag)
    process.spawn("streams", work)
    process.ready_when("streams", lambda: streams.is_ready)
    await process.enter(RpcServer().serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))


def _streams(settings: Settings, watch_list: WatchList, producer: kafka.Producer) -> Streams:
    streams = Streams(settings, producer)
    sources = (PREDICTIONS, LABELS)
    tables = {source.name: streams.table(f"slots_{source.name}", source=source) for source in sources}
    sketches = SketchHandler(Accumulators(tables), watch_list, producer)
    for source in sources:
        streams.agent(source, sketches.read, sketches.handle)
    states = ModelStates(streams.table("model_states", source=DRIFT_BLOCKS))
    blocks = BlockHandler(states, watch_list, producer, clock=SystemClock())
    streams.agent(DRIFT_BLOCKS, blocks.read, blocks.handle)
    return streams


async def _first(event: asyncio.Event, stop: asyncio.Event) -> None:
    """Wait until one of two events is set."""
    waiting = [asyncio.ensure_future(each.wait()) for each in (event, stop)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()
