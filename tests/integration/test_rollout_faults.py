"""Faults that other rollout controllers were known for, and what a bad candidate leaves in the log."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from slipway.oip import open_inference_pb2 as oip
from slipway.v1.rollout_pb2 import RolloutCommand, RouteTable
from tests.gateway.directory_server import DirectoryServer
from tests.gateway.live import SERVING, Gateway, upstream
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.rollout.chain import Caller, chain_spec, first_champion, gateway_of, unit
from tests.service_process import ServiceProcess, free_port, until
from tests.small_model import make_onnx

pytestmark = pytest.mark.integration
HOLDING = "{weight_percent: 50, min_rows: 1000000}"
PASSING = "{weight_percent: 50, min_rows: 30}"
LATE = ", deadline_s: 2"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("faults") / "rollout") as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


def roles(table: RouteTable) -> dict[str, tuple[str, int]]:
    return {arm.version: (arm.role, arm.weight_ppm) for arm in table.arms}


ONLY_1 = {"1": ("champion", 1_000_000)}


async def triggers(it: Bench) -> list[str]:
    """Of the whole log, oldest first."""
    rows = await it.database.fetch("SELECT trigger FROM rollout_log WHERE model = $1 ORDER BY seq", it.model)
    return [row["trigger"] for row in rows]


async def canary(it: Bench, spec: str) -> Any:
    """Version 2 beside champion 1; returns the status."""
    await it.apply(spec)
    await it.start("1")
    await it.reaches("DONE")
    await it.start("2")
    return await it.reaches("CANARY")


async def test_an_abort_ends_a_canary_that_is_held_for_want_of_traffic(it: Bench) -> None:
    await canary(it, it.yaml())
    assert roles((await it.abort()).routes) == ONLY_1


async def test_an_abort_ends_a_canary_that_is_paused(it: Bench) -> None:
    await canary(it, it.yaml())
    command = RolloutCommand(model=it.model, actor="anna")
    await it.stub.Pause(command, metadata=it.metadata, timeout=10)
    assert roles((await it.abort()).routes) == ONLY_1


async def test_an_abort_ends_a_canary_that_waits_for_its_approval(it: Bench) -> None:
    status = await canary(it, it.yaml().replace("min_rows: 20}", "min_rows: 20, approval: lead}", 1))
    await it.pass_step(status)

    async def waits() -> bool:
        return "lead" in (await it.status()).step.closed_by

    await until("the step to wait for its approval", waits)
    assert roles((await it.abort()).routes) == ONLY_1
    assert "step_passed" not in await triggers(it)


async def test_an_abort_without_a_rollout_is_no_entry_in_the_log(it: Bench) -> None:
    await it.promote_first()
    before = await triggers(it)
    assert (await it.abort()).state == "IDLE"
    assert await triggers(it) == before


async def test_routes_flip_while_nobody_answers_about_replicas(it: Bench) -> None:
    """Capacity follows the routes; nothing on the way back or forth waits for it."""
    status = await canary(it, it.yaml())
    it.replicas.silent |= {(it.model, "1"), (it.model, "2")}
    for _ in range(2):
        await it.pass_step(status)
        status = await it.reaches(
            "BAKE" if status.routes.arms[0].weight_ppm == 500_000 else "CANARY",
            after_seq=status.events[0].seq,
        )
    assert roles(status.routes) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
    assert roles((await it.rollback()).routes) == ONLY_1


async def test_a_step_that_the_canary_never_answered_in_is_not_passed(it: Bench) -> None:
    status = await canary(it, it.yaml(deadline_s=3))
    await it.serve(60, version="1", epoch=status.routes.epoch)
    status = await it.reaches("ABORTED")
    assert roles(status.routes) == ONLY_1
    assert await triggers(it) == ["start", "ready_first", "start", "ready", "deadline"]


async def test_no_traffic_is_neither_failure_nor_success(it: Bench) -> None:
    await canary(it, it.yaml(deadline_s=2))
    status = await it.reaches("ABORTED")
    assert await triggers(it) == ["start", "ready_first", "start", "ready", "deadline"]
    assert "too little to judge by is no pass" in status.events[0].reason
    await it.apply(it.yaml(deadline_s=2).replace("steps: [", "steps: []  # ["))
    await it.start("3")
    status = await it.reaches("ROLLED_BACK")
    assert (await triggers(it))[-1] == "deadline"
    assert roles(status.routes) == ONLY_1


async def test_replicas_of_another_digest_never_get_a_request(it: Bench) -> None:
    await it.promote_first()
    it.replicas.digests[it.model, "2"] = "f" * 64
    await it.apply(it.yaml(warm_deadline_s=1))
    await it.start("2")
    status = await it.reaches("ABORTED")
    assert "its replicas serve digest ffffffffffff" in status.events[0].reason
    assert roles(status.routes) == ONLY_1


@pytest.mark.parametrize(
    "message",
    ["the file is no ONNX", "its replica was killed by signal 9 for the 4th time: out of memory"],
    ids=["fails to load", "runs out of memory"],
)
async def test_a_candidate_that_never_gets_warm_aborts_with_what_its_replicas_say(
    it: Bench, message: str
) -> None:
    await it.promote_first()
    it.replicas.states[it.model, "2"] = ("FAILED", message)
    await it.start("2")
    status = await it.reaches("ABORTED")
    assert message in status.events[0].reason
    assert roles(status.routes) == ONLY_1


async def test_a_spec_changed_during_a_rollout_applies_to_the_next_one(it: Bench) -> None:
    status = await canary(it, it.yaml())
    await it.apply(it.yaml().replace("min_rows: 20", "min_rows: 1000000"))
    await it.pass_step(status)
    status = await it.reaches("CANARY", after_seq=status.events[0].seq)
    assert roles(status.routes)["2"] == ("canary", 500_000)
    await it.abort()
    await it.start("3")
    status = await it.reaches("CANARY", after_seq=status.events[0].seq)
    await it.pass_step(status)
    assert "of 1,000,000 rows" in (await it.status()).explanation
    await it.abort()


# Behind a real gateway.


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, DirectoryServer]]:
    with gateway_of(tmp_path_factory.mktemp("chain") / "gateway") as found:
        yield found


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_onnx(tmp_path_factory.mktemp("model"))


@pytest.fixture
def caller(it: Bench, behind: tuple[Gateway, DirectoryServer]) -> Caller:
    return Caller(gateway=behind[0], model=it.model)


def with_nan(path: Path) -> Path:
    """The same model with a coefficient that is no number."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "coefficients":
                attribute.floats[:] = [float("nan")] * len(attribute.floats)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            nothing = np.full(tuple(tensor.dims), np.nan, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(nothing, tensor.name))
    made = path.with_name("nan.onnx")
    made.write_bytes(model.SerializeToString())
    return made


