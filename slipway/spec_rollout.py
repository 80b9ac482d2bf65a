"""What each key of a spec's rollout allows by itself, but not together with the others."""

from collections.abc import Iterator
from typing import Final

from slipway.spec_sections import Feature, Rollout, Rule, Slice, Step
from slipway.yaml_source import Path

# Metrics that are known only when somebody has said what became of the answer.
LATE_METRICS: Final = frozenset({"accuracy", "brier", "log_loss", "acceptance", "value"})
_CLASSIFIER_METRICS: Final = frozenset({"accuracy", "brier", "log_loss", "abstention"})
_ONLY_OF: Final = {
    "weight_percent": ("canary", "ab"),
    "mirror_percent": ("shadow",),
    "max_mirrored_per_s": ("shadow",),
    "metric": ("ab",),
    "better": ("ab",),
    "analysis": ("ab",),
    "min_samples": ("ab",),
    # blue_green is no step to stay in: the bake follows at once.
    **dict.fromkeys(("min_rows", "dwell_s", "deadline_s", "approval", "rules"), ("canary", "shadow", "ab")),
}


def rollout_inconsistencies(
    rollout: Rollout, *, features: tuple[Feature, ...], is_classifier: bool
) -> Iterator[tuple[Path, str]]:
    """Each place under `rollout` with what is wrong there."""
    for path, what in _inconsistencies(rollout, features, is_classifier):
        yield ("rollout", *path), what


def _inconsistencies(
    rollout: Rollout, features: tuple[Feature, ...], is_classifier: bool
) -> Iterator[tuple[Path, str]]:
    names = [rule.name for rule in rollout.rules]
    for at, rule in enumerate(rollout.rules):
        if rule.name in names[:at]:
            yield ("rules", at, "name"), f"{rule.name!r} is listed twice"
        for key, what in _rule_inconsistencies(rule, features, is_classifier):
            yield ("rules", at, key), what
    for at, step in enumerate(rollout.steps):
        for key, what in _step_inconsistencies(step, names):
            yield ("steps", at, key), what
    yield from _order_inconsistencies(rollout.steps)
    if rollout.label_horizon_s is None:
        yield from _horizon_inconsistencies(rollout)


def _rule_inconsistencies(
    rule: Rule, features: tuple[Feature, ...], is_classifier: bool
) -> Iterator[tuple[str, str]]:
    if rule.metric in _CLASSIFIER_METRICS and not is_classifier:
        yield "metric", f"{rule.metric} is for classifiers"
    if rule.paired and rule.metric != "accuracy":
        yield "paired", f"{rule.metric} has no paired test; only accuracy has"
    if rule.slice is not None:
        if rule.metric not in LATE_METRICS - {"acceptance", "value"}:
            yield (
                "slice",
                "only accuracy, brier and log_loss can be looked at by slice: labels carry the inputs",
            )
        yield from _slice_inconsistencies(rule.slice, features)


def _slice_inconsistencies(part: Slice, features: tuple[Feature, ...]) -> Iterator[tuple[str, str]]:
    if part.feature not in {feature.name for feature in features}:
        yield "slice", f"{part.feature!r} is none of the features"
    if (part.equals is None) == (part.range is None):
        yield "slice", "needs either `equals` or `range`"
    if part.range is not None and part.range[0] > part.range[1]:
        yield "slice", f"{part.range[0]:g} is above {part.range[1]:g}"


def _step_inconsistencies(step: Step, names: list[str]) -> Iterator[tuple[str, str]]:
    for key, kinds in _ONLY_OF.items():
        if key in step.model_fields_set and step.kind not in kinds:
            yield key, f"belongs to steps of the kind {' or '.join(kinds)}, not to {step.kind}"
    if step.kind in ("canary", "ab") and not step.weight_percent:
        yield "weight_percent", f"is required for a step of the kind {step.kind}"
    if step.kind == "ab":
        if step.metric is None or step.better is None:
            yield "metric", "an A/B step declares `metric` and `better: higher | lower` beforehand"
        if step.weight_percent == 100:
            yield "weight_percent", "100 leaves nothing for the champion to be compared on"
    for name in step.rules or ():
        if name not in names:
            yield "rules", f"{name!r} is none of the rules ({', '.join(names) or 'there are none'})"


def _order_inconsistencies(steps: tuple[Step, ...]) -> Iterator[tuple[Path, str]]:
    weight = 0.0
    for at, step in enumerate(steps):
        if step.kind == "blue_green" and at < len(steps) - 1:
            yield ("steps", at, "kind"), "blue_green gives all requests to the new version: it must come last"
        if step.kind == "shadow" and weight:
            yield ("steps", at, "kind"), "shadow comes before users are answered, not after"
        if step.kind == "canary" and step.weight_percent:
            if step.weight_percent <= weight:
                what = f"{step.weight_percent:g} does not grow on the step before ({weight:g})"
                yield ("steps", at, "weight_percent"), what
            weight = step.weight_percent


def _horizon_inconsistencies(rollout: Rollout) -> Iterator[tuple[Path, str]]:
    for at, rule in enumerate(rollout.rules):
        if rule.metric in LATE_METRICS and not rule.paired:
            what = (
                f"{rule.metric} of two arms needs `rollout.label_horizon_s`, so that both had the same time"
            )
            yield ("rules", at, "metric"), what
    for at, step in enumerate(rollout.steps):
        if step.metric in LATE_METRICS:
            yield ("steps", at, "metric"), f"{step.metric} needs `rollout.label_horizon_s`"
