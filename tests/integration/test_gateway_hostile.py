"""Callers that behave badly: whatever they do, the next caller is served and the gateway stays small."""

import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import requests

from slipway.oip import open_inference_pb2 as oip
from slipway.v1.rollout_pb2 import Arm
from tests.gateway.live import Gateway, exactly_recorded, request, upstream, wait_for
from tests.gateway.raw_http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Connection,
    block,
    connection,
    frame,
    headers_of,
    text,
)
from tests.service_process import free_port, own_database, own_service
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
METHOD = "/inference.GRPCInferenceService/ModelInfer"
KEEPALIVE_S, AGE_S, GRACE_S = 2.0, 10.0, 2.0
# Ages are spread by a tenth, and this machine may be busy.
CLOSED_WITHIN_S = 60.0
LIVE = "/inference.GRPCInferenceService/ServerLive"
MIB = 1024 * 1024
HUGE = 2**60
# Malformed by RFC 9113, 8.2 and 8.3: who reads them in his own way can be made to disagree with a proxy.
PSEUDO_HEADERS: dict[str, Any] = {
    "no path": lambda h: [x for x in h if x[0] != ":path"],
    "two paths": lambda h: [*h[:3], (":path", "/slipway.v1.KeyAdmin/ListKeys"), *h[3:]],
    "no method": lambda h: [x for x in h if x[0] != ":method"],
    "method GET": lambda h: [(k, "GET" if k == ":method" else v) for k, v in h],
    "two methods": lambda h: [*h[:3], (":method", "GET"), *h[3:]],
    "no scheme": lambda h: [x for x in h if x[0] != ":scheme"],
    "unknown one": lambda h: [*h[:3], (":evil", "x"), *h[3:]],
    "path of another service": lambda h: [(k, "/x/../Infer" if k == ":path" else v) for k, v in h],
    "path with a newline": lambda h: [(k, f"{LIVE}\r\nx: y" if k == ":path" else v) for k, v in h],
}
# Malformed, too, but gRPC's own library takes them; they name one method, and that one is asked.
TAKEN: dict[str, Any] = {
    "behind others": lambda h: [*h[4:], *h[:4]],
    "status in a request": lambda h: [*h[:3], (":status", "200"), *h[3:]],
}


@pytest.fixture(scope="module")
def onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, onnx: Path) -> Iterator[Gateway]:
    port, slow = free_port(), free_port()
    with (
        own_database("gateway") as dsn,
        own_service(
            "gateway",
            tmp_path_factory.mktemp("gateway"),
            SLIPWAY_POSTGRES_DSN=dsn,
            SLIPWAY_ADMIN_PORT=str(free_port()),
            SLIPWAY_INFERENCE_TARGET=f"127.0.0.1:{free_port()}",
            SLIPWAY_KEEPALIVE_S=str(KEEPALIVE_S),
            SLIPWAY_CONNECTION_AGE_S=str(AGE_S),
            SLIPWAY_CONNECTION_GRACE_S=str(GRACE_S),
        ) as service,
        upstream(port, onnx),
        upstream(slow, onnx, "--delay-s", "60"),
    ):
        it = Gateway(service=service, model=f"gw-hostile-{secrets.token_hex(4)}")
        service.start()
        service.wait_ready()
        it.key = it.create_key("tester").secret
        it.publish(arm(port, "1", "champion", 1_000_000), arm(slow, "slow", "standby", 0))
        it.wait_for_epoch()
        yield it


@pytest.fixture(autouse=True)
def is_served_and_small(gateway: Gateway) -> Iterator[None]:
    """Whatever a test does to it; and the client's ledger agrees with the records."""
    assert gateway.service.process is not None
    before = memory_bytes(gateway)
    with exactly_recorded(gateway):
        yield
    assert gateway.infer().outputs
    assert memory_bytes(gateway) - before < 250 * MIB


def arm(port: int, version: str, role: str, weight_ppm: int) -> Arm:
    target = f"127.0.0.1:{port}"
    return Arm(version=version, digest="d" * 64, upstream=target, role=role, weight_ppm=weight_ppm)


def memory_bytes(gateway: Gateway) -> int:
    assert gateway.service.process is not None
    return int(psutil.Process(gateway.service.process.pid).memory_info().rss)


def metric(gateway: Gateway, name: str, version: str) -> float:
    labels = f'{{model="{gateway.model}",version="{version}"}}'
    text = requests.get(f"{gateway.url}/metrics", timeout=10).text
    values = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name + labels)]
    return float(values[0]) if values else 0.0


def code_of(gateway: Gateway, data: bytes, metadata: Any, **options: Any) -> str:
    """The code that a call meets."""
    limits = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(gateway.target, options=limits) as channel:
        call: Any = channel.unary_unary(METHOD)
        with pytest.raises(grpc.RpcError) as failure:
            call(data, metadata=metadata, timeout=60, **options)
    return str(failure.value.code().name)


