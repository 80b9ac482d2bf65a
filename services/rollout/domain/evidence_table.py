"""All rules of one version against the champion: one state, saved with the offsets it was built from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.rollout.domain import rule_evidence
from services.rollout.domain.alpha_split import split_alpha
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


def begin(rules: Sequence[Rule]) -> EvidenceTable:
    """Nothing seen yet.

    Raises:
        InvalidInput: A rule that could never be judged, or two of one name.
    """
    names = [check_rule(rule).name for rule in rules]
    if len(set(names)) < len(names):
        raise InvalidInput(f"rules {', '.join(names)}: each needs a name of its own")
    return EvidenceTable(rows=tuple((name, RuleEvidence()) for name in names))


def add(table: EvidenceTable, rule: Rule, measurement: Measurement) -> EvidenceTable:
    """Add a request to one rule.

    Raises:
        InvalidInput: The measurement does not fit the rule.
    """
    return _replaced(table, rule.name, rule_evidence.observe(table.of(rule.name), rule, measurement))


def add_pair(table: EvidenceTable, rule: Rule, measurement: PairMeasurement) -> EvidenceTable:
    """Add a pair of a shadow to one rule.

    Raises:
        InvalidInput: The rule is not paired.
    """
    return _replaced(table, rule.name, rule_evidence.observe_pair(table.of(rule.name), rule, measurement))


def find_all(table: EvidenceTable, rules: Sequence[Rule], *, alpha: float) -> tuple[Finding, ...]:
    """One finding per rule; guardrails share alpha, each signal and dry run has its own.

    Only guardrails can take a version back, so only they spend from the promise that a harmless one stays.
    """
    guardrails = {r.name: r.alpha_weight for r in rules if r.is_guardrail and not r.is_dry_run}
    parts = split_alpha(alpha, guardrails)
    return tuple(
        find(rule, table.of(rule.name), alpha=parts.get(rule.name, alpha), proof_alpha=alpha)
        for rule in rules
    )


def _replaced(table: EvidenceTable, name: str, state: RuleEvidence) -> EvidenceTable:
    if name not in dict(table.rows):
        raise InvalidInput(f"rule {name!r} is not in the table: begin it with all rules of the spec")
    rows = tuple((n, state if n == name else s) for n, s in table.rows)
    return replace(table, rows=rows)
