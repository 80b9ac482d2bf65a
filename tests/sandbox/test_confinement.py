"""What a confined process can no longer do, tried in real processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFINED = """
import os, socket, sys
from slipway.sandbox import confinement
{before}
walls = confinement.confine(confinement.Limits(memory_bytes=2**30, file_bytes=1000, open_files=20))
def tried(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
address = ("127.0.0.1", {port})
print(walls, tried(lambda: socket.create_connection(address, 2)), tried(lambda: bytearray(2**31)),
      tried(lambda: [open("/dev/null") for _ in range(30)]), flush=True)
print(tried(lambda: os.execv("/bin/true", ["true"])))
"""
NO_NAMESPACE = "confinement._CLONE_NEWUSER = -1"
NO_FILTER = "confinement._filter_calls = lambda libc: False"


def _run(before: str, port: int = 1) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", CONFINED.format(before=before, port=port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("before", "walls"),
    [("", {"namespace+seccomp", "seccomp"}), (NO_NAMESPACE, {"seccomp"})],
)
def test_the_network_and_other_programs_are_out_of_reach(before: str, walls: set[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = _run(before, server.getsockname()[1])
    told, *tries = ran.stdout.split()
    assert told in walls
    assert tries == ["PermissionError", "MemoryError", "OSError", "PermissionError"]


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/net"), reason="no namespaces in this kernel")
def test_a_namespace_alone_keeps_the_network_away_where_it_is_permitted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = _run(NO_FILTER, server.getsockname()[1])
    if "neither a network namespace" in ran.stderr:
        return  # not permitted here: the filter of the test above is the wall that holds
    assert ran.stdout.split()[:2] == ["namespace", "OSError"]


def test_without_any_wall_nothing_is_tried() -> None:
    ran = _run(f"{NO_NAMESPACE}; {NO_FILTER}")
    assert ran.returncode != 0
    assert "neither a network namespace nor a seccomp filter" in ran.stderr
