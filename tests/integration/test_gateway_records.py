"""The client's ledger against the records: strict models, Kafka away, no room left, a full disk."""

import asyncio
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import requests

from slipway.ports import ports
from slipway.stack.readiness import tcp_open
from slipway.stack.stack import build_stack
from slipway.stack.supervision import ProcessState, Supervision
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import (
    PredictionFailed,
    PredictionServed,
    PredictionsUnrecorded,
    PredictionWithheld,
)
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import SERVING, Gateway, ends, prediction_id, read_since, upstream, wait_for
from tests.service_process import free_port, own_database, own_service
from tests.small_disk import small_disk
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
QUICK = SERVING.replace("timeout_ms: 5000", "timeout_ms: 1500")


@dataclass(kw_only=True)
class Ledger:
    """What the client was told."""

    recorded: set[str] = field(default_factory=set)
    unrecorded: set[str] = field(default_factory=set)
    refusals: list[Any] = field(default_factory=list)

    @property
    def codes(self) -> Counter[str]:
        return Counter(error.code().name for error in self.refusals)


@dataclass(frozen=True, kw_only=True)
class Bench:
    gateway: Gateway
    port: int  # of the server behind it


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@contextmanager
def benches(folder: Path, onnx: Path, **settings: str) -> Iterator[Bench]:
    port = free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            folder,
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            **settings,
        ) as service,
        upstream(port, onnx),
    ):
        gateway = Gateway(service=service, model="")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        yield Bench(gateway=gateway, port=port)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Bench]:
    """Room for about three hundred records."""
    small = {"SLIPWAY_SPOOL_LIMIT_BYTES": "200000", "SLIPWAY_SEGMENT_BYTES": "20000"}
    with benches(tmp_path_factory.mktemp("gateway"), onnx, **small) as it:
        yield it


def serve(bench: Bench, serving: str) -> Gateway:
    """A model of the test's own."""
    gateway = bench.gateway
    gateway.model, gateway.epoch, gateway.serving = f"rec-test-{secrets.token_hex(4)}", 0, serving
    target = f"127.0.0.1:{bench.port}"
    gateway.publish(Arm(version="1", digest="d", upstream=target, role="champion", weight_ppm=1_000_000))
    gateway.wait_for_epoch()
    return gateway


@contextmanager
def kafka_away(gateway: Gateway) -> Iterator[None]:
    """The same gateway, started again where no Kafka answers; and once more where it does."""
    connected = gateway.service.environment
    gateway.service.terminate()
    nowhere = {"SLIPWAY_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}
    gateway.service.environment = {**connected, **nowhere}
    gateway.service.start()
    gateway.service.wait_ready()
    yield
    gateway.service.terminate()
    gateway.service.environment = connected
    gateway.service.start()
    gateway.service.wait_ready()


def ask(gateway: Gateway, ledger: Ledger, count: int) -> Ledger:
    """So many requests, one after the other."""
    with grpc.insecure_channel(gateway.target) as channel:
        for _ in range(count):
            try:
                answer = gateway.call(channel)
            except grpc.RpcError as error:
                ledger.refusals.append(error)
                continue
            kind = ledger.unrecorded if "slipway_unrecorded" in answer.parameters else ledger.recorded
            kind.add(prediction_id(answer))
    return ledger


@dataclass(kw_only=True)
class Found:
    """The records of one model."""

    served: list[str] = field(default_factory=list)
    withheld: list[PredictionWithheld] = field(default_factory=list)
    failed: list[PredictionFailed] = field(default_factory=list)
    gaps: list[PredictionsUnrecorded] = field(default_factory=list)


def records(gateway: Gateway, since: Any, *, until: Any) -> Found:
    """What the topic holds of the gateway's model, once it is enough."""

    def sorted_out(events: list[Any]) -> Found:
        found = Found()
        for event in {e.event_id: e for e in events if e.message.context.model == gateway.model}.values():
            message = event.message
            if isinstance(message, PredictionServed):
                found.served.append(event.event_id)
            elif isinstance(message, PredictionWithheld):
                found.withheld.append(message)
            elif isinstance(message, PredictionsUnrecorded):
                found.gaps.append(message)
            else:
                found.failed.append(message)
        return found

    bootstrap = gateway.service.bootstrap
    return sorted_out(read_since(bootstrap, since, lambda events: until(sorted_out(events))))


def status(gateway: Gateway) -> Any:
    return requests.get(f"{gateway.url}/statusz", timeout=5).json()["records"]


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    lines = requests.get(f"{gateway.url}/metrics", timeout=5).text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(name + "{") and all(label in line for label in wanted)
    )


