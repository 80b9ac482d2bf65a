"""`slipway keys ...` against a small KeyAdmin."""

import json
from typing import Any

import pytest

from slipway.cli.keys import seconds_of
from slipway.errors import InvalidInput
from tests.cli.stand_in import Rollout, run


def test_a_key_is_printed_alone_so_that_a_program_can_take_it(rollout: Rollout) -> None:
    done = run("keys", "create", "anna", "--role", "owner", "--role", "risk", "--expires-in", "90d")
    assert done.stdout == "slk_k2_secret\n"
    assert "owner, risk" in done.stderr
    assert "until 2027-01-15" in done.stderr
    assert "not shown again" in done.stderr.replace("\n", "")
    asked = rollout.asked[0]
    assert (asked.principal, list(asked.roles), asked.ttl_s) == ("anna", ["owner", "risk"], 90 * 86400)


def test_a_key_without_words_is_for_an_application_and_does_not_expire(rollout: Rollout) -> None:
    answer = json.loads(run("keys", "create", "shop", "--json").stdout)
    assert (answer["key"], answer["roles"], answer["expires_at"]) == ("slk_k2_secret", ["app"], None)
    assert (list(rollout.asked[0].roles), rollout.asked[0].ttl_s) == ([], 0)


@pytest.mark.parametrize(
    ("overlap", "overlap_s"), [([], 86400), (["--overlap", "30m"], 1800), (["--overlap", "0"], 0)]
)
def test_a_rotated_key_overlaps_with_its_successor(rollout: Rollout, overlap: Any, overlap_s: float) -> None:
    done = run("keys", "rotate", "k1", *overlap)
    assert (done.exit_code, done.stdout) == (0, "slk_k3_secret\n")
    assert (rollout.asked[0].key_id, rollout.asked[0].overlap_s) == ("k1", overlap_s)


def test_keys_are_listed_with_their_roles(rollout: Rollout) -> None:
    listed = json.loads(run("keys", "list", "--json").output)
    assert [(one["principal"], one["roles"], one["revoked_at"] is None) for one in listed] == [
        ("anna", ["owner"], True),
        ("bob", ["risk"], False),
    ]
    assert "anna" in run("keys", "list").output


def test_who_is_revoked_is_named(rollout: Rollout) -> None:
    assert run("keys", "revoke", "k2").output == "Key k2 of anna is revoked.\n"
    assert rollout.asked[0].key_id == "k2"


def test_an_administrators_own_key_is_what_he_calls_with(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_OPERATOR_TOKEN", "slk_mine")
    run("keys", "create", "shop")
    assert rollout.tokens == ["Bearer slk_mine"]


@pytest.mark.parametrize("verb", ["create", "rotate", "list", "revoke"])
def test_the_help_of_each_verb_has_an_example(verb: str) -> None:
    assert f"slipway keys {verb}" in run("keys", verb, "--help").output


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("30m", 1800), ("24h", 86400), ("90d", 7776000)])
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0d", "-1d", "1.5h", "1w", "1 d", "1d\n"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a duration"):
        seconds_of(text)
