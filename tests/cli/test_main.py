import subprocess
import sys

import pytest
from typer.testing import CliRunner

from slipway.cli.main import COMMANDS, build_app, main
from slipway.stack.layout import REPOSITORY


def test_help_lists_every_command_without_loading_any() -> None:
    result = CliRunner().invoke(build_app(["--help"]), ["--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in COMMANDS)


def test_status_does_not_import_what_other_commands_need() -> None:
    code = (
        "import sys; from slipway.cli.main import build_app; build_app(['status']);"
        "sys.exit(','.join({'pandas', 'matplotlib', 'mlflow', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("name", ["up", "down", "restart", "status", "logs", "reset"])
def test_the_help_of_each_stack_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(build_app([name]), [name, "--help"])
    assert result.exit_code == 0
    assert f"slipway {name}" in result.output


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(build_app(["fly"]), ["fly"]).exit_code == 2


def test_a_failure_that_slipway_names_ends_with_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", "relative")
    monkeypatch.setattr(sys, "argv", ["slipway", "status"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "SLIPWAY_HOME='relative' is relative" in capsys.readouterr().err
