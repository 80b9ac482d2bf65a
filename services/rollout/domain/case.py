"""What the evidence says in the present step: a finding for each rule that fits it, and for each check."""

from dataclasses import dataclass
from typing import Final

from services.rollout.domain import label_coverage, sample_ratio
from services.rollout.domain.alpha_split import split_alpha
from services.rollout.domain.evidence_table import find_all
from services.rollout.domain.finding import Finding, find_coverage, find_sample_ratio
from services.rollout.domain.policy import COMPARING, Policy
from services.rollout.domain.position import Position
from services.rollout.domain.rule import Rule
from services.rollout.domain.tally import Tally

# No rule has this name: names of rules have no spaces.
_HEALTH: Final = "built-in health"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """One line per rule, and one per check of the comparison itself."""

    rules: tuple[Finding, ...] = ()
    checks: tuple[Finding, ...] = ()


def findings(tally: Tally, policy: Policy, position: Position) -> Findings:
    """What the present step's rules and checks have found so far."""
    kind = policy.kind_of(position.step)
    rules = policy.rules_of(position.step)
    found = find_all(tally.table, rules, alphas=_alphas(policy), alpha=policy.rollout.alpha)
    checks = _checks(tally, policy, rules) if kind in COMPARING else ()
    return Findings(rules=found, checks=checks)


def health_alpha(policy: Policy) -> float:
    """The part of alpha that the built-in look at failures, slow and malformed answers has."""
    return _alphas(policy)[_HEALTH]


def _alphas(policy: Policy) -> dict[str, float]:
    """Each guardrail's part, over all steps: whatever may take this version back shares one alpha.

    Signals and dry runs spend nothing of it: they cannot.
    """
    guardrails = {r.name: r.alpha_weight for r in policy.rules if r.is_guardrail}
    return split_alpha(policy.rollout.alpha, {**guardrails, _HEALTH: 1.0})


def _checks(tally: Tally, policy: Policy, rules: tuple[Rule, ...]) -> tuple[Finding, ...]:
    ratio = find_sample_ratio(tally.ratio or sample_ratio.begin((1.0,)))
    late = [rule.min_samples for rule in rules if rule.definition.needs_label]
    horizon_s = policy.rollout.label_horizon_s
    if not late or horizon_s is None:
        return (ratio,)
    coverage = tally.coverage or label_coverage.of_horizon(horizon_s)
    return (
        ratio,
        find_coverage(coverage, tolerance=policy.rollout.label_gap, min_matured=max(late)),
    )
