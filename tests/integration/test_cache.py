"""The answer cache in real gateways, with a real Redis or Valkey that comes, goes, stalls and lies."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from slipway import tokens
from slipway.envelope import Event
from slipway.oip import open_inference_pb2 as oip
from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionFailed, PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import SERVING, Gateway, ends, prediction_id, read_since, request, upstream, wait_for
from tests.gateway.redis_process import RedisProcess, redis_process
from tests.service_process import ServiceProcess, free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration

PATIENT_MS = "1000"  # where a test wants the shared store to answer, however busy the machine is
TIGHT_MS = "3"


@dataclass(kw_only=True)
class Bench:
    gateway: Gateway
    redis: RedisProcess
    onnx: Path
    port: int

    @property
    def service(self) -> ServiceProcess:
        return self.gateway.service

    def set(self, **settings: str) -> None:
        """Run the gateway under these settings."""
        if settings.items() <= self.service.environment.items():
            return
        self.service.terminate()
        self.service.environment |= settings
        self.service.start()
        self.service.wait_ready()
        wait_for("the champion", self.gateway.try_epoch)

    def flush(self) -> None:
        with self.redis.client() as client:
            client.flushall()


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Bench]:
    folder, port = tmp_path_factory.mktemp("cache"), free_port()
    with (
        own_database("gateway") as dsn,
        redis_process(folder / "redis") as server,
        own_service(
            "gateway",
            folder / "gateway",
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_REDIS_URL=server.url,
            SLIPWAY_CACHE_BUDGET_MS=PATIENT_MS,
        ) as service,
        upstream(port, onnx),
    ):
        serving = f"{SERVING}, cache_ttl_s: 600"
        gateway = Gateway(service=service, model=f"cache-test-{secrets.token_hex(4)}", serving=serving)
        server.start()
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        it = Bench(gateway=gateway, redis=server, onnx=onnx, port=port)
        gateway.publish(arm(port))
        gateway.wait_for_epoch()
        yield it


@pytest.fixture(autouse=True)
def sound(bench: Bench) -> Iterator[None]:
    """Each test begins with an empty Redis that is in use."""
    if not bench.redis.is_answering():
        bench.redis.kill()
        bench.redis.start()
    bench.flush()
    bench.set(SLIPWAY_REDIS_URL=bench.redis.url, SLIPWAY_CACHE_BUDGET_MS=PATIENT_MS)
    wait_until_in_use(bench.gateway)
    yield
    if bench.redis.process is not None:
        bench.redis.thaw()


def arm(port: int, version: str = "1", role: str = "champion") -> Arm:
    weight_ppm = 1_000_000 if role == "champion" else 0
    target = f"127.0.0.1:{port}"
    return Arm(version=version, digest="d" * 64, upstream=target, role=role, weight_ppm=weight_ppm)


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    text = requests.get(f"{gateway.url}/metrics", timeout=10).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def is_in_use(gateway: Gateway) -> bool:
    return metric(gateway, "slipway_cache_shared_state") == 1


def wait_until_in_use(gateway: Gateway) -> None:
    def look() -> bool:
        question()(gateway)  # somebody has to ask before a fault can be seen
        return is_in_use(gateway)

    wait_for("the shared cache to be used", look)


def question() -> Callable[[Gateway], Any]:
    """A row that nobody has asked about."""
    row = np.random.default_rng().random((1, 6), dtype=np.float32)
    return lambda gateway: gateway.infer(row)


def records(gateway: Gateway, since: Any, ids: set[str]) -> dict[str, Any]:
    """The records of these predictions, once all are there; each exactly once by its id."""
    events = read_since(
        gateway.service.bootstrap, since, lambda events: ids <= {event.event_id for event in events}
    )
    return {event.event_id: event.message for event in events if event.event_id in ids}


def caches(gateway: Gateway, since: Any, ids: list[str]) -> list[str]:
    found = records(gateway, since, set(ids))
    assert all(isinstance(record, PredictionServed) for record in found.values())
    return [found[each].context.cache for each in ids]


@contextmanager
def other_gateway(bench: Bench, folder: Path) -> Iterator[Gateway]:
    """A second one on the same Kafka, PostgreSQL and Redis."""
    own = {
        "SLIPWAY_GRPC_PORT": str(free_port()),
        "SLIPWAY_HTTP_PORT": str(free_port()),
        "SLIPWAY_ADMIN_PORT": str(free_port()),
        "SLIPWAY_STATE_DIR": str(folder),
    }
    service = ServiceProcess(name="gateway", environment=bench.service.environment | own, log=folder / "log")
    gateway = replace(bench.gateway, service=service)
    service.start()
    try:
        service.wait_ready()
        wait_for("the champion", gateway.try_epoch)
        wait_until_in_use(gateway)
        yield gateway
    finally:
        service.kill()


def test_a_hit_is_a_prediction_of_its_own(bench: Bench) -> None:
    gateway, ask = bench.gateway, question()
    since = ends(bench.service.bootstrap, PREDICTIONS.name)
    before = metric(gateway, "slipway_cache_hits_total", tier="local")
    answers = [ask(gateway) for _ in range(3)]
    ids = [prediction_id(answer) for answer in answers]
    assert len(set(ids)) == 3
    assert caches(gateway, since, ids) == ["", "local", "local"]
    assert len({b"".join(answer.raw_output_contents) for answer in answers}) == 1
    secret = Path(bench.service.environment["SLIPWAY_SECRETS_DIR"], "feedback_token.key").read_text()
    for answer in answers:
        token = answer.parameters["slipway_feedback_token"].string_param
        assert tokens.verify(secret.encode(), token, subject=prediction_id(answer)).principal == "tester"
    assert metric(gateway, "slipway_cache_hits_total", model=gateway.model, tier="local") == before + 2
    assert metric(gateway, "slipway_cache_bytes") > 0


def test_what_one_gateway_computed_another_need_not(bench: Bench, tmp_path: Path) -> None:
    ask, since = question(), ends(bench.service.bootstrap, PREDICTIONS.name)
    first = ask(bench.gateway)
    wait_for("the answer in Redis", bench.redis.names)
    with other_gateway(bench, tmp_path) as other:
        before = len(bench.redis.names())
        answers = [first, ask(other), ask(other)]
        assert caches(other, since, [prediction_id(answer) for answer in answers]) == ["", "shared", "local"]
        assert len({b"".join(answer.raw_output_contents) for answer in answers}) == 1
        assert len(bench.redis.names()) == before


def test_equal_requests_at_the_same_time_are_one_call_to_the_version(bench: Bench) -> None:
    gateway, slow, since = bench.gateway, free_port(), ends(bench.service.bootstrap, PREDICTIONS.name)
    with upstream(slow, bench.onnx, "--delay-s", "1"):
        gateway.publish(arm(bench.port), arm(slow, "slow", "standby"))
        gateway.wait_for_epoch()
        row = np.random.default_rng().random((1, 6), dtype=np.float32)

        def ask(_: int) -> str:
            return prediction_id(gateway.infer(row, model_version="slow"))

        wait_for("the slow version", lambda: answers(gateway, "slow"))
        with ThreadPoolExecutor(8) as pool:
            ids = list(pool.map(ask, range(8)))
        assert Counter(caches(gateway, since, ids)) == {"": 1, "local": 7}
        check_that_who_waits_keeps_his_own_deadline(gateway)
    gateway.publish(arm(bench.port))
    gateway.wait_for_epoch()


def check_that_who_waits_keeps_his_own_deadline(gateway: Gateway) -> None:
    """Of three equal requests the first leaves, the second has no time; the third is answered."""
    since = ends(gateway.service.bootstrap, PREDICTIONS.name)
    row = np.random.default_rng().random((1, 6), dtype=np.float32)
    misses = metric(gateway, "slipway_cache_misses_total")
    with grpc.insecure_channel(gateway.target) as channel:
        stub = GRPCInferenceServiceStub(channel)

        def ask(**parameters: int) -> Any:
            sent = {name: oip.InferParameter(int64_param=value) for name, value in parameters.items()}
            message = request(gateway.model, row, model_version="slow", parameters=sent)
            return stub.ModelInfer.future(message, metadata=gateway.metadata, timeout=20)

        leader = ask()
        wait_for("the leader", lambda: metric(gateway, "slipway_cache_misses_total") == misses + 1)
        hasty, patient = ask(timeout=1), ask()
        assert hasty.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
        leader.cancel()
        assert caches(gateway, since, [prediction_id(patient.result())]) == [""]

    def failures(events: list[Event]) -> list[str]:
        ours = [event.message for event in events if event.message.context.model == gateway.model]
        return [message.code for message in ours if isinstance(message, PredictionFailed)]

    assert failures(read_since(gateway.service.bootstrap, since, lambda events: bool(failures(events)))) == [
        "DEADLINE_EXCEEDED"
    ]


def answers(gateway: Gateway, version: str) -> bool:
    try:
        return bool(gateway.infer(model_version=version).outputs)
    except grpc.RpcError:
        return False


def test_another_champion_answers_for_itself(bench: Bench) -> None:
    gateway, ask, port = bench.gateway, question(), free_port()
    since = ends(bench.service.bootstrap, PREDICTIONS.name)
    ids = [prediction_id(ask(gateway)), prediction_id(ask(gateway))]
    with upstream(port, bench.onnx):
        gateway.publish(arm(port, "2"))
        gateway.wait_for_epoch()
        ids += [prediction_id(ask(gateway)), prediction_id(ask(gateway))]
        assert caches(gateway, since, ids) == ["", "local", "", "local"]
        assert metric(gateway, "slipway_cache_evictions_total", reason="turnover") >= 1
        gateway.publish(arm(bench.port))
        gateway.wait_for_epoch()


def test_redis_away_at_the_start_harms_nobody_and_is_used_when_it_comes(bench: Bench) -> None:
    gateway = bench.gateway
    bench.redis.kill()
    bench.set(SLIPWAY_CACHE_BUDGET_MS=TIGHT_MS)
    since = ends(bench.service.bootstrap, PREDICTIONS.name)
    ids = [prediction_id(question()(gateway)) for _ in range(20)]
    assert not is_in_use(gateway)
    assert metric(gateway, "slipway_cache_shared_errors_total") >= 1
    assert len(records(gateway, since, set(ids))) == 20
    bench.redis.start()
    wait_for("the shared cache to be used", lambda: is_in_use(gateway))
    wait_for("a write", lambda: question()(gateway) and bench.redis.names())


def test_redis_killed_in_the_middle_loses_nothing(bench: Bench) -> None:
    gateway, since = bench.gateway, ends(bench.service.bootstrap, PREDICTIONS.name)
    answered: list[str] = []
    stop = threading.Event()

    def ask_until_told() -> None:
        rows = np.random.default_rng().random((50, 6), dtype=np.float32)
        with grpc.insecure_channel(gateway.target) as channel:
            while not stop.is_set():
                row = rows[len(answered) % 50][None]
                answered.append(prediction_id(gateway.call(channel, row)))

    def is_served(goal: int) -> bool:
        return len(answered) >= goal or any(each.done() for each in asking)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask_until_told) for _ in range(4)]
        for fault in (None, bench.redis.kill, bench.redis.start):
            if fault is not None:
                fault()
            goal = len(answered) + 200
            wait_for("traffic", partial(is_served, goal))
        wait_for("the shared cache to be used again", lambda: is_in_use(gateway))
        stop.set()
        for each in asking:
            each.result()
    assert metric(gateway, "slipway_cache_shared_errors_total") >= 1
    assert len(set(answered)) == len(answered)
    assert len(records(gateway, since, set(answered))) == len(answered)


def test_a_redis_that_does_not_answer_is_waited_for_three_times_and_no_longer(bench: Bench) -> None:
    gateway = bench.gateway
    bench.set(SLIPWAY_CACHE_BUDGET_MS=TIGHT_MS)
    wait_until_in_use(gateway)
    since = ends(bench.service.bootstrap, PREDICTIONS.name)
    before = metric(gateway, "slipway_cache_abandoned_lookups_total")
    bench.redis.freeze()
    ids = [prediction_id(question()(gateway)) for _ in range(30)]
    # Every request was answered, although Redis said nothing: so none waited for it to the end.
    assert not is_in_use(gateway)
    abandoned = metric(gateway, "slipway_cache_abandoned_lookups_total") - before
    assert 1 <= abandoned < 30
    assert len(records(gateway, since, set(ids))) == 30
    bench.redis.thaw()
    wait_for("the shared cache to be used again", lambda: is_in_use(gateway))


def test_what_stands_in_redis_afterwards_is_not_believed(bench: Bench, tmp_path: Path) -> None:
    gateway, asks = bench.gateway, [question() for _ in range(3)]
    for ask in asks:
        ask(gateway)
    names = sorted(wait_for("the answers in Redis", lambda: len(it := bench.redis.names()) >= 3 and it))
    with bench.redis.client() as client:
        kept: dict[bytes, bytes] = {name: client.get(name) for name in names}
    bench.redis.kill()
    bench.redis.start()
    turned = dict(zip(names, [kept[name] for name in [*names[1:], names[0]]], strict=True))
    with other_gateway(bench, tmp_path) as other:
        for content in (dict.fromkeys(names, b"nonsense" * 9), turned, dict.fromkeys(names, b"")):
            with bench.redis.client() as client:
                for name, value in content.items():
                    client.set(name, value)
            before = metric(other, "slipway_cache_rejected_values_total")
            ask = asks.pop()
            expected, seen = ask(gateway), ask(other)
            assert list(seen.raw_output_contents) == list(expected.raw_output_contents)
            assert metric(other, "slipway_cache_rejected_values_total") == before + 1


def test_a_wrong_password_harms_nobody_and_stands_in_no_log(bench: Bench) -> None:
    gateway, wrong = bench.gateway, secrets.token_hex(16)
    bench.set(SLIPWAY_REDIS_URL=bench.redis.url.replace(bench.redis.password, wrong))
    since = ends(bench.service.bootstrap, PREDICTIONS.name)
    ids = [prediction_id(question()(gateway)) for _ in range(20)]
    assert not is_in_use(gateway)
    assert len(records(gateway, since, set(ids))) == 20
    assert metric(gateway, "slipway_cache_shared_errors_total") >= 1
    log = bench.service.log.read_text()
    assert "the shared cache is left alone" in log
    assert wrong not in log
    assert bench.redis.password not in log
