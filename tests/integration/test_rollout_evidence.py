"""Labels, outcomes and answers in shadow on the real Kafka and PostgreSQL, down to the findings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import grpc
import numpy as np
import orjson
import pytest

from services.rollout.app import MIGRATIONS
from services.rollout.control import Control
from services.rollout.report_data import build_report
from services.rollout.store import Store, Writer
from slipway import postgres, tensors
from slipway.clock import SystemClock
from slipway.errors import NotFound
from slipway.outbox import Relay
from slipway.v1.feedback_pb2 import LabelMatched
from slipway.v1.predictions_pb2 import PredictionServed, PredictionShadowed
from slipway.v1.rollout_pb2 import RolloutReport
from slipway.v1.tensors_pb2 import Payload
from tests.rollout import bench
from tests.rollout.bench import Bench
from tests.service_process import ServiceProcess, until

pytestmark = pytest.mark.integration

RULES = """
  label_horizon_s: {horizon_s}
  rules:
    - {{name: wrong, metric: accuracy, min_samples: 20}}
    - {{name: errors, metric: error_rate, min_samples: 20}}
"""
PAIRED = """
  rules:
    - {name: pairs, metric: accuracy, paired: true, margin: 0.3, min_samples: 20}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with bench.rollout_service(tmp_path_factory.mktemp("evidence")) as it:
        it.start()
        it.wait_ready()
        yield it


@pytest.fixture
async def it(service: ServiceProcess) -> AsyncIterator[Bench]:
    async with bench.bench(service) as around:
        await asyncio.to_thread(service.wait_ready)
        yield around


async def canary(it: Bench, rules: str, *, steps: str = "[{weight_percent: 50, min_rows: 100000}]") -> int:
    """Version 2 on its way beside version 1 by these rules; returns the epoch of its routes."""
    await it.promote_first()
    plain = it.yaml().rstrip() + rules
    await it.apply(plain.replace(plain[plain.index("steps: ") :].split("\n")[0], f"steps: {steps}"))
    await it.start("2")

    async def on_its_way() -> Any:
        status = await it.status()
        return status if status.state in ("CANARY", "SHADOW") else None

    return int((await until("the first step", on_its_way)).routes.epoch)


def served(it: Bench, version: str, *, epoch: int, unit: str = "") -> PredictionServed:
    message = PredictionServed(context=it._context(version, epoch), payload=bench._payload("1"))
    message.context.unit = unit
    message.context.served_at.GetCurrentTime()
    return message


def labelled(message: PredictionServed, *, is_right: bool) -> LabelMatched:
    context = message.context
    label = LabelMatched(
        prediction_id=context.prediction_id,
        revision=1,
        model=context.model,
        version=context.version,
        route_epoch=context.route_epoch,
        unit=context.unit,
        predicted="1",
        label="1" if is_right else "0",
        served_at=context.served_at,
    )
    label.matched_at.GetCurrentTime()
    return label


def shadowed(message: PredictionServed, *, answer: str) -> PredictionShadowed:
    said = tensors.to_tensor("label", np.array([answer.encode()], dtype=object))
    return PredictionShadowed(
        context=message.context, version="2", payload=Payload(outputs=[said]), served=["1"], latency_s=0.01
    )


async def publish(it: Bench, topic: str, message: Any) -> None:
    about = message.context if hasattr(message, "context") else message
    await it._publish(topic, message, key=about.prediction_id)


async def counts(it: Bench) -> Any:
    return orjson.loads(await it.database.fetchval("SELECT counts FROM tallies WHERE model = $1", it.model))


async def rule(it: Bench, name: str) -> Any:
    return next(row for row in (await counts(it))["comparison"]["table"] if row["name"] == name)


def seen_by(row: Any) -> tuple[int, int]:
    return row["effect"]["canary"][0], row["effect"]["champion"][0]


async def finding(it: Bench, name: str, standing: str) -> Any:
    """Wait until a point of the history has this finding."""

    async def check() -> Any:
        rows = await it.database.fetch(
            "SELECT findings FROM evidence_points WHERE model = $1 ORDER BY number DESC", it.model
        )
        found = [each for row in rows for each in orjson.loads(row["findings"]) if each["name"] == name]
        return next((each for each in found if each["standing"] == standing), None)

    return await until(f"{name} to be {standing}", check)