@pytest.mark.parametrize("recording", ["fsync", "broker"])
def test_strict_answers_are_given_after_their_records_are_safe(bench: Bench, recording: str) -> None:
    gateway = serve(bench, f"{SERVING}, recording: {recording}")
    since, ledger, lock = ends(gateway.service.bootstrap, PREDICTIONS.name), Ledger(), threading.Lock()

    def client() -> None:
        own = Ledger()
        ask(gateway, own, 15)
        with lock:
            ledger.recorded |= own.recorded
            ledger.refusals += own.refusals

    threads = [threading.Thread(target=client) for _ in range(8)]
    before = metric(gateway, "slipway_gateway_record_wait_seconds_count", recording=recording)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.recorded) == 120
    if recording == "broker":  # Kafka has them now, without being waited for
        now = ends(gateway.service.bootstrap, PREDICTIONS.name)
        assert sum(now.values()) - sum(since.values()) >= 120
    waits = metric(gateway, "slipway_gateway_record_wait_seconds_count", recording=recording) - before
    assert waits == 120
    found = records(gateway, since, until=lambda found: len(found.served) >= 120)
    assert set(found.served) == ledger.recorded
    assert not found.withheld


def test_a_strict_model_answers_nobody_while_kafka_is_away_and_says_so(bench: Bench) -> None:
    gateway = serve(bench, f"{QUICK}, recording: broker")
    since, ledger = ends(gateway.service.bootstrap, PREDICTIONS.name), Ledger()
    ask(gateway, ledger, 5)
    with kafka_away(gateway):
        away = Ledger()
        ask(gateway, away, 3)
        assert not away.recorded
        assert set(away.codes) == {"UNAVAILABLE"}
        trailing = dict(away.refusals[-1].trailing_metadata())
        assert int(trailing["retry-after-ms"]) > 0
        wait_for("the wait for Kafka to be told", lambda: status(gateway)["state"] == "waiting for Kafka")
        refused = metric(gateway, "slipway_gateway_refusals_total", reason="recording")
        withheld = metric(gateway, "slipway_gateway_withheld_total", recording="broker")
        assert refused + withheld == 3
    again = Ledger()
    wait_for("an answer", lambda: ask(gateway, again, 1).recorded)
    given = ledger.recorded | again.recorded
    found = records(gateway, since, until=lambda found: given <= set(found.served))
    nobody_got = {message.context.prediction_id for message in found.withheld}
    assert set(found.served) == given | nobody_got
    assert not given & nobody_got


def test_with_refuse_nothing_is_answered_without_a_record(bench: Bench) -> None:
    gateway = serve(bench, QUICK)
    since, ledger = ends(gateway.service.bootstrap, PREDICTIONS.name), Ledger()
    with kafka_away(gateway):
        wait_for("a full spool", lambda: ask(gateway, ledger, 10).refusals)
        assert set(ledger.codes) == {"RESOURCE_EXHAUSTED"}
        assert int(dict(ledger.refusals[0].trailing_metadata())["retry-after-ms"]) == 5000
        assert status(gateway)["state"] == "full"
    wait_until_answered(gateway, ledger)
    found = records(gateway, since, until=lambda found: ledger.recorded <= set(found.served))
    assert set(found.served) == ledger.recorded
    assert not found.gaps


def test_with_count_everybody_is_answered_and_the_gap_is_told(bench: Bench) -> None:
    gateway = serve(bench, f"{QUICK}, when_records_full: count")
    since, ledger = ends(gateway.service.bootstrap, PREDICTIONS.name), Ledger()
    with kafka_away(gateway):
        wait_for("a full spool", lambda: ask(gateway, ledger, 10).unrecorded)
        ask(gateway, ledger, 30)
        assert not ledger.refusals
        told = metric(gateway, "slipway_gateway_unrecorded_total", model=gateway.model, kind="answered")
        assert told == len(ledger.unrecorded)
        [gap] = [gap for gap in status(gateway)["unrecorded"] if gap["model"] == gateway.model]
        assert gap["answered"] == len(ledger.unrecorded)
    found = records(gateway, since, until=lambda found: found.gaps)
    assert sum(gap.answered for gap in found.gaps) == len(ledger.unrecorded)
    assert set(found.served) == ledger.recorded
    assert len(ledger.recorded) > 10
    wait_for("no open gap", lambda: not status(gateway)["unrecorded"])


