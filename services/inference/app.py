"""How the inference service is put together."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from services.inference import consumer, metrics, rpc
from services.inference.cluster import ServeCluster
from services.inference.domain.fleet import Policy
from services.inference.handlers import Inference
from services.inference.model_cache import ModelCache
from services.inference.reconciler import Reconciler
from services.inference.settings import Settings
from services.inference.trials import Trials
from slipway import topics
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.control_port import control_server
from slipway.models.signing import Trust, read_trust
from slipway.process import Process
from slipway.registry import Registry
from slipway.rpc import OPERATOR_TOKEN_FILE
from slipway.v1 import inference_pb2_grpc

log = logging.getLogger(__name__)


async def build(process: Process, settings: Settings) -> None:
    """Open the desk first: replicas of an earlier life report while everything else starts."""
    clock = SystemClock()
    operator_token = settings.secret(OPERATOR_TOKEN_FILE)
    inference = Inference(
        _policy(settings), clock, report_s=settings.replica_report_s, operator_token=operator_token
    )
    models = ModelCache(
        settings.state_dir / "models",
        Registry(settings.mlflow_url),
        trust=_trust(settings),
        max_files=settings.model_cache_files,
    )
    server = control_server(process, settings, also_open=(f"/{rpc.DESK}/",))
    server.add(
        inference_pb2_grpc.add_InferenceDirectoryServicer_to_server,
        rpc.DirectoryServicer(inference),
        service=rpc.DIRECTORY,
    )
    server.add(
        inference_pb2_grpc.add_ReplicaDeskServicer_to_server,
        rpc.DeskServicer(inference, models),
        service=rpc.DESK,
    )
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))
    process.spawn("settle", inference.settle)
    process.ready_when("directory", lambda: inference.is_settled)
    reconciler = Reconciler(
        inference,
        ServeCluster(settings.ray_address),
        models=models,
        trials=Trials(settings),
        clock=clock,
        settings=settings,
        operator_token=operator_token,
    )
    demand_known = _follow_demand(process, inference, bootstrap=settings.kafka_bootstrap)
    process.spawn("reconciler", partial(reconciler.run, demand_known))
    process.ready_when("ray", lambda: reconciler.is_connected)


def _follow_demand(process: Process, inference: Inference, *, bootstrap: str) -> Callable[[], bool]:
    """Read specs and routes; the answer says whether all that was written has been read."""
    known = []
    for topic, apply in ((topics.MODEL_SPECS, consumer.apply_spec), (topics.ROUTES, consumer.apply_routes)):
        caught_up = asyncio.Event()
        read = partial(read_compacted, bootstrap, topic.name, partial(apply, inference), caught_up=caught_up)
        process.spawn(topic.name, read)
        process.ready_when(topic.name, caught_up.is_set)
        known.append(caught_up)
    return lambda: all(event.is_set() for event in known)


def _trust(settings: Settings) -> Trust | None:
    metrics.UNSIGNED_ALLOWED.set(settings.allow_unsigned_models)
    if not settings.allow_unsigned_models:
        return read_trust(settings.secrets_dir)
    log.warning("SLIPWAY_ALLOW_UNSIGNED_MODELS is set: versions are served whoever made them")
    return None


def _policy(settings: Settings) -> Policy:
    return Policy(
        drain_s=settings.replica_drain_s,
        load_deadline_s=settings.replica_load_deadline_s,
        retry_first_s=settings.replica_retry_first_s,
        retry_limit_s=settings.replica_retry_limit_s,
        max_loading=settings.replica_max_loading,
    )