def test_a_hundred_thousand_metadata_entries_are_refused(gateway: Gateway) -> None:
    metadata = (*gateway.metadata, *((f"x-{n % 1000}", "v") for n in range(100_000)))
    assert code_of(gateway, request(gateway.model).SerializeToString(), metadata) == "RESOURCE_EXHAUSTED"
    large = (*gateway.metadata, ("x-large", "v" * 17 * 1024))
    assert code_of(gateway, request(gateway.model).SerializeToString(), large) == "RESOURCE_EXHAUSTED"


def test_a_body_of_a_hundred_megabytes_is_refused(gateway: Gateway) -> None:
    assert code_of(gateway, bytes(100 * MIB), gateway.metadata) == "RESOURCE_EXHAUSTED"


def test_a_compressed_bomb_is_refused(gateway: Gateway) -> None:
    code = code_of(gateway, bytes(200 * MIB), gateway.metadata, compression=grpc.Compression.Gzip)
    assert code == "RESOURCE_EXHAUSTED"


def test_tensors_that_lie_about_themselves_are_refused_by_name(gateway: Gateway) -> None:
    for lie, message in lies(gateway.model).items():
        code = code_of(gateway, message, gateway.metadata)
        assert (lie, code) == (lie, "INVALID_ARGUMENT")


def lies(model: str) -> dict[str, bytes]:
    """Requests whose tensors are not what they say, by what is wrong."""
    honest = request(model)
    shapes = {
        "2^60 rows": [HUGE, 6],
        "2^60 columns": [1, HUGE],
        "a product beyond 64 bits": [2**62, 2**62],
        "nothing times much": [0, HUGE],
        "rows below zero": [-1, 6],
        "both below zero": [-1, -6],
        "the lowest number": [-(2**63), 6],
        "no dimension": [],
        "100,000 dimensions": [1] * 100_000,
    }
    found = {}
    for name, shape in shapes.items():
        lie = oip.ModelInferRequest.FromString(honest.SerializeToString())
        lie.inputs[0].ClearField("shape")
        lie.inputs[0].shape.extend(shape)
        found[name] = lie.SerializeToString()
    typed = oip.ModelInferRequest.FromString(honest.SerializeToString())
    typed.ClearField("raw_input_contents")
    typed.inputs[0].contents.fp32_contents.extend([0.5] * 100_000)
    found["contents longer than their shape"] = typed.SerializeToString()
    for name, raws in (("longer", [bytes(MIB)]), ("more", [bytes(24)] * 1000), ("shorter", [bytes(23)])):
        lie = oip.ModelInferRequest.FromString(honest.SerializeToString())
        lie.ClearField("raw_input_contents")
        lie.raw_input_contents.extend(raws)
        found[f"raw contents {name} than their shape"] = lie.SerializeToString()
    # Field 100, which nobody knows, as a group in a group, 100,000 times (wire types 3 and 4).
    found["nested too deep"] = b"\xa3\x06" * 100_000 + b"\xa4\x06" * 100_000
    found["a length beyond the message"] = b"\x0a\xff\xff\xff\xff\x07m"
    return found


def test_abused_pseudo_headers_reach_no_method(gateway: Gateway) -> None:
    honest = list(headers_of(LIVE, ()))
    answered = []
    for abuse, change in {"honest": list, **TAKEN, **PSEUDO_HEADERS}.items():
        with connection(gateway.target) as it:
            it.send_headers(1, tuple(change(honest)))
            it.end_stream(1, bytes(5))
            if DATA in it.frame_kinds(within_s=20):
                answered.append(abuse)
    assert answered == ["honest", *TAKEN]


def test_floods_of_frames_are_survived(gateway: Gateway) -> None:
    begun = block(headers_of(METHOD, gateway.metadata))
    for flood, pieces in floods(begun).items():
        with connection(gateway.target) as it:
            for piece, times in pieces:
                it.pour(piece, times)
            assert gateway.infer().outputs, flood


def floods(begun: bytes) -> dict[str, list[tuple[bytes, int]]]:
    """What is sent, and how often, by the name of the attack."""
    streams = range(1, 2 * 4000, 2)
    rapid = b"".join(
        frame(HEADERS, begun, flags=END_HEADERS, stream=n) + frame(RST_STREAM, b"\0\0\0\x08", stream=n)
        for n in streams
    )
    # A header of 4 KB that the server is to remember (RFC 7541, 6.2.1), and then its index, again and again.
    remembered = b"\x40" + text("x-bomb") + text("b" * 3900)
    return {
        "rapid reset (CVE-2023-44487)": [(rapid, 1)],
        "settings (CVE-2019-9515)": [(frame(SETTINGS, b"\0\3\0\0\0\x64"), 50_000)],
        "pings (CVE-2019-9512)": [(frame(PING, bytes(8)), 50_000)],
        "windows of nothing": [(frame(WINDOW_UPDATE, b"\0\0\0\1"), 50_000)],
        "headers without an end (CVE-2024-27316)": [
            (frame(HEADERS, begun, stream=1), 1),
            (frame(CONTINUATION, block((("x-a", "b" * 100),)) * 100, stream=1), 1000),
        ],
        "header bomb (CVE-2016-6581)": [
            (frame(HEADERS, begun + remembered + b"\xbe" * 12_000, flags=END_HEADERS, stream=1), 1),
            (frame(HEADERS, begun + b"\xbe" * 12_000, flags=END_HEADERS, stream=3), 1),
        ],
        "empty data (CVE-2019-9518)": [
            (frame(HEADERS, begun, flags=END_HEADERS, stream=1), 1),
            (frame(DATA, b"", stream=1), 50_000),
        ],
        "a frame beyond the largest": [(frame(DATA, bytes(2**24 - 1), stream=1), 1)],
        "no HTTP/2 at all": [(b"GET / HTTP/1.1\r\n\r\n", 1000)],
    }


