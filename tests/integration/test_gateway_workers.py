"""Several gateways behind the same ports: real processes, and real clients that notice no restart."""

import asyncio
import random
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.gateway.app import PREDICTIONS_SPOOL
from services.gateway.spool import Spool
from services.gateway.worker import LOCK
from slipway.envelope import encode
from slipway.listening import open_listener
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionContext, PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.directory_server import DirectoryServer
from tests.gateway.live import Gateway, ends, prediction_id, read_since, request, upstream, wait_for
from tests.service_process import ServiceProcess, free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
CHANNELS = 4
CALLERS = 3  # on each channel
SESSIONS = 2
BODY = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}]}
AGE = {"SLIPWAY_CONNECTION_AGE_S": "2", "SLIPWAY_DRAIN_S": "4"}


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Two that serve and one that may stand in; the first is also the gateway's address."""

    gateway: Gateway
    first: ServiceProcess
    second: ServiceProcess
    folder: Path  # of the state directories


def lasting_port() -> int:
    """A free port that the kernel gives to no client while nobody listens on it."""
    for _ in range(100):
        port = random.randrange(4000, 12000)
        with suppress(OSError):
            open_listener("127.0.0.1", port, is_shared=False).close()
            return port
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Workers]:
    port, folder = free_port(), tmp_path_factory.mktemp("workers")
    directory_port = free_port()
    with (
        DirectoryServer().serving(directory_port),
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            folder / "first",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_GRPC_PORT=str(lasting_port()),
            SLIPWAY_HTTP_PORT=str(lasting_port()),
            SLIPWAY_ADMIN_PORT=str(lasting_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{directory_port}",
            SLIPWAY_SHARE_PORTS="1",
            SLIPWAY_PROBE_PORT=str(lasting_port()),
            SLIPWAY_ADOPT_FROM=str(folder),
            **AGE,
        ) as first,
        upstream(port, onnx),
    ):
        own = {"SLIPWAY_STATE_DIR": str(folder / "second"), "SLIPWAY_PROBE_PORT": str(lasting_port())}
        second = replace(first, environment=first.environment | own, log=folder / "second.log")
        gateway = Gateway(service=first, model=f"gw-test-{secrets.token_hex(4)}")
        first.start()
        first.wait_ready()
        try:
            gateway.key = gateway.create_key("tester").secret
            champion = Arm(version="1", digest="d" * 64, upstream=f"127.0.0.1:{port}", role="champion")
            champion.weight_ppm = 1_000_000
            gateway.publish(champion)
            gateway.wait_for_epoch()
            yield Workers(gateway=gateway, first=first, second=second, folder=folder)
        finally:
            if second.process is not None:
                second.kill()


@pytest.fixture
def alone(bench: Workers) -> Workers:
    """The first works, the second does not."""
    if bench.second.process is not None and bench.second.process.poll() is None:
        bench.second.terminate()
    assert bench.first.is_ready()
    return bench


@pytest.fixture
def both(bench: Workers) -> Workers:
    """Both work."""
    for worker in (bench.first, bench.second):
        if worker.process is None or worker.process.poll() is not None:
            worker.start()
        worker.wait_ready()
    return bench


@dataclass(kw_only=True)
class Load:
    """What clients saw."""

    gateway: Gateway
    answered: set[str] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    async def call(self, channel: grpc.aio.Channel) -> None:
        stub = GRPCInferenceServiceStub(channel)
        while not self.is_over.is_set():
            try:
                answer = await stub.ModelInfer(
                    request(self.gateway.model), metadata=self.gateway.metadata, timeout=10
                )
            except grpc.aio.AioRpcError as error:
                self.failed.append(f"{error.code().name} {error.details()}")
            else:
                self.answered.add(prediction_id(answer))
            await asyncio.sleep(0.005)

    def post(self) -> None:
        """Over one connection as long as the server keeps it."""
        url = f"{self.gateway.url}/v2/models/{self.gateway.model}/infer"
        with requests.Session() as session:
            while not self.is_over.wait(0.005):
                try:
                    answer = session.post(url, json=BODY, headers=dict(self.gateway.metadata), timeout=10)
                    answer.raise_for_status()
                except requests.RequestException as error:
                    self.failed.append(repr(error))
                else:
                    self.answered.add(answer.json()["parameters"]["slipway_prediction_id"])


