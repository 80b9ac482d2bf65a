"""Every file and every command of the page about callers can be used as it stands."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli.main import build_app
from slipway.identity.access_file import Issuer, parse

HOW_TO = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "who-may-call.md").read_text()
SNIPPETS = re.findall(r"^```yaml\n(.*?)^```$", HOW_TO, re.MULTILINE | re.DOTALL)
COMMANDS = sorted(set(re.findall(r"slipway (keys [a-z]+)", HOW_TO)))


def test_the_snippets_make_one_file() -> None:
    it = parse({"issuers.yaml": "".join(SNIPPETS).encode()})
    assert (len(it.issuers), len(it.certificates)) == (1, 4)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_exists(command: str) -> None:
    arguments = [*command.split(), "--help"]
    assert CliRunner().invoke(build_app(arguments), arguments).exit_code == 0


def test_every_key_of_an_issuer_is_told() -> None:
    assert [name for name in Issuer.model_fields if f"`{name}`" not in HOW_TO] == []
