"""Limits as requests meet them: reserved before a version is asked, settled with what was really used."""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from services.gateway import metrics
from services.gateway.domain.limit_ledger import Ledger
from services.gateway.domain.limit_prices import Used
from services.gateway.domain.limit_windows import window_of
from services.gateway.domain.rate_limit_fields import Fields, fields_of
from services.gateway.limits.accounts import LeasedAccount
from services.gateway.limits.caps import CapAccount
from services.gateway.limits.refusals import LeaseShort, StoreAway
from services.gateway.limits.rules import Asker, Bucket, Rule, Rules
from services.gateway.limits.terms import Due, StoreState
from services.gateway.limits.usage import Totals, Usage
from slipway.clock import Clock
from slipway.errors import SlipwayError
from slipway.identity.caller import Caller
from slipway.limits_file import Counts
from slipway.watched_files import WatchedFiles

T = TypeVar("T")
Account = LeasedAccount | CapAccount

WAIT_S: Final = 0.25  # for a lease, by a request that found none
_MOST: Final = 50_000
_WEIGHT: Final = 0.1  # of the newest request in what a row is expected to take


class _NoStore:
    """No account is ever leased."""

    def note(self, account: LeasedAccount) -> None:
        """Never called."""


class Plan:
    """Which limits meet requests of one caller for one model, worked out once."""

    __slots__ = ("accounts", "asker", "compute_s_per_row", "day_ends_s", "row")

    def __init__(self, asker: Asker, accounts: tuple[Account, ...]) -> None:
        self.asker = asker
        self.accounts = accounts
        self.compute_s_per_row = 0.0
        self.day_ends_s = 0.0
        self.row: Totals | None = None


class Reservation:
    """What one request has set aside; settled or released once, and later words change nothing."""

    __slots__ = ("_limits", "_plan", "_rows", "_taken")

    def __init__(
        self, limits: "Limits", plan: Plan, *, rows: int, taken: list[tuple[Account, Ledger, int]]
    ) -> None:
        self._limits = limits
        self._plan = plan
        self._rows = rows
        self._taken: list[tuple[Account, Ledger, int]] | None = taken

    def settle(self, *, rows: int | None = None, compute_s: float = 0.0, tokens: int = 0) -> None:
        """Count what was really used; `rows` where they are not those that were set aside."""
        taken, self._taken = self._taken, None
        if taken is not None:
            used = self._rows if rows is None else rows
            self._limits.settle(self._plan, taken, rows=used, compute_s=compute_s, tokens=tokens)

    def release(self) -> None:
        """Give everything back: nobody was answered."""
        taken, self._taken = self._taken, None
        if taken:
            give_back(taken)

    def fields(self) -> Fields:
        """How the limits stand, for the caller."""
        return self._limits.fields(self._plan)


