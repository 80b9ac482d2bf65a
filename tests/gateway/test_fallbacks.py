from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.gateway.catalog import Model
from services.gateway.domain.batching import Columns
from services.gateway.domain.caching import StaleAnswer
from services.gateway.domain.checks import InputTensor, check_inputs
from services.gateway.domain.coding import coder_of
from services.gateway.domain.contract import contract_of
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm, Route
from services.gateway.fallbacks import Fallbacks
from services.gateway.record_form import RecordForm
from services.gateway.records import Prediction, served
from slipway.clock import ManualClock
from slipway.errors import DeadlineExceeded, Overloaded, SlipwayError, Unavailable
from slipway.identity.caller import Caller
from slipway.policy.engine import UNDECIDED
from slipway.policy.resource import Resource
from slipway.spec import parse
from slipway.v1.predictions_pb2 import PredictionServed

CHAMPION, STANDBY = (
    Arm(version=version, digest=f"d{version}", upstream="inference", role=role, weight_ppm=ppm)
    for version, role, ppm in (("2", "champion", 1_000_000), ("1", "standby", 0))
)
DOWN = Unavailable("down")


def column(*values: float) -> Columns:
    return (np.array(values, dtype="<f4").tobytes(),)


class Lane:
    """Answers each row with 1, or fails."""

    def __init__(self, error: SlipwayError | None, *, is_full: bool) -> None:
        self._error = error
        self._is_full = is_full

    def admit(self, _contract: Any, _rows: int) -> None:
        if self._is_full:
            raise Overloaded("full")

    async def submit(self, _contract: Any, _columns: Columns, *, rows: int, deadline_s: float) -> Columns:
        if self._error is not None:
            raise self._error
        return column(*[1.0] * rows)


class World:
    """The lanes, the endpoints and the cache, in one."""

    def __init__(self) -> None:
        self.error: SlipwayError | None = None
        self.is_full = False
        self.is_away = False
        self.earlier: Columns | None = None
        self.asked: list[str] = []

    def lane(self, _model: str, arm: Arm) -> Lane:
        self.asked.append(arm.version)
        return Lane(self.error, is_full=self.is_full)

    def can_answer(self, _model: str, _arm: Arm) -> bool:
        return not self.is_away

    def check_circuit(self, _model: str, arm: Arm) -> None:
        raise Unavailable(arm.version)

    async def find_stale(self, prediction: Prediction, *, timeout_s: float) -> StaleAnswer | None:
        self.asked.append(prediction.prediction_id)
        assert timeout_s > 0
        return None if self.earlier is None else StaleAnswer(version="0", digest="d", outputs=self.earlier)


def model(*fallback: str) -> Model:
    names = ", ".join(fallback)
    contract = contract_of(
        parse(
            "name: m\ntask: regression\nfeatures: [{name: x}]\nlabel: {name: y}\n"
            f"serving: {{fallback: [{names}], default_answer: 9.5, cache_ttl_s: 1}}\n"
        )
    )
    route = Route(model="m", epoch=7, salt="", arms=(CHAMPION, STANDBY))
    coder = coder_of(contract, [])
    forms = {arm.version: RecordForm(contract, arm, epoch=7, coder=coder) for arm in route.arms}
    resource = Resource(tenant="default", model="m")
    return Model(
        name="m", tenant="default", resource=resource, contract=contract, route=route, forms=forms, guards={}
    )


def prediction(of: Model) -> Prediction:
    return Prediction(
        prediction_id="p",
        caller=Caller(principal="me", tenant="default", roles=("app",), method="api_key", credential_id="k"),
        decision=UNDECIDED,
        arm=CHAMPION,
        form=of.forms[CHAMPION.version],
        protocol="grpc",
        contract=of.contract,
        route_epoch=7,
        unit="u",
        business_key="",
        request_id="",
        checked=check_inputs(
            of.contract, [InputTensor(name="features", datatype="FP32", shape=(2, 1), raw=column(1, 2)[0])]
        ),
    )


async def tried(
    world: World,
    *fallback: str,
    error: SlipwayError = DOWN,
    is_pinned: bool = False,
    left_s: float = 1.0,
) -> tuple[Prediction, Columns] | None:
    it, clock, every = model(*fallback), ManualClock(), world
    lanes: Any = every
    upstream: Any = every
    fallbacks = Fallbacks(lanes, upstream, clock=clock, cache=world)
    asked = replace(prediction(it), is_pinned=is_pinned)
    return await fallbacks.replace(it, asked, error=error, deadline_s=clock.monotonic_s() + left_s)


async def test_the_standby_answers_and_the_record_names_both() -> None:
    found = await tried(World(), "previous_version")
    assert found is not None
    answered, outputs = found
    assert outputs == column(1, 1)
    record = served(answered, outputs, now_s=1.0, latency_s=0.1)
    message = PredictionServed.FromString(record.partition(b"\n")[2])
    context = message.context
    assert (context.version, context.arm, context.digest) == ("1", "standby", "d1")
    assert (context.degraded, context.intended_version) == ("previous_version", "2")
    assert context.degraded_reason == f"UNAVAILABLE: {DOWN}"


@pytest.mark.parametrize("trouble", [{"is_away": True}, {"is_full": True}, {"error": ArmFailed("too")}])
async def test_the_next_is_tried_when_one_cannot(trouble: dict[str, Any]) -> None:
    world = World()
    for name, value in trouble.items():
        setattr(world, name, value)
    found = await tried(world, "previous_version", "default")
    assert found is not None
    answered, outputs = found
    assert outputs == column(9.5, 9.5)
    assert (answered.arm.role, answered.arm.version) == ("default", "")
    assert (answered.degraded, answered.intended_version) == ("default", "2")


async def test_an_earlier_answer_to_the_same_question_is_given() -> None:
    world = World()
    world.earlier = column(3, 4)
    found = await tried(world, "cached_answer", "default")
    assert found is not None
    answered, outputs = found
    assert outputs == column(3, 4)
    assert (answered.arm.role, answered.arm.version) == ("cached_answer", "")
    assert world.asked == ["p"]


async def test_no_earlier_answer_is_none() -> None:
    assert await tried(World(), "cached_answer") is None


async def test_nothing_stands_in_where_the_spec_names_nothing() -> None:
    assert await tried(World()) is None


async def test_full_is_refused_and_not_replaced() -> None:
    assert await tried(World(), "default", error=Overloaded("full")) is None


async def test_a_version_asked_for_by_name_answers_itself_or_nobody_does() -> None:
    assert await tried(World(), "default", is_pinned=True) is None


async def test_nothing_stands_in_when_the_time_is_over() -> None:
    assert await tried(World(), "default", error=DeadlineExceeded("late"), left_s=0.0) is None
    assert await tried(World(), "default", error=DeadlineExceeded("late"), left_s=0.01) is not None


def test_an_open_circuit_is_told_before_anybody_queues() -> None:
    world: Any = World()
    it = Fallbacks(world, world, clock=ManualClock(), cache=world)
    with pytest.raises(Unavailable, match="2"):
        it.check_circuit(model(), CHAMPION)
