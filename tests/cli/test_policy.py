"""`slipway policy`: as a user calls it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slipway.cli.policy import app, problem_of_stack
from slipway.errors import InvalidInput
from slipway.policy.rules import read_rules

POLICY = b'@id("analysts")\npermit (principal in Role::"analyst", action == Action::"infer", resource);'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    own = tmp_path / "access" / "policies"
    own.mkdir(parents=True)
    (own / "own.cedar").write_bytes(POLICY)
    return own


def run(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    if isinstance(done.exception, InvalidInput):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def test_check_tells_the_hash_that_records_carry_wherever_the_files_lie(folder: Path) -> None:
    expected = read_rules({"policies/own.cedar": POLICY}).policy_hash
    assert expected in run("check")
    assert expected in run("check", str(folder))
    assert expected in run("show")
    assert "analysts" in run("show")
    assert "tenant-isolation" in run("show", "--builtin")
    assert expected in run("show", "--json")


def test_check_tells_file_and_line_and_status_has_the_same_words(folder: Path) -> None:
    assert problem_of_stack() == ""
    (folder / "own.cedar").write_text("permit (everybody);")
    with pytest.raises(InvalidInput, match=r"own\.cedar line 1"):
        run("check")
    assert "own.cedar line 1" in problem_of_stack()
    with pytest.raises(InvalidInput, match="not a folder"):
        run("check", str(folder / "none"))


def test_cases_that_hold_end_well_and_others_with_code_1_and_their_line(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no cases"):
        run("test")
    cases = folder / "own.cases.yaml"
    cases.write_text("cases:\n  - {roles: [analyst], action: infer, model: m, expect: allow}\n")
    assert "1 cases, 0 otherwise" in run("test")
    cases.write_text("cases:\n  - {roles: [analyst], action: train, model: m, expect: allow}\n")
    said = run("test", code=1)
    assert "policies/own.cases.yaml line 2: expected allow, is deny: default/somebody train model 'm'" in said
    assert '"is": "deny"' in run("test", "--json", code=1)


def test_explain_names_the_policy_that_decided(folder: Path) -> None:
    assert "by analysts (policies/own.cedar line 1)" in run(
        "explain", "--role", "analyst", "--action", "infer", "--model", "m"
    )
    own = ("--role", "owner", "--principal", "anna", "--action", "approve", "--model", "m", "--version", "3")
    assert "allowed: anna may approve version 3 of model 'm', by owner" in run("explain", *own)
    assert "separation-of-duties" in run("explain", *own, "--trained-by", "anna")
    assert "tenant-isolation" in run("explain", *own, "--of-tenant", "mall")
    assert "role app or owner or admin" in run(
        "explain", "--role", "viewer", "--action", "infer", "--model", "m"
    )
    assert "is not valid for" in run("explain", "--role", "admin", "--action", "approve")
    told = json.loads(run("explain", *own, "--trained-by", "anna", "--json"))
    assert (told["is_allowed"], told["principal"], told["action"]) == (False, "default/anna", "approve")
    assert "separation-of-duties" in told["by"][0]
    assert (len(told["decision_id"]), told["errors"]) == (32, [])
    assert told["policy_hash"] == json.loads(run("check", "--json"))["policy_hash"]
    with pytest.raises(InvalidInput, match="no action 'fly'"):
        run("explain", "--action", "fly")
    assert folder.is_dir()
