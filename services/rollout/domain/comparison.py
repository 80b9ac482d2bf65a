"""Both arms of a live rollout side by side: what each rule and each check of the spec has seen so far."""

from dataclasses import dataclass, replace
from typing import Final

from services.rollout.domain import arms_seen, evidence_table, label_coverage, sample_ratio, slow_line
from services.rollout.domain.arms_seen import NO_ARMS, Arms, Question
from services.rollout.domain.assignment import Assignment
from services.rollout.domain.evidence_table import NO_TABLE, EvidenceTable
from services.rollout.domain.label_coverage import Coverage
from services.rollout.domain.measurement import Learned, learned_value, natural, served_value
from services.rollout.domain.observation import Observation
from services.rollout.domain.policy import Policy
from services.rollout.domain.rule import Rule
from services.rollout.domain.rule_evidence import Measurement, PairMeasurement
from services.rollout.domain.sample_ratio import SampleRatio
from services.rollout.domain.slow_line import NO_LINE, SlowLine
from services.rollout.domain.unit_cap import NO_UNITS, UnitCap, admit


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is known beside the plain counts.

    Attributes:
        table: Per rule.
        ratio: New units per arm under the present shares.
        units: Those that were assigned before.
        coverage: Of labels; None where no rule waits for them.
        slow: The line above which a request is slow.
        arms: Of the present A/B step.
        arm_units: Units that are in `arms`.
    """

    table: EvidenceTable = NO_TABLE
    ratio: SampleRatio | None = None
    units: UnitCap = NO_UNITS
    coverage: Coverage | None = None
    slow: SlowLine = NO_LINE
    arms: Arms = NO_ARMS
    arm_units: UnitCap = NO_UNITS


NO_COMPARISON: Final = Comparison()


def begin_step(comparison: Comparison) -> Comparison:
    """An A/B step begins with nothing seen; what the rules know stays."""
    return replace(comparison, arms=NO_ARMS, arm_units=NO_UNITS)


def add_served(
    comparison: Comparison, seen: Observation, draw: Assignment, *, policy: Policy, step: int
) -> Comparison:
    """Add an answered request that chance had sent to one of the arms."""
    ratio, units = comparison.ratio, comparison.units
    if draw.is_present:
        ratio, units = _assigned(comparison, seen.unit, draw)
    coverage = comparison.coverage
    if draw.is_rival:
        counted = replace(comparison, ratio=ratio, units=units)
    else:
        if policy.needs_labels and seen.outcome in ("good", "slow"):
            coverage = _served(coverage, seen, draw, policy)
        draws_line = policy.needs_line and not draw.is_canary and seen.is_computed
        draws_line = draws_line and seen.outcome in ("good", "slow")
        counted = Comparison(
            table=_measured(comparison, seen, draw, policy) if policy.rules else comparison.table,
            ratio=ratio,
            units=units,
            coverage=coverage,
            slow=slow_line.observe(comparison.slow, seen.latency_s) if draws_line else comparison.slow,
            arms=comparison.arms,
            arm_units=comparison.arm_units,
        )
    question = _question(policy, step, is_present=draw.is_present)
    if question is None:
        return counted
    value = served_value(
        question.metric, seen, slow=comparison.slow, cpus_per_replica=policy.cpus_per_replica
    )
    return counted if value is None else _in_arms(counted, draw, (seen.unit, value), question)


def add_label_came(comparison: Comparison, learned: Learned, draw: Assignment) -> Comparison:
    """Note that the label of a request has come in time: it counts for the coverage at once."""
    if comparison.coverage is None or draw.is_rival:
        return comparison
    share = draw.share_beside_champion(0)
    # Requests are known by the whole second: label and request must fall into the same cohort.
    second = int(learned.served_s)
    coverage = label_coverage.add_labelled(comparison.coverage, second, is_canary=draw.is_canary, share=share)
    return replace(comparison, coverage=coverage)


def add_learned(
    comparison: Comparison, learned: Learned, draw: Assignment, *, policy: Policy, step: int
) -> Comparison:
    """Add what was learned about a request, once that request is as old as the horizon."""
    counted = comparison
    if not draw.is_rival:
        measured = [
            (rule, _measurement(value, learned.unit, draw))
            for rule in policy.rules
            if not rule.is_paired and (value := learned_value(rule, learned)) is not None
        ]
        counted = replace(comparison, table=evidence_table.add_all(comparison.table, measured))
    question = _question(policy, step, is_present=draw.is_present)
    value = None if question is None else learned.values.get(question.metric)
    if question is None or value is None:
        return counted
    return _in_arms(counted, draw, (learned.unit, value), question)


def add_pair(comparison: Comparison, pair: PairMeasurement, *, policy: Policy) -> Comparison:
    """Add a labelled request that both versions answered."""
    table = comparison.table
    for rule in policy.rules:
        if rule.is_paired:
            table = evidence_table.add_pair(table, rule, pair)
    return replace(comparison, table=table)


def close_cohorts(comparison: Comparison, *, now_s: float) -> Comparison:
    """Judge the label coverage of requests that are as old as the horizon."""
    if comparison.coverage is None:
        return comparison
    coverage = label_coverage.close_matured(comparison.coverage, now_s=now_s)
    return comparison if coverage is comparison.coverage else replace(comparison, coverage=coverage)


def _assigned(comparison: Comparison, unit: str, draw: Assignment) -> tuple[SampleRatio, UnitCap]:
    """Each unit is drawn once, so it counts once."""
    ratio = comparison.ratio or sample_ratio.begin(draw.shares)
    if ratio.shares != draw.shares:
        ratio = sample_ratio.with_shares(ratio, draw.shares)
    units, is_new = admit(comparison.units, unit)
    return (sample_ratio.observe(ratio, draw.arm) if is_new else ratio), units


def _served(coverage: Coverage | None, seen: Observation, draw: Assignment, policy: Policy) -> Coverage:
    horizon_s = policy.rollout.label_horizon_s
    assert horizon_s is not None  # the spec asks for it wherever a label of two arms is needed
    begun = coverage or label_coverage.of_horizon(horizon_s)
    share = draw.share_beside_champion(0)
    return label_coverage.add_served(begun, seen.served_s, is_canary=draw.is_canary, share=share)


def _measured(comparison: Comparison, seen: Observation, draw: Assignment, policy: Policy) -> EvidenceTable:
    measured: list[tuple[Rule, Measurement]] = []
    for rule in policy.rules:
        if rule.is_paired or rule.definition.needs_label:
            continue
        value = served_value(
            rule.metric, seen, slow=comparison.slow, cpus_per_replica=policy.cpus_per_replica
        )
        if value is not None:
            measured.append((rule, _measurement(value, seen.unit, draw)))
    return evidence_table.add_all(comparison.table, measured) if measured else comparison.table


def _measurement(value: float, unit: str, draw: Assignment) -> Measurement:
    share = draw.share_beside_champion(0)
    return Measurement(value=value, is_canary=draw.is_canary, share=share, unit=unit)


def _question(policy: Policy, step: int, *, is_present: bool) -> Question | None:
    if not is_present or policy.kind_of(step) != "ab":
        return None
    chosen = policy.rollout.steps[step]
    assert chosen.metric is not None  # an A/B step without a metric is no spec
    return Question(metric=chosen.metric, is_larger_better=chosen.better == "higher")


def _in_arms(
    comparison: Comparison, draw: Assignment, about: tuple[str, float], question: Question
) -> Comparison:
    unit, value = about
    arm_units, is_first = admit(comparison.arm_units, unit)
    if not is_first:
        return replace(comparison, arm_units=arm_units)
    arms = arms_seen.observe(comparison.arms, draw, natural(question.metric, value), question=question)
    return replace(comparison, arms=arms, arm_units=arm_units)
