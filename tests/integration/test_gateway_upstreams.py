"""The gateway as a process, before servers that die, hang, hang up and answer strangely."""

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from slipway.oip.open_inference_pb2_grpc import GRPCInferenceServiceStub
from slipway.topics import PREDICTIONS
from slipway.v1.predictions_pb2 import PredictionServed
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.directory_server import DirectoryServer
from tests.gateway.live import SERVING, Gateway, ends, prediction_id, read_since, request, upstream, wait_for
from tests.gateway.tcp_proxy import proxy
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration


@dataclass(frozen=True, kw_only=True)
class Bench:
    gateway: Gateway
    directory: DirectoryServer
    onnx: Path


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gateway_process(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Bench]:
    directory_port = free_port()
    with (
        DirectoryServer().serving(directory_port) as directory,
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{directory_port}",
            SLIPWAY_CIRCUIT_OPEN_S="0.5",
            SLIPWAY_EJECTION_S="0.3",
        ) as service,
    ):
        gateway = Gateway(service=service, model="")
        service.start()
        service.wait_ready()
        gateway.key = gateway.create_key("tester").secret
        yield Bench(gateway=gateway, directory=directory, onnx=onnx)


@pytest.fixture
def bench(gateway_process: Bench) -> Bench:
    """Each test has a model of its own: what is known of endpoints and circuits is of a version."""
    gateway = gateway_process.gateway
    gateway.model, gateway.epoch, gateway.serving = f"up-test-{secrets.token_hex(4)}", 0, SERVING
    return gateway_process


def arm(version: str = "1", role: str = "champion", weight_ppm: int = 1_000_000) -> Arm:
    return Arm(version=version, digest="d" * 64, upstream="inference", role=role, weight_ppm=weight_ppm)


def serve(bench: Bench, *arms: Arm, serving: str = "", **ports: list[int]) -> None:
    """Routes and a directory: `v1=[8001, 8002]`. Returns when they answer."""
    for version, listed in ports.items():
        bench.directory.list(bench.gateway.model, version[1:], listed)
    bench.gateway.serving = f"{SERVING}, {serving}" if serving else SERVING
    bench.gateway.publish(*arms or (arm(),))
    bench.gateway.wait_for_epoch()


@contextmanager
def servers(bench: Bench, *options: tuple[str, ...]) -> Iterator[list[int]]:
    """Servers that are up."""
    with ExitStack() as stack:
        ports = [free_port() for _ in options]
        for port, words in zip(ports, options, strict=True):
            stack.enter_context(upstream(port, bench.onnx, *words))
        for port in ports:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(60)
        yield ports


@dataclass(kw_only=True)
class Ledger:
    """What the clients saw: ids of answers, codes of failures."""

    answers: list[Any]
    codes: Counter[str]

    @property
    def ids(self) -> set[str]:
        return {prediction_id(answer) for answer in self.answers}


def ask(bench: Bench, count: int, *, at_once: int = 8, until: Callable[[], bool] | None = None) -> Ledger:
    """So many requests, or as many as it takes, from several clients; what came of each is kept."""
    ledger, lock, enough = Ledger(answers=[], codes=Counter()), threading.Lock(), threading.Event()
    with grpc.insecure_channel(bench.gateway.target) as channel, ThreadPoolExecutor(at_once) as pool:

        def one(_number: int) -> None:
            if enough.is_set() or (until is not None and until()):
                enough.set()
                return
            try:
                answer = bench.gateway.call(channel)
            except grpc.RpcError as error:
                with lock:
                    ledger.codes[error.code().name] += 1
            else:
                with lock:
                    ledger.answers.append(answer)

        list(pool.map(one, range(count)))
    return ledger


def metric(bench: Bench, name: str, **labels: str) -> float:
    """The sum of a metric's series of the test's model."""
    wanted = {f'{key}="{value}"' for key, value in {"model": bench.gateway.model, **labels}.items()}
    lines = requests.get(f"{bench.gateway.url}/metrics", timeout=5).text.splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(name + "{") and all(label in line for label in wanted)
    )


@contextmanager
def exactly_recorded(bench: Bench) -> Iterator[Ledger]:
    """Every answer of the ledger has exactly one record, and no other answer was recorded."""
    model, ledger = bench.gateway.model, Ledger(answers=[], codes=Counter())
    since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
    yield ledger

    def records(events: list[Any]) -> list[Any]:
        return [e for e in events if e.message.context.model == model]

    expected = len(ledger.answers) + sum(ledger.codes.values())
    events = records(
        read_since(bench.gateway.service.bootstrap, since, lambda found: len(records(found)) >= expected)
    )
    served = [e.event_id for e in events if isinstance(e.message, PredictionServed)]
    assert sorted(set(served)) == sorted(ledger.ids)
    assert len(ledger.ids) == len(ledger.answers)


