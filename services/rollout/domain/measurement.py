"""From what is known of a request to the numbers that rules and A/B steps are about.

The numbers of `METRICS`: 1 for a bad event and 0 otherwise, or the metric's own number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose, isfinite, log
from typing import Final

from services.rollout.domain.observation import Observation
from services.rollout.domain.rule import METRICS, Rule
from services.rollout.domain.slow_line import SlowLine, is_slow
from slipway.spec_sections import Slice

_BROKEN: Final = ("failed", "malformed")
_LEAST_PROBABILITY: Final = 1e-15  # as scikit-learn has long cut it; log_loss is then at most 34.5
_FLOAT32: Final = 1e-6  # records carry numbers in 32 bits
_WORST_BRIER: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What a label or another feedback says about one request.

    Attributes:
        source: Topic and partition.
        known_s: When it was joined to the request.
        values: By metric, as in METRICS.
        slices: Names of the slices to which the request belongs.
        is_label: Whether it is the label, not an outcome.
    """

    source: str
    offset: int
    prediction_id: str
    version: str
    route_epoch: int
    unit: str
    served_s: float
    known_s: float
    values: Mapping[str, float] = field(default_factory=dict)
    slices: tuple[str, ...] = ()
    is_label: bool = True


def served_value(metric: str, seen: Observation, *, slow: SlowLine, cpus_per_replica: float) -> float | None:
    """A metric of an answered request; None where it has none, or the metric is known only later."""
    is_broken = seen.outcome in _BROKEN
    if metric == "error_rate":
        return float(is_broken)
    if metric == "input_score":
        return seen.input_score
    if is_broken:
        return None
    if metric == "abstention":
        return None if seen.has_abstained is None else float(seen.has_abstained)
    if not seen.is_computed:  # how soon the cache answers says nothing about the version
        return None
    if metric == "cost":
        return seen.latency_s * cpus_per_replica / seen.rows
    quantile = METRICS[metric].quantile
    over = is_slow(slow, seen.latency_s, quantile=quantile) if quantile else None
    return None if over is None else float(over)


def learned_value(rule: Rule, learned: Learned) -> float | None:
    """A rule's metric of a labelled request; None where it is outside of the rule's slice."""
    if rule.slice_name and rule.slice_name not in learned.slices:
        return None
    return learned.values.get(rule.metric)


def label_values(
    label: str, *, predicted: str, probabilities: Sequence[float], classes: Sequence[str]
) -> dict[str, float]:
    """What a classifier's label says, by metric.

    Formula: Brier sum_c (p_c - [c = label])^2, 0..2 (Brier, Verification of forecasts expressed in terms of
        probability, Monthly Weather Review 78, 1950); log loss -ln p_label.
    """
    values = {"accuracy": float(label != predicted)}
    if len(probabilities) != len(classes) or not classes or not all(map(isfinite, probabilities)):
        return values
    by_class = dict(zip(classes, probabilities, strict=True))
    brier = sum((p - (name == label)) ** 2 for name, p in by_class.items())
    chance = min(1.0, max(_LEAST_PROBABILITY, by_class.get(label, 0.0)))
    return {**values, "brier": min(_WORST_BRIER, brier), "log_loss": -log(chance)}


def is_in_slice(part: Slice, value: str | float) -> bool:
    """Whether a request whose feature has this value belongs to a slice; NaN belongs to none."""
    if part.range is not None:
        low, high = part.range
        return not isinstance(value, str) and low <= value <= high
    if isinstance(value, str) or not isinstance(part.equals, float):
        return value == part.equals
    return isclose(value, part.equals, rel_tol=_FLOAT32)


def natural(metric: str, value: float) -> float:
    """A number as people read the metric: accuracy and acceptance, not their opposites."""
    return 1 - value if metric in ("accuracy", "acceptance") else value
