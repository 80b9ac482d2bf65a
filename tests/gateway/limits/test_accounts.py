"""Leases, by several gateways at once: never more than the limit and what those had that were killed."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.limits.accounts import LeasedAccount
from services.gateway.limits.terms import StoreState
from services.gateway.limits.usage import Usage
from tests.gateway.limits.stand_in import Due, Store, rule

LIMIT = 200
RULE = rule(f"{{name: b, budget: {{requests: {LIMIT}, per: day}}}}")
START_S = 86_400 * 20_000.0


@dataclass
class Holder:
    name: str
    account: LeasedAccount
    taken: list[int] = field(default_factory=list)


class World:
    """Gateways that come, spend, and go, with a store that is always there."""

    def __init__(self) -> None:
        self.store, self.now_s, self.used, self.lost, self.born = Store(), START_S, 0, 0, 0
        self.store.gateways = 2
        self.holders = [self.new_holder(), self.new_holder()]
        self.killed = 0

    def new_holder(self) -> Holder:
        self.born += 1
        account = LeasedAccount(
            RULE,
            (None, None, None),
            state=StoreState(gateways=2),
            due=Due(),
            used=Usage().used,
            wall_s=self.now_s,
        )
        return Holder(f"g{self.born}", account)

    def sync(self, at: int) -> None:
        holder = self.holders[at]
        ask = holder.account.ask("key", now_s=self.now_s, wall_s=self.now_s)
        reply = self.store.lease(ask, holder=holder.name, now_s=self.now_s)
        if reply is None:
            self.store.seed("key", {})
            holder.account.is_asked = False
            return self.sync(at)
        return holder.account.answered(ask, reply, now_s=self.now_s)

    def spend(self, at: int, amount: int) -> None:
        holder = self.holders[at]
        if holder.account.take(amount, now_s=self.now_s, wall_s=self.now_s) is None:
            holder.taken.append(amount)

    def settle(self, at: int, *, is_used: bool) -> None:
        holder = self.holders[at]
        if holder.taken:
            amount = holder.taken.pop()
            holder.account.ledger.settle(amount, used=amount if is_used else 0)
            self.used += amount if is_used else 0

    def kill(self, at: int) -> None:
        self.killed += 1
        self.holders[at] = self.new_holder()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sync", "spend", "settle", "release", "kill", "wait"]),
            st.integers(0, 1),
            st.integers(1, 5),
        ),
        max_size=400,
    )
)
@settings(max_examples=60, deadline=None)
def test_never_above_the_limit_and_one_lease_for_each_that_was_killed(
    steps: list[tuple[str, int, int]],
) -> None:
    world = World()
    for what, at, amount in steps:
        if what == "sync":
            world.sync(at)
        elif what == "spend":
            world.spend(at, amount)
        elif what in ("settle", "release"):
            world.settle(at, is_used=what == "settle")
        elif what == "kill":
            world.kill(at)
        else:
            world.now_s += amount * 2.0
    assert world.used <= LIMIT + world.killed * RULE.lease


def test_all_of_a_limit_can_be_spent_where_others_hold_nothing() -> None:
    world = World()
    for _ in range(LIMIT):
        world.spend(0, 1)
        world.settle(0, is_used=True)
        world.sync(0)
        world.now_s += 0.01
    for _ in range(LIMIT):
        world.now_s += 0.2
        world.sync(0)
        world.spend(0, 1)
        world.settle(0, is_used=True)
    assert world.used >= LIMIT - 1


def test_an_idle_gateway_gives_its_lease_back() -> None:
    world = World()
    for _ in range(5):
        world.spend(0, 1)
    world.sync(0)
    world.now_s += 1.0
    world.sync(0)
    world.now_s += 1.0
    world.sync(0)
    assert world.holders[0].account.ledger.held == 0
    assert world.holders[0].account.is_idle


def test_a_gateway_that_stood_still_does_not_spend_what_others_have_by_now() -> None:
    world = World()
    for _ in range(50):
        world.spend(0, 1)
    world.sync(0)
    world.sync(0)
    assert world.holders[0].account.ledger.left > 0
    world.now_s += 9.5
    world.spend(0, 1)
    assert world.holders[0].taken == []
