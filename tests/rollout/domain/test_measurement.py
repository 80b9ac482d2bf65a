from math import log, nan

import pytest

from services.rollout.domain.measurement import (
    Learned,
    is_in_slice,
    label_values,
    learned_value,
    natural,
    served_value,
)
from services.rollout.domain.observation import Observation
from services.rollout.domain.rule import Rule
from services.rollout.domain.slow_line import EVERY, NO_LINE, SlowLine, observe
from slipway.spec_sections import Slice
from tests.rollout.rollouts import seen

GOOD = seen(2, offset=0, epoch=1, rows=4, latency_s=0.2, input_score=3.0, has_abstained=False)


def line() -> SlowLine:
    """Half of the champion's requests took 0.1 s, half 1 s."""
    slow = NO_LINE
    for at in range(EVERY):
        slow = observe(slow, 0.1 if at % 2 else 1.0)
    return slow


def value(metric: str, observation: Observation = GOOD, slow: SlowLine | None = None) -> float | None:
    return served_value(metric, observation, slow=slow or line(), cpus_per_replica=0.5)


def test_the_numbers_of_an_answered_request() -> None:
    assert value("error_rate") == 0
    assert value("input_score") == 3
    assert value("abstention") == 0
    assert value("cost") == pytest.approx(0.2 * 0.5 / 4)
    assert (value("latency_p50"), value("latency_p90"), value("latency_p99")) == (1, 0, 0)
    assert value("accuracy") is None


@pytest.mark.parametrize("outcome", ["failed", "malformed"])
def test_a_broken_request_is_an_error_and_nothing_else(outcome: str) -> None:
    broken = seen(2, offset=0, epoch=1, outcome=outcome, latency_s=9, input_score=1.0)  # type: ignore[arg-type]
    assert value("error_rate", broken) == 1
    assert value("input_score", broken) == 1
    assert [value(m, broken) for m in ("latency_p99", "cost", "abstention", "accuracy")] == [None] * 4


def test_what_the_cache_answers_has_no_latency_and_no_cost() -> None:
    cached = seen(2, offset=0, epoch=1, is_computed=False, latency_s=9, has_abstained=True)
    assert (value("latency_p50", cached), value("cost", cached)) == (None, None)
    assert value("abstention", cached) == 1


def test_what_is_not_known_is_no_number() -> None:
    assert value("latency_p50", slow=NO_LINE) is None
    assert value("abstention", seen(2, offset=0, epoch=1)) is None


def test_the_numbers_of_a_label() -> None:
    values = label_values("b", predicted="a", probabilities=(0.7, 0.3), classes=("a", "b"))
    assert values == {
        "accuracy": 1.0,
        "brier": pytest.approx(0.7**2 + 0.7**2),
        "log_loss": pytest.approx(-log(0.3)),
    }
    assert label_values("a", predicted="a", probabilities=(1, 0), classes=("a", "b"))["log_loss"] == 0


def test_a_label_that_no_probability_foresaw_is_as_bad_as_can_be() -> None:
    values = label_values("c", predicted="a", probabilities=(1, 1), classes=("a", "b"))
    assert values["brier"] == 2
    assert values["log_loss"] == pytest.approx(34.5, abs=0.1)


@pytest.mark.parametrize("probabilities", [(), (0.5,), (nan, 0.5)])
def test_without_probabilities_only_right_or_wrong_is_known(probabilities: tuple[float, ...]) -> None:
    values = label_values("a", predicted="a", probabilities=probabilities, classes=("a", "b"))
    assert values == {"accuracy": 0.0}


def test_a_rule_of_a_slice_sees_the_requests_of_its_slice() -> None:
    learned = Learned(
        source="labels/0",
        offset=1,
        prediction_id="p",
        version="2",
        route_epoch=1,
        unit="",
        served_s=1.0,
        known_s=2.0,
        values={"accuracy": 1.0},
        slices=("a = 1",),
    )
    assert learned_value(Rule(name="r", metric="accuracy"), learned) == 1
    assert learned_value(Rule(name="r", metric="accuracy", slice_name="a = 1"), learned) == 1
    assert learned_value(Rule(name="r", metric="accuracy", slice_name="a = 2"), learned) is None
    assert learned_value(Rule(name="r", metric="brier"), learned) is None


@pytest.mark.parametrize(
    ("part", "feature_value", "belongs"),
    [
        (Slice(feature="a", range=(1, 2)), 1.0, True),
        (Slice(feature="a", range=(1, 2)), 2.5, False),
        (Slice(feature="a", range=(1, 2)), nan, False),
        (Slice(feature="a", range=(1, 2)), "1.5", False),
        (Slice(feature="a", equals="x"), "x", True),
        (Slice(feature="a", equals="x"), "y", False),
        (Slice(feature="a", equals="1"), 1.0, False),
        (Slice(feature="a", equals=0.1), 0.10000000149011612, True),  # as a float of 32 bits
        (Slice(feature="a", equals=0.1), 0.11, False),
        (Slice(feature="a", equals=3), nan, False),
    ],
)
def test_a_request_belongs_to_a_slice_by_its_feature(
    part: Slice, feature_value: str | float, belongs: bool
) -> None:
    assert is_in_slice(part, feature_value) is belongs


def test_people_read_accuracy_and_not_wrong_answers() -> None:
    assert [natural(m, 1.0) for m in ("accuracy", "acceptance", "value", "error_rate")] == [0, 0, 1, 1]
