"""The list of load tests names each of them, and its command works as written."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOAD_TESTS = ROOT / "load-tests"
FOLDERS = sorted(path.name for path in LOAD_TESTS.iterdir() if path.is_dir() and path.name != "__pycache__")
ROW = re.compile(r"^\| \[(\w+)\]\((\w+)/README.md\) \| .+ \| `(\S+)[^`]*` \| .+ \|$", re.MULTILINE)


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall((LOAD_TESTS / "README.md").read_text())


def test_every_load_test_stands_in_the_list_and_has_a_page() -> None:
    assert sorted(name for name, _, _ in rows()) == FOLDERS
    assert [name for name in FOLDERS if not (LOAD_TESTS / name / "README.md").is_file()] == []


def test_the_list_names_commands_that_can_be_run() -> None:
    for name, folder, program in rows():
        assert (name, program) == (folder, f"./load-tests/{name}/run")
        assert os.access(ROOT / program, os.X_OK), program
