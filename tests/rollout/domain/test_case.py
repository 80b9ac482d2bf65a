from dataclasses import replace
from math import log

import pytest

from services.rollout.domain.case import findings, health_alpha
from services.rollout.domain.finding import Standing
from services.rollout.domain.policy import Policy, of_spec
from services.rollout.domain.position import Position
from services.rollout.domain.tally import Tally, begin_rollout, fitted, observe
from slipway import spec
from tests.rollout.rollouts import canary_at, seen

SPEC = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
rollout:
  label_horizon_s: 100
  steps: [{weight_percent: 20, rules: [errors]}, {kind: ab, weight_percent: 50, metric: cost, better: lower}]
  rules:
    - {name: errors, metric: error_rate, alpha_weight: 2}
    - {name: wrong, metric: accuracy, min_samples: 70}
    - {name: tried, metric: cost, on_harm: report}
"""
POLICY = of_spec(spec.parse(SPEC))
PLAIN = of_spec(spec.parse(SPEC[: SPEC.index("rollout:")]))


def at(step: int) -> Position:
    return replace(canary_at(20).position, step=step)


def test_a_step_has_a_finding_for_each_of_its_rules_and_checks() -> None:
    tally = begin_rollout("r")
    found = findings(tally, POLICY, at(0))
    assert [f.name for f in found.rules] == ["errors"]
    assert [f.name for f in found.checks] == ["sample ratio"]
    found = findings(tally, POLICY, at(1))
    assert [f.name for f in found.rules] == ["errors", "wrong", "tried"]
    assert [(f.name, f.needed) for f in found.checks] == [("sample ratio", 0), ("label coverage", 70)]


def test_outside_of_the_steps_nothing_is_found() -> None:
    found = findings(Tally(), POLICY, at(-1))
    assert (found.rules, found.checks) == ((), ())


def test_the_health_guard_and_every_guardrail_of_all_steps_share_alpha() -> None:
    assert health_alpha(POLICY) == pytest.approx(0.05 / 4)
    errors, wrong, tried = findings(Tally(), POLICY, at(1)).rules
    assert [f.log_harm_limit for f in (errors, wrong, tried)] == pytest.approx(
        [-log(0.025), -log(0.0125), -log(0.05)]
    )
    assert health_alpha(PLAIN) == 0.05


def _after(outcomes: tuple[tuple[int, str], ...], policy: Policy = POLICY) -> Tally:
    position, tally = canary_at(20).position, fitted(begin_rollout("r"), policy)
    for offset, (version, outcome) in enumerate(outcomes):
        record = seen(version, offset=offset, epoch=position.epoch, outcome=outcome)  # type: ignore[arg-type]
        tally = observe(tally, record, position, policy=policy)
    return tally


def test_a_canary_that_fails_more_is_found_harmful_by_its_rule() -> None:
    tally = _after(((1, "good"), (2, "failed")) * 10)
    errors = findings(tally, POLICY, at(0)).rules[0]
    assert errors.standing is Standing.HARM
    assert errors.samples == 10


def test_a_broken_split_is_found() -> None:
    tally = _after(((2, "good"),) * 60)
    assert findings(tally, POLICY, at(0)).checks[0].standing is Standing.HARM
    even = _after(((2, "good"), *((1, "good"),) * 4) * 10, policy=PLAIN)
    assert findings(even, PLAIN, at(0)).checks[0].standing is Standing.CLEAR
