"""What a spec may ask of a version on its way: a metric, how much worse is tolerated, and what follows."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.rollout.domain.effect import Bounds
from slipway.errors import InvalidInput


class Form(StrEnum):
    """What a metric's numbers are, and so which test fits."""

    EVENT = "event"  # a request is bad or not
    BOUNDED = "bounded"  # a number between two limits
    UNBOUNDED = "unbounded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that can be measured of a request.

    Attributes:
        bad: What is counted, or what a larger number means, in words.
        is_larger_better: The number is turned round before it is tested.
        needs_label: Known only when the label or another feedback has come.
        quantile: For latencies: the champion's quantile above which a request is slow; else 0.
    """

    form: Form
    bad: str
    is_larger_better: bool = False
    needs_label: bool = False
    high: float = 1.0
    quantile: float = 0.0


METRICS: Final = {
    "error_rate": Metric(form=Form.EVENT, bad="failures"),
    "latency_p50": Metric(form=Form.EVENT, bad="slower than the champion's median", quantile=0.5),
    "latency_p90": Metric(form=Form.EVENT, bad="slower than the champion's p90", quantile=0.9),
    "latency_p99": Metric(form=Form.EVENT, bad="slower than the champion's p99", quantile=0.99),
    "abstention": Metric(form=Form.EVENT, bad="abstentions"),
    "input_score": Metric(form=Form.UNBOUNDED, bad="input score"),
    "accuracy": Metric(form=Form.EVENT, bad="wrong answers", needs_label=True),
    "brier": Metric(form=Form.BOUNDED, bad="Brier score", needs_label=True, high=2.0),
    "log_loss": Metric(form=Form.UNBOUNDED, bad="log loss", needs_label=True),
    "acceptance": Metric(form=Form.EVENT, bad="rejections", needs_label=True),
    "value": Metric(form=Form.UNBOUNDED, bad="value", is_larger_better=True, needs_label=True),
    "cost": Metric(form=Form.UNBOUNDED, bad="cost per prediction"),
}
PAIRED_METRICS: Final = ("accuracy",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One condition of a rollout.

    Attributes:
        metric: A key of METRICS.
        slice_name: The slice of requests it looks at; empty: all.
        is_guardrail: Evidence of harm takes the version back; otherwise it is a signal and holds it.
        is_dry_run: It is reported and decides nothing.
        is_paired: It judges shadow pairs, not two arms with requests of their own.
        margin: Tolerated worsening on the metric's scale; promotion then needs proof that it is less.
            None: no proof is asked, only `min_samples` without evidence of harm.
        min_samples: Of each arm, or pairs.
        alpha_weight: Its part of the rollout's alpha beside the other guardrails.
    """

    name: str
    metric: str
    slice_name: str = ""
    is_guardrail: bool = True
    is_dry_run: bool = False
    is_paired: bool = False
    margin: float | None = None
    min_samples: int = 100
    alpha_weight: float = 1.0

    @property
    def definition(self) -> Metric:
        """What the metric is."""
        return METRICS[self.metric]

    @property
    def bounds(self) -> Bounds | None:
        """The metric's limits with the margin; None where it has no limits."""
        if self.definition.form is Form.UNBOUNDED:
            return None
        return Bounds(high=self.definition.high, margin=self.margin or 0.0)

    @property
    def samples_noun(self) -> str:
        """What `min_samples` counts."""
        if self.is_paired:
            return "pairs"
        return "labels" if self.definition.needs_label else "requests"


def check_rule(rule: Rule) -> Rule:
    """The rule itself.

    Raises:
        InvalidInput: It could never be judged as it stands: says why.
    """
    for is_wrong, why in _problems(rule):
        if is_wrong:
            raise InvalidInput(f"rule {rule.name!r}: {why}")
    return rule


def _problems(rule: Rule) -> list[tuple[bool, str]]:
    metric = METRICS.get(rule.metric)
    if metric is None:
        return [(True, f"metric {rule.metric!r} is not one of {', '.join(METRICS)}")]
    limit = float("inf") if metric.form is Form.UNBOUNDED else metric.high
    margin = 0.0 if rule.margin is None else rule.margin
    return [
        (not 0 <= margin < limit, f"margin {margin:g} must be >= 0 and below {limit:g}"),
        (rule.min_samples < 1, f"min_samples {rule.min_samples} must be at least 1: no data is no proof"),
        (not 0 < rule.alpha_weight < float("inf"), f"alpha_weight {rule.alpha_weight:g} must be > 0"),
        (
            rule.is_paired and rule.metric not in PAIRED_METRICS,
            f"metric {rule.metric!r} has no paired test; paired are: {', '.join(PAIRED_METRICS)}",
        ),
    ]