async def nudge(it: Bench, epoch: int) -> None:
    """Findings are kept every two seconds at most: one more record after that shows the newest."""
    await asyncio.sleep(2.1)
    await it.serve(1, version="1", epoch=epoch)


async def test_wrong_answers_of_a_canary_are_found_by_the_labels_of_both_arms(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=600))
    for at in range(40):
        version = str(at % 2 + 1)
        message = served(it, version, epoch=epoch)
        message.context.served_at.seconds -= 590  # they ripen within ten seconds
        label = labelled(message, is_right=version == "1")
        await publish(it, "predictions", message)
        await publish(it, "labels", label)

    async def none_is_held() -> Any:
        return not await it.database.fetchval("SELECT count(*) FROM held_labels WHERE model = $1", it.model)

    await until("all labels to be ripe", none_is_held)
    await nudge(it, epoch)
    found = await finding(it, "wrong", "harm")
    assert (found["is_guardrail"], found["log_e_harm"] >= found["log_harm_limit"]) == (True, True)
    await it.abort()


async def test_labels_that_are_too_young_are_held_and_late_ones_count_for_no_arm(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=600))
    young, late = served(it, "2", epoch=epoch), served(it, "1", epoch=epoch)
    late.context.served_at.seconds -= 700
    for message in (young, late):
        await publish(it, "predictions", message)
        await publish(it, "labels", labelled(message, is_right=True))

    async def held() -> Any:
        return await it.database.fetchval("SELECT count(*) FROM held_labels WHERE model = $1", it.model)

    assert await until("the young label to be held", held) == 1
    assert seen_by(await rule(it, "wrong")) == (0, 0)
    await it.abort()
    assert not await held()


async def test_unequal_label_coverage_is_found(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=30))
    messages = [served(it, str(at % 2 + 1), epoch=epoch) for at in range(120)]
    for message in messages:
        message.context.served_at.seconds -= 18  # they ripen within twelve seconds
    labels = [labelled(m, is_right=True) for m in messages if m.context.version == "1"]
    await asyncio.gather(*(publish(it, "predictions", message) for message in messages))
    await asyncio.gather(*(publish(it, "labels", label) for label in labels))

    async def closed() -> Any:
        coverage = (await counts(it))["comparison"]["coverage"]
        return coverage and coverage["canary"]["served"] == coverage["champion"]["served"] == 60

    await until("all cohorts to be closed", closed)
    await nudge(it, epoch)
    found = await finding(it, "label coverage", "harm")
    assert "labelled 0.0% of the canary's" in found["text"]
    await it.abort()


@pytest.mark.parametrize("first", ["labels", "shadow_predictions"])
async def test_pairs_meet_in_whichever_order_they_come(it: Bench, first: str) -> None:
    epoch = await canary(it, PAIRED, steps="[{kind: shadow, min_rows: 100000}]")
    messages = [served(it, "1", epoch=epoch) for _ in range(30)]
    halves: dict[str, list[Any]] = {
        "labels": [labelled(m, is_right=at % 3 > 0) for at, m in enumerate(messages)],
        "shadow_predictions": [shadowed(m, answer="1") for m in messages],
    }
    kind = {"labels": "label", "shadow_predictions": "answer"}[first]
    query = "SELECT count(*) FROM shadow_answers WHERE model = $1 AND kind = $2"
    for topic in (first, *(other for other in halves if other != first)):
        for message in (*halves[topic], *halves[topic]):  # each sent twice
            await publish(it, topic, message)
        left = 30 if topic == first else 0

        async def waiting(left: int = left) -> Any:
            return await it.database.fetchval(query, it.model, kind) == left

        await until(f"halves after {topic}", waiting)
    pairs = (await rule(it, "pairs"))["pairs"]
    assert pairs == [0, 30, 0]
    shadow = (await counts(it))["shadow"]
    assert (shadow["requests"], shadow["compared"], shadow["agreed"]) == (30, 30, 30)
    await nudge(it, epoch)
    assert (await finding(it, "pairs", "proven"))["samples"] == 30
    await it.abort()
    assert await it.database.fetchval("SELECT count(*) FROM shadow_answers WHERE model = $1", it.model) == 0


