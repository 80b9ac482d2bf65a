"""The inference service on the real Ray, Kafka and MLflow: versions come, answer, survive, and go."""

import asyncio
import ipaddress
import os
import pickle
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
import numpy as np
import psutil
import pytest
from onnx import helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from slipway import rpc
from slipway.envelope import encode
from slipway.errors import DeadlineExceeded, Unavailable
from slipway.ids import new_id
from slipway.kafka import Producer, producer
from slipway.mlflow_rest import MlflowRest
from slipway.models.provenance import check_version, sign_version
from slipway.models.signing import PRIVATE_FILE, Maker, Signer, Trust
from slipway.oip import open_inference_pb2 as oip
from slipway.oip import open_inference_pb2_grpc as oip_grpc
from slipway.registry import Artifacts, RegisteredVersion, Registry
from slipway.stack.certificates import ca_path, certificate_path
from slipway.stack.layout import find_layout
from slipway.tls import REPLICA, Target, address_of, parse_target
from slipway.v1 import inference_pb2, inference_pb2_grpc, rollout_pb2
from slipway.v1.tensors_pb2 import ReferenceProfile
from tests.models.corpus import graph_of, ints

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

T = TypeVar("T")

SPEC = """
name: {name}
task: binary
features:
  - {{name: a, range: [-1, 1]}}
  - {{name: b, range: [-1, 1]}}
label: {{name: up, classes: ["0", "1"]}}
serving: {{cpus_per_replica: 0.05}}
"""
X = np.random.default_rng(1).uniform(-1, 1, (50, 2)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the tests need of the stack."""

    directory: Any
    token: str
    signing_key: str
    kafka: Producer
    registry: Registry
    mlflow_url: str
    model: str

    async def get(self, version: str) -> Any:
        request = inference_pb2.GetVersionRequest(model=self.model, version=version)
        with rpc.translating("inference"):
            return await self.directory.GetVersion(
                request, timeout=5, metadata=rpc.operator_metadata(self.token)
            )

    async def until(self, version: str, is_so: Callable[[Any], bool]) -> Any:
        async def look() -> Any:
            try:
                found = await self.get(version)
            except (Unavailable, DeadlineExceeded):
                return None  # the service is being restarted
            return found if is_so(found) else None

        return await until(look)

    async def register(self, onnx: bytes, secret: str | None = None) -> RegisteredVersion:
        """Signed with the stack's key, or with another secret; unsigned where that is empty."""
        artifacts = Artifacts(onnx=onnx, profile=ReferenceProfile(), documents={}, model_card="")
        key = self.signing_key if secret is None else secret
        maker = (
            Maker(signer=Signer(key), made_by="tester", origin="registered", code_version="1")
            if key
            else None
        )
        register = partial(self.registry.register, metrics={}, params={}, tenant="default", maker=maker)
        return await asyncio.to_thread(register, self.model, artifacts)

    async def apply_spec(self) -> None:
        spec = rollout_pb2.ModelSpec(name=self.model, revision=1, yaml=SPEC.format(name=self.model))
        message = encode("model_specs", spec, key=self.model, event_id=new_id(), source="test")
        await self.kafka.publish([message])

    async def route(self, epoch: int, *versions: RegisteredVersion, role: str = "warming") -> None:
        arms = [
            rollout_pb2.Arm(version=v.version, digest=v.digest, upstream="inference", role=role)
            for v in versions
        ]
        table = rollout_pb2.RouteTable(model=self.model, epoch=epoch, arms=arms)
        await self.kafka.publish([encode("routes", table, key=self.model, event_id=new_id(), source="test")])


async def until(look: Callable[[], Awaitable[T | None]], deadline_s: float = 90) -> T:
    async with asyncio.timeout(deadline_s):
        while True:
            found = await look()
            if found is not None:
                return found
            await asyncio.sleep(0.1)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    secrets = Path(os.environ["SLIPWAY_SECRETS_DIR"])
    token = (secrets / rpc.OPERATOR_TOKEN_FILE).read_text().strip()
    url = os.environ["SLIPWAY_MLFLOW_URL"]
    async with (
        rpc.channel(os.environ["SLIPWAY_INFERENCE_TARGET"]) as channel,
        producer(os.environ["SLIPWAY_KAFKA_BOOTSTRAP"]) as kafka,
    ):
        place = Place(
            directory=inference_pb2_grpc.InferenceDirectoryStub(channel),
            token=token,
            signing_key=(secrets / PRIVATE_FILE).read_text().strip(),
            kafka=kafka,
            registry=Registry(url),
            mlflow_url=url,
            model=f"inf-test-{new_id()[-8:]}",
        )
        await place.apply_spec()
        yield place
        await place.route(1_000_000)


def _onnx(flip: bool = False) -> bytes:
    fitted = LogisticRegression().fit(X, (X[:, 0] > 0) != flip)
    made = to_onnx(fitted, X[:1], options={"zipmap": False})
    made.doc_string = new_id()  # other bytes each time: the service keeps what it has verified by digest
    return bytes(made.SerializeToString())


async def _infer(target: str, model: str, version: str, rows: Any = X) -> Any:
    request = oip.ModelInferRequest(model_name=model, model_version=version, id="7")
    request.inputs.add(name="features", datatype="FP32", shape=rows.shape)
    request.raw_input_contents.append(rows.tobytes())
    async with channel_to(target) as channel:
        return await oip_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=5)


