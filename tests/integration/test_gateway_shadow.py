"""A version in shadow and testers who choose their arm, on the real Kafka: users notice nothing of either."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from slipway.envelope import Event
from slipway.oip.open_inference_pb2 import InferParameter
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.tensors import to_list
from slipway.topics import PREDICTIONS, SHADOW_PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionFailed, PredictionShadowed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import (
    Gateway,
    ends,
    exactly_recorded,
    prediction_id,
    read_since,
    request,
    upstream,
    wait_for,
)
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
CODES = {
    "slow": ("--delay-s", "0.3"),
    "failing": ("--status", "INTERNAL"),
    "hanging": ("--delay-s", "1000"),
    "answering NaN": ("--nan",),
}
EXPECTED = {
    "slow": ("", ""),
    "failing": ("INTERNAL", "as it was told"),
    "hanging": ("DEADLINE_EXCEEDED", "did not answer in time"),
    "answering NaN": ("INTERNAL", "NaN"),
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    gateway: Gateway
    onnx: Path
    port: int  # of the champion's server
    second_port: int  # nobody listens here until a test does

    def publish(self, role: str, weight_ppm: int = 0, **more: Any) -> None:
        """The champion and a second version beside it."""
        champion, second = self.arm("1", "champion", 1_000_000 - weight_ppm), self.arm("2", role, weight_ppm)
        second.upstream = f"127.0.0.1:{self.second_port}"
        for name, value in more.items():
            setattr(second, name, value)
        self.gateway.publish(champion, second)
        self.gateway.wait_for_epoch()

    def arm(self, version: str, role: str, weight_ppm: int) -> Arm:
        target = f"127.0.0.1:{self.port}"
        return Arm(version=version, digest=version * 64, upstream=target, role=role, weight_ppm=weight_ppm)

    def since(self, topic: str) -> Callable[[Sequence[str], int], list[Any]]:
        """Asked for predictions: what the topic says of them from now on, once it names so many of them."""
        bootstrap = self.gateway.service.bootstrap
        begin = ends(bootstrap, topic)

        def read(ids: Sequence[str], count: int) -> list[Any]:
            events = read_since(
                bootstrap, begin, lambda events: len({e.key for e in events} & {*ids}) >= count
            )
            return [e for e in events if e.key in ids]

        return read

    def settle(self) -> None:
        """Wait until the records of earlier tests are in Kafka."""

        def is_shipped() -> bool:
            status = requests.get(f"{self.gateway.url}/statusz", timeout=10).json()
            return bool(status["records"]["backlog_bytes"] == 0)

        wait_for("earlier records to be shipped", is_shipped)

    @contextmanager
    def shadow(self, log: Path, *options: str, rate: float = 1000.0) -> Iterator[None]:
        """A server of the second version, which gets a copy of all requests; it has got the first."""
        with upstream(self.second_port, self.onnx, "--log", str(log), *options):
            self.publish("shadow", mirror_ppm=1_000_000, max_mirrored_per_s=rate)
            wait_for("the shadow to be called", lambda: self.gateway.infer() and log.exists())
            self.settle()
            yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    onnx, port = make_onnx(tmp_path_factory.mktemp("model")), free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
        ) as service,
        upstream(port, onnx),
    ):
        serving = "max_batch_rows: 8, max_queued_rows: 64, timeout_ms: 2000"
        gateway = Gateway(service=service, model=f"gw-test-{secrets.token_hex(4)}", serving=serving)
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        yield Bench(gateway=gateway, onnx=onnx, port=port, second_port=free_port())


def served_by(gateway: Gateway, count: int) -> set[str]:
    """The versions that answer so many requests one after the other."""
    with grpc.insecure_channel(gateway.target) as channel:
        return {gateway.call(channel).model_version for _ in range(count)}


def test_a_copy_is_recorded_with_both_answers(bench: Bench, tmp_path: Path) -> None:
    gateway = bench.gateway
    with bench.shadow(tmp_path / "calls"):
        read = bench.since(SHADOW_PREDICTIONS.name)
        rows = [[0.9] + [0.5] * 5, [0.1] + [0.5] * 5]
        unit = {"slipway_unit": InferParameter(string_param="u-7")}
        answers = [gateway.infer(rows, parameters=unit) for _ in range(5)]
        event = read([prediction_id(answer) for answer in answers], 1)[0]
    identity, message = event.key, event.message
    assert isinstance(message, PredictionShadowed)
    assert event.event_id == f"{identity}/shadow"
    assert {answer.model_version for answer in answers} == {"1"}
    assert (message.version, message.digest, message.code) == ("2", "2" * 64, "")
    assert (message.context.version, message.context.unit, message.context.rows) == ("1", "u-7", 2)
    assert message.context.route_epoch == gateway.epoch
    labels = next(t for t in message.payload.outputs if t.name == "label")
    assert [text.decode() for text in to_list(labels)] == list(message.served) == ["1", "0"]
    assert not message.payload.inputs
    assert message.latency_s > 0


@pytest.mark.parametrize("kind", CODES)
def test_users_are_untouched_by_a_shadow(bench: Bench, kind: str, tmp_path: Path) -> None:
    code, words = EXPECTED[kind]
    with bench.shadow(tmp_path / "calls", *CODES[kind]):
        read, before = bench.since(SHADOW_PREDICTIONS.name), len(bench.gateway.answered)
        with exactly_recorded(bench.gateway):
            assert served_by(bench.gateway, 30) == {"1"}
        told = [e.message for e in read(bench.gateway.answered[before:], 1)]
    assert {m.code for m in told} == {code}
    assert all(words in m.message for m in told)


def test_users_are_untouched_by_a_shadow_that_is_gone(bench: Bench) -> None:
    bench.publish("shadow", mirror_ppm=1_000_000, max_mirrored_per_s=1000.0)
    bench.settle()
    read, before = bench.since(SHADOW_PREDICTIONS.name), len(bench.gateway.answered)
    with exactly_recorded(bench.gateway):
        assert served_by(bench.gateway, 30) == {"1"}
    assert {e.message.code for e in read(bench.gateway.answered[before:], 1)} == {"UNAVAILABLE"}


def test_no_more_is_copied_than_the_limit(bench: Bench, tmp_path: Path) -> None:
    log, rate = tmp_path / "calls", 5.0
    with bench.shadow(log, rate=rate):
        before, start_s = log.read_text().count("called"), time.monotonic()
        with exactly_recorded(bench.gateway):
            served_by(bench.gateway, 200)
        called, elapsed_s = log.read_text().count("called") - before, time.monotonic() - start_s
    assert called <= rate * elapsed_s + 2
    metrics = requests.get(f"{bench.gateway.url}/metrics", timeout=10).text
    assert (
        f'slipway_shadow_skipped_total{{model="{bench.gateway.model}",reason="rate",version="2"}}' in metrics
    )


def test_a_tester_chooses_the_arm_and_his_records_prove_nothing(bench: Bench) -> None:
    gateway = bench.gateway
    with upstream(bench.second_port, bench.onnx):
        bench.publish("canary", weight_ppm=1)
        chosen(gateway, "canary")  # once its server is there
        read, before = bench.since(PREDICTIONS.name), len(gateway.answered)
        assert (chosen(gateway, "canary"), chosen(gateway, "champion")) == ("2", "1")
        assert posted(gateway, "canary") == "2"
        assert gateway.infer(model_version="2").model_version == "2"
        assert gateway.infer().model_version == "1"
        records = [e.message for e in read(gateway.answered[before:], 5)]
    assert sorted((m.context.arm, m.context.pinned) for m in records) == [
        ("canary", True),
        ("canary", True),
        ("canary", True),
        ("champion", False),
        ("champion", True),
    ]


def test_requests_of_testers_are_not_copied_and_the_shadow_answers_who_asks_for_it(
    bench: Bench, tmp_path: Path
) -> None:
    with bench.shadow(tmp_path / "calls"):
        read, before = bench.since(SHADOW_PREDICTIONS.name), len(bench.gateway.answered)
        assert (chosen(bench.gateway, "shadow"), chosen(bench.gateway, "champion")) == ("2", "1")
        served_by(bench.gateway, 5)
        copied = {e.key for e in read(bench.gateway.answered[before:], 1)}
    assert not copied & set(bench.gateway.answered[before : before + 2])


def test_an_arm_that_is_not_there_is_named_with_those_that_are(bench: Bench) -> None:
    bench.publish("standby")
    for arm, code, words in (
        ("canary", grpc.StatusCode.NOT_FOUND, "it has: champion 1, standby 2"),
        ("best", grpc.StatusCode.INVALID_ARGUMENT, "none of canary, champion, shadow, standby, rival"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            chosen(bench.gateway, arm)
        error: Any = refused.value
        assert error.code() is code
        assert words in error.details()


def test_an_answer_that_is_no_number_is_a_failure_of_its_version(bench: Bench) -> None:
    with upstream(bench.second_port, bench.onnx, "--nan"):
        bench.publish("canary", weight_ppm=1)
        begin = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)

        def refusal() -> Any:
            with pytest.raises(grpc.RpcError) as failure:
                bench.gateway.infer(model_version="2")
            error: Any = failure.value
            return error if error.code() is grpc.StatusCode.INTERNAL else None

        error: Any = wait_for("the version to answer", refusal)

    def reasons(events: list[Event]) -> list[str]:
        ours = [e.message for e in events if e.message.context.model == bench.gateway.model]
        return [m.message for m in ours if isinstance(m, PredictionFailed) and m.code == "INTERNAL"]

    events = read_since(bench.gateway.service.bootstrap, begin, lambda events: bool(reasons(events)))
    for words in (error.details(), *reasons(events)):
        assert "NaN or infinity in 'probabilities'" in words


def chosen(gateway: Gateway, arm: str) -> str:
    """The version that answers who asks for an arm; waits for a server that has just been started."""
    metadata = (*gateway.metadata, ("slipway-arm", arm))

    def answer() -> Any:
        try:
            with grpc.insecure_channel(gateway.target) as channel:
                stub = GRPCInferenceServiceStub(channel)
                return stub.ModelInfer(request(gateway.model), metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            status: Any = error
            if status.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            raise

    found = wait_for(f"the arm {arm}", answer)
    gateway.answered.append(prediction_id(found))
    return str(found.model_version)


def posted(gateway: Gateway, arm: str) -> str:
    """As `chosen`, over HTTP."""
    body = {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}]}
    url = f"{gateway.url}/v2/models/{gateway.model}/infer"
    headers = dict(gateway.metadata) | {"slipway-arm": arm}
    answer = requests.post(url, json=body, headers=headers, timeout=10).json()
    assert answer["parameters"]["slipway_arm"] == arm
    gateway.answered.append(answer["parameters"]["slipway_prediction_id"])
    return str(answer["model_version"])