@asynccontextmanager
async def load(gateway: Gateway) -> AsyncIterator[Load]:
    """Clients that ask until the block ends."""
    it = Load(gateway=gateway)
    options = [("grpc.use_local_subchannel_pool", 1)]  # a connection for each channel
    channels = [grpc.aio.insecure_channel(gateway.target, options=options) for _ in range(CHANNELS)]
    async with asyncio.TaskGroup() as tasks:
        for channel in channels:
            for _ in range(CALLERS):
                tasks.create_task(it.call(channel))
        for _ in range(SESSIONS):
            tasks.create_task(asyncio.to_thread(it.post))
        try:
            await asyncio.to_thread(wait_for, "traffic", lambda: len(it.answered) > 100)
            yield it
            enough = len(it.answered) + 100
            await asyncio.to_thread(wait_for, "traffic", lambda: len(it.answered) > enough)
        finally:
            it.is_over.set()
    for channel in channels:
        await channel.close()


def under_load(gateway: Gateway, action: Callable[[], None]) -> Load:
    """What clients saw while something happened."""

    async def run() -> Load:
        async with load(gateway) as it:
            await asyncio.to_thread(action)
        return it

    return asyncio.run(run())


def restart(worker: ServiceProcess) -> None:
    assert worker.terminate() == 0
    worker.start()
    worker.wait_ready()


def records(gateway: Gateway, since: Any, load: Load) -> list[str]:
    """The ids of the model's records, once all that was answered is among them."""
    events = read_since(
        gateway.service.bootstrap, since, lambda events: load.answered <= {e.event_id for e in events}
    )
    return [e.event_id for e in events if e.message.context.model == gateway.model]


def test_a_single_worker_restarts_behind_a_stand_in_and_no_request_fails(alone: Workers) -> None:
    since = ends(alone.gateway.service.bootstrap, PREDICTIONS.name)

    def roll() -> None:
        alone.second.start()
        alone.second.wait_ready()
        restart(alone.first)
        assert alone.second.terminate() == 0

    seen = under_load(alone.gateway, roll)
    assert seen.failed == []
    assert sorted(records(alone.gateway, since, seen)) == sorted(seen.answered)


def test_two_workers_restart_one_after_the_other_and_no_request_fails(both: Workers) -> None:
    since = ends(both.gateway.service.bootstrap, PREDICTIONS.name)

    def roll() -> None:
        for worker in (both.first, both.second):
            restart(worker)

    seen = under_load(both.gateway, roll)
    assert seen.failed == []
    assert sorted(records(both.gateway, since, seen)) == sorted(seen.answered)


def test_a_killed_worker_fails_the_calls_in_flight_on_it_and_loses_no_record(both: Workers) -> None:
    since = ends(both.gateway.service.bootstrap, PREDICTIONS.name)
    seen = under_load(both.gateway, both.second.kill)
    callers = CHANNELS * CALLERS + SESSIONS
    assert len(seen.failed) <= callers
    # It does not come back: what it had not shipped, the other finds in its directory.
    ours = records(both.gateway, since, seen)
    assert len(set(ours)) <= len(seen.answered) + callers


def test_what_a_worker_left_is_shipped_by_another(bench: Workers) -> None:
    gone = bench.folder / "gone"
    spool = Spool(gone / PREDICTIONS_SPOOL, limit_bytes=2**20, segment_bytes=2**16)
    left = {secrets.token_hex(8) for _ in range(50)}
    context = PredictionContext(model=bench.gateway.model)
    spool.append(
        encode(PREDICTIONS.name, PredictionServed(context=context), key=it, event_id=it, source="gateway")
        for it in left
    )
    spool.close()
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    (gone / LOCK).touch()
    events = read_since(
        bench.gateway.service.bootstrap, since, lambda events: left <= {e.event_id for e in events}
    )
    assert len([e for e in events if e.event_id in left]) == len(left)


def test_a_worker_that_stops_says_so_before_it_goes(both: Workers) -> None:
    """On its own port, and to a client that has a connection to it."""
    worker, probe = both.second, f"http://127.0.0.1:{both.second.environment['SLIPWAY_PROBE_PORT']}"
    assert "slipway_gateway_requests_total" in requests.get(f"{probe}/metrics", timeout=5).text
    assert requests.get(f"{both.gateway.url}/metrics", timeout=5).status_code == 404
    assert worker.process is not None
    both.first.terminate()  # so that all connections are the second's
    with grpc.insecure_channel(both.gateway.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == 1
        states = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert next(states).status == 1
        worker.process.terminate()
        assert next(states).status == 2
        answer = requests.get(f"{probe}/readyz", timeout=5)
        assert (answer.status_code, answer.json()["waiting_for"]) == (503, ["its end"])
        worker.process.terminate()  # a second signal: no waiting for the connection
        assert worker.process.wait(timeout=30) == 0
    both.first.start()
    both.first.wait_ready()
