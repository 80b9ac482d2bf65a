"""`slipway suspects ...`, and the line of `slipway status MODEL`, against a small QueryWatch."""

import json
from pathlib import Path

from tests.cli.stand_in import Rollout, run


def test_suspects_are_listed_with_their_evidence(rollout: Rollout) -> None:
    shown = " ".join(run("suspects", "list").output.split())
    assert "thief" in shown
    [alarm] = json.loads(run("suspects", "list", "m", "--json").output)
    assert (alarm["alarm_id"], alarm["principal"], alarm["signal"]) == ("a1", "thief", "new_ground")
    assert alarm["evidence"] == "28 of 29 new rows (97%) lie apart"


def test_where_nobody_is_suspected_it_says_so(rollout: Rollout) -> None:
    assert "nobody is suspected" in run("suspects", "list", "other").output


def test_a_suspicion_is_cleared_with_a_reason_and_ones_own_key(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "anna.key").write_text("slk_anna_secret")
    token = ("--operator-token-file", str(tmp_path / "anna.key"))
    done = run("suspects", "clear", "m", "a1", "--reason", "a stress test", *token)
    assert "thief is no longer suspected of copying m" in done.output
    [asked] = rollout.asked
    assert (asked.model, asked.alarm_id, asked.reason) == ("m", "a1", "a stress test")
    assert rollout.tokens == ["Bearer slk_anna_secret"]


def test_clearing_without_a_reason_is_refused(rollout: Rollout) -> None:
    assert run("suspects", "clear", "m", "a1").exit_code == 2
    assert rollout.asked == []


def test_the_status_of_a_model_names_its_suspects(rollout: Rollout) -> None:
    shown = run("status", "m").output
    assert "suspects   thief, by new_ground" in shown
    assert "alarm a1" in shown
    assert json.loads(run("status", "m", "--json").output)["query_watch"]["suspects"][0]["alarm_id"] == "a1"


def test_the_status_of_a_model_with_many_suspects_shows_the_first(rollout: Rollout) -> None:
    rollout.suspects = 9
    shown = run("status", "m").output
    assert shown.count("alarm a1") == 5
    assert "and 4 more" in shown


def test_the_status_of_a_model_without_suspects_says_so(rollout: Rollout) -> None:
    rollout.suspects = 0
    assert "nobody seems to copy the model" in run("status", "m").output