@pytest.mark.parametrize("serving", [SERVING, "fallback: [previous_version]"], ids=["alone", "fallback"])
async def test_a_candidate_that_answers_nan_aborts_with_that_reason(
    it: Bench, caller: Caller, behind: tuple[Gateway, DirectoryServer], onnx_file: Path, serving: str
) -> None:
    first, second = free_port(), free_port()
    with upstream(first, onnx_file), upstream(second, with_nan(onnx_file)):
        behind[1].list(it.model, "1", [first])
        behind[1].list(it.model, "2", [second])
        await first_champion(it, caller, spec=chain_spec(it.model, steps=HOLDING, serving=serving))
        async with caller.asking():
            await it.start("2")
            status = await it.reaches("ABORTED")
    assert "NaN or infinity in 'probabilities'" in status.events[0].reason
    # Without a fallback an answer that is none is told to the caller as a failure.
    assert all("NaN" in failure for failure in caller.failures)
    assert serving == SERVING or not caller.failures


async def test_a_candidate_whose_replica_is_killed_again_and_again_aborts_with_its_failures(
    it: Bench, caller: Caller, behind: tuple[Gateway, DirectoryServer], onnx_file: Path
) -> None:
    """As the kernel does it to whoever asks for too much memory."""
    first, second = free_port(), free_port()
    with upstream(first, onnx_file):
        behind[1].list(it.model, "1", [first])
        behind[1].list(it.model, "2", [second])
        await first_champion(it, caller, spec=chain_spec(it.model, steps=HOLDING))
        async with caller.asking():
            await it.start("2")
            await it.reaches("CANARY")
            while (status := await it.status()).state == "CANARY":
                with upstream(second, onnx_file):  # gone at the end of the block by SIGKILL
                    await asyncio.sleep(0.2)
            seen = len(caller.versions)
            await caller.answered_by("1", after=seen)
    assert status.events[0].to_state == "ABORTED"
    assert "failures" in status.events[0].reason
    assert roles(status.routes) == ONLY_1


