import pytest

from slipway.errors import InvalidInput
from slipway.limits_file import parse

WHOLE = """
prices: {per_request: 0.001, models: {big: {per_row: 1}}}
limits:
  - name: each-app
    match: {principal: "*"}
    rate: {requests: 50, per: second, burst: 100}
  - name: retail-month
    match: {tenant: retail}
    budget: {cost: 500, per: month}
    when_store_is_away: refuse
  - name: fraud-cap
    match: {principal: "*", model: fraud}
    concurrency: 8
  - name: labels
    counts: feedback
    rate: {rows: 100, per: minute}
"""


def test_reads_rates_budgets_and_caps() -> None:
    file = parse(WHOLE)
    assert [(limit.kind, limit.unit, limit.value) for limit in file.limits] == [
        ("rate", "requests", 50),
        ("budget", "cost", 500_000_000),
        ("concurrency", "requests", 8),
        ("rate", "rows", 100),
    ]


def test_an_empty_file_limits_nothing() -> None:
    assert parse(" \n").limits == ()


def test_tokens_may_be_limited_where_models_count_them() -> None:
    text = "prices: {per_1000_tokens: 1}\nlimits: [{name: a, rate: {tokens: 5, per: minute}}]"
    assert parse(text, has_tokens=True).limits[0].unit == "tokens"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a", "line 1: must be a mapping"),
        ("limit: []", "line 1: limit: unknown key; is it `limits`"),
        ("zzz: []", "unknown key; known are prices, limits"),
        ("limits:\n- {nam: a, concurrency: 1}", "line 2: limits.0.nam: unknown key; is it `name`"),
        ("prices: {models: {m: {per_rows: 1}}}", "is it `per_row`"),
        ("limits: [{name: a, rate: {requests: 1}}]", "rate.per: this key is required"),
        ("limits: [{name: a, rate: {requests: 0, per: second}}]", "greater than or equal to 1, not 0"),
        ("limits: [{name: a, match: {tenant: 5}, concurrency: 1}]", "put 5 in quotes"),
        (
            "limits:\n- {name: a, concurrency: 1}\n- {name: a, concurrency: 1}",
            "line 3: .*is listed twice",
        ),
        ("limits: [{name: a}]", "exactly one of rate, budget, concurrency, not none"),
        ("limits: [{name: a, concurrency: 1, rate: {rows: 1, per: second}}]", "not rate, concurrency"),
        ("limits: [{name: a, budget: {per: day}}]", "requests, rows, tokens, cost, not none"),
        ("limits: [{name: a, rate: {requests: 1, rows: 1, per: second}}]", "not requests, rows"),
        ("limits: [{name: a, rate: {tokens: 1, per: second}}]", "no model here counts tokens"),
        ("prices: {models: {m: {per_1000_tokens: 1}}}", "no model here counts tokens"),
        ("limits: [{name: a, budget: {cost: 1, per: day}}]", "nothing has a price"),
        (
            "prices: {per_row: 1, models: {m: {}}}\n"
            "limits: [{name: a, match: {model: m}, budget: {cost: 1, per: day}}]",
            "line 2: .*nothing has a price",
        ),
        ("limits: [{name: a, counts: jobs, concurrency: 1}]", "jobs are taken at once"),
        (
            "limits: [{name: a, counts: feedback, match: {model: m}, rate: {rows: 1, per: second}}]",
            "leave the model out",
        ),
        (
            "prices: {per_row: 1}\nlimits: [{name: a, counts: jobs, budget: {cost: 1, per: day}}]",
            "jobs are counted in requests and rows",
        ),
        ("limits: [{name: a, concurrency: 1, when_store_is_away: refuse}]", "asks no store"),
    ],
)
def test_says_line_key_and_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        parse(text)
