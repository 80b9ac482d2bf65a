"""Limits as requests meet them: what is set aside, what is counted, what is refused."""

from functools import partial

import pytest

from services.gateway.limits.accounts import LeasedAccount
from services.gateway.limits.limits import WAIT_S, Limits
from services.gateway.limits.refusals import LeaseShort, LimitReached, StoreAway
from services.gateway.limits.rules import read_rules
from services.gateway.limits.terms import StoreState
from services.gateway.limits.usage import Usage
from slipway.clock import ManualClock
from slipway.errors import InvalidInput
from slipway.limits_file import FILE
from slipway.rpc import retry_metadata
from slipway.web import retry_headers
from tests.gateway.limits.stand_in import ANNA, BERT, Due, limits_of

CAP = "limits: [{name: cap, match: {principal: '*'}, concurrency: 1}]"


def spent(usage: Usage, limits: Limits) -> list[int]:
    """Of each row: requests, rows, millionths."""
    rows = usage.take_dirty(10)
    return [number for row in rows for number in (row.requests, row.rows, row.cost)]


def test_without_limits_usage_is_still_counted() -> None:
    usage = Usage()
    limits = limits_of(usage=usage)
    reservation = limits.reserve(ANNA, "m", rows=3)
    assert usage.unsettled == 0
    reservation.settle()
    assert reservation.fields() == ()
    assert spent(usage, limits) == [1, 3, 0]


def test_each_caller_has_a_cap_of_his_own_and_it_is_free_again_after_every_end() -> None:
    limits = limits_of(CAP)
    first = limits.reserve(ANNA, "m", rows=1)
    with pytest.raises(LimitReached, match="'cap': 1 at once"):
        limits.reserve(ANNA, "m", rows=1)
    limits.reserve(BERT, "m", rows=1).settle()
    first.release()
    first.settle()
    second = limits.reserve(ANNA, "m", rows=1)
    second.settle()
    second.release()
    assert limits.reserve(ANNA, "m", rows=1).fields() == (
        ("ratelimit-policy", '"cap";q=1;qu="concurrent-requests"'),
        ("ratelimit", '"cap";r=0'),
    )


def test_a_refusal_gives_back_what_other_limits_had_set_aside() -> None:
    limits = limits_of(
        "limits: [{name: all, concurrency: 2}, {name: one, match: {principal: '*'}, concurrency: 1}]"
    )
    limits.reserve(ANNA, "m", rows=1)
    with pytest.raises(LimitReached, match="'one'"):
        limits.reserve(ANNA, "m", rows=1)
    limits.reserve(BERT, "m", rows=1)


def test_a_refusal_tells_the_limit_what_is_left_and_when_to_come_again() -> None:
    limits = limits_of(CAP)
    limits.reserve(ANNA, "m", rows=1)
    with pytest.raises(LimitReached) as caught:
        limits.reserve(ANNA, "m", rows=1)
    assert dict(retry_metadata(caught.value))["ratelimit"] == '"cap";r=0'
    assert retry_headers(caught.value) == {
        "retry-after": "1",
        "ratelimit-policy": '"cap";q=1;qu="concurrent-requests"',
        "ratelimit": '"cap";r=0',
    }


def test_a_changed_file_counts_at_once_and_what_stays_goes_on() -> None:
    limits = limits_of(CAP)
    limits.reserve(ANNA, "m", rows=1)
    limits._files.current = limits_of(CAP.replace("]", ", {name: new, concurrency: 5}]")).rules
    with pytest.raises(LimitReached, match="'cap'"):
        limits.reserve(ANNA, "m", rows=1)
    limits._files.current = limits_of().rules
    limits.reserve(ANNA, "m", rows=1)
    assert not limits.accounts


def test_rates_and_budgets_without_redis_are_refused_at_the_start() -> None:
    files = {FILE: b"limits: [{name: a, rate: {requests: 1, per: second}}]"}
    assert read_rules(files, has_store=True).limits
    with pytest.raises(InvalidInput, match="SLIPWAY_REDIS_URL"):
        read_rules(files, has_store=False)
    assert read_rules({FILE: CAP.encode()}, has_store=False).limits


RATE = "limits: [{name: r, match: {principal: '*'}, rate: {requests: 10, per: second, burst: 4}%s}]"


