"""The limits of the file, worked out once so that a request only compares."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from services.gateway.domain.limit_ledger import largest_lease
from services.gateway.domain.limit_prices import Costs, costs_of
from services.gateway.domain.rate_limit_fields import policy_member
from slipway import limits_file
from slipway.errors import InvalidInput
from slipway.limits_file import EACH, FILE, MICROS, Counts, Kind, Limit, LimitsFile, Unit
from slipway.watched_files import Files, WatchedFiles

Bucket = tuple[str | None, str | None, str | None]  # tenant, principal, model; None: all of them together

_PERIOD_S: Final = {"second": 1, "minute": 60, "day": 86_400, "month": 30 * 86_400}
_QUOTA_UNITS: Final = {"cost": "cost-millionths"}  # quotas are whole numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Whose request it is, for which model, and how it came."""

    counts: Counts
    tenant: str
    principal: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One limit."""

    name: str
    kind: Kind
    unit: Unit
    value: int
    counts: Counts
    per: str  # second, minute, day, month; empty for a cap
    burst: int  # of a rate; of the others the value
    lease: int  # what a gateway holds at the most
    refuses_alone: bool
    match: Bucket
    policy: str  # its member of RateLimit-Policy

    @property
    def per_s(self) -> float:
        """Of a rate, per second."""
        return self.value / _PERIOD_S[self.per]

    @property
    def is_leased(self) -> bool:
        """Whether gateways share it."""
        return self.kind != "concurrency"

    @property
    def text(self) -> str:
        """As people say it."""
        if self.kind == "concurrency":
            return f"{self.value} at once"
        value = f"{self.value / MICROS:g}" if self.unit == "cost" else str(self.value)
        burst = f", {self.burst} at once" if self.kind == "rate" else ""
        return f"{value} {self.unit} per {self.per}{burst}"

    def bucket_of(self, asker: Asker) -> Bucket | None:
        """Which of its buckets a request falls into; None where it is not meant."""
        if asker.counts != self.counts:
            return None
        bucket: list[str | None] = []
        for pattern, value in zip(self.match, (asker.tenant, asker.principal, asker.model), strict=True):
            if pattern not in (None, EACH, value):
                return None
            bucket.append(None if pattern is None else value)
        return (bucket[0], bucket[1], bucket[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The whole file."""

    limits: tuple[Rule, ...]
    costs: Costs


def rules_of(file: LimitsFile) -> Rules:
    """Work a file out."""
    return Rules(limits=tuple(_rule(limit) for limit in file.limits), costs=costs_of(file.prices))


def read_rules(files: Files, *, has_store: bool) -> Rules:
    """What the file means, if all of it can be enforced here.

    Raises:
        InvalidInput: It cannot: nothing of it is in force.
    """
    rules = rules_of(limits_file.parse(files.get(FILE, b"").decode("utf-8", "replace")))
    shared = [rule.name for rule in rules.limits if rule.is_leased]
    if shared and not has_store:
        raise InvalidInput(
            f"{FILE}: rates and budgets ({', '.join(shared)[:200]}) are shared through Redis: "
            "set SLIPWAY_REDIS_URL, or keep to `concurrency`"
        )
    return rules


def watch_rules(access_dir: str, *, has_store: bool) -> WatchedFiles[Rules]:
    """The file in the folder of access files; without a folder nothing is limited.

    Raises:
        InvalidInput: The file cannot be enforced.
    """
    patterns = (FILE,) if access_dir else ()
    return WatchedFiles(Path(access_dir), patterns, parse=partial(read_rules, has_store=has_store))


def _rule(limit: Limit) -> Rule:
    section = limit.rate or limit.budget
    burst = (limit.rate.burst if limit.rate else None) or limit.value
    match = limit.match
    # A principal's name means somebody only within his tenant.
    tenant = EACH if match.tenant is None and match.principal is not None else match.tenant
    unit = "concurrent-requests" if section is None else _QUOTA_UNITS.get(limit.unit, limit.unit)
    return Rule(
        name=limit.name,
        kind=limit.kind,
        unit=limit.unit,
        value=limit.value,
        counts=limit.counts,
        per="" if section is None else section.per,
        burst=burst,
        lease=largest_lease(burst, is_budget=limit.budget is not None),
        refuses_alone=limit.when_store_is_away == "refuse",
        match=(tenant, match.principal, match.model),
        policy=policy_member(
            limit.name,
            value=burst if limit.rate else limit.value,
            unit=unit,
            window_s=None if section is None else _window_s(limit, burst),
        ),
    )


def _window_s(limit: Limit, burst: int) -> int:
    """Of a budget the length of its window, of a rate the time in which an empty bucket fills."""
    if limit.budget is not None:
        return _PERIOD_S[limit.budget.per]
    period_s = _PERIOD_S[limit.rate.per] if limit.rate else 0
    return max(1, round(burst * period_s / limit.value))
