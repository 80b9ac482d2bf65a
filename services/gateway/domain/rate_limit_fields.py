"""What is told of limits with each answer: the fields RateLimit-Policy and RateLimit.

Source: R. Polli, A. Martinez, D. Miller, "RateLimit header fields for HTTP", 2026, the two fields of
draft-ietf-httpapi-ratelimit-headers-11: lists of structured fields (RFC 9651), one member for each policy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil

Fields = tuple[tuple[str, str], ...]

POLICY = "ratelimit-policy"
STATE = "ratelimit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one limit stands for one caller.

    Attributes:
        policy: The member of RateLimit-Policy, which never changes.
        name: The limit, quoted.
        left: Whole units.
        reset_s: Until all of it is there again; None where time alone brings nothing back.
    """

    policy: str
    name: str
    left: int
    reset_s: float | None


def policy_member(name: str, *, value: int, unit: str, window_s: int | None) -> str:
    """One policy: its quota, its unit where that is not requests, its window in seconds."""
    unit_part = "" if unit == "requests" else f';qu="{unit}"'
    window_part = "" if window_s is None else f";w={window_s}"
    return f'"{name}";q={value}{unit_part}{window_part}'


def fields_of(standings: Iterable[Standing]) -> Fields:
    """Both fields, as HTTP headers or as gRPC metadata; none where there is no limit."""
    policies, states = [], []
    for it in standings:
        policies.append(it.policy)
        reset = "" if it.reset_s is None else f";t={ceil(it.reset_s)}"
        states.append(f'"{it.name}";r={max(0, it.left)}{reset}')
    return ((POLICY, ", ".join(policies)), (STATE, ", ".join(states))) if policies else ()
