"""A tally as plain values and back, for a jsonb column."""

from dataclasses import asdict
from typing import Any

from services.rollout.domain.tally import ArmTally, Tally


def to_plain(tally: Tally) -> dict[str, Any]:
    """The tally as values that JSON has; its log e-values are exact doubles."""
    return asdict(tally)


def from_plain(plain: dict[str, Any]) -> Tally:
    """The tally that `to_plain` took apart."""
    return Tally(
        **{
            **plain,
            "canary": _arm(plain["canary"]),
            "champion": _arm(plain["champion"]),
            "log_ratios": tuple(plain["log_ratios"]),
            "bake_log_ratios": tuple(plain["bake_log_ratios"]),
            "slow_log_ratios": tuple(plain["slow_log_ratios"]),
            "offsets": tuple((source, offset) for source, offset in plain["offsets"]),
        }
    )


def _arm(plain: dict[str, Any]) -> ArmTally:
    return ArmTally(**{**plain, "classes": tuple((name, count) for name, count in plain["classes"])})