async def test_a_whole_rollout_with_the_controller_killed_at_each_step_fails_no_request(
    it: Bench, caller: Caller, behind: tuple[Gateway, DirectoryServer], onnx_file: Path
) -> None:
    first, second = free_port(), free_port()
    with upstream(first, onnx_file), upstream(second, onnx_file):
        behind[1].list(it.model, "1", [first])
        behind[1].list(it.model, "2", [second])
        await first_champion(it, caller, spec=chain_spec(it.model, steps=PASSING))
        async with caller.asking():
            it.replicas.states[it.model, "2"] = ("LOADING", "")
            await it.start("2")
            seen = len(caller.versions)
            await caller.answered_by("1", after=seen)
            assert "2" not in caller.versions  # weight 0 is no request
            it.replicas.states[it.model, "2"] = ("READY", "")
            for state in ("CANARY", "BAKE", "DONE"):
                status = await it.reaches(state, after_seq=2)
                it.service.kill()
                it.service.start()
                await asyncio.to_thread(it.service.wait_ready)
            assert roles(status.routes) == {"2": ("champion", 1_000_000), "1": ("standby", 0)}
            await served_only_by(it, caller, "2", epoch=status.routes.epoch)
            status = await it.rollback()
            await served_only_by(it, caller, "1", epoch=status.routes.epoch)
    assert caller.failures == []
    assert await triggers(it) == [
        "start",
        "ready_first",
        "start",
        "ready",
        "steps_passed",
        "baked",
        "rollback",
    ]


async def served_only_by(it: Bench, caller: Caller, version: str, *, epoch: int) -> None:
    """After a promotion or a way back, what is served is what the log says."""

    async def follows() -> bool:
        return await asyncio.to_thread(caller.gateway.try_epoch) >= epoch

    await until("the gateway to have the routes", follows)
    await asyncio.to_thread(caller.gateway.infer)  # behind whatever was in flight
    seen = len(caller.versions) + 20

    async def more() -> bool:
        return len(caller.versions) > seen + 40

    await until("sixty more answers", more)
    assert set(caller.versions[seen:]) == {version}


async def test_gateways_serve_on_and_start_again_while_the_controller_is_away(
    it: Bench, caller: Caller, behind: tuple[Gateway, DirectoryServer], onnx_file: Path
) -> None:
    first, second = free_port(), free_port()
    gateway = behind[0]
    with upstream(first, onnx_file), upstream(second, onnx_file):
        behind[1].list(it.model, "1", [first])
        behind[1].list(it.model, "2", [second])
        await first_champion(it, caller, spec=chain_spec(it.model, steps=HOLDING))
        await it.start("2")
        status = await it.reaches("CANARY")
        await until("the gateway to follow", lambda: has_epoch(gateway, status.routes.epoch))
        units = [unit() for _ in range(40)]
        before = await asyncio.to_thread(versions_of, gateway, units)
        assert set(before) == {"1", "2"}
        state = Path(gateway.service.environment["SLIPWAY_STATE_DIR"], "routes.snapshot")

        await until("the routes to be kept on disk", lambda: asyncio.to_thread(names, state, it.model))
        it.service.kill()
        connected = gateway.service.environment
        nowhere = f"127.0.0.1:{free_port()}"
        gateway.service.terminate()
        gateway.service.environment = {
            **connected,
            "SLIPWAY_KAFKA_BOOTSTRAP": nowhere,
            "SLIPWAY_POSTGRES_DSN": f"postgresql://gateway@{nowhere}/slipway",
        }
        gateway.service.start()
        await asyncio.to_thread(gateway.service.wait_ready)
        assert await asyncio.to_thread(versions_of, gateway, units) == before
        assert gateway.try_epoch() == status.routes.epoch
        gateway.service.terminate()
        gateway.service.environment = connected
        gateway.service.start()
        it.service.start()
        await asyncio.to_thread(gateway.service.wait_ready)
        await asyncio.to_thread(it.service.wait_ready)
        assert await asyncio.to_thread(versions_of, gateway, units) == before
        await it.abort()


def names(path: Path, model: str) -> bool:
    """Whether a snapshot speaks of a model."""
    return path.exists() and model.encode() in path.read_bytes()


async def has_epoch(gateway: Gateway, epoch: int) -> bool:
    return await asyncio.to_thread(gateway.try_epoch) == epoch


def versions_of(gateway: Gateway, units: list[str]) -> list[str]:
    """Which version answers each unit."""
    found = []
    with grpc.insecure_channel(gateway.target) as channel:
        for name in units:
            about = {"slipway_unit": oip.InferParameter(string_param=name)}
            found.append(str(gateway.call(channel, parameters=about).model_version))
    return found