async def test_without_a_lease_a_request_waits_a_moment_and_is_then_refused() -> None:
    limits = limits_of(RATE % "")
    due = Due()
    limits.lease_by(due)
    with pytest.raises(LeaseShort):
        await limits.patiently(partial(limits.reserve, ANNA, "m", rows=1))
    assert due.noted
    assert WAIT_S < 1


def test_while_the_store_is_away_a_rate_is_this_gateways_share() -> None:
    clock = ManualClock()
    limits = limits_of(RATE % "", clock=clock, state=StoreState(is_away=True, gateways=2))
    limits.lease_by(Due())
    for _ in range(2):
        limits.reserve(ANNA, "m", rows=1).settle()
    with pytest.raises(LimitReached, match=r"try again in 0\.200 s"):
        limits.reserve(ANNA, "m", rows=1)
    clock.advance(0.2)
    limits.reserve(ANNA, "m", rows=1).settle()


def test_while_the_store_is_away_a_budget_is_this_gateways_share() -> None:
    text = "limits: [{name: b, budget: {rows: 100, per: day}}]"
    limits = limits_of(text, state=StoreState(is_away=True, gateways=2))
    limits.lease_by(Due())
    limits.reserve(ANNA, "m", rows=30).settle()
    with pytest.raises(LimitReached, match="'b'"):
        limits.reserve(ANNA, "m", rows=30)
    limits.reserve(ANNA, "m", rows=20).settle()


def test_a_limit_may_refuse_while_its_store_is_away() -> None:
    limits = limits_of(RATE % ", when_store_is_away: refuse", state=StoreState(is_away=True))
    limits.lease_by(Due())
    with pytest.raises(StoreAway, match="policy is to refuse"):
        limits.reserve(ANNA, "m", rows=1)


def test_more_at_once_than_a_limit_ever_allows_is_said_to_be_that() -> None:
    limits = limits_of("limits: [{name: r, rate: {rows: 10, per: second}}]")
    with pytest.raises(LimitReached, match="send less at once") as caught:
        limits.reserve(ANNA, "m", rows=11)
    assert caught.value.retry_after_s is None


def test_costs_are_expected_by_what_rows_took_before_and_settled_by_what_they_took() -> None:
    text = "prices: {per_compute_second: 1}\nlimits: [{name: c, budget: {cost: 100, per: day}}]"
    usage = Usage()
    limits = limits_of(text, usage=usage, state=StoreState(is_away=True))
    limits.lease_by(Due())
    limits.reserve(ANNA, "m", rows=10).settle(compute_s=20)
    (account,) = limits.accounts.values()
    assert isinstance(account, LeasedAccount)
    assert account.ledger.spent == 20_000_000
    limits.reserve(ANNA, "m", rows=10)
    assert account.ledger.taken == 2_000_000
    assert spent(usage, limits) == [1, 10, 20_000_000]


def test_a_day_that_ends_under_a_request_counts_it_in_the_next() -> None:
    clock = ManualClock(86_400 * 20_000 - 1.0)
    usage = Usage()
    text = "limits: [{name: b, budget: {requests: 10, per: day}}]"
    limits = limits_of(text, clock=clock, usage=usage, state=StoreState(is_away=True))
    limits.lease_by(Due())
    first, second = (limits.reserve(ANNA, "m", rows=1) for _ in range(2))
    first.settle()
    (account,) = limits.accounts.values()
    clock.advance(2)
    limits.reserve(ANNA, "m", rows=1)
    assert (account.ledger.spent, account.ledger.taken) == (0, 1)
    second.settle()
    assert account.ledger.spent == 1
    assert [row.requests for row in usage.take_dirty(5)] == [1, 1]


@pytest.mark.parametrize(
    ("match", "same"),
    [("{}", True), ("{tenant: retail}", True), ("{principal: '*'}", False), ("{principal: anna}", False)],
)
def test_a_match_says_who_shares(match: str, *, same: bool) -> None:
    limits = limits_of(f"limits: [{{name: cap, match: {match}, concurrency: 1}}]")
    limits.reserve(ANNA, "m", rows=1)
    if same:
        with pytest.raises(LimitReached):
            limits.reserve(BERT, "m", rows=1)
    else:
        limits.reserve(BERT, "m", rows=1)
