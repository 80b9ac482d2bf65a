"""`slipway operators ...` against a small OperatorAdmin."""

import json

import pytest

from tests.cli.stand_in import Rollout, run


def test_a_token_is_printed_alone_so_that_a_program_can_take_it(rollout: Rollout) -> None:
    done = run("operators", "add", "anna", "--role", "owner", "--role", "risk")
    assert done.stdout == "slo_secret\n"
    assert "not shown again" in done.stderr
    assert (rollout.asked[0].name, list(rollout.asked[0].roles)) == ("anna", ["owner", "risk"])


def test_operators_are_listed_with_their_roles(rollout: Rollout) -> None:
    listed = json.loads(run("operators", "list", "--json").output)
    assert [(one["name"], one["roles"], one["revoked_at"] is None) for one in listed] == [
        ("anna", ["owner"], True),
        ("bob", ["risk"], False),
    ]
    assert "anna" in run("operators", "list").output


def test_who_is_revoked_is_named(rollout: Rollout) -> None:
    assert run("operators", "revoke", "anna").output == "The token of anna is revoked.\n"
    assert rollout.asked[0].name == "anna"


@pytest.mark.parametrize("verb", ["add", "list", "revoke"])
def test_the_help_of_each_verb_has_an_example(verb: str) -> None:
    assert f"slipway operators {verb}" in run("operators", verb, "--help").output
