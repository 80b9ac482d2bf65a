"""Every spec and every command of the how-to can be used as it stands."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway import spec
from slipway.cli.main import build_app

HOW_TO = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "roll-out-a-version.md").read_text()
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(set(re.findall(r"slipway ((?:rollout|keys) [a-z-]+)", HOW_TO)))
HEAD = """
name: m
task: binary
features: [{name: price, range: [0, 1]}]
label: {name: y, classes: ["0", "1"]}
"""


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_each_snippet_is_a_spec(snippet: str) -> None:
    assert snippet.startswith("rollout:")
    spec.parse(HEAD + snippet)


def test_every_kind_of_step_form_and_gate_is_shown() -> None:
    rollouts = [spec.parse(HEAD + snippet).rollout for snippet in SNIPPETS]
    steps = [step for rollout in rollouts for step in rollout.steps]
    assert {step.kind for step in steps} == {"shadow", "canary", "blue_green", "ab"}
    assert any(step.approval for step in steps)
    assert any(rollout.freeze for rollout in rollouts)
    assert any(rollout.rollback_window for rollout in rollouts)
    assert {receiver.form for rollout in rollouts for receiver in rollout.notify} == {"json", "chat"}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_exists(command: str) -> None:
    arguments = [*command.split(), "--help"]
    assert CliRunner().invoke(build_app(arguments), arguments).exit_code == 0


def test_every_verb_is_told() -> None:
    listed = CliRunner().invoke(build_app(["rollout", "--help"]), ["rollout", "--help"]).output
    verbs = re.findall(r"^│ ([a-z][a-z-]+) ", listed, re.MULTILINE)
    assert len(verbs) >= 12
    assert [verb for verb in verbs if f"rollout {verb}" not in COMMANDS] == []