async def test_killed_in_between_what_was_sent_twice_counts_once(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=5))
    messages = [served(it, str(at % 2 + 1), epoch=epoch, unit=f"unit-{at % 20}") for at in range(60)]
    labels = [labelled(message, is_right=False) for message in messages]
    async with it.database.transaction():
        await it.database.execute("LOCK TABLE tallies IN SHARE MODE")  # counts are kept, not written
        for message, label in zip(messages[:40], labels[:40], strict=True):
            await publish(it, "predictions", message)
            await publish(it, "labels", label)
        waiting = "SELECT true FROM pg_locks WHERE NOT granted AND relation = 'tallies'::regclass"
        await until("counts to wait", lambda: it.database.fetchval(waiting))
        it.service.kill()
    it.service.start()
    await asyncio.to_thread(it.service.wait_ready)
    for message, label in zip(messages, labels, strict=True):
        await publish(it, "predictions", message)
        await publish(it, "labels", label)

    async def counted() -> Any:
        found = await counts(it)
        return found["step_rows"] >= 60 and seen_by(await rule(it, "wrong")) == (10, 10)

    await until("all to be counted", counted)
    found = await counts(it)
    assert (found["canary"]["requests"], found["champion"]["requests"]) == (30, 30)
    # 20 units, each drawn and compared once; ten on each arm
    assert found["comparison"]["ratio"]["counts"] == [10, 10]
    errors = await rule(it, "errors")
    assert seen_by(errors) == (10, 10)
    assert errors["seen_units"] == [20, 40]
    await it.abort()


async def test_a_request_whose_arm_was_chosen_proves_nothing(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=600))
    pinned = served(it, "2", epoch=epoch)
    pinned.context.pinned = True
    await publish(it, "predictions", pinned)
    await publish(it, "predictions", served(it, "2", epoch=epoch))

    async def counted() -> Any:
        offsets = (await counts(it))["offsets"]
        return len(offsets) >= 1 and (await counts(it))["canary"]["requests"] == 1

    await until("the other one to be counted", counted)
    await it.abort()


async def test_a_history_is_kept_with_each_move(it: Bench) -> None:
    epoch = await canary(it, RULES.format(horizon_s=600))
    await it.serve(3, version="1", epoch=epoch)
    await it.abort()
    rows: list[asyncpg.Record] = await it.database.fetch(
        "SELECT step, weight_ppm, findings FROM evidence_points WHERE model = $1 AND rollout_id = ("
        "SELECT rollout_id FROM rollout_log WHERE model = $1 ORDER BY seq DESC LIMIT 1) ORDER BY number",
        it.model,
    )
    assert (rows[0]["step"], rows[-1]["step"], rows[-1]["weight_ppm"]) == (-1, 0, 500_000)
    names = [each["name"] for each in orjson.loads(rows[-1]["findings"])]
    assert names == ["health", "wrong", "errors", "sample ratio", "label coverage"]
    await it.apply(it.yaml().replace("min_rows: 20", "min_rows: 30"))  # for the next one
    report = await reported(it)
    assert (report.version, report.champion_version, report.state) == ("2", "1", "ABORTED")
    assert [event.to_state for event in report.events] == ["WARMING", "CANARY", "ABORTED"]
    assert [point.weight_ppm for point in report.points] == [row["weight_ppm"] for row in rows]
    assert [found.name for found in report.points[-1].findings] == names
    assert (report.spec_revision, "label_horizon_s: 600" in report.yaml) == (2, True)


async def reported(it: Bench) -> RolloutReport:
    """The report of the latest rollout, from the service's own tables."""
    async with postgres.pool(it.service.environment["SLIPWAY_POSTGRES_DSN"], migrations=MIGRATIONS) as pool:
        unused: Any = None
        control = Control(Store(pool), Relay(pool, unused), clock=SystemClock())
        await control.lead(Writer(holder="a reader", fence=0))
        with pytest.raises(NotFound, match="no rollout 'another'"):
            await build_report(control, control.find(it.model), "another")
        return await build_report(control, control.find(it.model), "")


async def test_a_spec_whose_rules_no_step_looks_at_is_refused(it: Bench) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="looked at in no step"):
        await it.apply(it.yaml().rstrip() + PAIRED)
