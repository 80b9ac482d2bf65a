"""One bucket of one limit, as this gateway holds it: what it may spend, and what it has spent."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from services.gateway import metrics
from services.gateway.domain.limit_ledger import Demand, Ledger, share_of_budget, wanted
from services.gateway.domain.limit_windows import Window, window_of
from services.gateway.domain.rate_limit_fields import Standing
from services.gateway.domain.token_bucket import TokenBucket, share_of_rate
from services.gateway.limits.refusals import LeaseShort, LimitReached, StoreAway
from services.gateway.limits.rules import Bucket, Rule
from services.gateway.limits.terms import LEASE_S, Ask, Due, Reply, StoreState
from slipway.errors import SlipwayError

_OWN_LEASE_S: Final = 9.0  # how long the gateway itself believes in it: others have it only after that
_LOOK_AGAIN_S: Final = 0.1  # where other gateways hold the rest, which they may give back
_SHORT_RETRY_S: Final = 0.1
_NEVER_S: Final = float("inf")


class LeasedAccount:
    """Spends from a lease of what all gateways share."""

    def __init__(
        self,
        rule: Rule,
        bucket: Bucket,
        *,
        state: StoreState,
        due: Due,
        used: Callable[[Rule, Bucket, Window], int],
        wall_s: float,
    ) -> None:
        """Args beyond the obvious: `used` tells what this process has used in a window already."""
        self.rule = rule
        self.bucket = bucket
        self.ledger = Ledger()
        self.window: Window | None = None
        self.is_asked = False  # an answer of the store is due
        self.is_retired = False
        self.asked_s = -_NEVER_S
        self._state = state
        self._due = due
        self._used = used
        self._demand = Demand()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._alone: TokenBucket | None = None
        self._is_alone = False
        self._low = 0
        self._ends_s = _NEVER_S
        self._lease_until_s = -_NEVER_S
        self._empty_until_s = -_NEVER_S
        self._empty_from = 0
        self._strange_until_s = -_NEVER_S
        self._known: Reply | None = None
        self._known_s = 0.0
        self._told = 0
        self._alone_count = metrics.LIMITS_ALONE.labels(rule.name)
        if rule.kind == "budget":
            self._roll(wall_s)

    @property
    def is_idle(self) -> bool:
        """Whether the store needs not hear of it."""
        return not (self.ledger.held or self._waiting or self.ledger.spent != self._told)

    def take(self, amount: int, *, now_s: float, wall_s: float) -> SlipwayError | None:
        """Set units aside, or say why not; LeaseShort where the store has not said no."""
        if amount > self.rule.burst:
            return LimitReached(
                f"limit {self.rule.name!r}: one request asks for {amount}, and at most "
                f"{self.rule.text} may be had: send less at once",
                retry_after_s=None,
            )
        self.turn(wall_s)
        if now_s >= self._lease_until_s and not self._is_alone:
            self.ledger.give_up()
        self._demand.asked += amount
        if self.ledger.take(amount):
            if self.ledger.left <= self._low and not self.is_asked:
                self._due.note(self)
            if self._is_alone:
                self._alone_count.inc()
            return None
        if self._state.is_away or now_s < self._strange_until_s:
            return self._take_alone(amount, now_s)
        if now_s < self._empty_until_s and amount >= self._empty_from:
            return self._reached(min(self._empty_until_s - now_s, self._ends_s - wall_s))
        return LeaseShort(
            f"limit {self.rule.name!r} ({self.rule.text}) could not be checked in time; try again",
            account=self,
            amount=amount,
            retry_after_s=_SHORT_RETRY_S,
        )

    def turn(self, wall_s: float) -> None:
        """Begin a new window where the last one has ended."""
        if wall_s >= self._ends_s:
            self._roll(wall_s)

    async def wait(self, amount: int, *, timeout_s: float) -> None:
        """Return when a lease may be there, or the time is over."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, future))
        self._due.note(self)
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return
        finally:
            future.cancel()

    def wake(self, *, everybody: bool) -> None:
        """Let those try again for whom there is enough."""
        room = self.ledger.left
        while self._waiting:
            amount, future = self._waiting[0]
            if not future.done():
                if amount > room and not everybody:
                    # After those who were woken have taken theirs: it is not there for the others any more.
                    asyncio.get_running_loop().call_soon(self._due.note, self)
                    return
                room -= amount
                future.set_result(None)
            self._waiting.popleft()

    def ask(self, key: str, *, now_s: float, wall_s: float) -> Ask:
        """What to tell the store now."""
        self.turn(wall_s)
        if self._is_alone or now_s >= self._lease_until_s:
            self.ledger.give_up()
        self._is_alone, self._alone = False, None
        if now_s - self.asked_s >= _LOOK_AGAIN_S:
            self._demand.measure(min(now_s - self.asked_s, LEASE_S))
        self.asked_s = now_s
        self.is_asked = True
        waiting = [amount for amount, future in self._waiting if not future.done()]
        need = waiting[0] if waiting else 0
        want = 0 if self.is_retired else self._wanted(sum(waiting), need)
        self._low = want // 2
        given = self.ledger.give_up(keep=want) if self.ledger.left > 2 * want else 0
        left = self.ledger.left
        return Ask(
            rule=self.rule,
            ledger=self.ledger,
            key=key,
            sent_s=now_s,
            spent=self.ledger.spent,
            held=self.ledger.held,
            want=max(0, want - left),
            need=max(0, need - left),
            given=given,
            ends_s=self._ends_s,
        )

    def answered(self, ask: Ask, reply: Reply, *, now_s: float) -> None:
        """Take the lease."""
        self.is_asked = False
        if ask.ledger is not self.ledger:
            return  # the window ended meanwhile
        self.ledger.left += reply.granted
        self._lease_until_s = ask.sent_s + _OWN_LEASE_S
        self._told = ask.spent
        self._known, self._known_s = reply, now_s
        is_empty = reply.granted < ask.need
        self._empty_until_s = now_s + self._empty_s(ask.need, reply) if is_empty else -_NEVER_S
        self._empty_from = ask.need + ask.held
        self.wake(everybody=is_empty)

    def unanswered(self) -> None:
        """The store did not say anything."""
        self.is_asked = False
        self.wake(everybody=True)

    def is_strange(self, until_s: float) -> None:
        """The store does not know the account, and nobody else can say what was spent: as if it were away."""
        self._strange_until_s = until_s
        self.unanswered()

    def left(self, now_s: float) -> float:
        """What is left for everybody, as far as this gateway knows."""
        if self.rule.kind == "rate":
            if self._known is None:
                return self.rule.burst
            filled = self._known.left + self.rule.per_s * (now_s - self._known_s)
            return min(float(self.rule.burst), filled + self.ledger.left)
        known = self._known.left if self._known is not None else self.rule.value - self._told
        return known - (self.ledger.spent - self._told) - self.ledger.taken

    def standing(self, now_s: float, wall_s: float) -> Standing:
        """As told to callers."""
        left = self.left(now_s)
        reset_s = self._ends_s - wall_s
        if self.rule.kind == "rate":
            reset_s = (self.rule.burst - left) / self.rule.per_s
        return Standing(
            policy=self.rule.policy, name=self.rule.name, left=int(left), reset_s=max(0.0, reset_s)
        )

    def _wanted(self, waiting: int, need: int) -> int:
        return wanted(self._demand, largest=self.rule.lease, waiting=waiting, need=need)

    def _empty_s(self, need: int, reply: Reply) -> float:
        """For how long the store need not be asked again."""
        if self.rule.kind == "rate":
            return max(0.001, (need - reply.left) / self.rule.per_s)
        return _NEVER_S if reply.left < need else _LOOK_AGAIN_S

    def _reached(self, wait_s: float) -> LimitReached:
        message = f"limit {self.rule.name!r} is reached: {self.rule.text}; try again in {wait_s:.3f} s"
        return LimitReached(message, retry_after_s=wait_s)

    def _take_alone(self, amount: int, now_s: float) -> SlipwayError | None:
        """By the policy for a store that is away."""
        if self.rule.refuses_alone:
            return StoreAway(
                f"limit {self.rule.name!r} cannot be checked while its store is away, and its policy is to "
                "refuse then; try again later",
                retry_after_s=1.0,
            )
        if self.rule.kind == "rate":
            if self._alone is None:
                self._alone = share_of_rate(
                    self.rule.per_s, self.rule.burst, gateways=self._state.gateways, now_s=now_s
                )
                self._is_alone = True
            if not self._alone.take(amount, now_s=now_s):
                return self._reached(self._alone.wait_s(amount, now_s=now_s))
            self.ledger.taken += amount
        else:
            if not self._is_alone:
                self._is_alone = True
                spent = self.rule.value - int(self.left(now_s))
                self.ledger.left += share_of_budget(self.rule.value, spent, self._state.gateways)
            if not self.ledger.take(amount):
                return self._reached(1.0)
        self._alone_count.inc()
        self._due.note(self)
        return None

    def _roll(self, wall_s: float) -> None:
        """Begin the window that a moment lies in."""
        per: Literal["day", "month"] = "day" if self.rule.per == "day" else "month"
        self.window = window_of(wall_s, per)
        self._ends_s = self.window.end_s
        self.ledger = Ledger(spent=self._used(self.rule, self.bucket, self.window))
        self._told = self.ledger.spent
        self._known, self._is_alone = None, False
        self._lease_until_s = self._empty_until_s = -_NEVER_S