@contextmanager
def broker_stopped() -> Iterator[None]:
    """The stack's own Kafka, gone and back."""
    supervision = Supervision(build_stack())
    if not supervision.is_running() or supervision.processes()["kafka"].state is not ProcessState.RUNNING:
        pytest.skip("this Kafka is not ours to stop")
    supervision.stop("kafka")
    wait_for("Kafka to be gone", lambda: supervision.processes()["kafka"].state is ProcessState.STOPPED)
    try:
        yield
    finally:
        supervision.start("kafka")
        wait_for("Kafka", lambda: asyncio.run(tcp_open(ports()["kafka"])), within_s=180)


@contextmanager
def clients(gateway: Gateway) -> Iterator[list[Ledger]]:
    """Six that ask all the time."""
    enough, ledgers = threading.Event(), [Ledger() for _ in range(6)]

    def client(ledger: Ledger) -> None:
        while not enough.is_set():
            ask(gateway, ledger, 5)
            enough.wait(0.1)  # leaves the machine to those who start again meanwhile

    threads = [threading.Thread(target=client, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    try:
        yield ledgers
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def answered(ledgers: list[Ledger]) -> int:
    return sum(len(ledger.recorded) for ledger in ledgers)


def more(ledgers: list[Ledger], count: int) -> None:
    wanted = answered(ledgers) + count
    wait_for("answers", lambda: answered(ledgers) >= wanted)


@pytest.mark.alone
@pytest.mark.parametrize("recording", ["standard", "broker"])
def test_kafka_gone_under_load_and_the_gateway_killed_meanwhile(
    tmp_path: Path, onnx: Path, recording: str
) -> None:
    with benches(tmp_path / "gateway", onnx) as bench:
        gateway = serve(bench, f"{QUICK}, recording: {recording}")
        since = ends(gateway.service.bootstrap, PREDICTIONS.name)
        with clients(gateway) as ledgers:
            more(ledgers, 100)
            with broker_stopped():
                if recording == "standard":
                    more(ledgers, 100)
                else:
                    wait_for("refusals", lambda: sum(len(one.refusals) for one in ledgers) > 30)
                assert gateway.service.process is not None
                gateway.service.process.send_signal(signal.SIGKILL)
                gateway.service.process.wait()
                gateway.service.start()
                gateway.service.wait_ready()
                if recording == "standard":
                    more(ledgers, 100)
            more(ledgers, 100)
        given = set[str]().union(*(ledger.recorded for ledger in ledgers))
        failed = sum(len(ledger.refusals) for ledger in ledgers)
        assert answered(ledgers) == len(given)
        found = records(gateway, since, until=lambda found: given <= set(found.served))
        assert len(set(found.served)) - len(given) <= failed  # recorded, and nobody was told
        assert not given & {message.context.prediction_id for message in found.withheld}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size="3m") as folder:
        yield folder


def wait_until_refused(gateway: Gateway, ledger: Ledger) -> None:
    before = len(ledger.refusals)
    wait_for("a refusal", lambda: len(ask(gateway, ledger, 20).refusals) > before)


def wait_until_answered(gateway: Gateway, ledger: Ledger) -> None:
    before = len(ledger.recorded)
    wait_for("an answer", lambda: len(ask(gateway, ledger, 1).recorded) > before)


def fill(path: Path) -> None:
    """Until nothing more goes in."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096) == 4096:
            pass


def test_a_full_disk_is_survived_by_policy_and_recovered_from_alone(
    disk: Path, tmp_path: Path, onnx: Path
) -> None:
    """Somebody else fills the disk under the spool, and makes room again."""
    with benches(tmp_path / "gateway", onnx, SLIPWAY_STATE_DIR=str(disk)) as bench:
        gateway = serve(bench, QUICK)
        since, ledger, ballast = ends(gateway.service.bootstrap, PREDICTIONS.name), Ledger(), disk / "b"
        ask(gateway, ledger, 20)
        for _ in range(2):
            fill(ballast)
            wait_until_refused(gateway, ledger)
            wait_for("the state to be told", lambda: status(gateway)["state"] == "disk full")
            ballast.unlink()
            wait_until_answered(gateway, ledger)
        process = gateway.service.process
        assert process is not None
        assert process.poll() is None
        assert set(ledger.codes) == {"RESOURCE_EXHAUSTED"}
        found = records(gateway, since, until=lambda found: ledger.recorded <= set(found.served))
        assert set(found.served) == ledger.recorded
