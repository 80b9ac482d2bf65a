import configparser
import dataclasses
from pathlib import Path

import pytest

from slipway.errors import InvalidInput
from slipway.stack.layout import Layout
from slipway.stack.part import Part
from slipway.stack.stack import Stack
from slipway.stack.supervisor_config import render
from tests.stack.parts import idle_part


def stack_of(tmp_path: Path, *parts: Part) -> Stack:
    return Stack(layout=Layout(home=tmp_path / "home", cache=tmp_path / "cache"), parts=parts)


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_every_part_is_kept_alive_but_not_started_by_itself(tmp_path: Path) -> None:
    program = read(render(stack_of(tmp_path, idle_part("gateway"))))["program:gateway"]
    assert program["autorestart"] == "true"
    assert program["autostart"] == "false"


def test_percent_signs_survive_supervisord_s_expansion(tmp_path: Path) -> None:
    program = read(render(stack_of(tmp_path, idle_part("gateway"))))["program:gateway"]
    assert program["command"] == "/bin/true 100%%"
    assert "x%%20y" in program["environment"]


def test_every_process_is_marked_as_ours(tmp_path: Path) -> None:
    program = read(render(stack_of(tmp_path, idle_part("gateway"))))["program:gateway"]
    assert f'SLIPWAY_STACK_HOME="{tmp_path}/home"' in program["environment"]
    assert 'SLIPWAY_STACK_PART="gateway"' in program["environment"]


def test_logs_are_bounded(tmp_path: Path) -> None:
    program = read(render(stack_of(tmp_path, idle_part("gateway"))))["program:gateway"]
    assert int(program["stdout_logfile_maxbytes"]) > 0
    assert int(program["stdout_logfile_backups"]) > 0


def test_a_value_that_cannot_be_passed_is_refused(tmp_path: Path) -> None:
    part = dataclasses.replace(idle_part("gateway"), environment={"KEY": 'a"b'})
    with pytest.raises(InvalidInput, match="KEY="):
        render(stack_of(tmp_path, part))
