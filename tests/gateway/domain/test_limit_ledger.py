import pytest

from services.gateway.domain.limit_ledger import (
    Demand,
    Ledger,
    largest_lease,
    share_of_budget,
    wanted,
)


def test_a_request_takes_and_what_it_used_is_spent() -> None:
    ledger = Ledger(left=10)
    assert ledger.take(4)
    assert (ledger.left, ledger.taken, ledger.held) == (6, 4, 10)
    ledger.settle(4, used=3)
    assert (ledger.left, ledger.taken, ledger.spent) == (7, 0, 3)


def test_too_little_is_not_taken() -> None:
    ledger = Ledger(left=3)
    assert not ledger.take(4)
    assert ledger == Ledger(left=3)


def test_who_used_more_than_he_took_leaves_a_debt() -> None:
    ledger = Ledger(left=1)
    assert ledger.take(1)
    ledger.settle(1, used=5)
    assert ledger == Ledger(left=-4, spent=5)
    ledger.charge(2)
    assert ledger == Ledger(left=-6, spent=7)


def test_what_is_not_wanted_is_given_up() -> None:
    ledger = Ledger(left=10, taken=2)
    assert ledger.give_up(keep=4) == 6
    assert ledger.give_up(keep=9) == 0
    assert ledger.give_up() == 4
    assert ledger.held == 2


def test_demand_follows_what_is_asked_and_ends_where_nobody_asks() -> None:
    demand = Demand(asked=100)
    demand.measure(1.0)
    first = demand.per_s
    demand.asked = 100
    demand.measure(0.0)
    assert 0 < first < 100
    assert demand.per_s == first
    demand.measure(1.0)
    assert first < demand.per_s < 100
    demand.measure(1.0)
    assert demand.per_s == 0


@pytest.mark.parametrize(
    ("value", "is_budget", "lease"), [(1000, True, 10), (1000, False, 100), (5, True, 1)]
)
def test_a_lease_is_a_part_of_its_limit(value: int, is_budget: bool, lease: int) -> None:
    assert largest_lease(value, is_budget=is_budget) == lease


def test_wanted_is_what_half_a_second_takes_and_never_less_than_the_first_one_waits_for() -> None:
    assert wanted(Demand(per_s=8), largest=10, waiting=0, need=0) == 4
    assert wanted(Demand(per_s=80), largest=10, waiting=5, need=5) == 10
    assert wanted(Demand(), largest=10, waiting=50, need=50) == 50
    assert wanted(Demand(), largest=10, waiting=0, need=0) == 0


def test_gateways_share_what_was_left() -> None:
    assert share_of_budget(100, 40, 3) == 20
    assert share_of_budget(100, 140, 3) == 0
    assert share_of_budget(100, 0, 0) == 100
