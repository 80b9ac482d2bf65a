"""A user's own cases."""

import pytest

from slipway.errors import InvalidInput
from slipway.policy.cases import run_cases
from slipway.policy.rules import read_rules

RULES = read_rules({})
FILE = "policies/own.cases.yaml"


def run(text: str) -> list[tuple[int, bool]]:
    return [(o.line, o.is_as_expected) for o in run_cases(RULES, {FILE: text.encode()})]


def test_each_case_is_put_to_the_policies_and_knows_its_line() -> None:
    text = """cases:
  - {roles: [viewer], action: read, model: m, expect: allow}
  # other tenants
  - {roles: [admin], tenant: shop, of_tenant: mall, action: read, model: m, expect: deny}
  - principal: anna
    roles: [owner]
    action: approve
    model: m
    version: "3"
    trained_by: [anna]
    expect: allow
"""
    assert run(text) == [(2, True), (4, True), (5, False)]


def test_a_policy_that_fails_is_as_nobody_expects() -> None:
    assert run("cases: [{action: approve, expect: deny}]") == [(1, False)]  # there is no approval of a tenant


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("cases: [{action: read, expect: maybe}]", "line 1: cases.0.expect"),
        ("cases:\n  - {action: read, expect: allow, role: [x]}", "line 2: cases.0.role"),
        ("cases:\n  - {action: fly, expect: deny}", "line 2: no action 'fly'"),
        ("cases: []", "line 1: cases"),
        ("cases: [", "not YAML"),
    ],
)
def test_what_is_no_case_is_told_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=r"own\.cases\.yaml") as refusal:
        run(text)
    assert problem in str(refusal.value)


def test_other_files_are_not_read() -> None:
    assert run_cases(RULES, {"policies/own.cedar": b"cases: ["}) == []