def channel_to(target: str, *, shown: str = "gateway") -> grpc.aio.Channel:
    """A channel to a replica, with the certificate of the gateway or of another part."""
    folder = find_layout().certificates
    files = {"ca_file": str(ca_path(folder)), "cert_file": str(certificate_path(folder, shown))}
    options = [("grpc.ssl_target_name_override", REPLICA)]
    address, is_encrypted = address_of(target)
    assert is_encrypted
    return grpc.aio.secure_channel(address, Target(address=address, **files).grpc(), options=options)


def _address(connection: Any) -> tuple[str, int]:
    return connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port


def _listener(target: str) -> psutil.Process:
    port = int(target.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        is_listening = connection.status == psutil.CONN_LISTEN and connection.pid
        if is_listening and _address(connection)[1] == port:
            return psutil.Process(connection.pid)
    raise AssertionError(f"nobody listens on {target}")


async def test_a_version_comes_answers_gateways_alone_and_goes(place: Place) -> None:
    assert (await place.get("1")).state == "UNKNOWN"
    made = await place.register(_onnx())
    await place.route(1, made)
    ready = await place.until("1", lambda v: v.state == "READY")
    assert ready.digest == made.digest
    response = await _infer(ready.targets[0], place.model, "1")
    assert [(o.name, o.datatype, list(o.shape)) for o in response.outputs] == [
        ("label", "BYTES", [50]),
        ("probabilities", "FP32", [50, 2]),
    ]
    probabilities = np.frombuffer(response.raw_output_contents[1], np.float32).reshape(50, 2)
    assert ((probabilities[:, 1] > 0.5) == (X[:, 0] > 0)).mean() > 0.9
    await check_gateways_alone_are_answered(ready.targets[0])
    await place.route(2)
    assert (await place.until("1", lambda v: v.state == "DRAINING")).targets == ready.targets
    await place.until("1", lambda v: v.state == "UNKNOWN")


async def test_two_versions_serve_beside_each_other(place: Place) -> None:
    first, second = await place.register(_onnx()), await place.register(_onnx(flip=True))
    await place.route(1, first, second)
    one = await place.until("1", lambda v: v.state == "READY")
    two = await place.until("2", lambda v: v.state == "READY")
    answers = [await _infer(v.targets[0], place.model, v.version) for v in (one, two)]
    assert answers[0].raw_output_contents[0] != answers[1].raw_output_contents[0]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _infer(one.targets[0], place.model, "2")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _infer(one.targets[0], place.model, "1", X[:, :1])
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "[-1, 2]" in str(refused.value.details())


async def test_a_changed_artifact_is_not_served(place: Place) -> None:
    made = await place.register(_onnx())
    await asyncio.to_thread(_tamper, place.mlflow_url, made.run_id)
    await place.route(1, made)
    failed = await place.until("1", lambda v: v.state == "FAILED")
    assert "changed after registration" in failed.message
    assert not failed.targets


async def test_what_nobody_vouches_for_or_no_trial_passes_is_not_served_and_others_serve_on(
    place: Place,
) -> None:
    huge = helper.make_node("ConstantOfShape", ["shape"], ["big"])
    whole = helper.make_node("Softmax", ["features"], ["probabilities"])
    bomb = graph_of(huge, whole, initializers=(ints("shape", 10**6, 10**6),))
    honest = await place.register(_onnx())
    refused = {
        "is not signed": await place.register(_onnx(), secret=""),
        "no trusted key has signed": await place.register(_onnx(), secret="22" * 32),
        "elements (ConstantOfShape)": await place.register(bomb),
        "not ONNX": await place.register(_onnx() + pickle.dumps(print)),
    }
    await place.route(1, honest, *refused.values())
    for reason, version in refused.items():
        failed = await place.until(version.version, lambda v: v.state == "FAILED")
        assert reason in failed.message
    ready = await place.until(honest.version, lambda v: v.state == "READY")
    await _infer(ready.targets[0], place.model, honest.version)
    maker = Maker(signer=Signer(place.signing_key), made_by="admin", origin="signed later", code_version="1")
    unsigned = refused["is not signed"]
    await asyncio.to_thread(sign_version, place.registry, unsigned, maker=maker, tenant="default")
    trust = Trust([maker.signer.public])
    await asyncio.to_thread(check_version, place.registry, unsigned, trust=trust, digest=unsigned.digest)


def _tamper(url: str, run_id: str) -> None:
    mlflow = MlflowRest(url)
    run = mlflow.get("runs/get", {"run_id": run_id})["run"]
    mlflow.upload(f"{run['info']['artifact_uri']}/model.onnx", _onnx(flip=True))


async def test_a_model_of_another_signature_fails_with_the_reason(place: Place) -> None:
    fitted = LogisticRegression().fit(X[:, :1], X[:, 0] > 0)
    narrow = to_onnx(fitted, X[:1, :1], options={"zipmap": False}).SerializeToString()
    await place.route(1, await place.register(narrow))
    failed = await place.until("1", lambda v: v.state == "FAILED")
    assert "must take one tensor(float) [n, 2]" in failed.message


async def test_a_killed_replica_is_replaced(place: Place) -> None:
    await place.route(1, await place.register(_onnx()))
    before = await place.until("1", lambda v: v.state == "READY")
    _listener(before.targets[0]).send_signal(signal.SIGKILL)
    after = await place.until("1", lambda v: v.state == "READY" and before.targets[0] not in v.targets)
    await _infer(after.targets[0], place.model, "1")


async def test_replicas_outlive_a_killed_service(place: Place) -> None:
    await place.route(1, await place.register(_onnx()))
    before = await place.until("1", lambda v: v.state == "READY")
    service = _listener(parse_target(os.environ["SLIPWAY_INFERENCE_TARGET"]).address)
    service.send_signal(signal.SIGKILL)
    await _infer(before.targets[0], place.model, "1")
    await until(lambda: _gone(service))
    after = await place.until("1", lambda v: v.state == "READY")
    assert after.targets == before.targets


async def _gone(process: psutil.Process) -> bool | None:
    return True if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE else None


async def test_the_directory_is_watched_and_its_epoch_grows(place: Place) -> None:
    watch = place.directory.WatchEndpoints(
        inference_pb2.WatchEndpointsRequest(), timeout=120, metadata=rpc.operator_metadata(place.token)
    )
    epochs = [(await watch.read()).epoch]
    await place.route(1, await place.register(_onnx()))
    seen: list[str] = []
    while not seen or seen[-1] != "READY":
        told = await watch.read()
        epochs.append(told.epoch)
        seen += [v.state for v in told.versions if v.model == place.model and [v.state] != seen[-1:]]
    watch.cancel()
    assert seen == ["LOADING", "READY"]
    assert epochs == sorted(set(epochs))


async def test_strangers_are_refused(place: Place) -> None:
    async with rpc.channel(os.environ["SLIPWAY_INFERENCE_TARGET"]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await inference_pb2_grpc.InferenceDirectoryStub(channel).GetVersion(
                inference_pb2.GetVersionRequest(model="m", version="1"), timeout=5
            )
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        desk = inference_pb2_grpc.ReplicaDeskStub(channel)
        stranger = rpc.operator_metadata("no key of this version")
        report = inference_pb2.ReplicaReport(
            model="m", version="1", replica_id="x", state="READY", target="10.0.0.1:1"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await desk.Report(report, timeout=5, metadata=stranger)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        fetch = inference_pb2.FetchModelRequest(model="m", version="1", digest="d")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await desk.FetchModel(fetch, timeout=5, metadata=stranger).read()
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def check_gateways_alone_are_answered(target: str) -> None:
    live = oip.ServerLiveRequest()
    async with channel_to(target, shown="feedback") as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="gateways alone"):
            await oip_grpc.GRPCInferenceServiceStub(channel).ServerLive(live, timeout=20)
    async with rpc.channel(address_of(target)[0]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await oip_grpc.GRPCInferenceServiceStub(channel).ServerLive(live, timeout=20)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_nothing_of_ray_or_the_replicas_listens_outside_loopback(place: Place) -> None:
    await place.route(1, await place.register(_onnx()))
    ready = await place.until("1", lambda v: v.state == "READY")
    replica = _listener(ready.targets[0])
    head = _listener(os.environ["SLIPWAY_RAY_ADDRESS"])
    related = {p.pid for p in (replica, *replica.parents(), *_family(head))} - {1}
    listeners = [c for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN]
    places = {(c.pid, *_address(c)) for c in listeners if c.pid in related}
    assert len({pid for pid, *_ in places}) > 3
    assert not [place for place in places if not ipaddress.ip_address(place[1]).is_loopback]


def _family(process: psutil.Process) -> list[psutil.Process]:
    """Everything below the process's parent, unless that is init."""
    parent = process.parent()
    root = process if parent is None or parent.pid == 1 else parent
    return [root, *root.children(recursive=True)]
