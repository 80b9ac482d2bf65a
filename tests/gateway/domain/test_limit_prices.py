from services.gateway.domain.limit_prices import Used, costs_of
from slipway.limits_file import Prices, PriceTable


def test_a_request_costs_what_its_parts_cost() -> None:
    costs = costs_of(PriceTable(per_request=0.1, per_row=0.01, per_compute_second=2, per_1000_tokens=0.5))
    assert costs.has_any
    assert costs.micros("m", rows=3, tokens=200, compute_s=0.5) == 100_000 + 30_000 + 1_000_000 + 100_000
    assert costs.micros("m", rows=0, tokens=0, compute_s=1e-9) == 100_001


def test_a_model_has_prices_of_its_own() -> None:
    costs = costs_of(PriceTable(per_row=1.0, models={"cheap": Prices()}))
    assert costs.micros("cheap", rows=9, tokens=0, compute_s=9) == 0
    assert costs.micros("dear", rows=1, tokens=0, compute_s=9) == 1_000_000


def test_a_table_without_prices_is_free() -> None:
    assert not costs_of(PriceTable()).has_any
    assert costs_of(PriceTable(models={"m": Prices(per_row=1)})).has_any


def test_what_was_used_is_known_in_each_unit() -> None:
    used = Used(rows=2, tokens=3, cost=4)
    assert [used.of(unit) for unit in ("requests", "rows", "tokens", "cost")] == [1, 2, 3, 4]
