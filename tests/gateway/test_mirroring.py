"""Copies to a version in shadow: a real server of the protocol and a real spool, the lane stood in for."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.gateway import wire
from services.gateway.channels import Channels, replica_credentials
from services.gateway.directory import Directory
from services.gateway.domain.checks import InputTensor, check_inputs
from services.gateway.domain.coding import coder_of
from services.gateway.domain.contract import contract_of
from services.gateway.domain.elements import join
from services.gateway.domain.mirroring import MirrorLimits
from services.gateway.domain.routing import BUCKETS, Arm, Route
from services.gateway.mirroring import Mirror
from services.gateway.record_form import RecordForm
from services.gateway.records import Prediction
from services.gateway.spool import Spool
from slipway.clock import SystemClock
from slipway.envelope import decode
from slipway.identity.caller import Caller
from slipway.ids import new_id
from slipway.oip.open_inference_pb2 import ModelInferResponse
from slipway.policy.engine import UNDECIDED
from slipway.spec import parse
from slipway.v1.predictions_pb2 import PredictionShadowed

CONTRACT = contract_of(
    parse("""
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
serving: {timeout_ms: 300}
""")
)
CHAMPION = Arm(version="1", digest="d" * 64, upstream="u", role="champion", weight_ppm=BUCKETS)
FORM = RecordForm(CONTRACT, CHAMPION, epoch=7, coder=coder_of(CONTRACT, []))
OUTPUTS = (join([b"1"]), np.array([0.25, 0.75], dtype="<f4").tobytes())
NOWHERE = "127.0.0.1:1"


@dataclass
class Shadow:
    """A server of the protocol that answers class 0, or as a test says."""

    target: str = ""
    code: grpc.StatusCode | None = None
    probabilities: tuple[float, ...] = (0.75, 0.25)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[float] = field(default_factory=list)

    async def infer(self, data: bytes, context: Any) -> bytes:
        call = wire.read_call(data)
        assert (call.model, call.version) == ("m", "2")
        self.seen.append(float(np.frombuffer(call.tensors[0].raw, dtype="<f4")[0]))
        await self.gate.wait()
        if self.code is not None:
            await context.abort(self.code, "so it is")
        response = ModelInferResponse()
        response.outputs.add(name="label", datatype="BYTES", shape=[1])
        response.outputs.add(name="probabilities", datatype="FP32", shape=[1, 2])
        response.raw_output_contents.append(join([b"0"]))
        response.raw_output_contents.append(np.array(self.probabilities, dtype="<f4").tobytes())
        return response.SerializeToString()


class Crowd:
    """The lanes of users, full or not."""

    is_full = False

    def lane(self, _model: str, arm: Arm) -> "Crowd":
        assert arm is CHAMPION
        return self

    def is_crowded(self, _contract: Any, rows: int) -> bool:
        assert rows == 1
        return self.is_full


@dataclass
class Bench:
    mirror: Mirror
    shadow: Shadow
    spool: Spool
    crowd: Crowd
    stop: asyncio.Event
    running: "asyncio.Future[None]"
    before: dict[str, float]

    def offer(self, *, mirror_ppm: int = BUCKETS, upstream: str | None = None, **changes: Any) -> None:
        route = self.route(mirror_ppm=mirror_ppm, upstream=upstream)
        self.mirror.offer(replace(prediction(), **changes), OUTPUTS, route=route, latency_s=0.5)

    def route(self, *, mirror_ppm: int = BUCKETS, upstream: str | None = None) -> Route:
        target = self.shadow.target if upstream is None else upstream
        arm = Arm(
            version="2",
            digest="e" * 64,
            upstream=target,
            role="shadow",
            weight_ppm=0,
            mirror_ppm=mirror_ppm,
            max_mirrored_per_s=1e6,
        )
        return Route(model="m", epoch=7, salt="s", arms=(CHAMPION, arm))

    def records(self) -> list[PredictionShadowed]:
        found, _ = self.spool.read()
        return [decode(m.topic, key=b"", value=m.value, headers=m.headers).message for m in found]

    def skipped(self, reason: str) -> float:
        return skipped(reason) - self.before.get(reason, 0.0)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def recorded(self, count: int = 1) -> list[PredictionShadowed]:
        await self.until(lambda: len(self.records()) >= count)
        return self.records()

    async def end(self) -> None:
        self.stop.set()
        await self.running


def skipped(reason: str) -> float:
    labels = {"model": "m", "version": "2", "reason": reason}
    return REGISTRY.get_sample_value("slipway_shadow_skipped_total", labels) or 0.0


def prediction(value: float = 0.5) -> Prediction:
    raw = np.array([value], dtype="<f4").tobytes()
    sent = [InputTensor(name="features", datatype="FP32", shape=(1, 1), raw=raw)]
    return Prediction(
        prediction_id=new_id(),
        caller=Caller(principal="anna", tenant="t", roles=("app",), method="api_key", credential_id="k"),
        decision=UNDECIDED,
        arm=CHAMPION,
        form=FORM,
        contract=CONTRACT,
        route_epoch=7,
        unit="u",
        business_key="",
        request_id="",
        checked=check_inputs(CONTRACT, sent),
        protocol="grpc",
    )


@asynccontextmanager
async def opened(folder: Path, **limits: Any) -> AsyncIterator[Bench]:
    server, shadow, crowd, stop = grpc.aio.server(), Shadow(), Crowd(), asyncio.Event()
    shadow.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    shadow.gate.set()
    handlers: dict[str, Any] = {"ModelInfer": grpc.unary_unary_rpc_method_handler(shadow.infer)}
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),)
    )
    await server.start()
    spool = Spool(folder / "spool", limit_bytes=100_000, segment_bytes=10_000)
    lanes: Any = crowd
    patient = {"late_s": 20.0} | limits
    mirror = Mirror(
        Directory(),
        spool,
        lanes=lanes,
        channels=Channels(replica_credentials(cert_file="", ca_file="")),
        clock=SystemClock(),
        rng=Random(0),
        limits=MirrorLimits(**patient),
    )
    reasons = ("rate", "in_flight", "memory", "saturated", "no_endpoint", "spool", "stopping", "dropped")
    it = Bench(
        mirror=mirror,
        shadow=shadow,
        spool=spool,
        crowd=crowd,
        stop=stop,
        running=asyncio.ensure_future(mirror.run(stop)),
        before={reason: skipped(reason) for reason in reasons},
    )
    try:
        yield it
    finally:
        shadow.gate.set()
        await it.end()
        await server.stop(None)
        spool.close()


@pytest.fixture
async def it(tmp_path: Path) -> AsyncIterator[Bench]:
    async with opened(tmp_path) as bench:
        yield bench


async def test_a_copy_is_answered_and_recorded_beside_the_answer(it: Bench) -> None:
    it.offer()
    [record] = await it.recorded()
    assert it.shadow.seen == [0.5]
    assert (record.version, record.digest, list(record.served), record.code) == ("2", "e" * 64, ["1"], "")
    assert record.payload.outputs[0].raw == join([b"0"])
    assert (record.context.version, record.context.arm, record.context.latency_s) == ("1", "champion", 0.5)


@pytest.mark.parametrize(
    "change",
    [
        {"is_pinned": True},
        {"degraded": "default"},
        {"is_recorded": False},
        {"arm": replace(CHAMPION, role="canary")},
        {"arm": replace(CHAMPION, role="standby")},
    ],
)
async def test_only_what_the_champion_answered_by_chance_is_copied(it: Bench, change: dict[str, Any]) -> None:
    it.offer(**change)
    it.offer()
    await it.recorded()
    assert len(it.shadow.seen) == 1


async def test_nothing_is_copied_where_nothing_is_in_shadow(it: Bench) -> None:
    it.mirror.offer(
        prediction(), OUTPUTS, route=Route(model="m", epoch=7, salt="s", arms=(CHAMPION,)), latency_s=0.5
    )
    it.offer(mirror_ppm=0)
    it.offer()
    await it.recorded()
    assert len(it.shadow.seen) == 1


@pytest.mark.parametrize(
    ("code", "named"),
    [
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INTERNAL"),
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    ],
)
async def test_a_failure_is_recorded_with_its_reason(it: Bench, code: grpc.StatusCode, named: str) -> None:
    it.shadow.code = code
    it.offer()
    [record] = await it.recorded()
    assert (record.code, record.HasField("payload")) == (named, False)
    assert "so it is" in record.message


async def test_an_answer_that_is_no_number_is_a_failure(it: Bench) -> None:
    it.shadow.probabilities = (0.5, float("nan"))
    it.offer()
    [record] = await it.recorded()
    assert (record.code, "NaN" in record.message) == ("INTERNAL", True)


async def test_a_version_that_hangs_has_its_own_deadline(it: Bench) -> None:
    it.shadow.gate.clear()
    it.offer()
    [record] = await it.recorded()
    assert (record.code, "in time" in record.message) == ("DEADLINE_EXCEEDED", True)


async def test_a_full_server_is_not_held_against_the_version(it: Bench) -> None:
    it.shadow.code = grpc.StatusCode.RESOURCE_EXHAUSTED
    it.offer()
    await it.until(lambda: it.skipped("saturated") == 1)
    assert it.records() == []


async def test_copies_give_way_to_users(it: Bench) -> None:
    it.crowd.is_full = True
    it.offer()
    assert it.skipped("saturated") == 1
    it.crowd.is_full = False
    it.offer()
    await it.recorded()


async def test_no_copy_goes_where_nobody_holds_the_version(it: Bench) -> None:
    it.offer(upstream="")
    assert it.skipped("no_endpoint") == 1
    it.offer(upstream=NOWHERE)
    [record] = await it.recorded()
    assert record.code == "UNAVAILABLE"


async def test_another_server_is_tried_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as it:
        directory: Any = it.mirror._directory
        directory.targets = lambda _model, _arm: (NOWHERE, it.shadow.target)
        for _ in range(8):
            it.offer()
        records = await it.recorded(8)
        assert {record.code for record in records} == {""}


async def test_a_version_that_hangs_is_sent_no_more_than_its_room(tmp_path: Path) -> None:
    async with opened(tmp_path, in_flight_per_arm=3) as it:
        it.shadow.gate.clear()
        for _ in range(10):
            it.offer()
        assert it.skipped("in_flight") == 7
        await it.recorded(3)
        it.shadow.gate.set()
        it.offer()
        await it.recorded(4)


async def test_memory_is_bounded(tmp_path: Path) -> None:
    async with opened(tmp_path, memory_bytes=30) as it:
        for _ in range(2):
            it.offer()
        assert it.skipped("memory") == 1
        await it.recorded(1)


async def test_a_copy_whose_turn_comes_late_is_not_sent(tmp_path: Path) -> None:
    async with opened(tmp_path, late_s=-1.0) as it:
        it.offer()
        await it.until(lambda: it.skipped("saturated") == 1)
        assert it.shadow.seen == []


async def test_records_of_copies_take_a_share_of_the_spool_at_most(tmp_path: Path) -> None:
    async with opened(tmp_path, spool_share=0.01) as it:
        sent = 0
        while not it.skipped("spool"):
            it.offer()
            sent += 1
            await it.until(lambda: it.mirror._room.in_flight == 0)
        assert 1 < sent < 10
        assert it.spool.used_share < 0.02


async def test_no_more_than_the_rate_is_copied(it: Bench) -> None:
    route = it.route()
    assert route.shadow is not None
    slow = replace(route, arms=(CHAMPION, replace(route.shadow, max_mirrored_per_s=2.0)))
    for _ in range(5):
        it.mirror.offer(prediction(), OUTPUTS, route=slow, latency_s=0.5)
    assert it.skipped("rate") >= 3


async def test_at_the_end_copies_have_a_moment_and_are_then_dropped(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("services.gateway.mirroring._DRAIN_S", 0.05)
    async with opened(tmp_path) as it:
        it.offer()
        await it.recorded()
        it.shadow.gate.clear()
        it.offer(contract=replace(CONTRACT, timeout_s=60.0))
        await it.until(lambda: len(it.shadow.seen) == 2)
        await it.end()
        assert it.skipped("dropped") == 1
        it.offer()
        assert it.skipped("stopping") == 1
        assert len(it.records()) == 1
