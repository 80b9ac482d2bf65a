"""Keeps leases ahead of need, in the background: takes, tells, gives back."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from services.gateway import metrics
from services.gateway.domain.limit_windows import Window
from services.gateway.limits.accounts import LeasedAccount
from services.gateway.limits.rules import Bucket, Rule
from services.gateway.limits.store import FAILURES, LeaseStore, key_of
from services.gateway.limits.terms import StoreState
from slipway.changes import until
from slipway.clock import Clock
from slipway.errors import Unavailable

log = logging.getLogger(__name__)

_TICK_S: Final = 0.25
_TELL_S: Final = 1.0  # between two words about an account that needs nothing
_AWAY_S: Final = 0.5  # between two tries while the store is away
_STRANGE_S: Final = 1.0  # while nobody can say what was spent of a budget
_TOGETHER: Final = 128


class Spending(Protocol):
    """Who knows what was spent, when the store does not."""

    async def spent(self, rule: Rule, bucket: Bucket, window: Window) -> dict[str, int]:
        """By gateway."""
        ...


class Leasing:
    """All accounts of this gateway that the store must hear of."""

    def __init__(
        self,
        store: LeaseStore,
        spending: Spending,
        *,
        state: StoreState,
        clock: Clock,
        keep: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Args beyond the obvious: `keep` is told how many gateways there are, whenever that changes."""
        self._store = store
        self._spending = spending
        self._state = state
        self._clock = clock
        self._keep = keep
        self._live: dict[LeasedAccount, None] = {}
        self._due: dict[LeasedAccount, None] = {}
        self._strange: dict[LeasedAccount, None] = {}
        self._is_due = asyncio.Event()
        self._has_strange = asyncio.Event()

    def note(self, account: LeasedAccount) -> None:
        """An account needs something."""
        self._live[account] = None
        if not account.is_asked:
            self._due[account] = None
            self._is_due.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; then everything that is left is given back."""
        try:
            await until(stop, self._work)
            await self._give_all_back()
        finally:
            await self._store.aclose()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._greet_forever())
            tasks.create_task(self._lease_forever())
            tasks.create_task(self._learn_forever())

    async def _greet_forever(self) -> None:
        """Say hello once a second: it finds out who else is there, and when the store is back."""
        while True:
            try:
                gateways = await self._store.hello()
            except FAILURES as error:
                self._is_away("hello", error)
            else:
                self._is_back(gateways)
            await asyncio.sleep(_AWAY_S if self._state.is_away else _TELL_S)

    async def _lease_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_TICK_S):
                    await self._is_due.wait()
            except TimeoutError:
                self._look_around()
            self._is_due.clear()
            while self._due and not self._state.is_away:
                await self._lease([self._due.popitem()[0] for _ in range(min(len(self._due), _TOGETHER))])
            if self._state.is_away:
                self._due.clear()  # those who wait have gone on without; the rest is live, and asked again

    def _look_around(self) -> None:
        now_s = self._clock.monotonic_s()
        for account in list(self._live):
            if account.is_idle:
                del self._live[account]
            elif now_s - account.asked_s >= _TELL_S and not account.is_asked:
                self._due[account] = None

    async def _lease(self, accounts: list[LeasedAccount]) -> None:
        now_s, wall_s = self._clock.monotonic_s(), self._clock.now_s()
        asks = [account.ask(self._key(account, wall_s), now_s=now_s, wall_s=wall_s) for account in accounts]
        try:
            replies = await self._store.lease(asks, gateways=self._state.gateways)
        except FAILURES as error:
            self._is_away("lease", error)
            for account in accounts:
                account.unanswered()
            return
        now_s = self._clock.monotonic_s()
        for account, ask, reply in zip(accounts, asks, replies, strict=True):
            if reply is None:
                self._strange[account] = None
                self._has_strange.set()
            else:
                account.answered(ask, reply, now_s=now_s)

    def _key(self, account: LeasedAccount, wall_s: float) -> str:
        account.turn(wall_s)
        start_s = None if account.window is None else account.window.start_s
        return key_of(account.rule, account.bucket, start_s)

    async def _learn_forever(self) -> None:
        """Tell the store of budgets that it does not know: new ones, or all after it was emptied."""
        while True:
            await self._has_strange.wait()
            self._has_strange.clear()
            while self._strange:
                account, _ = self._strange.popitem()
                await self._learn(account)

    async def _learn(self, account: LeasedAccount) -> None:
        window = account.window
        if window is None:
            return
        try:
            spent = await self._spending.spent(account.rule, account.bucket, window)
            key = key_of(account.rule, account.bucket, window.start_s)
            await self._store.seed(key, spent, ends_s=window.end_s)
        except Unavailable as error:
            log.warning("limit %s: %s", account.rule.name, error)
            account.is_strange(self._clock.monotonic_s() + _STRANGE_S)
        except FAILURES as error:
            self._is_away("seed", error)
            account.unanswered()
        else:
            account.is_asked = False
            self.note(account)

    def _is_away(self, operation: str, error: Exception) -> None:
        metrics.LIMITS_STORE_ERRORS.labels(operation).inc()
        if self._state.is_away:
            return
        self._state.is_away = True
        metrics.LIMITS_STORE_STATE.set(0)
        log.warning("the limits' store is away: each limit goes by its policy", extra={"reason": repr(error)})
        for account in self._live:
            account.unanswered()

    def _is_back(self, gateways: int) -> None:
        if gateways != self._state.gateways:
            self._state.gateways = gateways
            self._keep(gateways)
        metrics.LIMITS_GATEWAYS.set(gateways)
        metrics.LIMITS_STORE_STATE.set(1)
        if self._state.is_away:
            self._state.is_away = False
            log.info("the limits' store is back", extra={"gateways": gateways})
            for account in self._live:
                self.note(account)

    async def _give_all_back(self) -> None:
        for account in self._live:
            account.is_retired = True
        accounts = list(self._live)
        for at in range(0, 0 if self._state.is_away else len(accounts), _TOGETHER):
            await self._lease(accounts[at : at + _TOGETHER])
        try:
            await self._store.goodbye()
        except FAILURES as error:
            log.info("the limits' store was not told of the end", extra={"reason": repr(error)})
