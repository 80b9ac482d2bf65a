"""Numbers of a rollout as people read them."""

from math import exp
from typing import Final

from slipway.v1.rollout_pb2 import Finding, RolloutStep

_LARGEST_EXPONENT: Final = 700.0  # of e; beyond it a float overflows
_BAR_CELLS: Final = 10
_UNITS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
_PARTS_PER_PERCENT: Final = 10_000
STEP_NAMES: Final = {"shadow": "shadow", "canary": "canary", "blue_green": "blue-green", "ab": "A/B"}


def duration(seconds: float) -> str:
    """A time as one number with its unit: 45 s, 12 min, 3.5 h."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def share(weight_ppm: int) -> str:
    """A weight in percent."""
    return f"{weight_ppm / _PARTS_PER_PERCENT:g} %"


def e_value(log_e: float) -> str:
    """An e-value from its logarithm."""
    return f"{exp(min(log_e, _LARGEST_EXPONENT)):.2g}"


def bar(log_e: float, log_limit: float) -> str:
    """How far an e-value has come to its limit, from 1 to the limit by its logarithm."""
    part = 0.0 if log_limit <= 0 else min(1.0, max(0.0, log_e / log_limit))
    cells = round(part * _BAR_CELLS)
    return "█" * cells + "░" * (_BAR_CELLS - cells)


def evidence(log_e: float, log_limit: float) -> str:
    """An e-value, its limit, and the bar; empty where nothing is tested."""
    if log_limit <= 0:
        return ""
    return f"{bar(log_e, log_limit)} {e_value(log_e)} of {exp(min(log_limit, _LARGEST_EXPONENT)):.4g}"


def samples(finding: Finding) -> str:
    """How many of how many."""
    return f"{finding.samples:,} of {finding.needed:,}" if finding.needed else f"{finding.samples:,}"


def effect_of(finding: Finding) -> str:
    """What harm would lead to."""
    if finding.is_dry_run:
        return "is reported"
    return "takes back" if finding.is_guardrail else "holds"


def step_name(step: RolloutStep) -> str:
    """Which step this is, counted from 1; empty outside of the steps."""
    if step.index < 0:
        return ""
    return f"step {step.index + 1} of {step.steps}, {STEP_NAMES.get(step.kind, step.kind)}"


def timing(step: RolloutStep) -> str:
    """When the next step comes at the earliest, and when the present one is given up."""
    soonest = f"in {duration(step.dwell_left_s)} at the earliest" if step.dwell_left_s > 0 else "possible now"
    return f"next step {soonest}; given up in {duration(step.deadline_left_s)}"
