"""`slipway rollout ...` against a small RolloutControl."""

import json
from pathlib import Path

import pytest

from slipway.cli.main import main
from tests.cli.stand_in import Rollout, run

VERBS = ("start", "status", "watch", "pause", "resume", "promote", "approve", "abort", "rollback", "report")


@pytest.mark.parametrize(
    "command",
    [
        ("rollback", "m"),
        ("abort", "m"),
        ("rollout", "start", "m", "2"),
        ("rollout", "pause", "m"),
        ("rollout", "resume", "m"),
        ("rollout", "promote", "m"),
        ("rollout", "approve", "m"),
        ("rollout", "abort", "m"),
        ("rollout", "rollback", "m"),
    ],
)
def test_each_verb_says_who_and_why(rollout: Rollout, command: tuple[str, ...]) -> None:
    done = run(*command, "--reason", "because", "--json")
    assert json.loads(done.output)["state"] == "CANARY"
    assert [(a.actor, a.reason) for a in rollout.asked] == [("operator", "because")]
    assert "canary at 5 %" in run(*command).output


def test_rivals_go_with_the_start(rollout: Rollout) -> None:
    assert run("rollout", "start", "m", "12", "--rival", "13", "--rival", "14").exit_code == 0
    assert (rollout.asked[0].version, list(rollout.asked[0].rivals)) == ("12", ["13", "14"])


def test_the_status_says_it_in_words_then_by_rule(rollout: Rollout) -> None:
    output = run("rollout", "status", "m").output
    words = output.index("canary at 5 %: 41 of 60 rows")
    assert words < output.index("errors")
    for part in (
        "step 1 of 2, canary, next step in 40 s at the earliest; given up in 60 min",
        "closed: waits for the approval of 'owner'",
        "gathering",
        "1,204 of",
        "1.6 of",
        "█",
    ):
        assert part in output, part


def test_the_status_shows_notices_only_where_they_failed(rollout: Rollout) -> None:
    output = " ".join(run("rollout", "status", "m").output.split())
    assert "notice m/2/0 (step) to https://chat.example.com was given up after 12 tries" in output
    assert "the receiver answered 500" in output


def test_the_status_for_programs_has_numbers(rollout: Rollout) -> None:
    plain = json.loads(run("rollout", "status", "m", "--json").output)
    assert plain["step"]["findings"][0]["samples"] == 1204
    assert plain["step"]["findings"][0]["e_harm"] == pytest.approx(1.6487, abs=1e-3)
    assert plain["arms"][0] == {"version": "2", "role": "canary", "weight_ppm": 50_000}
    assert plain["failed_notices"][0]["tries"] == 12


def test_the_list_shows_what_each_rollout_waits_for(rollout: Rollout) -> None:
    assert json.loads(run("rollout", "list", "--json").output) == [
        {
            "model": "m",
            "rollout": "CANARY of version 2",
            "version": "2",
            "share": "5 %",
            "champion": "1",
            "waits_for": "waits for the approval of 'owner'",
        }
    ]
    assert "CANARY of" in run("rollout", "list", "--live").output


def test_a_report_is_three_files(rollout: Rollout, tmp_path: Path) -> None:
    done = run("rollout", "report", "m", "--rollout", "r1", "-o", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert rollout.asked[0].rollout_id == "r1"
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".md", ".png"]
    assert json.loads(run("rollout", "report", "m", "--json").output)["version"] == "2"


def test_an_operators_own_token_goes_to_the_rollout_service(
    rollout: Rollout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("rollout", "approve", "m")
    monkeypatch.setenv("SLIPWAY_OPERATOR_TOKEN", "slk_from_environment")
    run("rollout", "approve", "m")
    (tmp_path / "mine").write_text("slk_from_file\n")
    run("rollout", "approve", "m", "--operator-token-file", str(tmp_path / "mine"))
    assert rollout.tokens == ["Bearer token", "Bearer slk_from_environment", "Bearer slk_from_file"]


def test_a_token_file_that_is_not_there_is_named(
    rollout: Rollout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["slipway", "rollout", "approve", "m", "--operator-token-file", "/nowhere/token"]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit):
        main()
    assert "/nowhere/token" in capsys.readouterr().err


def test_the_secret_of_a_models_notices_is_printed_alone(rollout: Rollout) -> None:
    assert run("rollout", "notice-secret", "m").output == "whsec_m\n"


@pytest.mark.parametrize("verb", [*VERBS, "list", "notice-secret"])
def test_the_help_of_each_verb_has_an_example(verb: str) -> None:
    assert f"slipway rollout {verb}" in run("rollout", verb, "--help").output


def test_the_help_of_the_group_names_every_verb() -> None:
    output = run("rollout", "--help").output
    assert [verb for verb in VERBS if verb not in output] == []
