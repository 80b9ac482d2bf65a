import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.stack.part import HOME_MARK, PART_MARK
from slipway.stack.processes import (
    describe,
    end,
    family,
    find_ours,
    holders,
    listeners,
    resident_bytes,
)


@pytest.fixture
def marked(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, HOME_MARK: str(tmp_path), PART_MARK: "sleeper"}
    process = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    # Its first line proves that exec is done, so that the environment is its own.
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_marked_process_is_found_and_ended(tmp_path: Path, marked: subprocess.Popen[bytes]) -> None:
    found = find_ours(tmp_path)
    assert [process.pid for process in found] == [marked.pid]
    end(found)
    assert find_ours(tmp_path) == []


def test_a_process_of_another_part_or_stack_is_left_alone(
    tmp_path: Path, marked: subprocess.Popen[bytes]
) -> None:
    assert find_ours(tmp_path, part="other") == []
    assert find_ours(tmp_path / "other") == []


def test_the_listener_of_a_port_is_known() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listeners({port}) == {port: os.getpid()}


def test_all_who_share_a_port_are_known(tmp_path: Path) -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', int(sys.argv[1])), reuse_port=True); "
        "print(1, flush=True); input()"
    )
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as server:
        port = server.getsockname()[1]
        command = [sys.executable, "-c", code, str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            other.stdout.readline()
            assert holders({port}) == {port: {os.getpid(), other.pid}}
            other.communicate(b"\n")


def test_a_process_is_described_by_command_and_id() -> None:
    assert f"pid {os.getpid()}" in describe(os.getpid())
    assert describe(None) == "a process of another user"


def test_a_family_has_memory_and_a_gone_process_none() -> None:
    assert resident_bytes(family(os.getpid())) > 0
    assert family(2**22 + 1) == []
