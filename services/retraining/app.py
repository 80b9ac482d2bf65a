"""The composition root of the retraining service."""

import asyncio
import hashlib
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from services.retraining.consumer import RetrainingConsumer
from services.retraining.handlers import Intake, Operations
from services.retraining.housekeeping import Housekeeper
from services.retraining.progress import ProgressBoard
from services.retraining.ray_cluster import RayCluster
from services.retraining.rpc import RetrainingControl
from services.retraining.settings import Settings
from services.retraining.specs import SpecBook
from services.retraining.store.examples import ExampleStore
from services.retraining.store.jobs import JobStore
from services.retraining.training import Training, Workshop
from services.retraining.training_desk import TrainingDesk
from services.retraining.version_desk import VersionDesk
from services.retraining.version_files import CodeVersions
from slipway import kafka, postgres
from slipway.clock import SystemClock
from slipway.compacted import read_compacted
from slipway.control_port import control_server
from slipway.models.signing import PRIVATE_FILE, Signer
from slipway.outbox import Relay
from slipway.process import Process
from slipway.registry import Registry
from slipway.rpc import RpcServer
from slipway.v1 import retraining_pb2_grpc

ROOM: Final = Path(__file__).parent
_LIBRARIES: Final = ("numpy", "onnx", "onnxruntime", "pandas", "ray", "scikit-learn", "skl2onnx")


async def build(process: Process, settings: Settings) -> None:
    """Connect everything, bottom up."""
    pool = await process.enter(postgres.pool(settings.postgres_dsn, migrations=ROOM / "migrations"))
    producer = await process.enter(kafka.producer(settings.kafka_bootstrap))
    clock, relay, board = SystemClock(), Relay(pool, producer), ProgressBoard()
    examples, jobs, specs = ExampleStore(pool), JobStore(pool), SpecBook(clock)
    cluster, code = await process.enter(RayCluster(settings)), code_versions()
    signer = Signer(settings.secret(PRIVATE_FILE))
    shop = Workshop(
        examples=examples,
        jobs=jobs,
        specs=specs,
        cluster=cluster,
        versions=VersionDesk(Registry(settings.mlflow_url), signer, code_version=code.code),
        board=board,
        clock=clock,
        code=code,
    )
    desk = TrainingDesk(
        jobs, Training(shop), specs=specs, board=board, relay=relay, settings=settings, clock=clock
    )
    intake = Intake(examples, jobs, specs=specs, desk=desk, settings=settings)
    consumer = RetrainingConsumer(intake, settings, producer=producer, specs=specs)

    async def follow_specs(stop: asyncio.Event) -> None:
        await read_compacted(settings.kafka_bootstrap, "model_specs", specs.apply, stop, specs.known)

    process.spawn("outbox", relay.run)
    process.spawn("specs", follow_specs)
    process.spawn("warm worker", cluster.warm_up)
    process.spawn("trainings", desk.run)
    process.spawn("housekeeping", Housekeeper(examples, jobs, specs=specs, settings=settings).run)
    process.spawn("consumer", consumer.run)
    process.ready_when("specs", specs.known.is_set)
    process.ready_when("consumer", lambda: consumer.is_ready)
    operations = Operations(
        examples, jobs, specs=specs, desk=desk, board=board, settings=settings, clock=clock
    )
    server = _server(process, settings, operations=operations, specs=specs)
    await process.enter(server.serving(f"{settings.host}:{settings.grpc_port}", tls=settings.mesh_tls))


def _server(process: Process, settings: Settings, *, operations: Operations, specs: SpecBook) -> RpcServer:
    server = control_server(process, settings, find=specs.find_resource)
    server.add(
        retraining_pb2_grpc.add_RetrainingControlServicer_to_server,
        RetrainingControl(operations),
        service="slipway.v1.RetrainingControl",
    )
    return server


def code_versions() -> CodeVersions:
    """What made a version: the package, a hash over this service's sources, Python and the libraries."""
    digest = hashlib.sha256()
    for path in sorted(ROOM.rglob("*.py")):
        digest.update(path.read_bytes())
    libraries = {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()}
    return CodeVersions(code=f"slipway {version('slipway')} {digest.hexdigest()[:12]}", libraries=libraries)