def test_who_never_says_that_he_speaks_http2_is_sent_away(gateway: Gateway) -> None:
    host, _, port = gateway.target.partition(":")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(200)]
        for number, it in enumerate(slow):
            it.sendall(PREFACE[: number % len(PREFACE)])
        assert gateway.infer().outputs
        for it in slow:
            it.settimeout(CLOSED_WITHIN_S)
            until_closed(it)


def until_closed(it: socket.socket) -> None:
    with suppress(ConnectionError):
        while it.recv(65536):
            pass


def test_streams_that_are_never_ended_end_with_their_connection(gateway: Gateway) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(connection(gateway.target)) for _ in range(8)]
        for it in connections:
            for stream in range(1, 2 * 1000, 2):
                it.open_stream(stream, METHOD, gateway.metadata)
        assert gateway.infer().outputs
        wait_until_closed(connections)


def wait_until_closed(connections: list[Connection]) -> None:
    """All stay alive, and are closed all the same."""
    closed: list[float] = []

    def watch(it: Connection) -> None:
        closed.append(it.seconds_until_closed(answers_pings=True, within_s=CLOSED_WITHIN_S))

    threads = [threading.Thread(target=watch, args=(it,)) for it in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(closed) == len(connections)


def test_a_sender_that_trickles_is_stopped(gateway: Gateway) -> None:
    data = request(gateway.model).SerializeToString()
    with connection(gateway.target) as it:
        it.open_stream(1, METHOD, gateway.metadata)
        it.send_data(1, b"\x00" + len(data).to_bytes(4, "big"))
        stop = threading.Event()

        def trickle() -> None:
            try:
                for byte in data * 1000:
                    if stop.wait(0.05):
                        return
                    it.send_data(1, bytes([byte])[:0])
            except OSError:
                return

        thread = threading.Thread(target=trickle)
        thread.start()
        assert gateway.infer().outputs
        wait_until_closed([it])
        stop.set()
        thread.join()


def test_a_half_open_connection_is_closed_long_before_its_age(gateway: Gateway) -> None:
    with connection(gateway.target) as it:
        it.open_stream(1, METHOD, gateway.metadata)
        silent_s = it.seconds_until_closed(answers_pings=False, within_s=CLOSED_WITHIN_S)
    assert silent_s < 0.8 * AGE_S


def test_callers_that_reset_in_mid_call_leave_nothing_behind(gateway: Gateway) -> None:
    before = metric(gateway, "slipway_gateway_abandoned_calls_total", "slow")
    message = request(gateway.model, model_version="slow").SerializeToString()
    with grpc.insecure_channel(gateway.target) as channel:
        call: Any = channel.unary_unary(METHOD)
        for _ in range(3):
            futures = [call.future(message, metadata=gateway.metadata, timeout=60) for _ in range(20)]
            wait_for("the call", lambda: metric(gateway, "slipway_gateway_slots_busy", "slow") == 1)
            for future in futures:
                future.cancel()
            wait_for("the slot", lambda: metric(gateway, "slipway_gateway_slots_busy", "slow") == 0)
    assert metric(gateway, "slipway_gateway_abandoned_calls_total", "slow") >= before + 3
    assert metric(gateway, "slipway_gateway_queued_rows", "slow") == 0


def test_a_connection_of_age_is_renewed_without_a_failed_request(gateway: Gateway) -> None:
    end_s = time.monotonic() + 2.5 * AGE_S
    with grpc.insecure_channel(gateway.target) as channel:
        while time.monotonic() < end_s:
            assert gateway.call(channel).outputs


def test_a_refusal_for_overload_says_when_to_come_again(gateway: Gateway) -> None:
    """The queue of the slow version holds 64 rows, and who is urgent finds room where others do not."""
    message = request(gateway.model, model_version="slow").SerializeToString()
    urgent = request(
        gateway.model, model_version="slow", parameters={"priority": oip.InferParameter(int64_param=1)}
    ).SerializeToString()
    with grpc.insecure_channel(gateway.target) as channel:
        call: Any = channel.unary_unary(METHOD)
        futures = [call.future(message, metadata=gateway.metadata, timeout=60) for _ in range(70)]
        refused = wait_for("a refusal", lambda: next((one for one in futures if one.done()), None))
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(refused.trailing_metadata())["retry-after-ms"]) > 0
        queued = metric(gateway, "slipway_gateway_queued_rows", "slow")
        futures.append(call.future(urgent, metadata=gateway.metadata, timeout=60))
        wait_for("the urgent", lambda: metric(gateway, "slipway_gateway_queued_rows", "slow") > queued)
        for future in futures:
            future.cancel()
