"""What a spec asks of a version on its way, compiled once for all records of a rollout."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.rollout.domain.rule import Rule, check_rule
from slipway.errors import InvalidInput
from slipway.spec import Spec
from slipway.spec_rollout import LATE_METRICS
from slipway.spec_sections import Rollout, Slice, Step
from slipway.spec_sections import Rule as RuleSpec

COMPARING: Final = ("canary", "ab")  # kinds of steps in which two arms have requests of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A spec's rollout section, ready to judge by.

    Attributes:
        rules: In the order of the spec, each checked.
        slices: By `Rule.slice_name`.
        features: In the order of the spec, in which a whole row of numbers comes.
        classes: In the order of the probabilities; empty for regressors.
    """

    rollout: Rollout
    rules: tuple[Rule, ...] = ()
    slices: Mapping[str, Slice] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    is_classifier: bool = True
    classes: tuple[str, ...] = ()
    cpus_per_replica: float = 0.1

    def rules_of(self, step: int) -> tuple[Rule, ...]:
        """The rules that decide in a step; none outside of the steps."""
        if not 0 <= step < len(self.rollout.steps):
            return ()
        chosen = self.rollout.steps[step]
        names = chosen.rules
        return tuple(r for r in self.rules if _fits(r, chosen) and (names is None or r.name in names))

    def kind_of(self, step: int) -> str:
        """The kind of a step; empty outside of the steps."""
        return self.rollout.steps[step].kind if 0 <= step < len(self.rollout.steps) else ""

    @property
    def needs_pairs(self) -> bool:
        """Whether a rule asks who of two versions was right on the same request."""
        return any(rule.is_paired for rule in self.rules)

    @property
    def needs_labels(self) -> bool:
        """Whether a rule, or the metric of an A/B step, is known only later."""
        rules = any(rule.definition.needs_label and not rule.is_paired for rule in self.rules)
        return rules or any(step.metric in LATE_METRICS for step in self.rollout.steps)


def of_spec(spec: Spec) -> Policy:
    """The policy of a spec.

    Raises:
        InvalidInput: A rule that could never be judged, or that no step looks at.
    """
    policy = Policy(
        rollout=spec.rollout,
        rules=tuple(check_rule(_rule(rule)) for rule in spec.rollout.rules),
        slices={_slice_name(r.slice): r.slice for r in spec.rollout.rules if r.slice is not None},
        features=spec.feature_names,
        is_classifier=spec.is_classifier,
        classes=spec.label.classes if spec.is_classifier else (),
        cpus_per_replica=spec.serving.cpus_per_replica,
    )
    for what in _problems(policy):
        raise InvalidInput(f"model spec: rollout: {what}")
    return policy


def _rule(rule: RuleSpec) -> Rule:
    return Rule(
        name=rule.name,
        metric=rule.metric,
        slice_name=_slice_name(rule.slice),
        is_guardrail=rule.on_harm == "roll_back",
        is_dry_run=rule.on_harm == "report",
        is_paired=rule.paired,
        margin=rule.margin,
        min_samples=rule.min_samples,
        alpha_weight=rule.alpha_weight,
    )


def _slice_name(part: Slice | None) -> str:
    if part is None:
        return ""
    if part.range is not None:
        return f"{part.feature} {part.range[0]:g} to {part.range[1]:g}"
    return f"{part.feature} = {part.equals}"


def _fits(rule: Rule, step: Step) -> bool:
    """Pairs come from a shadow, requests of two arms from a canary or an A/B step."""
    return step.kind == "shadow" if rule.is_paired else step.kind in COMPARING


def _problems(policy: Policy) -> Iterator[str]:
    by_name = {rule.name: rule for rule in policy.rules}
    for at, step in enumerate(policy.rollout.steps):
        for name in step.rules or ():
            if not _fits(by_name[name], step):
                kind = "shadow pairs" if by_name[name].is_paired else "requests of two arms"
                yield f"steps.{at}: rule {name!r} needs {kind}, which a step of the kind {step.kind} has not"
    looked_at = {rule.name for at in range(len(policy.rollout.steps)) for rule in policy.rules_of(at)}
    for rule in policy.rules:
        if rule.name not in looked_at:
            wanted = "shadow" if rule.is_paired else "canary or ab"
            yield f"rule {rule.name!r} is looked at in no step: it needs one of the kind {wanted}"