class Limits:
    """Every limit of this gateway; nothing here waits for a store."""

    def __init__(self, files: WatchedFiles[Rules], *, state: StoreState, usage: Usage, clock: Clock) -> None:
        self._files = files
        self._rules = files.current
        self._state = state
        self._usage = usage
        self._clock = clock
        self._due: Due = _NoStore()
        self._plans: dict[tuple[Counts, str, str, str], Plan] = {}
        self._accounts: dict[tuple[Rule, Bucket], Account] = {}
        metrics.LIMITS_ACCOUNTS.set_function(lambda: len(self._accounts))

    @property
    def rules(self) -> Rules:
        """The file that is in force."""
        return self._files.current

    @property
    def accounts(self) -> Mapping[tuple[Rule, Bucket], Account]:
        """All buckets that this gateway has met."""
        return self._accounts

    def lease_by(self, due: Due) -> None:
        """Have leases taken by this one."""
        self._due = due

    def reserve(
        self, caller: Caller, model: str, *, rows: int, counts: Counts = "predictions"
    ) -> Reservation:
        """Set aside what a request will need.

        Args:
            caller: Who asks.
            model: Whom he asks; empty where no model is meant.
            rows: As they came, not yet checked.
            counts: Which way the request came.
        Raises:
            LeaseShort: This gateway holds too little at the moment: `patiently` waits for it.
            LimitReached: A limit says no.
            StoreAway: A limit cannot be checked.
        """
        if self._files.current is not self._rules:
            self._adopt(self._files.current)
        plan = self._plans.get((counts, caller.tenant, caller.principal, model))
        if plan is None:
            plan = self._plan(counts, caller, model)
        taken: list[tuple[Account, Ledger, int]] = []
        if plan.accounts:
            now_s, wall_s = self._clock.monotonic_s(), self._clock.now_s()
            for account in plan.accounts:
                unit = account.rule.unit
                amount = (
                    1 if unit == "requests" else rows if unit == "rows" else self._expected(plan, unit, rows)
                )
                error = account.take(amount, now_s=now_s, wall_s=wall_s)
                if error is not None:
                    give_back(taken)
                    raise self._refused(error, account, plan)
                taken.append((account, account.ledger, amount))
        return Reservation(self, plan, rows=rows, taken=taken)

    async def patiently(self, ask: Callable[[], T]) -> T:
        """Do what reserves; where this gateway holds no lease, wait for one for a moment.

        Raises:
            SlipwayError: Of `ask`.
        """
        until_s = None
        while True:
            try:
                return ask()
            except LeaseShort as short:
                now_s = self._clock.monotonic_s()
                until_s = now_s + WAIT_S if until_s is None else until_s
                if now_s >= until_s:
                    metrics.LIMIT_REFUSALS.labels(short.account.rule.name, short.account.rule.kind).inc()
                    raise
                await short.account.wait(short.amount, timeout_s=until_s - now_s)

    def settle(
        self,
        plan: Plan,
        taken: list[tuple[Account, Ledger, int]],
        *,
        rows: int,
        compute_s: float,
        tokens: int,
    ) -> None:
        """Count what a request has used."""
        model = plan.asker.model
        costs = self._rules.costs
        cost = 0
        if costs.has_any and plan.asker.counts == "predictions":
            cost = costs.micros(model, rows=rows, tokens=tokens, compute_s=compute_s)
        used = Used(rows=rows, tokens=tokens, compute_s=compute_s, cost=cost)
        if rows:
            plan.compute_s_per_row += _WEIGHT * (compute_s / rows - plan.compute_s_per_row)
        for account, ledger, amount in taken:
            actual = 0 if account.rule.kind == "concurrency" else used.of(account.rule.unit)
            if account.ledger is ledger:
                ledger.settle(amount, used=actual)
            else:  # a new window has begun, and this counts in it
                account.ledger.charge(actual)
        self._usage.add(self._row(plan), used)

    def fields(self, plan: Plan) -> Fields:
        """How the limits stand that meet a request."""
        if not plan.accounts:
            return ()
        now_s, wall_s = self._clock.monotonic_s(), self._clock.now_s()
        return fields_of([account.standing(now_s, wall_s) for account in plan.accounts])

    def _expected(self, plan: Plan, unit: str, rows: int) -> int:
        if unit != "cost":
            return 0
        expected_s = plan.compute_s_per_row * rows
        return self._rules.costs.micros(plan.asker.model, rows=rows, tokens=0, compute_s=expected_s)

    def _refused(self, error: SlipwayError, account: Account, plan: Plan) -> SlipwayError:
        if isinstance(error, LeaseShort):
            return error
        rule = account.rule
        kind = "store_away" if isinstance(error, StoreAway) else rule.kind
        metrics.LIMIT_REFUSALS.labels(rule.name, kind).inc()
        error.fields = self.fields(plan)
        return error

    def _row(self, plan: Plan) -> Totals:
        wall_s = self._clock.now_s()
        if plan.row is None or wall_s >= plan.day_ends_s:
            today = window_of(wall_s, "day")
            plan.row, plan.day_ends_s = self._usage.row(today.first, plan.asker), today.end_s
        return plan.row

    def _plan(self, counts: Counts, caller: Caller, model: str) -> Plan:
        if len(self._plans) >= _MOST:
            self._forget()
        asker = Asker(counts=counts, tenant=caller.tenant, principal=caller.principal, model=model)
        buckets = ((rule, rule.bucket_of(asker)) for rule in self._rules.limits)
        accounts = tuple(self._account(rule, bucket) for rule, bucket in buckets if bucket is not None)
        plan = Plan(asker, accounts)
        self._plans[counts, caller.tenant, caller.principal, model] = plan
        return plan

    def _account(self, rule: Rule, bucket: Bucket) -> Account:
        found = self._accounts.get((rule, bucket))
        if found is None:
            found = self._accounts[rule, bucket] = self._new_account(rule, bucket)
        return found

    def _new_account(self, rule: Rule, bucket: Bucket) -> Account:
        if not rule.is_leased:
            return CapAccount(rule, Ledger(left=rule.value))
        return LeasedAccount(
            rule,
            bucket,
            state=self._state,
            due=self._due,
            used=self._usage.used,
            wall_s=self._clock.now_s(),
        )

    def _adopt(self, rules: Rules) -> None:
        """Go by a new file: what a limit that stays has counted stays, what others held is given back."""
        self._rules = rules
        self._plans.clear()
        for (rule, bucket), account in list(self._accounts.items()):
            if rule not in rules.limits:
                self._retire(account)
                del self._accounts[rule, bucket]

    def _forget(self) -> None:
        """Make room: what nobody uses at the moment is worked out anew when somebody comes."""
        self._plans.clear()
        for key, account in list(self._accounts.items()):
            if not account.ledger.taken and (isinstance(account, CapAccount) or account.is_idle):
                del self._accounts[key]

    def _retire(self, account: Account) -> None:
        if isinstance(account, LeasedAccount):
            account.is_retired = True
            self._due.note(account)


def give_back(taken: list[tuple[Account, Ledger, int]]) -> None:
    """Nothing of it was used."""
    for _, ledger, amount in taken:
        ledger.settle(amount, used=0)
