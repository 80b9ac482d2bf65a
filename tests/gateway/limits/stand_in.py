"""Limits without a store, and a store of leases in memory that goes by the same rules as the scripts."""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from services.gateway.limits.limits import Limits
from services.gateway.limits.rules import Rule, Rules, rules_of
from services.gateway.limits.terms import LEASE_S, Ask, Reply, StoreState
from services.gateway.limits.usage import Usage
from slipway.clock import Clock, SystemClock
from slipway.identity.caller import Caller
from slipway.limits_file import parse
from slipway.watched_files import WatchedFiles

T = TypeVar("T")

ANNA = Caller(principal="anna", tenant="retail", roles=("app",), method="api_key", credential_id="a")
BERT = Caller(principal="bert", tenant="retail", roles=("app",), method="api_key", credential_id="b")


def rules(text: str) -> Rules:
    return rules_of(parse(text))


def rule(text: str) -> Rule:
    """The one limit of a line of YAML."""
    (only,) = rules(f"limits: [{text}]").limits
    return only


def limits_of(
    text: str = "", *, clock: Clock | None = None, usage: Usage | None = None, state: StoreState | None = None
) -> Limits:
    """Limits of a file that nobody edits."""
    files = WatchedFiles(Path(), (), parse=lambda _: rules(text))
    return Limits(files, state=state or StoreState(), usage=usage or Usage(), clock=clock or SystemClock())


@dataclass
class Budget:
    told: dict[str, int] = field(default_factory=dict)
    leases: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def spent(self) -> int:
        return sum(self.told.values())


class Store:
    """What all gateways share."""

    def __init__(self) -> None:
        self.budgets: dict[str, Budget] = {}
        self.gateways = 1

    def lease(self, ask: Ask, *, holder: str, now_s: float) -> Reply | None:
        budget = self.budgets.get(ask.key)
        if budget is None:
            return None
        budget.told[holder] = max(budget.told.get(holder, 0), ask.spent)
        budget.leases = {h: (n, end) for h, (n, end) in budget.leases.items() if end > now_s}
        others = sum(n for h, (n, _) in budget.leases.items() if h != holder)
        held = max(0, ask.held)
        free = ask.rule.value - budget.spent - others
        fair = max(ask.need, 1, (free - held) // (2 * self.gateways))
        granted = max(0, min(ask.want, free - held, fair))
        granted = 0 if granted < ask.need else granted
        budget.leases[holder] = (held + granted, now_s + LEASE_S)
        return Reply(granted=granted, left=ask.rule.value - budget.spent, free=free)

    def seed(self, key: str, spent: Mapping[str, int]) -> None:
        self.budgets.setdefault(key, Budget(told=dict(spent)))


class Due:
    """Notes who needs something."""

    def __init__(self) -> None:
        self.noted: list[object] = []

    def note(self, account: object) -> None:
        self.noted.append(account)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")
