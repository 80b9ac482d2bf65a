"""The commands about models, against a small RolloutControl that answers what the test wants."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from slipway.cli.main import build_app, main
from slipway.v1 import rollout_pb2, rollout_pb2_grpc

YAML = """
name: m
task: binary
features: [{name: a}]
label: {name: y, classes: ["0", "1"]}
"""


class Rollout(rollout_pb2_grpc.RolloutControlServicer):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.changed = True
        self.revision = 1
        self.lock = threading.Lock()

    def _status(self, request: Any) -> rollout_pb2.RolloutStatus:
        with self.lock:
            self.asked.append(request)
        status = rollout_pb2.RolloutStatus(
            spec=rollout_pb2.ModelSpec(name="m", revision=2, yaml=YAML),
            state="CANARY",
            version="2",
            explanation="canary at 5 %: 41 of 60 rows",
            promoted=1,
        )
        status.routes.epoch = 4
        status.routes.arms.add(version="2", role="canary", weight_ppm=50_000, digest="d2")
        status.routes.arms.add(version="1", role="champion", weight_ppm=950_000, digest="d1")
        status.events.add(
            version="2", from_state="WARMING", to_state="CANARY", reason="its replicas are ready"
        )
        return status

    def ApplySpec(self, request: Any, _context: Any) -> Any:
        self.asked.append(request)
        spec = rollout_pb2.ModelSpec(name="m", revision=self.revision)
        return rollout_pb2.ApplySpecResponse(spec=spec, changed=self.changed)

    def ListModels(self, _request: Any, _context: Any) -> Any:
        return rollout_pb2.ListModelsResponse(models=["m"])

    def GetStatus(self, request: Any, context: Any) -> Any:
        if request.model != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"model {request.model!r} is not known; known models: m")
        return self._status(request)

    def Rollback(self, request: Any, _context: Any) -> Any:
        return self._status(request)

    def Abort(self, request: Any, _context: Any) -> Any:
        return self._status(request)

    def StartRollout(self, request: Any, _context: Any) -> Any:
        return self._status(request)


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rollout]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = Rollout()
    rollout_pb2_grpc.add_RolloutControlServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    (tmp_path / "operator.token").write_text("token")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIPWAY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("SLIPWAY_ROLLOUT_TARGET", f"127.0.0.1:{port}")
    for away in ("INFERENCE", "FEEDBACK", "RETRAINING", "RETRAIN_TRIGGER"):
        monkeypatch.setenv(f"SLIPWAY_{away}_TARGET", "127.0.0.1:1")
    yield servicer
    server.stop(None).wait()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(list(arguments)), list(arguments))


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


def test_rollback_abort_and_rollout_say_who_and_why(rollout: Rollout) -> None:
    for command in (["rollback", "m"], ["abort", "m"], ["rollout", "m", "2"]):
        done = run(*command, "--reason", "because", "--json")
        assert json.loads(done.output)["state"] == "CANARY"
    assert [(a.actor, a.reason) for a in rollout.asked] == [("operator", "because")] * 3


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


@pytest.mark.parametrize("name", ["apply", "models", "rollout", "rollback", "abort", "register"])
def test_the_help_of_each_command_has_an_example(name: str) -> None:
    assert f"slipway {name}" in run(name, "--help").output
