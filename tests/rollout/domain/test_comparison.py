from dataclasses import replace
from math import log

import pytest

from services.rollout.domain.assignment import Assignment, assignment
from services.rollout.domain.comparison import (
    NO_COMPARISON,
    Comparison,
    add_label_came,
    add_learned,
    add_pair,
    add_served,
    begin_step,
    close_cohorts,
)
from services.rollout.domain.evidence_table import begin
from services.rollout.domain.measurement import Learned
from services.rollout.domain.observation import Observation
from services.rollout.domain.policy import Policy, of_spec
from services.rollout.domain.rule_evidence import PairMeasurement
from services.rollout.domain.state_machine import Trigger
from slipway import spec
from tests.rollout.domain.test_assignment import ab_position
from tests.rollout.rollouts import canary_at, seen

SPEC = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  label_horizon_s: 100
  steps:
    - {kind: shadow}
    - {weight_percent: 20}
    - {kind: ab, weight_percent: 60, metric: METRIC, better: higher}
  rules:
    - {name: errors, metric: error_rate}
    - {name: wrong, metric: accuracy}
    - {name: slow, metric: latency_p99}
    - {name: pairs, metric: accuracy, paired: true}
"""
POLICY = of_spec(spec.parse(SPEC.replace("METRIC", "accuracy")))
OF_ERRORS = of_spec(spec.parse(SPEC.replace("METRIC", "error_rate").replace("higher", "lower")))
CANARY, AB = 1, 2


def begun(policy: Policy = POLICY) -> Comparison:
    return replace(NO_COMPARISON, table=begin(policy.rules))


def canary_draw(version: int) -> Assignment:
    history = canary_at(20)
    draw = assignment(history.position, version=str(version), route_epoch=history.position.epoch)
    assert draw is not None
    return draw


def ab_draw(version: int) -> Assignment:
    position = ab_position()
    draw = assignment(position, version=str(version), route_epoch=position.epoch)
    assert draw is not None
    return draw


def answered(version: int, *, at: int = 0, outcome: str = "good", unit: str = "") -> Observation:
    return seen(version, offset=at, epoch=4, outcome=outcome, unit=unit)  # type: ignore[arg-type]


def learned(version: int, *, wrong: bool, unit: str = "", served_s: float = 1000.0) -> Learned:
    return Learned(
        source="labels/0",
        offset=1,
        prediction_id="p",
        version=str(version),
        route_epoch=4,
        unit=unit,
        served_s=served_s,
        known_s=served_s + 1,
        values={"accuracy": float(wrong)},
    )


def serve(it: Comparison, *observations: Observation, policy: Policy = POLICY) -> Comparison:
    for each in observations:
        it = add_served(it, each, canary_draw(int(each.version)), policy=policy, step=CANARY)
    return it


def test_every_rule_that_can_measures_an_answered_request() -> None:
    it = serve(begun(), answered(2), answered(1), answered(2, outcome="failed"))
    errors, wrong, slow = (it.table.of(name) for name in ("errors", "wrong", "slow"))
    assert (errors.effect.canary.count, errors.effect.champion.count) == (2, 1)
    assert errors.log_ratios != wrong.log_ratios
    assert wrong.effect.canary.count == slow.effect.canary.count == 0


def test_slow_is_measured_once_the_champion_has_drawn_the_line() -> None:
    it = serve(begun(), *(answered(1, at=at) for at in range(50)))
    assert it.table.of("slow").effect.champion.count == 0
    it = serve(it, answered(1), answered(2))
    slow = it.table.of("slow").effect
    assert (slow.champion.count, slow.canary.count) == (1, 1)


def test_what_failed_or_lay_in_the_cache_draws_no_line() -> None:
    it = serve(
        begun(), answered(1, outcome="failed"), seen(1, offset=2, epoch=4, is_computed=False), answered(2)
    )
    assert it.slow == NO_COMPARISON.slow


def test_units_are_counted_once_for_the_split() -> None:
    it = serve(begun(), *(answered(2, unit="ann") for _ in range(9)), answered(1), answered(1))
    assert it.ratio is not None
    assert (it.ratio.shares, it.ratio.counts) == ((0.2, 0.8), (1, 2))


def test_the_split_of_other_shares_goes_on_with_what_was_found() -> None:
    it = serve(begun(), *(answered(2) for _ in range(40)))
    before = it.ratio
    assert before is not None
    history = canary_at(20)
    history.add(Trigger.STEP_PASSED, step=1, weight_ppm=500_000)
    position = history.position
    late = assignment(position, version="1", route_epoch=position.epoch - 1)
    new = assignment(position, version="1", route_epoch=position.epoch)
    assert late is not None
    assert new is not None
    it = add_served(it, answered(1), late, policy=POLICY, step=CANARY)
    assert it.ratio is before  # stragglers of the step before are left out
    it = add_served(it, answered(1), new, policy=POLICY, step=CANARY)
    assert it.ratio is not None
    assert (it.ratio.shares, it.ratio.counts) == ((0.5, 0.5), (0, 1))
    assert it.ratio.closed_log_e == before.log_e_value > log(1000)


def test_a_label_counts_for_the_coverage_at_once_and_for_its_rule_when_it_is_ripe() -> None:
    it = serve(begun(), answered(2), answered(1))
    it = add_label_came(it, learned(2, wrong=True), canary_draw(2))
    assert it.table.of("wrong").effect.canary.count == 0
    assert close_cohorts(it, now_s=1050) is it
    it = close_cohorts(it, now_s=1102)
    assert it.coverage is not None
    assert (it.coverage.canary.labelled, it.coverage.champion.labelled) == (1, 0)
    it = add_learned(it, learned(2, wrong=True), canary_draw(2), policy=POLICY, step=CANARY)
    assert it.table.of("wrong").effect.canary.count == 1
    assert it.table.of("errors").effect.canary.count == 1


def test_where_nobody_waits_for_labels_there_is_no_coverage() -> None:
    plain = of_spec(spec.parse(SPEC[: SPEC.index("rollout:")]))
    it = serve(NO_COMPARISON, answered(2), answered(1), policy=plain)
    assert (it.coverage, it.table.rows) == (None, ())
    assert add_label_came(it, learned(2, wrong=True), canary_draw(2)) is it
    assert close_cohorts(it, now_s=9e9) is it
    failed = serve(begun(), answered(2, outcome="failed"))
    assert failed.coverage is None  # nobody labels what was not answered


def test_pairs_are_for_the_rules_that_ask_for_them() -> None:
    it = add_pair(begun(), PairMeasurement(is_champion_right=True, is_candidate_right=False), policy=POLICY)
    assert it.table.of("pairs").pairs.losses == 1
    assert it.table.of("wrong") == begun().table.of("wrong")


def test_an_ab_step_sees_every_arm_and_its_rules_only_two() -> None:
    it = begun()
    for version in (1, 2, 3, 4):
        it = add_served(it, answered(version), ab_draw(version), policy=POLICY, step=AB)
        it = add_label_came(it, learned(version, wrong=version == 4), ab_draw(version))
        it = add_learned(it, learned(version, wrong=version == 4), ab_draw(version), policy=POLICY, step=AB)
    assert [(arm.version, *arm.counts) for arm in it.arms] == [
        ("2", 1, 1),
        ("3", 1, 1),
        ("4", 0, 1),
        ("1", 1, 1),
    ]
    errors = it.table.of("errors").effect
    assert (errors.canary.count, errors.champion.count) == (1, 1)
    assert it.ratio is not None
    assert it.ratio.counts == (1, 1, 1, 1)
    assert begin_step(it).arms == ()


def test_an_ab_step_about_answers_needs_no_label_and_counts_a_unit_once() -> None:
    it = begun(OF_ERRORS)
    for outcome in ("good", "failed", "failed"):
        request = answered(2, outcome=outcome, unit="ann")
        it = add_served(it, request, ab_draw(2), policy=OF_ERRORS, step=AB)
    assert it.arms[0].counts == (0, 1)
    assert it.arm_units.dropped == 2
    outcome_only = add_learned(it, learned(2, wrong=True), ab_draw(2), policy=OF_ERRORS, step=AB)
    assert outcome_only.arms == it.arms


def test_the_share_of_a_rule_is_that_of_its_two_arms() -> None:
    it = add_served(begun(), answered(2, outcome="failed"), ab_draw(2), policy=POLICY, step=AB)
    ratios = it.table.of("errors").log_ratios
    begun_ratios = begun().table.of("errors").log_ratios
    # 20 % beside 40 %: a third of both
    assert ratios[4] - begun_ratios[4] == pytest.approx(log(3) - log(1 - 1 / 3 + 3 / 3))
