"""Hostile models in the sandbox: every one ends as a reason, none as a file, a hang or a crash of ours."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import helper

from slipway.errors import InvalidInput
from slipway.models.formats import ModelFormat
from slipway.models.intake import bring
from slipway.sandbox import trial
from slipway.sandbox.confinement import Limits
from slipway.sandbox.trial import run, try_model
from tests.models.corpus import (
    SPEC,
    graph_of,
    honest_onnx,
    honest_skops,
    ints,
    pickles,
    polyglots,
)

LIMITS = Limits(memory_bytes=2 * 1024**3)


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def test_an_honest_model_passes_and_is_told_what_kept_the_network_away() -> None:
    brought = bring(honest_onnx(), SPEC)
    assert brought.onnx == honest_onnx()
    assert "seccomp" in brought.walls or "namespace" in brought.walls


def test_a_skops_model_is_served_as_onnx() -> None:
    brought = bring(honest_skops(), SPEC)
    assert brought.format is ModelFormat.SKOPS
    assert try_model(brought.onnx, SPEC).walls == brought.walls


def test_no_hostile_file_writes_its_canary(canary: Path) -> None:
    files = [*pickles(canary), *polyglots(canary)]
    accepted = []
    for name, content in files:
        try:
            bring(content, SPEC, limits=LIMITS)
        except InvalidInput:
            continue
        accepted.append(name)
    assert (accepted, canary.exists()) == ([], False)
    assert len(files) > 30


def test_a_model_that_wants_too_much_memory_fails_with_the_reason() -> None:
    # The size is computed when it runs, so that no look at the graph can tell.
    nodes = (
        helper.make_node("Mul", ["size", "size"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
        helper.make_node("Add", ["features", "sum"], ["moved"]),
        helper.make_node("Softmax", ["moved"], ["probabilities"]),
    )
    greedy = graph_of(*nodes, initializers=(ints("size", 100_000, 1000),))
    with pytest.raises(InvalidInput, match=r"(?i)memory|alloc|ended its process"):
        try_model(greedy, SPEC, limits=LIMITS)


def test_a_model_that_does_not_end_is_ended() -> None:
    with pytest.raises(InvalidInput, match=r"did not come to an end|more than 1 s of computing|SIGKILL"):
        try_model(honest_onnx(), SPEC, limits=replace(LIMITS, cpu_s=1, deadline_s=0.05))


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("os.kill(os.getpid(), 11)", "signal SIGSEGV"),
        ("while True: pass", "more than 1 s of computing|SIGKILL"),
        ("open('fill', 'wb').write(bytes(10**6))", "file|wrote more than|File too large"),
        ("os._exit(3)", "status 3, saying nothing"),
        ("bytearray(2**40)", "saying nothing|memory"),
    ],
)
def test_what_falls_in_the_child_is_a_reason_here(
    act: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Stands for code that a hole in a parser would let run: the child's own module, replaced.
    package = tmp_path / "slipway" / "sandbox"
    package.mkdir(parents=True)
    source = Path(trial.__file__).parent
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "confinement.py").write_text((source / "confinement.py").read_text())
    (package / "child.py").write_text((source / "child.py").read_text())
    (package / "tasks.py").write_text(
        f"import os\ndef try_onnx(folder, arguments):\n    {act}\n    return {{}}\n"
    )
    monkeypatch.setitem(trial._ENVIRONMENT, "PYTHONPATH", str(tmp_path))
    limits = replace(LIMITS, cpu_s=1, file_bytes=1000, deadline_s=30)
    with pytest.raises(InvalidInput, match=reason):
        run("try", b"model", arguments={}, limits=limits)


def test_the_child_knows_no_secret_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_POSTGRES_DSN", "postgresql://role:password@host/db")
    assert not {v for v in trial._ENVIRONMENT if v.startswith("SLIPWAY")}
    assert os.environ["SLIPWAY_POSTGRES_DSN"] not in trial._ENVIRONMENT.values()
