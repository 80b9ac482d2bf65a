"""A gateway as a process of its own with an upstream of its own, and what its records say."""

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from slipway.envelope import Event, decode, encode
from slipway.errors import InvalidInput
from slipway.kafka import producer
from slipway.kafka_access import client_options
from slipway.oip import open_inference_pb2 as oip
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.profiles import to_proto
from slipway.stats.profile import numeric_profile
from slipway.tls import parse_target
from slipway.topics import BY_NAME, MODEL_SPECS, PREDICTIONS, ROUTES
from slipway.v1.keys_pb2 import CreateKeyRequest
from slipway.v1.keys_pb2_grpc import KeyAdminStub
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import Arm, ModelSpec, RouteTable
from tests.service_process import ServiceProcess, neighbour

HERE: Final = Path(__file__).parent
FEATURES: Final = tuple("abcdef")
SERVING: Final = "max_batch_rows: 8, max_queued_rows: 64, timeout_ms: 5000"
WITHIN_S: Final = 60.0


def wait_for(what: str, check: Callable[[], Any], *, within_s: float = WITHIN_S) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := check()):
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)
    return answer


def spec_text(
    model: str, serving: str = SERVING, *, columns: Sequence[str] = FEATURES, defence: str = ""
) -> str:
    features = ", ".join(f"{{name: {f}, range: [0, 1]}}" for f in columns)
    return (
        f'name: {model}\ntask: binary\nfeatures: [{features}]\nlabel: {{name: y, classes: ["0", "1"]}}\n'
        f"serving: {{{serving}}}\n" + (f"defence: {{{defence}}}\n" if defence else "")
    )


@dataclass(kw_only=True)
class Gateway:
    """The process, one key, and one model on an upstream server."""

    service: ServiceProcess
    model: str
    key: str = ""
    epoch: int = 0
    serving: str = SERVING
    columns: Sequence[str] = FEATURES
    defence: str = ""
    tenant: str = "default"
    answered: list[str] = field(default_factory=list)  # the client's ledger: ids of its predictions

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.service.environment['SLIPWAY_GRPC_PORT']}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service.environment['SLIPWAY_HTTP_PORT']}"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.key}"),)

    @property
    def operator(self) -> tuple[tuple[str, str], ...]:
        token = Path(self.service.environment["SLIPWAY_SECRETS_DIR"], "operator.token").read_text()
        return (("authorization", f"Bearer {token}"),)

    @contextmanager
    def admin(self) -> Iterator[KeyAdminStub]:
        address = f"127.0.0.1:{self.service.environment['SLIPWAY_ADMIN_PORT']}"
        if "SLIPWAY_MESH_CERT" not in self.service.environment:
            with grpc.insecure_channel(address) as channel:
                yield KeyAdminStub(channel)
            return
        target = parse_target(neighbour(self.service.environment["SLIPWAY_ADMIN_PORT"], to="operator"))
        with grpc.secure_channel(address, target.grpc()) as channel:
            yield KeyAdminStub(channel)

    def create_key(self, principal: str) -> Any:
        with self.admin() as stub:
            return stub.CreateKey(
                CreateKeyRequest(principal=principal), metadata=self.operator, timeout=10, wait_for_ready=True
            )

    def publish(self, *arms: Arm) -> None:
        """A spec and a newer route table."""
        self.epoch += 1
        sample = np.linspace(0, 1, 101)
        for arm in arms:
            arm.profile.features.extend(to_proto(numeric_profile(f, sample)) for f in self.columns)
        text = spec_text(self.model, self.serving, columns=self.columns, defence=self.defence)
        spec = ModelSpec(name=self.model, tenant=self.tenant, revision=1, yaml=text)
        table = RouteTable(model=self.model, tenant=self.tenant, epoch=self.epoch, salt="s", arms=arms)
        messages = [
            encode(topic, message, key=self.model, event_id=secrets.token_hex(8), source="test")
            for topic, message in ((MODEL_SPECS.name, spec), (ROUTES.name, table))
        ]

        async def send() -> None:
            async with producer(self.service.bootstrap) as it:
                await it.publish(messages)

        asyncio.run(send())

    def wait_for_epoch(self) -> None:
        wait_for("the new routes", lambda: self.try_epoch() == self.epoch)

    def try_epoch(self) -> int:
        """The route epoch that answers; 0 while none does."""
        try:
            return int(self.infer().parameters["slipway_route_epoch"].int64_param)
        except grpc.RpcError:
            return 0

    def infer(self, rows: Any = None, **fields: Any) -> Any:
        """One prediction, by default of one row."""
        with grpc.insecure_channel(self.target) as channel:
            return self.call(channel, rows, **fields)

    def call(self, channel: grpc.Channel, rows: Any = None, **fields: Any) -> Any:
        message = request(self.model, rows, **fields)
        answer = GRPCInferenceServiceStub(channel).ModelInfer(message, metadata=self.metadata, timeout=10)
        self.answered.append(prediction_id(answer))
        return answer


