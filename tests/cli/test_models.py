"""The commands about models, against a small RolloutControl that answers what the test wants."""

import json
from pathlib import Path

import pytest

from slipway.cli.main import main
from tests.cli.stand_in import YAML, Rollout, run


def test_apply_sends_the_recipe_that_stands_beside_the_spec(rollout: Rollout, tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(YAML + "recipe: recipe.py\n")
    (tmp_path / "recipe.py").write_text("def fit(X, y, sample_weight, seed): ...")
    done = run("apply", "-f", str(tmp_path / "model.yaml"))
    assert "model m created, revision 1" in done.output
    assert "slipway train m" in done.output
    assert rollout.asked[0].recipe.startswith("def fit")


@pytest.mark.parametrize(
    ("changed", "revision", "outcome"), [(True, 1, "created"), (True, 2, "changed"), (False, 2, "unchanged")]
)
def test_apply_says_what_it_did(
    rollout: Rollout, tmp_path: Path, changed: bool, revision: int, outcome: str
) -> None:
    rollout.changed, rollout.revision = changed, revision
    (tmp_path / "model.yaml").write_text(YAML)
    done = run("apply", "-f", str(tmp_path / "model.yaml"), "--json")
    assert json.loads(done.output) == {"model": "m", "outcome": outcome, "revision": revision}


def test_each_problem_of_a_spec_names_file_line_and_key(
    rollout: Rollout, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(YAML.replace("binary", "ternary") + "slow: {}\n")
    monkeypatch.setattr("sys.argv", ["slipway", "apply", "-f", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    errors = capsys.readouterr().err
    assert f"{path}:3: task: " in errors
    assert f"{path}:6: slow: unknown key" in errors
    assert "2 problems" in errors
    assert rollout.asked == []


def test_models_are_listed_with_their_champion(rollout: Rollout) -> None:
    assert json.loads(run("models", "--json").output)[0]["champion"] == "1"
    assert "CANARY of 2" in run("models").output


def test_the_status_of_a_model_names_the_parts_that_are_away(rollout: Rollout) -> None:
    done = run("status", "m")
    assert done.exit_code == 0, done.output
    for text in (
        "binary, 1 features",
        "95 %",
        "canary at 5 %: 41 of 60 rows",
        "feedback   not known",
        "trigger    not",
    ):
        assert text in done.output
    plain = json.loads(run("status", "m", "--json").output)
    assert plain["rollout"]["state"] == "CANARY"
    assert "error" in plain["retraining"]
    assert "error" in plain["replicas"]["1"]


def test_an_unknown_model_is_an_error_with_the_next_step(
    rollout: Rollout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["slipway", "status", "nobody"])
    with pytest.raises(SystemExit):
        main()
    assert "known models: m" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["apply", "models", "rollback", "abort", "register"])
def test_the_help_of_each_command_has_an_example(name: str) -> None:
    assert f"slipway {name}" in run(name, "--help").output