def take(ledger: Ledger, more: Ledger) -> Ledger:
    ledger.answers += more.answers
    ledger.codes += more.codes
    return more


def test_a_replica_killed_in_mid_batch_costs_nobody_an_answer(bench: Bench) -> None:
    slow = ("--delay-s", "0.2")
    with servers(bench, slow) as (kept,):
        port = free_port()
        with upstream(port, bench.onnx, *slow) as dying:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(60)
            serve(bench, v1=[kept, port])
            with exactly_recorded(bench) as ledger:
                killer = threading.Timer(1.0, dying.kill)
                killer.start()
                take(ledger, ask(bench, 60))
                killer.join()
        assert not ledger.codes
        assert metric(bench, "slipway_gateway_upstream_retries_total") >= 1
        assert metric(bench, "slipway_endpoint_ejections_total", reason="gone") >= 1


def test_resets_in_mid_batch_cost_nobody_an_answer(bench: Bench) -> None:
    slow = ("--delay-s", "0.1")
    with servers(bench, slow, slow) as (direct, behind), proxy(behind) as it:
        serve(bench, v1=[direct, it.port])
        with exactly_recorded(bench) as ledger:
            stop = threading.Event()

            def disturb() -> None:
                while not stop.wait(0.7):
                    it.reset()

            thread = threading.Thread(target=disturb)
            thread.start()
            take(ledger, ask(bench, 100))
            stop.set()
            thread.join()
        assert not ledger.codes


def test_a_connection_that_hangs_is_left_out_and_taken_back(bench: Bench) -> None:
    with servers(bench, (), ()) as (direct, behind), proxy(behind) as it:
        serve(bench, v1=[direct, it.port])
        ask(bench, 200)
        it.mode = "stall"
        stalled = f"127.0.0.1:{it.port}"

        def state() -> float:
            return metric(bench, "slipway_endpoint_state", target=stalled)

        with exactly_recorded(bench) as ledger:
            take(ledger, ask(bench, 5000, at_once=16, until=lambda: state() == 2))
            assert set(ledger.codes) <= {"DEADLINE_EXCEEDED"}
            assert ledger.codes.total() <= 16
            it.mode = "pass"
            take(ledger, ask(bench, 20_000, until=lambda: state() == 0))
        assert state() == 0


@pytest.mark.parametrize("mode", ["slice", "late"])
def test_answers_in_slices_and_late_ones_are_whole(bench: Bench, mode: Any) -> None:
    with servers(bench, ()) as (behind,), proxy(behind) as it:
        serve(bench, v1=[it.port])
        expected = bench.gateway.infer().raw_output_contents
        it.mode = mode
        answers = ask(bench, 40).answers
        assert [answer.raw_output_contents for answer in answers] == [expected] * 40


def test_a_server_that_answers_typed_and_hangs_up_often_is_as_good(bench: Bench) -> None:
    with servers(bench, ("--typed", "--connection-age-ms", "150"), ()) as (typed, raw):
        serve(bench, v1=[raw])
        expected = bench.gateway.infer().raw_output_contents
        serve(bench, v1=[typed])
        with exactly_recorded(bench) as ledger:
            take(ledger, ask(bench, 1500, at_once=4))
        assert not ledger.codes
        assert {tuple(a.raw_output_contents) for a in ledger.answers} == {tuple(expected)}


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ("NOT_FOUND", "UNAVAILABLE", "as it was told"),
        ("UNIMPLEMENTED", "UNAVAILABLE", "does not speak the Open Inference Protocol"),
        ("DATA_LOSS", "INTERNAL", "as it was told"),
        ("UNAUTHENTICATED", "INTERNAL", "as it was told"),
        ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", "as it was told"),
    ],
)
def test_strange_statuses_are_told_in_our_words(bench: Bench, status: str, code: str, says: str) -> None:
    with servers(bench, (), ("--status", status)) as (good, strange):
        serve(bench, v1=[good])
        serve(bench, arm(), arm("2", "standby", 0), v2=[strange])
        with pytest.raises(grpc.RpcError) as failure:
            wait_for_version(bench, "2")
        assert failure.value.code().name == code
        assert says in str(failure.value.details())


def wait_for_version(bench: Bench, version: str) -> None:
    """Ask for a version by name, until the directory has come through."""

    def try_it() -> bool:
        try:
            bench.gateway.infer(model_version=version)
        except grpc.RpcError as error:
            if "no server holds" in str(error.details()):
                return False
            raise
        return True

    wait_for("the version", try_it)


def test_a_version_that_is_down_is_left_alone_and_found_again(bench: Bench) -> None:
    with servers(bench, ()) as (good,):
        serve(bench, v1=[good])
        port = free_port()
        serve(bench, arm(), arm("2", "standby", 0), v2=[port])

        def refusal() -> str:
            try:
                bench.gateway.infer(model_version="2")
            except grpc.RpcError as error:
                return f"{error.code().name} {error.details()}"
            return ""

        wait_for("the circuit", lambda: "is tried again in" in refusal())
        assert metric(bench, "slipway_circuit_state", version="2") > 0
        assert metric(bench, "slipway_circuit_state", version="1") == 0
        with upstream(port, bench.onnx):
            wait_for("version 2", lambda: not refusal())
        assert metric(bench, "slipway_circuit_transitions_total", to_state="closed") == 1


