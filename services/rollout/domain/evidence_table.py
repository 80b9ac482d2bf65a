"""All rules of one version against the champion: one state, saved with the offsets it was built from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from services.rollout.domain import rule_evidence
from services.rollout.domain.finding import Finding, find
from services.rollout.domain.rule import Rule, check_rule
from services.rollout.domain.rule_evidence import Measurement, PairMeasurement, RuleEvidence
from slipway.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTable:
    """Per rule, in the order of the spec: (name, what it saw)."""

    rows: tuple[tuple[str, RuleEvidence], ...] = ()

    def of(self, name: str) -> RuleEvidence:
        """What a rule saw; nothing yet if it is new."""
        return dict(self.rows).get(name, RuleEvidence())


NO_TABLE: Final = EvidenceTable()


def begin(rules: Sequence[Rule]) -> EvidenceTable:
    """Nothing seen yet.

    Raises:
        InvalidInput: A rule that could never be judged, or two of one name.
    """
    names = [check_rule(rule).name for rule in rules]
    if len(set(names)) < len(names):
        raise InvalidInput(f"rules {', '.join(names)}: each needs a name of its own")
    return EvidenceTable(rows=tuple((name, RuleEvidence()) for name in names))


def fitted(table: EvidenceTable, rules: Sequence[Rule]) -> EvidenceTable:
    """The table for these rules: what each has seen before stays, a new one has seen nothing."""
    if [name for name, _ in table.rows] == [rule.name for rule in rules]:
        return table
    begun = begin(rules)
    return EvidenceTable(rows=tuple((name, table.of(name)) for name, _ in begun.rows))


def add(table: EvidenceTable, rule: Rule, measurement: Measurement) -> EvidenceTable:
    """Add a request to one rule.

    Raises:
        InvalidInput: The measurement does not fit the rule.
    """
    return add_all(table, [(rule, measurement)])


def add_all(table: EvidenceTable, measured: Sequence[tuple[Rule, Measurement]]) -> EvidenceTable:
    """Add a request to every rule that measures it.

    Raises:
        InvalidInput: A measurement does not fit its rule, or a rule is not in the table.
    """
    states = dict(table.rows)
    for rule, measurement in measured:
        states[rule.name] = rule_evidence.observe(_state(states, rule), rule, measurement)
    return EvidenceTable(rows=tuple(states.items()))


def add_pair(table: EvidenceTable, rule: Rule, measurement: PairMeasurement) -> EvidenceTable:
    """Add a pair of a shadow to one rule.

    Raises:
        InvalidInput: The rule is not paired.
    """
    states = dict(table.rows)
    states[rule.name] = rule_evidence.observe_pair(_state(states, rule), rule, measurement)
    return EvidenceTable(rows=tuple(states.items()))


def find_all(
    table: EvidenceTable, rules: Sequence[Rule], *, alphas: Mapping[str, float], alpha: float
) -> tuple[Finding, ...]:
    """One finding per rule.

    Args:
        table: What they saw.
        rules: Those that are asked.
        alphas: Each guardrail's part of alpha. Only guardrails can take a version back, so only they spend
            from the promise that a harmless one stays; every other rule has the whole of it.
        alpha: Of the rollout.
    """
    return tuple(
        find(rule, table.of(rule.name), alpha=alphas.get(rule.name, alpha), proof_alpha=alpha)
        for rule in rules
    )


def _state(states: Mapping[str, RuleEvidence], rule: Rule) -> RuleEvidence:
    if rule.name not in states:
        raise InvalidInput(f"rule {rule.name!r} is not in the table: begin it with all rules of the spec")
    return states[rule.name]
