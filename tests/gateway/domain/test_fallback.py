import struct
from typing import Any

import numpy as np
import pytest

from services.gateway.domain import fallback
from services.gateway.domain.batching import split_answer
from services.gateway.domain.contract import Contract, contract_of
from services.gateway.domain.failures import ArmFailed
from services.gateway.domain.routing import Arm, Route
from slipway.errors import DeadlineExceeded, InvalidInput, Overloaded, SlipwayError, Unavailable
from slipway.spec import parse


def arm(version: str, role: str) -> Arm:
    return Arm(version=version, digest="", upstream="inference", role=role, weight_ppm=0)


CANARY, CHAMPION, STANDBY, WARMING = (
    arm("3", "canary"),
    arm("2", "champion"),
    arm("1", "standby"),
    arm("4", "warming"),
)


def route(*arms: Arm) -> Route:
    return Route(model="m", epoch=1, salt="", arms=arms)


def contract(task: str, classes: str, **serving: Any) -> Contract:
    keys = ", ".join(f"{name}: {value}" for name, value in serving.items())
    label = f"{{name: y, classes: {classes}}}" if classes else "{name: y}"
    return contract_of(
        parse(f"name: m\ntask: {task}\nfeatures: [{{name: x}}]\nlabel: {label}\nserving: {{{keys}}}\n")
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable(), True),
        (ArmFailed(), True),
        (DeadlineExceeded(), True),
        (Overloaded(), False),
        (InvalidInput(), False),
    ],
)
def test_only_what_could_not_answer_is_replaced(error: SlipwayError, expected: bool) -> None:
    assert fallback.is_replaceable(error) is expected


@pytest.mark.parametrize(
    ("failed", "arms", "away", "expected"),
    [
        (CANARY, (CANARY, CHAMPION, STANDBY), "", CHAMPION),
        (CANARY, (CANARY, CHAMPION, STANDBY), "2", STANDBY),
        (CHAMPION, (CANARY, CHAMPION, STANDBY), "", STANDBY),
        (CHAMPION, (CANARY, CHAMPION), "", None),
        (CHAMPION, (WARMING, CHAMPION), "", None),
        (STANDBY, (STANDBY, CHAMPION), "", CHAMPION),
    ],
)
def test_the_previous_version_is_one_that_may_answer_everybody(
    failed: Arm, arms: tuple[Arm, ...], away: str, expected: Arm | None
) -> None:
    found = fallback.previous_arm(route(*arms), failed, can_answer=lambda arm: arm.version != away)
    assert found == expected


def test_a_version_leaves_some_of_the_time_to_whoever_stands_in() -> None:
    with_fallback = contract("regression", "", fallback="[default]", default_answer=1.5)
    assert fallback.deadline_of_arm(with_fallback, start_s=10, deadline_s=12) == pytest.approx(11.8)
    assert fallback.deadline_of_arm(contract("regression", ""), start_s=10, deadline_s=12) == 12


def test_the_default_of_a_classifier_is_the_class_and_certain() -> None:
    it = contract("multiclass", '["up", "flat", "down"]', fallback="[default]", default_answer="flat")
    label, probabilities = fallback.default_columns(it, 2)
    assert label == (struct.pack("<I", 4) + b"flat") * 2
    assert np.frombuffer(probabilities, "<f4").reshape(2, 3).tolist() == [[0, 1, 0]] * 2
    answer = {"label": ("BYTES", label), "probabilities": ("FP32", probabilities)}
    assert len(split_answer(it.signature.outputs, answer, rows=[1, 1])) == 2


def test_the_default_of_a_regressor_is_the_number() -> None:
    it = contract("regression", "", fallback="[default]", default_answer=1.5)
    (value,) = fallback.default_columns(it, 3)
    assert np.frombuffer(value, "<f4").tolist() == [1.5] * 3


def test_who_stands_in_is_named_in_place_of_an_arm() -> None:
    found = fallback.stand_in("default")
    assert (found.role, found.version, found.weight_ppm) == ("default", "", 0)