def records_of(bench: Bench, since: Any, count: int) -> list[Any]:
    model = bench.gateway.model
    events = read_since(
        bench.gateway.service.bootstrap,
        since,
        lambda found: sum(e.message.context.model == model for e in found) >= count,
    )
    return [e.message for e in events if e.message.context.model == model]


def test_the_standby_answers_while_the_champion_cannot_and_the_record_says_so(bench: Bench) -> None:
    with servers(bench, (), ("--status", "INTERNAL")) as (old, failing):
        arms = (arm("2"), arm("1", "standby", 0))
        serve(bench, *arms, serving="fallback: [previous_version]", v1=[old], v2=[failing])
        since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
        with exactly_recorded(bench) as ledger:
            take(ledger, ask(bench, 50))
        assert not ledger.codes
        for answer in ledger.answers:
            assert answer.model_version == "1"
            assert answer.parameters["slipway_degraded"].string_param == "previous_version"
            assert answer.parameters["slipway_arm"].string_param == "standby"
        contexts = [record.context for record in records_of(bench, since, 50)]
        assert {(c.version, c.intended_version, c.degraded, c.arm) for c in contexts} == {
            ("1", "2", "previous_version", "standby")
        }
        assert metric(bench, "slipway_circuit_state", version="2") > 0  # and it goes on answering
        assert metric(bench, "slipway_degraded_total", fallback="previous_version") >= 50


def test_the_default_answers_when_nobody_can(bench: Bench) -> None:
    serving = 'fallback: [previous_version, default], default_answer: "1"'
    with servers(bench, ("--delay-s", "30")) as (hanging,):
        serve(bench, serving=serving, v1=[hanging])
        since = ends(bench.gateway.service.bootstrap, PREDICTIONS.name)
        answer = bench.gateway.infer([[0.5] * 6] * 2)
        assert answer.model_version == ""
        assert answer.parameters["slipway_degraded"].string_param == "default"
        label, probabilities = answer.raw_output_contents
        assert label == b"\x01\0\0\x001" * 2
        assert np.frombuffer(probabilities, "<f4").tolist() == [0, 1, 0, 1]
        (context,) = (record.context for record in records_of(bench, since, 1))
        assert (context.version, context.intended_version, context.degraded) == ("", "1", "default")


def test_a_request_for_a_version_by_name_is_not_answered_by_another(bench: Bench) -> None:
    with servers(bench, (), ("--status", "INTERNAL")) as (good, failing):
        arms = (arm("1"), arm("2", "standby", 0))
        serve(bench, *arms, serving="fallback: [previous_version]", v1=[good], v2=[failing])
        with pytest.raises(grpc.RpcError) as failure:
            wait_for_version(bench, "2")
        assert failure.value.code() is grpc.StatusCode.INTERNAL


def test_callers_that_leave_end_the_call_in_the_server(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with servers(bench, (), ("--delay-s", "30", "--log", str(log))) as (good, slow):
        serve(bench, v1=[good])
        serve(bench, arm(), arm("2", "standby", 0), v2=[slow])
        with grpc.insecure_channel(bench.gateway.target) as channel:
            message = request(bench.gateway.model, model_version="2")
            infer = GRPCInferenceServiceStub(channel).ModelInfer

            def is_called() -> bool:
                call = infer.future(message, metadata=bench.gateway.metadata, timeout=10)
                try:
                    wait_for("the call in the server", lambda: call.done() or log.exists())
                finally:
                    call.cancel()
                return log.exists()

            wait_for("a call", is_called)
        wait_for("the cancellation in the server", lambda: "cancelled" in log.read_text())


def test_a_slow_replica_is_hedged_within_the_budget(bench: Bench) -> None:
    with servers(bench, (), ()) as (direct, behind), proxy(behind) as it:
        serve(bench, serving="hedge_share: 0.2", v1=[direct, it.port])
        for _ in range(3):
            ask(bench, 100, at_once=1)
        it.mode = "stall"
        with exactly_recorded(bench) as ledger:
            won = metric(bench, "slipway_hedges_total", event="won")
            take(
                ledger,
                ask(
                    bench,
                    500,
                    at_once=1,
                    until=lambda: metric(bench, "slipway_hedges_total", event="won") > won,
                ),
            )
        assert not ledger.codes
        assert metric(bench, "slipway_hedges_total", event="won") > won
        total = 300 + len(ledger.answers)
        assert metric(bench, "slipway_hedges_total", event="sent") <= 0.2 * total + 5