def request(model: str, rows: Any = None, **fields: Any) -> oip.ModelInferRequest:
    """A request in raw form."""
    array = np.full((1, 6), 0.5, dtype="<f4") if rows is None else np.asarray(rows, dtype="<f4")
    tensor = oip.ModelInferRequest.InferInputTensor(name="features", datatype="FP32", shape=array.shape)
    return oip.ModelInferRequest(
        **{"model_name": model, "inputs": [tensor], "raw_input_contents": [array.tobytes()], **fields}
    )


def prediction_id(answer: Any) -> str:
    return str(answer.parameters["slipway_prediction_id"].string_param)


@contextmanager
def upstream(port: int, model: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real server of the protocol on a port."""
    command = [sys.executable, str(HERE / "oip_server.py"), str(port), str(model), *options]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def triton(gateway: Gateway) -> dict[str, Any]:
    """What tritonclient sees."""
    command = [sys.executable, str(HERE / "triton_client.py"), gateway.target, gateway.model, gateway.key]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def ends(bootstrap: str, topic: str) -> dict[TopicPartition, int]:
    """Where a topic ends now."""

    async def ask() -> dict[TopicPartition, int]:
        consumer = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
        await consumer.start()
        try:
            found: dict[TopicPartition, int] = await consumer.end_offsets(_partitions(topic))
            return found
        finally:
            await consumer.stop()

    return asyncio.run(ask())


def read_since(
    bootstrap: str, since: dict[TopicPartition, int], enough: Callable[[list[Event]], bool]
) -> list[Event]:
    """The events behind `since`, once they are enough."""

    async def read() -> list[Event]:
        consumer = AIOKafkaConsumer(**client_options(bootstrap), enable_auto_commit=False)
        await consumer.start()
        events: list[Event] = []
        try:
            consumer.assign(list(since))
            for partition, offset in since.items():
                consumer.seek(partition, offset)
            async with asyncio.timeout(WITHIN_S):
                while not enough(events):
                    batches = await consumer.getmany(timeout_ms=200)
                    events += [e for batch in batches.values() for e in map(_decode, batch) if e is not None]
        finally:
            await consumer.stop()
        return events

    return asyncio.run(read())


@contextmanager
def exactly_recorded(gateway: Gateway) -> Iterator[None]:
    """Every answer that comes inside the block has one record, and no record is without its answer."""
    since, before = ends(gateway.service.bootstrap, PREDICTIONS.name), len(gateway.answered)
    yield
    gateway.infer()  # the last one: when its record is there, the others are
    expected = gateway.answered[before:]

    def served(events: list[Event]) -> set[str]:
        ours = [e for e in events if e.message.context.model == gateway.model]
        return {e.event_id for e in ours if isinstance(e.message, PredictionServed)}

    events = read_since(gateway.service.bootstrap, since, lambda events: set(expected) <= served(events))
    assert len(set(expected)) == len(expected)
    assert served(events) == set(expected)


def _decode(record: Any) -> Event | None:
    try:
        return decode(record.topic, key=record.key, value=record.value, headers=record.headers)
    except InvalidInput:
        return None


def _partitions(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, p) for p in range(BY_NAME[topic].partitions)]
