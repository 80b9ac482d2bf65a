from datetime import date

import pytest

from services.gateway.domain.limit_prices import Used
from services.gateway.domain.limit_windows import window_of
from services.gateway.limits import usage as module
from services.gateway.limits.rules import Asker
from services.gateway.limits.usage import Usage
from tests.gateway.limits.stand_in import rule

TODAY, BEFORE = date(2026, 11, 22), date(2026, 10, 30)
MONTH = window_of(1_795_348_800.0, "month")  # 2026-11-22
ROWS = rule("{name: b, match: {principal: '*'}, budget: {rows: 100, per: month}}")


def asker(principal: str) -> Asker:
    return Asker(counts="predictions", tenant="retail", principal=principal, model="m")


def test_what_was_used_of_a_bucket_is_summed_over_its_window() -> None:
    usage = Usage()
    counted = ((TODAY, "anna", 3), (TODAY, "anna", 4), (TODAY, "bert", 9), (BEFORE, "anna", 50))
    for day, principal, rows in counted:
        usage.add(usage.row(day, asker(principal)), Used(rows=rows))
    assert usage.used(ROWS, ("retail", "anna", None), MONTH) == 7
    assert usage.used(ROWS, ("retail", None, None), MONTH) == 16


def test_what_could_not_be_written_is_written_later_with_what_came_since() -> None:
    usage = Usage()
    row = usage.row(TODAY, asker("anna"))
    usage.add(row, Used(rows=1))
    taken = usage.take_dirty(5)
    assert usage.unsettled == 0
    usage.add(row, Used(rows=2))
    usage.give_back(taken)
    assert [(row.requests, row.rows) for row in usage.take_dirty(5)] == [(2, 3)]


def test_beyond_the_bound_old_rows_go_and_then_further_callers_share_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    usage = Usage()
    usage.row(BEFORE, asker("anna"))
    usage.add(usage.row(TODAY, asker("anna")), Used())
    usage.add(usage.row(TODAY, asker("bert")), Used())
    assert usage.row(TODAY, asker("carl")) is usage.row(TODAY, asker("dora"))
    assert usage.unsettled == 2
